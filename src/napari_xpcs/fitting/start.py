"""Where a fit sets out: the best points of a grid, for many curves by matrix products.

Baseline and contrast enter every model linearly, so at any point of the grid they follow from
two linear equations whose coefficients, for all curves and all points, are matrix products.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.models import LOG_MARGIN_ABOVE, LOG_MARGIN_BELOW, G2Model, GridAxis


def grid_starts(
    model: G2Model,
    t: Float[np.ndarray, " delay"],
    g2: Float[np.ndarray, "curve delay"],
    weight: Float[np.ndarray, "curve delay"],
    lower: Float[np.ndarray, "curve param"],
    upper: Float[np.ndarray, "curve param"],
) -> Float[np.ndarray, "curve start param"]:
    """Return ``model.starts`` starting points per curve, best first, inside the bounds.

    Parameters
    ----------
    t
        Delays in units of the first one.
    g2, weight
        Curves and 1/variance; 0 in both where a point is not used.
    lower, upper
        Bounds in fitted coordinates, equal where a parameter is fixed.
    """
    pinned = np.all(lower == upper, axis=0)
    starts = np.empty((len(g2), model.starts, len(model.parameters)))
    # A fixed velocity is another rate q v in every bin, so each such value has a grid of its own.
    keys, group = np.unique(lower[:, 2:][:, pinned[2:]], axis=0, return_inverse=True)
    for k in range(len(keys)):
        rows = np.flatnonzero(group.ravel() == k)
        starts[rows] = _starts_of_group(model, t, g2[rows], weight[rows], lower[rows], upper[rows])
    return starts


def _starts_of_group(
    model: G2Model,
    t: Float[np.ndarray, " delay"],
    g2: Float[np.ndarray, "curve delay"],
    weight: Float[np.ndarray, "curve delay"],
    lower: Float[np.ndarray, "curve param"],
    upper: Float[np.ndarray, "curve param"],
) -> Float[np.ndarray, "curve start param"]:
    points, steps = _grid(model, float(np.log(t.max())), lower[:, 2:], upper[:, 2:])
    theta = [
        np.exp(points[:, i, None]) if parameter.log else points[:, i, None]
        for i, parameter in enumerate(model.parameters[2:])
    ]
    shape = model.shape(t, *theta, xp=NumPyBackend())
    baseline, contrast, chi2 = _linear_fits(shape, g2, weight, lower[:, :2], upper[:, :2])
    inside = np.all(
        (points >= lower[:, None, 2:] - 1e-9) & (points <= upper[:, None, 2:] + 1e-9), axis=2
    )
    chi2 = np.where(inside | ~inside.any(axis=1, keepdims=True), chi2, np.inf)

    curve = np.arange(len(g2))
    starts = np.empty((len(g2), model.starts, len(model.parameters)))
    for k in range(model.starts):
        best = chi2.argmin(axis=1)
        starts[:, k, 0] = baseline[curve, best]
        starts[:, k, 1] = contrast[curve, best]
        starts[:, k, 2:] = points[best]
        chi2 = np.where(_near(steps, steps[best]), np.inf, chi2)
    return np.clip(starts, lower[:, None], upper[:, None])


def _near(
    steps: Int[np.ndarray, "point theta"], centre: Int[np.ndarray, "curve theta"]
) -> Bool[np.ndarray, "curve point"]:
    return np.asarray(np.all(np.abs(steps[None] - centre[:, None]) <= 1, axis=2))


def _grid(
    model: G2Model,
    log_span: float,
    lower: Float[np.ndarray, "curve theta"],
    upper: Float[np.ndarray, "curve theta"],
) -> tuple[Float[np.ndarray, "point theta"], Int[np.ndarray, "point theta"]]:
    """Return grid points in fitted coordinates and their position in steps along every axis."""
    axes = []
    for i, (parameter, rule) in enumerate(zip(model.parameters[2:], model.grid, strict=True)):
        falling = parameter.scale in ("rate", "velocity")
        first, last = (
            (-log_span - LOG_MARGIN_ABOVE, LOG_MARGIN_BELOW)
            if falling
            else (-LOG_MARGIN_BELOW, log_span + LOG_MARGIN_ABOVE)
        )
        axes.append(_axis(rule, first, last, lower[:, i].min(), upper[:, i].max()))
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
    shape: Float[np.ndarray, "point delay"],
    g2: Float[np.ndarray, "curve delay"],
    weight: Float[np.ndarray, "curve delay"],
    lower: Float[np.ndarray, "curve 2"],
    upper: Float[np.ndarray, "curve 2"],
) -> tuple[
    Float[np.ndarray, "curve point"],
    Float[np.ndarray, "curve point"],
    Float[np.ndarray, "curve point"],
]:
    """Return baseline, contrast and chi2 of every curve at every grid point."""
    total = weight.sum(axis=1, keepdims=True)
    mean = (weight * g2).sum(axis=1, keepdims=True) / total
    # About the weighted mean: the differences below would else cancel for a small contrast.
    offset = g2 - mean
    s = weight @ shape.T
    ss = weight @ (shape**2).T
    sy = (weight * offset) @ shape.T
    yy = (weight * offset**2).sum(axis=1, keepdims=True)
    low_b, low_c = lower[:, :1] - mean, lower[:, 1:]
    high_b, high_c = upper[:, :1] - mean, upper[:, 1:]

    variance = np.maximum(ss - s**2 / total, 1e-12 * ss + np.finfo(float).tiny)
    contrast = np.clip(sy / variance, low_c, high_c)
    baseline = np.clip(-contrast * s / total, low_b, high_b)
    # A clipped baseline wants another contrast.
    contrast = np.clip((sy - baseline * s) / np.maximum(ss, np.finfo(float).tiny), low_c, high_c)
    baseline = np.clip(-contrast * s / total, low_b, high_b)
    chi2 = (
        yy
        - 2 * contrast * sy
        + baseline**2 * total
        + 2 * baseline * contrast * s
        + contrast**2 * ss
    )
    return baseline + mean, contrast, chi2
