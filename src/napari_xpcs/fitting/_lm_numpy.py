"""Levenberg-Marquardt within bounds, for many curves at a time, in NumPy.

The algorithm is that of :mod:`napari_xpcs.fitting._box_lm`, step for step, so that the answer
does not depend on the backend; this one starts at once, has no compiler to wait for, and drops
every curve from the batch as soon as it has converged.
"""

import numpy as np
from jaxtyping import Bool, Float

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting._problem import (
    AT_BOUND,
    GAIN,
    HIGH_CUTOFF,
    HIGH_FACTOR,
    LEAST_DAMPING,
    LINEAR_STEP_LIMIT,
    LOG_STEP_LIMIT,
    LOW_CUTOFF,
    LOW_FACTOR,
    MOST_DAMPING,
    ROUND_STEPS,
    Lanes,
    Problem,
)
from napari_xpcs.fitting.g2_model import G2Model, averaged_shape, model_g2, natural

_DIFFERENCE = 6e-6
"""Step of the central differences: the cube root of the float64 rounding error."""


def advance(
    model: G2Model,
    problem: Problem,
    start: Float[np.ndarray, "curve param"],
    first_damping: Float[np.ndarray, " curve"],
) -> Lanes:
    """Return where each curve's fit is after at most ``ROUND_STEPS`` steps."""
    result, last_damping = start.copy(), first_damping.copy()
    finished = np.zeros(len(start), dtype=bool)
    alive = np.arange(len(start))
    x, damping = start, first_damping
    residual = residuals(model, problem, x)
    gradient, normal = normal_equations(model, problem, x, residual)
    limit = step_limit(model)
    for step_number in range(ROUND_STEPS + 1):
        half_chi2 = 0.5 * np.sum(residual**2, axis=1)
        free = free_parameters(problem, x, gradient)
        enough = GAIN * np.maximum(1, 2 * half_chi2 / problem.freedom)
        done = (newton_gain(model, gradient, normal, free) <= enough) | (damping > MOST_DAMPING)
        if done.any():
            result[alive[done]], last_damping[alive[done]] = x[done], damping[done]
            finished[alive[done]] = True
            keep = np.flatnonzero(~done)
            alive, problem = alive[keep], problem.take(keep)
            x, damping, residual, gradient, normal, half_chi2, free = (
                each[keep] for each in (x, damping, residual, gradient, normal, half_chi2, free)
            )
        if not len(alive) or step_number == ROUND_STEPS:
            break
        step = np.clip(-_damped_solution(gradient, normal, free, damping), -limit, limit)
        trial = np.clip(x + step, problem.lower, problem.upper)
        step = trial - x
        predicted = np.sum(gradient * step, axis=1)
        predicted += 0.5 * np.einsum("ci,cij,cj->c", step, normal, step)
        trial_residual = residuals(model, problem, trial)
        change = 0.5 * np.sum(trial_residual**2, axis=1) - half_chi2

        accepted = change <= LOW_CUTOFF * predicted
        good = accepted & (change < HIGH_CUTOFF * predicted) & (predicted < 0)
        damping = damping / np.where(good, HIGH_FACTOR, np.where(accepted, 1.0, LOW_FACTOR))
        damping = np.maximum(damping, LEAST_DAMPING)
        x = np.where(accepted[:, None], trial, x)
        residual = np.where(accepted[:, None], trial_residual, residual)
        moved = np.flatnonzero(accepted)
        if len(moved):
            gradient[moved], normal[moved] = normal_equations(
                model, problem.take(moved), x[moved], residual[moved]
            )
    result[alive], last_damping[alive] = x, damping
    return Lanes(result, last_damping, finished)


