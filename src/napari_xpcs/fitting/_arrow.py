r"""Least squares over many curves that have some parameters in common.

A fitted coordinate of curve i is its own, or a straight line of the common ones:
:math:`x_i = o_i + M_i\varphi`.  The normal equations are then an arrow: one dense block of the
common parameters, one small block per curve, and what joins them; eliminating the curves' blocks
costs no more than fitting each by itself.  Baseline and contrast, where they are a curve's own,
are put at their best values after every step (variable projection [1]_).

References
----------
.. [1] Golub & Pereyra, Inverse Problems 19, R1 (2003).
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.fitting import _lm_numpy
from napari_xpcs.fitting._problem import (
    AT_BOUND,
    FIRST_DAMPING,
    GAIN,
    HIGH_CUTOFF,
    HIGH_FACTOR,
    LEAST_DAMPING,
    LINEAR_STEP_LIMIT,
    LOG_STEP_LIMIT,
    LOW_CUTOFF,
    LOW_FACTOR,
    MOST_DAMPING,
    Problem,
)
from napari_xpcs.fitting.g2_model import G2Model, averaged_shape, natural
from napari_xpcs.fitting.identifiability import EXCESS_SIGMA, chi2_quantile
from napari_xpcs.fitting.start import linear_solution
from napari_xpcs.fitting.weighted_line import weighted_line

MAX_STEPS = 100

Common = Float[np.ndarray, " common"]
Coordinates = Float[np.ndarray, "curve param"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Links:
    """How the coordinates of every curve follow from the common parameters.

    Parameters
    ----------
    matrix, offset
        ``x = offset + matrix @ common`` in the columns ``of_common``; 0 elsewhere.
    of_common
        Which coordinates are no curve's own.
    lower, upper
        Bounds of the common parameters.
    log
        Which of them are logarithms.
    """

    matrix: Float[np.ndarray, "curve param common"]
    offset: Float[np.ndarray, "curve param"]
    of_common: Bool[np.ndarray, " param"]
    lower: Common
    upper: Common
    log: Bool[np.ndarray, " common"]

    def coordinates(self, own: Coordinates, common: Common) -> Coordinates:
        """Return the coordinates of every curve."""
        return np.where(self.of_common, self.offset + self.matrix @ common, own)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """Where a fit ended; ``converged`` says whether that is a minimum."""

    x: Coordinates
    common: Common
    chi2: float
    converged: bool


def solve(
    model: G2Model,
    problem: Problem,
    links: Links,
    own: Coordinates,
    common: Common,
    *,
    xp: BackendProtocol,
) -> Generator[None, None, Solution]:
    """Fit all curves together from ``own`` and ``common``; yields after every step."""
    limit = _lm_numpy.step_limit(model)
    common_limit = np.where(links.log, LOG_STEP_LIMIT, LINEAR_STEP_LIMIT)
    common = np.clip(common, links.lower, links.upper)
    x = project(model, problem, links, links.coordinates(own, common))
    half_chi2 = _half_chi2(model, problem, x)
    damping, converged = FIRST_DAMPING, False
    equations = _equations(model, problem, x, xp)
    for _ in range(MAX_STEPS):
        yield
        free = _free(problem, links, x, common, equations)
        newton = _step(links, equations, free, LEAST_DAMPING)
        gain = -0.5 * _linear_change(links, equations, *newton)
        longest = max(
            np.max(np.abs(newton[0]) / limit, initial=0.0),
            np.max(np.abs(newton[1]) / common_limit, initial=0.0),
        )
        part = 1 / max(1.0, longest)
        freedom = max(float(problem.freedom.sum()), 1.0)
        enough = GAIN * max(1.0, 2 * half_chi2 / freedom)
        if gain * part * (2 - part) <= enough:
            converged = True
            break
        if damping > MOST_DAMPING:
            break
        own_step, common_step = _step(links, equations, free, damping)
        trial_common = np.clip(
            common + np.clip(common_step, -common_limit, common_limit), links.lower, links.upper
        )
        trial_own = np.clip(x + np.clip(own_step, -limit, limit), problem.lower, problem.upper)
        trial = links.coordinates(trial_own, trial_common)
        moved = trial - x
        predicted = np.sum(equations[0] * moved)
        predicted += 0.5 * np.einsum("ci,cij,cj->", moved, equations[1], moved)
        trial = project(model, problem, links, trial)
        change = _half_chi2(model, problem, trial) - half_chi2
        if change <= LOW_CUTOFF * predicted and np.isfinite(change):
            if change < HIGH_CUTOFF * predicted:
                damping = max(damping / HIGH_FACTOR, LEAST_DAMPING)
            x, common, half_chi2 = trial, trial_common, half_chi2 + change
            equations = _equations(model, problem, x, xp)
        else:
            damping /= LOW_FACTOR
    return Solution(x=x, common=common, chi2=2 * half_chi2, converged=converged)


def project(model: G2Model, problem: Problem, links: Links, x: Coordinates) -> Coordinates:
    """Return ``x`` with the best baselines and contrasts, where both are the curves' own."""
    if links.of_common[:2].any():
        return x
    xp = NumPyBackend()
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        theta = natural(model, x, xp=xp)[2:]
        shape = np.asarray(averaged_shape(model, problem.t, problem.averaging, theta, xp=xp))
    weight = problem.root_weight**2
    total = weight.sum(axis=1, keepdims=True)
    mean = (weight * problem.g2).sum(axis=1, keepdims=True) / total
    offset = problem.g2 - mean
    baseline, contrast, _ = linear_solution(
        total,
        mean,
        (weight * offset**2).sum(axis=1, keepdims=True),
        tuple(
            (weight * each).sum(axis=1, keepdims=True) for each in (shape, shape**2, offset * shape)
        ),
        problem.lower[:, :2],
        problem.upper[:, :2],
    )
    best = np.concatenate([baseline, contrast, x[:, 2:]], axis=1)
    return np.where(np.isfinite(best), best, x)


