"""How the files of the field say that nothing was counted."""

import numpy as np


def not_measured_to_nan(g2: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 g2 and error (delay, bin) with NaN where nothing was measured.

    The files write g2 = 0 with error 0 where no pair of photons was counted.  An error that is
    zero or negative beside a real g2 becomes NaN alone: it would carry infinite weight.
    """
    g2, error = g2.astype(np.float64), error.astype(np.float64)
    nothing = ~np.isfinite(g2) | ((g2 == 0) & ((error == 0) | ~np.isfinite(error)))
    no_error = nothing | ~np.isfinite(error) | (error <= 0)
    return np.where(nothing, np.nan, g2), np.where(no_error, np.nan, error)
