"""A line through values that may scatter more than their errors say.

References
----------
.. [1] Paule & Mandel, J. Res. Natl. Bur. Stand. 87, 377 (1982): a common scatter on top of
   stated errors, such that the reduced chi2 is 1.
.. [2] MacKinnon & White, J. Econometrics 29, 305 (1985).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedLine:
    """A line through values with errors.

    Parameters
    ----------
    height, height_err, slope, slope_err
        First and last term of the design, and their standard errors; the same where it has one.
    reduced_chi2
        By the stated variances; NaN where there are none.
    scatter
        What all values vary by on top of their errors, as a standard deviation.
    """

    height: float
    height_err: float
    slope: float
    slope_err: float
    reduced_chi2: float
    scatter: float


def weighted_line(
    design: Float[np.ndarray, "bin term"],
    y: Float[np.ndarray, " bin"],
    variance: Float[np.ndarray, " bin"],
) -> WeightedLine:
    """Fit a line with the least common scatter that makes the reduced chi2 at most 1 [1]_."""
    freedom = len(y) - design.shape[1]
    _, _, chi2 = _weighted(design, y, variance)
    scatter2 = 0.0
    if chi2 > freedom > 0:
        # chi2 falls as the scatter grows; at the sum of all squares it is below 1.
        low, high = 0.0, float(np.sum((y - y.mean()) ** 2))
        while high - low > 1e-6 * high:
            scatter2 = 0.5 * (low + high)
            _, _, with_scatter = _weighted(design, y, variance + scatter2)
            low, high = (scatter2, high) if with_scatter > freedom else (low, scatter2)
    terms, covariance, _ = _weighted(design, y, variance + scatter2)
    error2 = np.diagonal(covariance)
    if scatter2 > 0:
        uneven = _uneven_scatter(design, y - design @ terms, variance + scatter2, covariance)
        error2 = np.maximum(error2, uneven)
    error = np.sqrt(error2)
    return WeightedLine(
        height=float(terms[0]),
        height_err=float(error[0]),
        slope=float(terms[-1]),
        slope_err=float(error[-1]),
        # Without errors of the bins there is no chi2, only scatter.
        reduced_chi2=float(chi2 / freedom) if freedom and np.all(variance > 0) else np.nan,
        scatter=float(np.sqrt(scatter2)),
    )


def _weighted(
    design: Float[np.ndarray, "bin term"],
    y: Float[np.ndarray, " bin"],
    variance: Float[np.ndarray, " bin"],
) -> tuple[Float[np.ndarray, " term"], Float[np.ndarray, "term term"], float]:
    """Return the terms of a weighted linear fit, their covariance, and chi2."""
    weight = 1 / np.maximum(variance, 1e-24)
    covariance = np.linalg.inv(design.T @ (design * weight[:, None]))
    terms = covariance @ (design.T @ (weight * y))
    return terms, covariance, float(np.sum(weight * (y - design @ terms) ** 2))


def _uneven_scatter(
    design: Float[np.ndarray, "bin term"],
    residual: Float[np.ndarray, " bin"],
    variance: Float[np.ndarray, " bin"],
    covariance: Float[np.ndarray, "term term"],
) -> Float[np.ndarray, " term"]:
    """Return variances of the terms from the residuals themselves (HC3 of [2]_).

    The scatter is not common to all bins: it grows towards low q, at the end of the line, where
    it moves the slope most.
    """
    leverage = np.einsum("bi,ij,bj->b", design, covariance, design) / variance
    effect = (covariance @ design.T) * (residual / variance / np.maximum(1 - leverage, 1e-6))
    return np.asarray(np.sum(effect**2, axis=1))
