"""What a global fit tells: errors of the curves and of the common parameters, or why none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting import _arrow, _lm_numpy
from napari_xpcs.fitting._arrow import Links
from napari_xpcs.fitting._common_parameters import CommonParameter
from napari_xpcs.fitting._problem import AT_BOUND, Problem
from napari_xpcs.fitting._setup import Setup
from napari_xpcs.fitting.g2_model import G2Model, averaged_shape, natural
from napari_xpcs.fitting.identifiability import (
    ALL_OF_DECAY,
    MIN_GAIN_OVER_CONSTANT,
    MOST_OF_DECAY,
    Joint,
    Verdict,
    chi2_quantile,
    decay_seen,
    excess_noise,
    judge,
    spread_of_gradient,
)
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.fitting.results import Shared

_NO_DECAY = "not_identifiable: all bins together show no decay within the delays"
_MAX_COMMON_LOG_ERROR, _MAX_COMMON_LINEAR_ERROR = 1.0, 0.5


def common_verdict(
    model: G2Model,
    setup: Setup,
    rows: Int[np.ndarray, " curve"],
    problem: Problem,
    links: Links,
    best: _arrow.Solution,
    robust_noise: Float[np.ndarray, " curve"] | None,
    options: FitOptions,
) -> tuple[Verdict, Float[np.ndarray, "common common"], Bool[np.ndarray, "common 2"]]:
    """Return the verdict on the curves, and the covariance of the common parameters.

    And, for each of these, whether it is pressed against its lower and its upper bound.
    """
    residual = _lm_numpy.residuals(model, problem, best.x)
    reduced = np.sum(residual**2, axis=1) / problem.freedom
    gradient, normal = _lm_numpy.normal_equations(model, problem, best.x, residual)
    margin = AT_BOUND * (problem.upper - problem.lower)
    own = (problem.upper > problem.lower) & ~links.of_common
    own &= (best.x > problem.lower + margin) & (best.x < problem.upper - margin)
    room = AT_BOUND * (links.upper - links.lower)
    pressed = np.stack(
        [best.common <= links.lower + room, best.common >= links.upper - room], axis=1
    )
    free = np.asarray(~pressed.any(axis=1))
    noise = excess_noise(problem, reduced)
    if options.errors == "stated":
        noise = np.where(problem.scale_from_scatter, reduced, 1.0)
    if robust_noise is not None:
        noise = robust_noise
    spread = normal * noise[:, None, None]
    correlated = np.zeros(len(rows), dtype=bool)
    measured = None if setup.g2_covariance is None else setup.g2_covariance[rows]
    if measured is not None:
        joint = spread_of_gradient(model, problem, best.x, measured)
        correlated = np.all(np.isfinite(joint), axis=(1, 2))
        spread = np.where(correlated[:, None, None], joint, spread)
    common, covariance = _arrow.covariances(
        links, normal, spread, (own, free), None if options.errors == "stated" else gradient
    )
    verdict = judge(
        model,
        problem,
        best.x,
        setup.scale[rows],
        setup.first_delay_s,
        errors=options.errors,
        robust_noise=robust_noise,
        joint=Joint(
            covariance=covariance,
            common=links.of_common,
            correlated=correlated,
            converged=best.converged,
        ),
    )
    # What all curves together do not tell, none of its rows has.
    told = free & (np.sqrt(np.diagonal(common)) <= _limits(links))
    depends = np.any(links.matrix[:, :, ~told] != 0, axis=2)
    return replace(verdict, determined=verdict.determined & ~depends), common, pressed


def decay_shown(model: G2Model, problem: Problem, x: Float[np.ndarray, "curve param"]) -> bool:
    """Return whether the bins with most of their decay inside the delays show one, together.

    In noise the contrast of a bin, in units of its error, is a normal deviate of either sign.
    The squares of the positive ones are held to the chi2 that one bin by itself must reach; the
    negative ones tell by how much slow drifts, which point scatter does not show, widen it.
    """
    xp = NumPyBackend()
    at_first, at_last = decay_seen(model, problem, x).T
    inside = np.flatnonzero((at_last >= MOST_OF_DECAY) & (at_first <= ALL_OF_DECAY))
    if not len(inside):
        return False
    some, x = problem.take(inside), x[inside]
    reduced = np.sum(_lm_numpy.residuals(model, some, x) ** 2, axis=1) / some.freedom
    weight = some.root_weight**2 / excess_noise(some, reduced)[:, None]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        theta = natural(model, x, xp=xp)[2:]
        shape = np.asarray(averaged_shape(model, some.t, some.averaging, theta, xp=xp))
    shape = shape - np.average(shape, axis=1, weights=weight)[:, None]
    level = np.average(some.g2, axis=1, weights=weight)[:, None]
    size = np.sqrt(np.sum(weight * shape**2, axis=1))
    pull = np.sum(weight * shape * (some.g2 - level), axis=1) / np.maximum(size, 1e-300)
    noise = max(1.0, 2 * float(np.mean(np.minimum(pull, 0.0) ** 2)))
    gain = float(np.sum(np.maximum(pull, 0.0) ** 2)) / noise
    return gain >= float(chi2_quantile(len(pull), np.sqrt(MIN_GAIN_OVER_CONSTANT)))


def without_decay(verdict: Verdict, problem: Problem) -> Verdict:
    """Return the verdict on bins that show no decay even together."""
    return replace(
        verdict,
        status=tuple(_NO_DECAY if status == "ok" else status for status in verdict.status),
        determined=verdict.determined & (problem.upper <= problem.lower),
    )


def _limits(links: Links) -> Float[np.ndarray, " common"]:
    return np.where(links.log, _MAX_COMMON_LOG_ERROR, _MAX_COMMON_LINEAR_ERROR)


def shared_parameters(
    links: Links,
    parts: Sequence[CommonParameter],
    best: _arrow.Solution,
    covariance: Float[np.ndarray, "common common"],
    pressed: Bool[np.ndarray, "common 2"],
    *,
    shown: bool,
) -> list[Shared]:
    """Return the common parameters with errors, or why a value is not told."""
    shared = []
    error = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    for k, part in enumerate(parts):
        coordinate = float(best.common[k])
        if part.law is not None and not part.is_exponent:
            value = part.law.value(coordinate, part.q_reference)
            value_error = value * error[k]
        elif links.log[k]:
            value = float(np.exp(coordinate))
            value_error = value * error[k]
        else:
            value, value_error = coordinate, float(error[k])
        status = "ok"
        if not best.converged:
            status = "failed: the common fit found no minimum; share or free other parameters"
        elif pressed[k].any():
            which = "lower" if pressed[k, 0] else "upper"
            status = f"at_bound: {part.name} is at its {which} bound {value:.3g}"
        elif not shown:
            status = _NO_DECAY
        elif error[k] > _limits(links)[k]:
            status = f"not_identifiable: all bins together do not determine {part.name}"
        told = status == "ok"
        shared.append(
            Shared(
                name=part.name,
                unit=part.unit,
                value=value if told else np.nan,
                error=float(value_error) if told else np.nan,
                status=status,
                n_bins=int(np.count_nonzero(part.members)),
                source=part.source,
                q_reference=part.q_reference,
            )
        )
    return shared
