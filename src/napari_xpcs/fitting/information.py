r"""Akaike's criterion of several least-squares fits of the same curves: :func:`akaike`.

.. math:: \mathrm{QAIC} = \chi^2 / \hat c + 2 k

with k free parameters and :math:`\hat c` the smallest reduced chi2 of the models of a curve, at
least 1: errors that are too small would else always speak for the model with more parameters [1]_.

References
----------
.. [1] Burnham & Anderson, *Model Selection and Multimodel Inference*, 2nd ed., ch. 2.5.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from napari_xpcs.fitting.results import G2Fit


def akaike(fits: Sequence[G2Fit]) -> Float[np.ndarray, "model bin"]:
    """Return the criterion of every model for every bin; the smallest is the best.

    NaN for all models of a bin where one was not fitted or the curve has no errors.  The fits
    are of the same bins and the same points.
    """
    free = np.array([sum(name not in fit.fixed for name in fit.names) for fit in fits])
    reduced = np.stack([fit.reduced_chi2 for fit in fits])
    points = np.stack([fit.n_points for fit in fits])
    with np.errstate(invalid="ignore"):
        noise = np.maximum(reduced.min(axis=0), 1.0)
        return np.asarray(reduced * (points - free[:, None]) / noise + 2.0 * free[:, None])