def residuals(
    model: G2Model, problem: Problem, x: Float[np.ndarray, "curve param"]
) -> Float[np.ndarray, "curve delay"]:
    """Return (model - g2) / error, 0 where a point is not used."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        fitted = model_g2(model, problem.t, x, problem.averaging, xp=NumPyBackend())
        return np.asarray((fitted - problem.g2) * problem.root_weight)


def jacobian(
    model: G2Model, problem: Problem, x: Float[np.ndarray, "curve param"]
) -> Float[np.ndarray, "curve param delay"]:
    """Return the derivative of the residuals by every fitted coordinate.

    Exact for baseline and contrast, which are linear; by central differences, good to ten
    digits, for the parameters of the shape.
    """
    xp = NumPyBackend()
    _, contrast, *theta = natural(model, x, xp=xp)

    def shape_of(theta: list[Float[np.ndarray, "curve 1"]]) -> Float[np.ndarray, "curve delay"]:
        return np.asarray(averaged_shape(model, problem.t, problem.averaging, theta, xp=xp))

    shape = shape_of(theta)
    columns = [np.ones_like(shape), shape]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for i in range(len(theta)):
            values = []
            for sign in (-1, 1):
                moved = x[:, i + 2, None] + sign * _DIFFERENCE
                moved = np.exp(moved) if model.parameters[i + 2].log else moved
                values.append(shape_of([*theta[:i], moved, *theta[i + 1 :]]))
            columns.append(contrast * (values[1] - values[0]) / (2 * _DIFFERENCE))
    return np.asarray(np.stack(columns, axis=1) * problem.root_weight[:, None, :])


def normal_equations(
    model: G2Model,
    problem: Problem,
    x: Float[np.ndarray, "curve param"],
    residual: Float[np.ndarray, "curve delay"],
) -> tuple[Float[np.ndarray, "curve param"], Float[np.ndarray, "curve param param"]]:
    """Return gradient and Gauss-Newton matrix of chi2/2."""
    derivative = jacobian(model, problem, x)
    gradient = np.matmul(derivative, residual[:, :, None])[:, :, 0]
    return gradient, np.matmul(derivative, np.swapaxes(derivative, 1, 2))


def free_parameters(
    problem: Problem,
    x: Float[np.ndarray, "curve param"],
    gradient: Float[np.ndarray, "curve param"],
) -> Bool[np.ndarray, "curve param"]:
    """Return which parameters may move: not fixed, and not pressed against a bound."""
    margin = AT_BOUND * (problem.upper - problem.lower)
    pressed_low = (x <= problem.lower + margin) & (gradient > -GAIN)
    pressed_high = (x >= problem.upper - margin) & (gradient < GAIN)
    return np.asarray((problem.upper > problem.lower) & ~pressed_low & ~pressed_high)


def step_limit(model: G2Model) -> Float[np.ndarray, " param"]:
    """Return the longest step in every fitted coordinate."""
    log = [parameter.log for parameter in model.parameters]
    return np.where(log, LOG_STEP_LIMIT, LINEAR_STEP_LIMIT)


def newton_gain(
    model: G2Model,
    gradient: Float[np.ndarray, "curve param"],
    normal: Float[np.ndarray, "curve param param"],
    free: Bool[np.ndarray, "curve param"],
) -> Float[np.ndarray, " curve"]:
    """Return by how much a Newton step would lower chi2/2: the distance to the minimum.

    A step beyond the limits is shortened, else the fit would never end where a parameter has
    lost its effect: gradient and curvature vanish there, but not their ratio.
    """
    damping = np.full(len(gradient), LEAST_DAMPING)
    step = _damped_solution(gradient, normal, free, damping)
    gain = 0.5 * np.sum(np.where(free, gradient, 0) * step, axis=1)
    part = 1 / np.maximum(1, np.max(np.abs(step) / step_limit(model), axis=1))
    return np.asarray(gain * part * (2 - part))


def _damped_solution(
    gradient: Float[np.ndarray, "curve param"],
    normal: Float[np.ndarray, "curve param param"],
    free: Bool[np.ndarray, "curve param"],
    damping: Float[np.ndarray, " curve"],
) -> Float[np.ndarray, "curve param"]:
    """Solve (A + damping diag A) x = gradient on the free parameters."""
    diagonal = np.diagonal(normal, axis1=1, axis2=2)
    # A parameter without any effect gets the scale 1 and, with a zero gradient, no step.
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1))
    both = free[:, :, None] & free[:, None, :]
    matrix = np.where(both, normal / (scale[:, :, None] * scale[:, None, :]), 0)
    identity = np.eye(normal.shape[1])
    matrix = matrix + identity * np.where(free, damping[:, None], 1)[:, None, :]
    side = np.where(free, gradient / scale, 0)
    return np.linalg.solve(matrix, side[:, :, None])[:, :, 0] / scale
