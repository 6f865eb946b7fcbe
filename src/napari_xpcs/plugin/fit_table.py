"""The fit as columns of the table in the dock."""

import numpy as np

from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.plugin.rows_model import Column
from napari_xpcs.units import value_text


def fit_table_columns(fit: G2Fit) -> tuple[list[Column], np.ndarray]:
    """Return one row per bin: what is sought first, contrast and baseline last.

    The second is which rows hold no answer.
    """
    label, q = fit.bins.label, fit.bins.q
    columns = [
        Column("bin", [str(each) for each in label], label),
        Column("q (1/Å)", [f"{each:.4g}" if np.isfinite(each) else "" for each in q], q),
    ]
    status = Column("status", list(fit.status), np.array(fit.status))
    if fit.sources:
        columns.insert(0, Column("run", list(fit.sources), np.array(fit.sources)))
    for place, i in enumerate([*range(2, len(fit.names)), 1, 0]):
        if place == 1:
            columns.append(status)  # beside what is sought, within 300 pixels
        unit = f" ({fit.units[i]})" if fit.units[i] else ""
        texts = [
            value_text(value, error)
            for value, error in zip(fit.value[:, i], fit.error[:, i], strict=True)
        ]
        columns.append(Column(fit.names[i] + unit, texts, fit.value[:, i]))
    chi2 = fit.reduced_chi2
    texts = [f"{each:.2f}" if np.isfinite(each) else "" for each in chi2]
    columns.append(Column("χ²/dof", texts, chi2))
    return columns, ~fit.ok


def fit_summary(fit: G2Fit) -> str:
    """Return in a sentence how many bins hold an answer, and what they have in common."""
    good, count = int(np.count_nonzero(fit.ok)), len(fit.status)
    if good == count:
        text = f"All {count} bins are fitted."
    else:
        text = f"{good or 'None'} of {count} bins could be fitted; the table says why."
    for one in fit.shared:
        unit = f" {one.unit}" if one.unit else ""
        of = f" of {one.source}" if one.source else ""
        found = value_text(one.value, one.error) or one.status
        text += f"\n{one.name}{of} = {found}{unit}"
    return text


def bin_summary(fit: G2Fit, row: int) -> str:
    """Return what the fit of one bin is worth."""
    chi2 = fit.reduced_chi2[row]
    text = fit.status[row].replace("_", " ", 1)
    return f"{text}; χ²/dof = {chi2:.3g}" if np.isfinite(chi2) else text


def row_of(fit: G2Fit, label: int) -> int | None:
    """Return the row of a bin of the first run in a fit, ``None`` where it was not fitted."""
    found = np.flatnonzero(fit.bins.label == label)
    return int(found[0]) if found.size else None
