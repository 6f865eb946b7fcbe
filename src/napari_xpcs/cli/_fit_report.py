"""How a fit is printed."""

from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.table import Table

from napari_xpcs.cli._console import out

if TYPE_CHECKING:
    from napari_xpcs.fitting.dispersion import Dispersion
    from napari_xpcs.fitting.results import G2Fit


def print_fit(fitted: "G2Fit", dispersion: "Dispersion") -> None:
    units = [
        f"{name} ({unit})" if unit else name
        for name, unit in zip(fitted.names, fitted.units, strict=True)
    ]
    table = Table("bin", "q (1/Å)", *units, "chi2/dof", "status")
    for row in range(len(fitted.status)):
        values = [
            f"{value:.4g} ± {error:.2g}" if isfinite(value) else ""
            for value, error in zip(fitted.value[row], fitted.error[row], strict=True)
        ]
        chi2 = fitted.reduced_chi2[row]
        table.add_row(
            str(fitted.bins.label[row]),
            f"{fitted.bins.q[row]:.4g}",
            *values,
            f"{chi2:.2f}" if isfinite(chi2) else "",
            fitted.status[row],
        )
    out.print(table)
    out.print(dispersion.text(), highlight=False, soft_wrap=True)


def dispersion_facts(dispersion: "Dispersion") -> dict[str, Any]:
    return {
        "model": dispersion.law,
        "status": dispersion.status,
        "D_m2_per_s": dispersion.D_m2_per_s,
        "D_m2_per_s_err": dispersion.D_m2_per_s_err,
        "exponent": dispersion.exponent,
        "exponent_err": dispersion.exponent_err,
        "n_bins": dispersion.n_bins,
    }
