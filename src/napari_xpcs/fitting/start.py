"""Where a fit sets out: the best points of a grid, for many curves by matrix products.

Baseline and contrast enter every model linearly, so at any point of the grid they follow from
two linear equations whose coefficients, for all curves and all points, are matrix products.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting.g2_model import G2Model, GridAxis

_BLOCK = 32
"""Curves whose grids are in memory at a time, near enough to the processor."""

_PRODUCT_ROWS, _PRODUCT_SIZE = 32, 2**18
"""Rows of a block, and its multiplications: up to this many OpenBLAS computes in one thread."""

_NOTHING_LEFT = 1e-100

_LOG_MARGIN_BELOW, _LOG_MARGIN_ABOVE = 1.0, 1.5
"""How far the grid reaches beyond the measured delays, in units of ln(time)."""


def grid_starts(
    model: G2Model,
    problem: Problem,
    count: int,
    start: Float[np.ndarray, "curve param"] | None = None,
) -> Float[np.ndarray, "curve start param"]:
    """Return ``count`` starting points per curve, best first, inside the bounds.

    Parameters
    ----------
    model, problem
        The model and the curves.
    count
        How many.
    start
        Values to set out from in fitted coordinates, NaN where the grid decides.
    """
    given = np.full_like(problem.lower, np.nan) if start is None else start
    starts = np.empty((len(problem), count, len(model.parameters)))
    # A fixed velocity is another rate q v in every bin, so each such value has a grid of its own.
    pinned = np.where(problem.lower == problem.upper, problem.lower, given)
    alike = np.all((pinned == pinned[:1]) | np.isnan(pinned), axis=0)
    keys, group = np.unique(
        np.where(alike, 0.0, pinned)[:, 2:], axis=0, return_inverse=True, equal_nan=True
    )
    for k in range(len(keys)):
        rows = np.flatnonzero(group.ravel() == k)
        starts[rows] = _starts_of_group(model, problem.take(rows), count, given[rows])
    level_given = ~np.isnan(given[:, None, :2])
    starts[:, :, :2] = np.where(level_given, given[:, None, :2], starts[:, :, :2])
    return np.clip(starts, problem.lower[:, None], problem.upper[:, None])


def _starts_of_group(
    model: G2Model,
    problem: Problem,
    count: int,
    given: Float[np.ndarray, "curve param"],
) -> Float[np.ndarray, "curve start param"]:
    lower, upper = problem.lower[:, 2:], problem.upper[:, 2:]
    given = given[0, 2:]
    points, steps = _grid(model, float(np.log(problem.t.max())), lower, upper, given)
    theta = [
        np.exp(points[:, i, None]) if parameter.log else points[:, i, None]
        for i, parameter in enumerate(model.parameters[2:])
    ]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        shape = np.nan_to_num(model.shape(problem.t, *theta, xp=NumPyBackend()))
    # Numbers too small for their own exponent make a product many times as slow.
    shape[np.abs(shape) < _NOTHING_LEFT] = 0.0
    powers = np.concatenate([shape, shape**2]).T
    same_box = bool(np.all(lower == lower[:1]) and np.all(upper == upper[:1]))
    starts = np.empty((len(problem), count, len(model.parameters)))
    for rows in problem.chunks(_BLOCK):
        part = problem.take(rows)
        baseline, contrast, chi2 = _linear_fits(powers, part)
        # The grid keeps to the common box of all curves.
        if not same_box:
            inside = np.all(
                (points >= lower[rows, None] - 1e-9) & (points <= upper[rows, None] + 1e-9), axis=2
            )
            chi2 = np.where(inside | ~inside.any(axis=1, keepdims=True), chi2, np.inf)
        curve = np.arange(len(part))
        for k in range(count):
            best = chi2.argmin(axis=1)
            starts[rows, k, 0] = baseline[curve, best]
            starts[rows, k, 1] = contrast[curve, best]
            starts[rows, k, 2:] = points[best]
            if k + 1 < count:
                centres, which = np.unique(best, return_inverse=True)
                chi2[_near(steps, steps[centres])[which.ravel()]] = np.inf
    return starts


def _near(
    steps: Int[np.ndarray, "point theta"], centre: Int[np.ndarray, "curve theta"]
) -> Bool[np.ndarray, "curve point"]:
    return np.asarray(np.all(np.abs(steps[None] - centre[:, None]) <= 1, axis=2))


def _grid(
    model: G2Model,
    log_span: float,
    lower: Float[np.ndarray, "curve theta"],
    upper: Float[np.ndarray, "curve theta"],
    given: Float[np.ndarray, " theta"],
) -> tuple[Float[np.ndarray, "point theta"], Int[np.ndarray, "point theta"]]:
    """Return grid points in fitted coordinates and their position in steps along every axis."""
    axes = []
    for i, (parameter, rule) in enumerate(zip(model.parameters[2:], model.grid, strict=True)):
        falling = parameter.scale in ("rate", "velocity")
        first, last = (
            (-log_span - _LOG_MARGIN_ABOVE, _LOG_MARGIN_BELOW)
            if falling
            else (-_LOG_MARGIN_BELOW, log_span + _LOG_MARGIN_ABOVE)
        )
        axes.append(
            _axis(rule, first, last, lower[:, i].min(), upper[:, i].max())
            if np.isnan(given[i])
            else given[i : i + 1]
        )
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    positions = [np.arange(len(axis)) for axis in axes]
    steps = np.stack([axis.ravel() for axis in np.meshgrid(*positions, indexing="ij")], axis=1)
    if model.swaps:
        first_tau, second_tau = (column - 2 for column in model.swaps[0])
        ordered = points[:, second_tau] > points[:, first_tau]
        if ordered.any():
            points, steps = points[ordered], steps[ordered]
    return points, steps


def _axis(
    rule: GridAxis, first: float, last: float, lower: float, upper: float
) -> Float[np.ndarray, " value"]:
    if lower == upper:
        return np.array([lower])
    values = np.arange(first, last + rule, rule) if isinstance(rule, float) else np.array(rule)
    values = values[(values >= lower) & (values <= upper)]
    # Bounds narrower than the grid: their quarter points are then grid enough.
    return values if len(values) > 1 else lower + (upper - lower) * np.array([0.25, 0.5, 0.75])


def _linear_fits(
    powers: Float[np.ndarray, "delay 2*point"],
    problem: Problem,
) -> tuple[
    Float[np.ndarray, "curve point"],
    Float[np.ndarray, "curve point"],
    Float[np.ndarray, "curve point"],
]:
    """Return baseline, contrast and chi2 of every curve at every grid point.

    ``powers`` holds the shapes and their squares.
    """
    weight = problem.root_weight**2
    total = weight.sum(axis=1, keepdims=True)
    mean = (weight * problem.g2).sum(axis=1, keepdims=True) / total
    # About the weighted mean: the differences below would else cancel for a small contrast.
    offset = problem.g2 - mean
    products = _product(np.concatenate([weight, weight * offset]), powers)
    count, points = len(weight), powers.shape[1] // 2
    s, ss = products[:count, :points], products[:count, points:]
    sy = products[count:, :points]
    return linear_solution(
        total,
        mean,
        (weight * offset**2).sum(axis=1, keepdims=True),
        (s, ss, sy),
        problem.lower[:, :2],
        problem.upper[:, :2],
    )


def _product(
    left: Float[np.ndarray, "row delay"], right: Float[np.ndarray, "delay column"]
) -> Float[np.ndarray, "row column"]:
    """Return ``left @ right`` from blocks so small that no BLAS shares one between threads.

    Two threads save half a millisecond here, and cost ten where other work keeps one waiting.
    """
    rows, columns = _PRODUCT_ROWS, max(1, _PRODUCT_SIZE // (_PRODUCT_ROWS * len(right)))
    result = np.empty((len(left), right.shape[1]))
    for i in range(0, len(left), rows):
        for j in range(0, right.shape[1], columns):
            block = result[i : i + rows, j : j + columns]
            np.matmul(left[i : i + rows], right[:, j : j + columns], out=block)
    return result


def linear_solution(
    total: Float[np.ndarray, "curve 1"],
    mean: Float[np.ndarray, "curve 1"],
    square: Float[np.ndarray, "curve 1"],
    sums: tuple[
        Float[np.ndarray, "curve point"],
        Float[np.ndarray, "curve point"],
        Float[np.ndarray, "curve point"],
    ],
    lower: Float[np.ndarray, "curve 2"],
    upper: Float[np.ndarray, "curve 2"],
) -> tuple[
    Float[np.ndarray, "curve point"],
    Float[np.ndarray, "curve point"],
    Float[np.ndarray, "curve point"],
]:
    """Return the best baseline and contrast within their bounds, and chi2.

    Parameters
    ----------
    total, mean, square
        Sum of the weights, weighted mean of g2, weighted sum of squares about it.
    sums
        Weighted sums of the shape, its square, and its product with g2 less the mean.
    lower, upper
        Bounds of baseline and contrast.
    """
    s, ss, sy = sums
    low_b, low_c = lower[:, :1] - mean, lower[:, 1:]
    high_b, high_c = upper[:, :1] - mean, upper[:, 1:]
    variance = np.maximum(ss - s**2 / total, 1e-12 * ss + np.finfo(float).tiny)
    contrast = np.clip(sy / variance, low_c, high_c)
    baseline = np.clip(-contrast * s / total, low_b, high_b)
    # A clipped baseline wants another contrast.
    contrast = np.clip((sy - baseline * s) / np.maximum(ss, np.finfo(float).tiny), low_c, high_c)
    baseline = np.clip(-contrast * s / total, low_b, high_b)
    chi2 = square + contrast * (contrast * ss + 2 * (baseline * s - sy)) + baseline**2 * total
    return baseline + mean, contrast, chi2
