"""What a curve says about the parameters: covariance, and the reason where it says nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting._lm_numpy import (
    free_parameters,
    jacobian,
    newton_gain,
    normal_equations,
    residuals,
)
from napari_xpcs.fitting._problem import AT_BOUND, Problem
from napari_xpcs.fitting._reasons import Findings
from napari_xpcs.fitting.g2_model import G2Model, natural
from napari_xpcs.fitting.results import ErrorKind

MIN_POINTS = 8
"""Fewest usable points of a curve that is fitted."""

EXCESS_SIGMA = 1.645
"""As improbable as so many standard deviations of a normal distribution must chi2 be before the
errors of a curve count as too small: once in twenty times."""

MIN_GAIN_OVER_CONSTANT = 25.0
"""Least drop of chi2 from a constant to the model, errors scaled: a 5 sigma decay."""

MIN_DECAY_SEEN = 0.4
"""Least part of the decay inside the measured delays, where baseline and contrast are both free."""

MAX_LOG_ERROR = 1.0
"""Largest error of ln(value) of a time, rate or velocity that counts as determined."""

MOST_OF_DECAY, MAX_LOG_ERROR_OF_PART = 0.8, 0.25
"""Where less than this part of the decay is inside the delays, times must be known this well:
the probability of a long time has a tail that one standard error does not describe."""

NEARLY_ALL_OF_DECAY, MAX_LOG_ERROR_OF_NEARLY_ALL = 0.99, 0.4
"""The same where less than this is inside: the start of a slow decay, in noise, bends at the end of
the delays one time in ten and then looks like a small decay that is over."""

MAX_LINEAR_ERROR = 0.5
"""Largest error of an exponent, fraction or baseline, and largest relative one of the contrast."""

ALL_OF_DECAY = 0.96
"""Part of the decay that is over at the shortest delay, above which it is called too fast."""

UNFINISHED = 1e-3
"""Newton gain, in units of max(1, reduced chi2), above which a fit has not converged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """Errors in fitted coordinates, and the status of every curve."""

    status: tuple[str, ...]
    determined: Bool[np.ndarray, "curve param"]
    covariance: Float[np.ndarray, "curve param param"]
    reduced_chi2: Float[np.ndarray, " curve"]
    error_kind: tuple[ErrorKind, ...]


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict over the curves of all ``verdicts``, one or more, in their order."""
    return Verdict(
        status=tuple(status for each in verdicts for status in each.status),
        determined=np.concatenate([each.determined for each in verdicts]),
        covariance=np.concatenate([each.covariance for each in verdicts]),
        reduced_chi2=np.concatenate([each.reduced_chi2 for each in verdicts]),
        error_kind=tuple(kind for each in verdicts for kind in each.error_kind),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joint:
    """What a global fit knows of its curves, in place of what each knows by itself.

    ``common`` marks the parameters that follow from shared ones, ``correlated`` the curves whose
    errors come from a covariance of g2.
    """

    covariance: Float[np.ndarray, "curve param param"]
    common: Bool[np.ndarray, " param"]
    correlated: Bool[np.ndarray, " curve"]
    converged: bool


def enough_points(problem: Problem) -> Bool[np.ndarray, " curve"]:
    """Return which curves have points enough to be fitted."""
    return np.asarray(problem.n_points >= np.maximum(MIN_POINTS, problem.n_free + 2))


def chi2_quantile(
    freedom: Float[np.ndarray, " curve"] | Int[np.ndarray, " curve"] | int, sigma: float
) -> Float[np.ndarray, " curve"]:
    """Return the chi2 that is as improbable as ``sigma`` standard deviations of a normal one.

    By the cube root of Wilson & Hilferty, PNAS 17, 684 (1931).
    """
    part = 2 / (9 * np.asarray(freedom))
    return np.asarray(freedom * (1 - part + sigma * np.sqrt(part)) ** 3)


def excess_noise(
    problem: Problem, reduced_chi2: Float[np.ndarray, " curve"]
) -> Float[np.ndarray, " curve"]:
    """Return by how much the points of each curve vary more than their errors say, in square.

    1 where the errors are believed, that is unless chi2 is beyond chance
    (:data:`EXCESS_SIGMA`).  To scale by every chi2 above its mean would make errors that are
    right 4 % too large (at 50 points), and cover the truth in 70 % of cases instead of 68 %.
    """
    most = chi2_quantile(problem.freedom, EXCESS_SIGMA) / problem.freedom
    believed = (reduced_chi2 <= most) & ~problem.scale_from_scatter
    return np.asarray(np.where(believed, 1.0, reduced_chi2))


def judge(
    model: G2Model,
    problem: Problem,
    x: Float[np.ndarray, "curve param"],
    scale: Float[np.ndarray, "curve param"],
    first_delay_s: float,
    *,
    g2_covariance: Float[np.ndarray, "curve delay delay"] | None = None,
    errors: Literal["auto", "stated", "scaled"] = "auto",
    robust_noise: Float[np.ndarray, " curve"] | None = None,
    joint: Joint | None = None,
) -> Verdict:
    """Judge fits that ended at ``x``.

    Parameters
    ----------
    model, problem, x
        The model, curves with points enough, and the point where each fit ended.
    scale
        Turns fitted numbers into the units of the parameters; for the reasons in words.
    first_delay_s
        Unit of ``problem.t``, s.
    g2_covariance
        Of g2 between the delays; a curve where it is NaN at a used delay has none.
    errors
        Whether errors are multiplied by sqrt(reduced chi2): where that is above 1 beyond chance
        (:func:`excess_noise`), never, always.
    robust_noise
        The square of what errors are multiplied with where outliers count less.
    joint
        Of a global fit, whose errors these then are.
    """
    residual = residuals(model, problem, x)
    chi2 = np.sum(residual**2, axis=1)
    reduced = chi2 / problem.freedom
    gradient, normal = normal_equations(model, problem, x, residual)
    finite = np.isfinite(chi2) & np.all(np.isfinite(normal), axis=(1, 2))
    gradient = np.where(finite[:, None], gradient, 0)
    normal = np.where(finite[:, None, None], normal, 0)
    free = free_parameters(problem, x, gradient)
    gain = newton_gain(model, gradient, normal, free)
    converged = finite & (gain <= UNFINISHED * np.maximum(1, reduced))

    noise, of_errors = _noise(problem, reduced, errors, robust_noise)
    margin = AT_BOUND * (problem.upper - problem.lower)
    fixed = problem.upper <= problem.lower
    low = ~fixed & (x <= problem.lower + margin)
    high = ~fixed & (x >= problem.upper - margin)
    inside = ~fixed & ~low & ~high
    inverse = _inverse(normal, inside)
    covariance = inverse * of_errors[:, None, None]
    # A parameter without effect has no error at all in the sandwich: these errors decide as well.
    correlated = np.zeros(len(problem), dtype=bool)
    if joint is not None:
        covariance, correlated = joint.covariance, joint.correlated
        converged = finite & joint.converged
    too_wide = inside & (_error_in_limits(model, x, covariance) > 1)
    if g2_covariance is not None and joint is None:
        spread = spread_of_gradient(model, problem, x, g2_covariance)
        sandwich = inverse @ spread @ inverse
        # NaN compares false: a curve without a covariance keeps its own errors.
        correlated = finite & np.all(_variance(sandwich) >= 0, axis=1)
        covariance = np.where(correlated[:, None, None], sandwich, covariance)
        ratio = _noise_of_contrast(normal, spread, ~fixed[:, 0])
        noise = np.where(correlated, np.maximum(ratio, np.finfo(float).tiny), noise)
        too_wide |= inside & (_error_in_limits(model, x, covariance) > 1)
    gain_over_constant = (_chi2_of_constant(problem) - chi2) / noise
    level_and_size_free = ~fixed[:, 0] & ~fixed[:, 1]
    if joint is not None and np.any(joint.common):
        # Other curves tell the level, the size or the time: the window of one is no limit.
        level_and_size_free[:] = False
    at_first, at_last = decay_seen(model, problem, x).T
    fast = (at_first > ALL_OF_DECAY) & np.any(low | high | too_wide, axis=1)
    first_s, last_s = (delay * first_delay_s for delay in _usable_delays(problem))
    value = np.stack([v[:, 0] for v in natural(model, x, xp=NumPyBackend())], axis=1) * scale

    findings = Findings(
        model=model,
        x=x,
        value=value,
        covariance=covariance,
        finite=finite,
        converged=converged,
        no_contrast=low[:, 1] & (problem.lower[:, 1] == 0),
        gain_over_constant=gain_over_constant,
        least_gain=MIN_GAIN_OVER_CONSTANT,
        slow=level_and_size_free & _too_slow(model, at_last, covariance),
        fast=level_and_size_free & fast,
        first_delay_s=first_s,
        last_delay_s=last_s,
        low=low,
        high=high,
        too_wide=too_wide,
    )
    usable = findings.usable()
    return Verdict(
        status=findings.status(),
        determined=fixed | (inside & ~too_wide & usable[:, None]),
        covariance=covariance,
        reduced_chi2=np.where(problem.scale_from_scatter | ~finite, np.nan, reduced),
        error_kind=_error_kinds(problem, of_errors, correlated, robust=robust_noise is not None),
    )


def _noise(
    problem: Problem,
    reduced_chi2: Float[np.ndarray, " curve"],
    errors: Literal["auto", "stated", "scaled"],
    robust_noise: Float[np.ndarray, " curve"] | None,
) -> tuple[Float[np.ndarray, " curve"], Float[np.ndarray, " curve"]]:
    """Return how much more points vary than their errors say, and what errors are widened by.

    Both in square.  Without errors of their own the points of a curve weigh alike, and their
    scatter is the only error.
    """
    noise = excess_noise(problem, reduced_chi2) if robust_noise is None else robust_noise
    noise = np.maximum(noise, np.finfo(float).tiny)
    if robust_noise is not None or errors == "auto":
        return noise, noise
    wanted = np.ones_like(noise) if errors == "stated" else reduced_chi2
    return noise, np.where(problem.scale_from_scatter, noise, wanted)


def _error_kinds(
    problem: Problem,
    of_errors: Float[np.ndarray, " curve"],
    correlated: Bool[np.ndarray, " curve"],
    *,
    robust: bool,
) -> tuple[ErrorKind, ...]:
    """Return what the errors of each curve rest on."""
    own: list[ErrorKind] = [
        "scatter" if alone else "stated" if widened == 1 else "scaled"
        for alone, widened in zip(problem.scale_from_scatter, of_errors, strict=True)
    ]
    return tuple(
        "covariance" if joint else "robust" if robust else kind
        for joint, kind in zip(correlated, own, strict=True)
    )


def _too_slow(
    model: G2Model,
    at_last: Float[np.ndarray, " curve"],
    covariance: Float[np.ndarray, "curve param param"],
) -> Bool[np.ndarray, " curve"]:
    """Return which decays end so far behind the last delay that their time is not known."""
    log = np.array([parameter.log for parameter in model.parameters])
    log_error = np.sqrt(np.max(np.where(log, _variance(covariance), 0), axis=1))
    slow = at_last < MIN_DECAY_SEEN
    slow |= (at_last < MOST_OF_DECAY) & (log_error > MAX_LOG_ERROR_OF_PART)
    slow |= (at_last < NEARLY_ALL_OF_DECAY) & (log_error > MAX_LOG_ERROR_OF_NEARLY_ALL)
    return np.asarray(slow)


def spread_of_gradient(
    model: G2Model,
    problem: Problem,
    x: Float[np.ndarray, "curve param"],
    g2_covariance: Float[np.ndarray, "curve delay delay"],
) -> Float[np.ndarray, "curve param param"]:
    r"""Return the covariance of the gradient of chi2/2, NaN where a curve has none of g2.

    With weights W and the derivative J of g2 it is :math:`J^T W C W J`; between two inverses of
    :math:`J^T W J` it is the covariance of the parameters, whatever the weights.
    """
    weight = problem.root_weight[:, :, None] * problem.root_weight[:, None, :]
    derivative = jacobian(model, problem, x)
    with np.errstate(over="ignore", invalid="ignore"):
        weighted = np.where(weight > 0, g2_covariance * weight, 0.0)
        return np.asarray(derivative @ weighted @ np.swapaxes(derivative, 1, 2))


def _noise_of_contrast(
    normal: Float[np.ndarray, "curve param param"],
    spread: Float[np.ndarray, "curve param param"],
    level_free: Bool[np.ndarray, " curve"],
) -> Float[np.ndarray, " curve"]:
    """Return the variance of the contrast over the one that chi2 takes it to have.

    At the fitted shape, where a drop of chi2 from a constant is the square of the contrast over
    its variance.
    """
    linear = np.stack([level_free, np.ones_like(level_free)], axis=1)
    inverse = _inverse(normal[:, :2, :2], linear)
    sandwich = inverse @ spread[:, :2, :2] @ inverse
    return np.asarray(sandwich[:, 1, 1] / inverse[:, 1, 1])


def _inverse(
    normal: Float[np.ndarray, "curve param param"], inside: Bool[np.ndarray, "curve param"]
) -> Float[np.ndarray, "curve param param"]:
    """Return the inverse on the parameters inside, 0 elsewhere; huge, never infinite."""
    diagonal = np.diagonal(normal, axis1=1, axis2=2)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, np.finfo(float).eps))
    both = inside[:, :, None] & inside[:, None, :]
    outer = scale[:, :, None] * scale[:, None, :]
    matrix = np.where(both, normal / outer, np.eye(normal.shape[1]))
    eigenvalue, vector = np.linalg.eigh(matrix)
    eigenvalue = np.maximum(eigenvalue, 1e-14)
    inverse = np.matmul(vector / eigenvalue[:, None, :], np.swapaxes(vector, 1, 2))
    return np.where(both, inverse / outer, 0)


def _variance(
    covariance: Float[np.ndarray, "curve param param"],
) -> Float[np.ndarray, "curve param"]:
    return np.asarray(np.diagonal(covariance, axis1=1, axis2=2))


def _error_in_limits(
    model: G2Model,
    x: Float[np.ndarray, "curve param"],
    covariance: Float[np.ndarray, "curve param param"],
) -> Float[np.ndarray, "curve param"]:
    """Return every error in units of the largest that still counts as determined."""
    error = np.sqrt(_variance(covariance))
    limit = np.empty_like(x)
    for i, parameter in enumerate(model.parameters):
        limit[:, i] = MAX_LOG_ERROR if parameter.log else MAX_LINEAR_ERROR
    limit[:, 1] = MAX_LINEAR_ERROR * np.maximum(x[:, 1], np.finfo(float).tiny)
    return np.asarray(error / limit)


def _chi2_of_constant(problem: Problem) -> Float[np.ndarray, " curve"]:
    weight = problem.root_weight**2
    mean = np.sum(weight * problem.g2, axis=1) / np.sum(weight, axis=1)
    level = np.clip(mean, problem.lower[:, 0], problem.upper[:, 0])
    return np.asarray(np.sum(weight * (problem.g2 - level[:, None]) ** 2, axis=1))


def _usable_delays(
    problem: Problem,
) -> tuple[Float[np.ndarray, " curve"], Float[np.ndarray, " curve"]]:
    """Return the first and the last delay that takes part in each curve."""
    used = problem.root_weight > 0
    first = np.min(np.where(used, problem.t, np.inf), axis=1)
    return first, np.max(np.where(used, problem.t, 0.0), axis=1)


def decay_seen(
    model: G2Model, problem: Problem, x: Float[np.ndarray, "curve param"]
) -> Float[np.ndarray, "curve 2"]:
    """Return the part of the decay that is over at the first and at the last usable delay."""
    xp = NumPyBackend()
    theta = natural(model, x, xp=xp)[2:]
    first, last = _usable_delays(problem)
    # A million times the longest delay stands for the end: heterodyne does not decay to 0.
    times = np.stack([first, last, 1e6 * problem.t.max() * np.ones_like(last)], axis=1)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        s = model.shape(times, *theta, xp=xp)
    end = np.where(s[:, 2:] < s[:, :1], s[:, 2:], 0)
    return np.asarray((1 - s[:, :2]) / np.maximum(1 - end, 1e-12))
