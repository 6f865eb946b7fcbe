"""How a fit is printed."""

from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.table import Table

from napari_xpcs.cli._console import out
from napari_xpcs.units import value_text

if TYPE_CHECKING:
    from napari_xpcs.fitting.dispersion import Dispersion
    from napari_xpcs.fitting.laws import Solvent
    from napari_xpcs.fitting.results import G2Fit


def print_fit(fitted: "G2Fit", dispersion: "Dispersion", solvent: "Solvent | None" = None) -> None:
    units = [
        f"{name} ({unit})" if unit else name
        for name, unit in zip(fitted.names, fitted.units, strict=True)
    ]
    first = ("file", "bin") if fitted.sources else ("bin",)
    table = Table(*first, "q (1/Å)", *units, "chi2/dof", "status")
    for row in range(len(fitted.status)):
        values = [
            value_text(value, error)
            for value, error in zip(fitted.value[row], fitted.error[row], strict=True)
        ]
        chi2 = fitted.reduced_chi2[row]
        table.add_row(
            *(fitted.sources[row : row + 1]),
            str(fitted.bins.label[row]),
            f"{fitted.bins.q[row]:.4g}",
            *values,
            f"{chi2:.2f}" if isfinite(chi2) else "",
            fitted.status[row],
        )
    out.print(table)
    out.print(_errors_said(fitted), highlight=False, soft_wrap=True)
    for one in fitted.shared:
        where = f" ({one.source})" if one.source else ""
        number = f"{value_text(one.value, one.error)} {one.unit}".rstrip()
        text = number if one.status == "ok" else one.status
        out.print(
            f"common to {one.n_bins} bins{where}: {one.name} = {text}",
            highlight=False,
            soft_wrap=True,
        )
    out.print(dispersion.text(solvent), highlight=False, soft_wrap=True)


def _errors_said(fitted: "G2Fit") -> str:
    """Return what the errors of the table are."""
    meaning = {
        "stated": "from the errors of g2 as they are",
        "scaled": "from the errors of g2, times sqrt(chi2/dof)",
        "scatter": "from the scatter of g2, which has no errors",
        "covariance": "from the covariance of g2 between delays",
        "robust": "from the scatter, outliers counting less",
    }
    counts = {kind: fitted.error_kind.count(kind) for kind in meaning}
    parts = [f"{meaning[kind]} ({count} bins)" for kind, count in counts.items() if count]
    return f"errors are 1 sigma: {'; '.join(parts)}"


def shared_facts(fitted: "G2Fit") -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "unit": one.unit,
            "value": one.value,
            "error": one.error,
            "status": one.status,
            "n_bins": one.n_bins,
            "file": one.source,
        }
        for one in fitted.shared
    ]


def dispersion_facts(dispersion: "Dispersion", solvent: "Solvent | None" = None) -> dict[str, Any]:
    facts = {
        "model": dispersion.law,
        "status": dispersion.status,
        "D_m2_per_s": dispersion.D_m2_per_s,
        "D_m2_per_s_err": dispersion.D_m2_per_s_err,
        "D0_m2_per_s": dispersion.D0_m2_per_s,
        "D0_m2_per_s_err": dispersion.D0_m2_per_s_err,
        "v_m_per_s": dispersion.v_m_per_s,
        "v_m_per_s_err": dispersion.v_m_per_s_err,
        "exponent": dispersion.exponent,
        "exponent_err": dispersion.exponent_err,
        "n_bins": dispersion.n_bins,
    }
    if solvent is not None:
        facts["R_h_m"], facts["R_h_m_err"] = dispersion.radius_m(solvent)
        facts["R_h0_m"], facts["R_h0_m_err"] = dispersion.radius_m(solvent, at_zero_q=True)
    return facts
