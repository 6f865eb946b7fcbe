"""Curves that lie over each other in the fit dock: a bin of one run, and the like of others."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from napari_xpcs.backends.io_adapter import matplotlib_adapter
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves, bin_text
from napari_xpcs.kernels.same_bins import same_bin
from napari_xpcs.plugin.fit_table import row_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShownCurve:
    """One curve: a column of ``curves``, and its row of ``fit`` where it is fitted.

    ``age_s`` is the age in a two-time map that stands in for a bin.
    """

    curves: G2Curves
    column: int
    fit: G2Fit | None = None
    row: int | None = None
    age_s: float | None = None

    @property
    def title(self) -> str:
        """Which bin it is; of a cut through a two-time map, at which age."""
        if self.age_s is None:
            return bin_text(self.curves.bins, self.column)
        q = self.curves.bins.q[self.column]
        return f"age {self.age_s:.4g} s" + (f", q = {q:.4g} 1/Å" if q == q else "")

    @property
    def fitted(self) -> bool:
        """Whether there is a line to draw."""
        return (
            self.fit is not None
            and self.row is not None
            and bool(np.isfinite(self.fit.optimum[self.row]).all())
        )

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return delays, g2 and errors that were measured."""
        g2 = matplotlib_adapter.to_numpy(self.curves.g2[:, self.column])
        delay = matplotlib_adapter.to_numpy(self.curves.delay_s)
        counted = np.isfinite(g2) & (delay > 0)
        error = matplotlib_adapter.to_numpy(self.curves.error[:, self.column])
        return delay[counted], g2[counted], np.nan_to_num(error[counted])


def shown_curves(
    curves: G2Curves,
    column: int,
    others: Iterable[G2Curves],
    fit: G2Fit | None,
    *,
    age_s: float | None = None,
) -> list[ShownCurve]:
    """Return a bin of one run and the like bins of others, with their fits.

    Parameters
    ----------
    column
        Of the bin in ``curves``.
    fit
        Of ``curves``; one of all runs together has the bins of the others behind.
    """
    row = None if fit is None else row_of(fit, int(curves.bins.label[column]))
    shown = [ShownCurve(curves=curves, column=column, fit=fit, row=row, age_s=age_s)]
    before = len(curves.bins)
    for other in others:
        like = same_bin(curves, column, other)
        if like is not None:
            together = fit is not None and bool(fit.sources)
            inside = together and fit is not None and before + like < len(fit.status)
            shown.append(
                ShownCurve(
                    curves=other,
                    column=like,
                    fit=fit if inside else None,
                    row=before + like if inside else None,
                )
            )
        before += len(other.bins)
    return shown