Equations = tuple[Float[np.ndarray, "curve param"], Float[np.ndarray, "curve param param"]]
"""Gradient and Gauss-Newton matrix of chi2/2, curve by curve."""

Free = tuple[Bool[np.ndarray, "curve param"], Bool[np.ndarray, " common"]]


def _equations(model: G2Model, problem: Problem, x: Coordinates, xp: BackendProtocol) -> Equations:
    if xp.supports_grad:
        from napari_xpcs.fitting import _box_lm  # imports JAX: seconds, so not before

        return _box_lm.normal_equations(model, problem, x, xp=xp)
    return _lm_numpy.normal_equations(model, problem, x, _lm_numpy.residuals(model, problem, x))


def _half_chi2(model: G2Model, problem: Problem, x: Coordinates) -> float:
    return 0.5 * float(np.sum(_lm_numpy.residuals(model, problem, x) ** 2))


def _free(
    problem: Problem, links: Links, x: Coordinates, common: Common, equations: Equations
) -> Free:
    own = _lm_numpy.free_parameters(problem, x, equations[0]) & ~links.of_common
    gradient = np.einsum("cpk,cp->k", links.matrix, equations[0])
    margin = AT_BOUND * (links.upper - links.lower)
    pressed = (common <= links.lower + margin) & (gradient > -GAIN)
    pressed |= (common >= links.upper - margin) & (gradient < GAIN)
    return own, (links.upper > links.lower) & ~pressed


def _linear_change(links: Links, equations: Equations, own: Coordinates, common: Common) -> float:
    return float(np.sum(equations[0] * (own + links.matrix @ common)))


def _step(
    links: Links, equations: Equations, free: Free, damping: float
) -> tuple[Coordinates, Common]:
    """Return the damped Newton step of the curves' own coordinates and of the common ones."""
    gradient, normal = equations
    inverse = own_inverse(normal, free[0], damping)
    # The curves' own coordinates, eliminated: what a common step makes of each.
    cross = np.einsum("cpk,cpq->ckq", links.matrix, normal)
    answer = np.matmul(inverse, np.swapaxes(cross, 1, 2))
    whole = np.einsum("ckp,cpl->kl", cross, links.matrix)
    whole += damping * np.diag(np.diagonal(whole))
    schur = whole - np.einsum("ckp,cpl->kl", cross, answer)
    own_gradient = np.where(free[0], gradient, 0)
    local = np.einsum("cpq,cq->cp", inverse, own_gradient)
    side = np.einsum("cpk,cp->k", links.matrix, gradient) - np.einsum("ckp,cp->k", cross, local)
    common = np.zeros(len(side))
    kept = np.flatnonzero(free[1])
    if len(kept):
        common[kept] = -scaled_inverse(schur[np.ix_(kept, kept)]) @ side[kept]
    return -(local + np.einsum("cpk,k->cp", answer, common)), common


