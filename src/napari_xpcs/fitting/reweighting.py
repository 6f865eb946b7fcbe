"""Weights that follow from the residuals: an error floor, and outliers that count less.

References
----------
.. [1] Huber & Ronchetti, *Robust Statistics*, 2nd ed., ch. 7.6: covariance of M-estimates.
.. [2] Lange, Little & Taylor, J. Am. Stat. Assoc. 84, 881 (1989): Student's t by reweighting.
"""

from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from napari_xpcs.fitting._lm_numpy import residuals
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting.g2_model import G2Model
from napari_xpcs.kernels.robust import MAD_TO_SIGMA

T_FREEDOM = 4.0
"""Degrees of freedom of Student's t: 5 % less precise than Gauss on clean curves."""

_FLOOR_ROUNDS, _ROBUST_ROUNDS = 4, 30
_SETTLED = 1e-3
"""Change of a weight or a floor, relative to its size, below which it is final."""

Ends = Float[np.ndarray, "curve param"]
Refit = Callable[[Problem, Ends], Generator[int, None, Ends]]
"""Fits on from where the curves are."""


def with_floor(
    model: G2Model, problem: Problem, ends: Ends, refit: Refit
) -> Generator[int, None, tuple[Problem, Ends, Float[np.ndarray, " curve"]]]:
    """Raise the errors of each curve by a common floor until its reduced chi2 is at most 1.

    Returns the weights with it, the new ends, and the floor; 0 where a curve has no errors.
    """
    variance = 1 / np.where(problem.root_weight > 0, problem.root_weight, 1.0) ** 2
    used = problem.root_weight > 0
    floor = np.zeros(len(problem))
    raised = problem
    for _ in range(_FLOOR_ROUNDS):
        off = np.where(used, residuals(model, problem, ends) * np.sqrt(variance), 0.0)
        before, floor = floor, _floor(off, variance, used, problem.freedom)
        floor = np.where(problem.scale_from_scatter, 0.0, floor)
        raised = replace(
            problem,
            root_weight=np.where(used, 1 / np.sqrt(variance + floor[:, None] ** 2), 0.0),
        )
        if np.all(np.abs(floor - before) <= _SETTLED * floor):
            break
        ends = yield from refit(raised, ends)
    return raised, ends, floor


def _floor(
    off: Float[np.ndarray, "curve delay"],
    variance: Float[np.ndarray, "curve delay"],
    used: np.ndarray,
    freedom: np.ndarray,
) -> Float[np.ndarray, " curve"]:
    """Return the floor at which sum(off^2 / (variance + floor^2)) is the freedom, by bisection."""
    low = np.zeros(len(off))
    high = np.sum(off**2, axis=1) / freedom
    for _ in range(60):
        middle = 0.5 * (low + high)
        chi2 = np.sum(np.where(used, off**2 / (variance + middle[:, None]), 0.0), axis=1)
        low, high = np.where(chi2 > freedom, middle, low), np.where(chi2 > freedom, high, middle)
    enough = np.sum(np.where(used, off**2 / variance, 0.0), axis=1) <= freedom
    return np.where(enough, 0.0, np.sqrt(high))


def residual_size(
    residual: Float[np.ndarray, "curve delay"], root_weight: Float[np.ndarray, "curve delay"]
) -> Float[np.ndarray, " curve"]:
    """Return the size of the residuals of used points as their median tells it; 1: normal ones."""
    used = np.where(root_weight > 0, np.abs(residual), np.nan)
    return np.asarray(MAD_TO_SIGMA * np.nanmedian(used, axis=1))


def with_students_t(
    model: G2Model, problem: Problem, ends: Ends, refit: Refit
) -> Generator[int, None, tuple[Problem, Ends, Float[np.ndarray, " curve"]]]:
    r"""Fit with residuals of Student's t in place of Gauss, by reweighting [2]_.

    A residual r has the weight :math:`(\nu + 1)/(\nu + r^2)`, in units of the errors or, where
    that is larger, of the scatter (the median of ``|r|``).

    Returns the weighted problem, the new ends, and with what :math:`(J^T W J)^{-1}` is to be
    multiplied [1]_.
    """
    used = problem.root_weight > 0
    least = np.where(problem.scale_from_scatter, np.finfo(float).tiny, 1.0)
    scale = np.maximum(residual_size(residuals(model, problem, ends), problem.root_weight), least)
    unweighted = replace(problem, root_weight=problem.root_weight / scale[:, None])
    weighted, weight = unweighted, np.ones(used.shape)
    for _ in range(_ROBUST_ROUNDS):
        r2 = residuals(model, unweighted, ends) ** 2
        before, weight = weight, (T_FREEDOM + 1) / (T_FREEDOM + r2)
        weighted = replace(unweighted, root_weight=unweighted.root_weight * np.sqrt(weight))
        if np.max(np.abs(weight - before), initial=0.0) < _SETTLED:
            break
        ends = yield from refit(weighted, ends)
    r2 = residuals(model, unweighted, ends) ** 2
    push = np.where(used, r2 * weight**2, 0.0).sum(axis=1) / problem.freedom
    slope = (T_FREEDOM + 1) * (T_FREEDOM - r2) / (T_FREEDOM + r2) ** 2
    points = problem.n_points
    slope = np.where(used, slope, 0.0).sum(axis=1) / points
    mean_weight = np.where(used, weight, 0.0).sum(axis=1) / points
    return weighted, ends, push * mean_weight / np.maximum(slope, 1e-3) ** 2
