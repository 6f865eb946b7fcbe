"""The curves of several files as one table: :func:`join_curves`."""

from collections.abc import Sequence

import numpy as np

from napari_xpcs.kernels.curves import BinTable, G2Curves


def join_curves(several: Sequence[G2Curves]) -> G2Curves:
    """Return the curves of all files side by side, over all delays that any of them has.

    Bins keep their labels, so a label may be there once per file.  Where a file has no such
    delay, g2 is NaN.  A delay over which one file averages and another does not counts as
    averaged as the first of them says.
    """
    if len(several) == 1:
        return several[0]
    delay_s = np.unique(np.concatenate([curves.delay_s for curves in several]))
    rows = [np.searchsorted(delay_s, curves.delay_s) for curves in several]
    width = sum(len(curves.bins) for curves in several)
    g2 = np.full((len(delay_s), width), np.nan)
    error = g2.copy()
    covariance = None
    if any(curves.covariance is not None for curves in several):
        covariance = np.full((width, len(delay_s), len(delay_s)), np.nan)
    averaging = None
    if any(curves.averaging_s is not None for curves in several):
        averaging = np.full(len(delay_s), np.nan)
    column = 0
    for curves, row in zip(several, rows, strict=True):
        columns = np.arange(column, column + len(curves.bins))
        column += len(columns)
        g2[np.ix_(row, columns)] = curves.g2
        error[np.ix_(row, columns)] = curves.error
        if covariance is not None and curves.covariance is not None:
            covariance[np.ix_(columns, row, row)] = curves.covariance
        if averaging is not None and curves.averaging_s is not None:
            averaging[row] = np.where(np.isnan(averaging[row]), curves.averaging_s, averaging[row])
    tables = [curves.bins for curves in several]
    return G2Curves(
        delay_s=delay_s,
        g2=g2,
        error=error,
        bins=BinTable(
            label=np.concatenate([table.label for table in tables]),
            q=np.concatenate([table.q for table in tables]),
            phi_deg=np.concatenate([table.phi_deg for table in tables]),
            pixels=np.concatenate([table.pixels for table in tables]),
        ),
        source=", ".join(curves.source for curves in several),
        covariance=covariance,
        averaging_s=None if averaging is None else np.nan_to_num(averaging),
    )