def own_inverse(
    normal: Float[np.ndarray, "curve param param"],
    free: Bool[np.ndarray, "curve param"],
    damping: float = 0.0,
) -> Float[np.ndarray, "curve param param"]:
    """Return the inverse of each curve's block on its free coordinates, 0 elsewhere."""
    diagonal = np.diagonal(normal, axis1=1, axis2=2)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    outer = scale[:, :, None] * scale[:, None, :]
    both = free[:, :, None] & free[:, None, :]
    identity = np.eye(normal.shape[1])
    matrix = np.where(both, normal / outer, identity) + identity * max(damping, 1e-13)
    return np.where(both, np.linalg.inv(matrix) / outer, 0.0)


def scaled_inverse(matrix: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """Return the inverse of a positive matrix whose entries may differ by many decades."""
    diagonal = np.diagonal(matrix)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, np.finfo(float).tiny))
    eigenvalue, vector = np.linalg.eigh(matrix / np.outer(scale, scale))
    inverse = (vector / np.maximum(eigenvalue, 1e-14)) @ vector.T
    return np.asarray(inverse / np.outer(scale, scale))


def covariances(
    links: Links,
    normal: Float[np.ndarray, "curve param param"],
    spread: Float[np.ndarray, "curve param param"],
    free: Free,
    gradient: Float[np.ndarray, "curve param"] | None = None,
) -> tuple[Float[np.ndarray, "common common"], Float[np.ndarray, "curve param param"]]:
    r"""Return the covariance of the common parameters, and of all those of every curve.

    Noise that moves all of a curve, as few speckles do, shows in no curve by itself, only in that
    the curves disagree on what they share.  With ``gradient`` that is in the errors.

    Parameters
    ----------
    normal
        Gauss-Newton matrix of chi2/2, curve by curve.
    spread
        Covariance of the gradient of chi2/2: ``normal`` where the errors are independent and
        right.
    free
        What is neither fixed nor at a bound.
    gradient
        Of chi2/2, curve by curve; ``None`` believes ``spread``.
    """
    inverse = own_inverse(normal, free[0])
    links_free = links.matrix * free[1]
    cross = np.einsum("cpk,cpq->ckq", links_free, normal)
    # How a curve's coordinates move with the common ones, its own following.
    follow = links_free - np.matmul(inverse, np.swapaxes(cross, 1, 2))
    schur = np.einsum("cpk,cpq,cql->kl", links_free, normal, follow)
    kept = np.flatnonzero(free[1])
    schur_inverse = np.zeros_like(schur)
    if len(kept):
        schur_inverse[np.ix_(kept, kept)] = scaled_inverse(schur[np.ix_(kept, kept)])
    pushed = np.einsum("cpk,cpq,cql->ckl", follow, spread, follow)
    widened = np.sqrt(
        np.ones(len(schur)) if gradient is None else _excess(follow, gradient, pushed)
    )
    common = schur_inverse @ (pushed.sum(axis=0) * np.outer(widened, widened)) @ schur_inverse
    own = inverse @ spread @ inverse
    mixed = follow @ schur_inverse @ np.swapaxes(follow, 1, 2) @ spread @ inverse
    curve = follow @ common @ np.swapaxes(follow, 1, 2) + own
    curve += mixed + np.swapaxes(mixed, 1, 2)
    return common, curve


def _excess(
    follow: Float[np.ndarray, "curve param common"],
    gradient: Float[np.ndarray, "curve param"],
    pushed: Float[np.ndarray, "curve common common"],
) -> Common:
    """Return the factor on the variance of each common parameter for what the curves disagree.

    By itself a curve would move the parameter by its pull over its weight; those answers have a
    common scatter where they differ beyond chance.  1 where they do not, or are fewer than 3.
    """
    pulls = np.einsum("cpk,cp->kc", follow, gradient)
    weights = np.diagonal(pushed, axis1=1, axis2=2).T
    excess = np.ones(len(pulls))
    for k, (pull, weight) in enumerate(zip(pulls, weights, strict=True)):
        telling = weight > 0
        pull, weight = pull[telling], weight[telling]
        freedom = len(pull) - 1
        if freedom >= 2 and np.sum(pull**2 / weight) > chi2_quantile(freedom, EXCESS_SIGMA):
            answers = weighted_line(np.ones((len(pull), 1)), pull / weight, 1 / weight)
            excess[k] += answers.scatter**2 * np.sum(weight**2) / np.sum(weight)
    return excess
