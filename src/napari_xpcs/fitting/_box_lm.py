"""Levenberg-Marquardt within bounds, for many curves at a time, on optimistix.

The loop, the trust region and the autodiff are optimistix's; :class:`_BoxDescent` is the step:
damped in the metric of diag(J^T J), parameters pressed against a bound left out, clipped to the
box.  The only module of the package that imports optimistix, and only the solver behind
:func:`napari_xpcs.fitting.least_squares.fit_g2` imports this one, when it runs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Float

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.fitting._problem import (
    AT_BOUND,
    CHUNK,
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
from napari_xpcs.fitting.g2_model import G2Model, model_g2

_DELAY_MULTIPLE = 16
"""Delays are padded to a multiple of this, so that most files share one compiled program."""


def advance(
    model: G2Model,
    problem: Problem,
    start: Float[np.ndarray, "curve param"],
    first_damping: Float[np.ndarray, " curve"],
    *,
    xp: BackendProtocol,
) -> Lanes:
    """Return where each curve's fit is after at most ``ROUND_STEPS`` steps."""
    more = (0, -len(problem.t) % _DELAY_MULTIPLE)
    t = np.pad(problem.t, more, constant_values=1.0)
    averaging = None if problem.averaging is None else np.pad(problem.averaging, more)
    x, damping = np.empty_like(start), np.empty_like(first_damping)
    done = np.zeros(len(start), dtype=bool)
    # Thread-local, whatever precision another plugin has set for the process.
    with jax.enable_x64(True):
        on_their_way = []
        for rows in problem.chunks():
            chunk = problem.take(rows)
            pad = (0, CHUNK - len(chunk))
            moved = _advance_chunk(
                t,
                averaging,
                np.pad(chunk.g2, (pad, more)),
                np.pad(chunk.root_weight, (pad, more)),
                np.pad(chunk.freedom, pad, constant_values=1),
                np.pad(start[rows], (pad, (0, 0))),
                np.pad(first_damping[rows], pad, constant_values=1.0),
                np.pad(chunk.lower, (pad, (0, 0))),
                np.pad(chunk.upper, (pad, (0, 0))),
                model=model,
                xp=xp,
            )
            on_their_way.append((rows, moved))
        # Asked for last: JAX computes one chunk while the next is made ready.
        for rows, moved in on_their_way:
            width = rows.stop - rows.start
            x[rows], damping[rows], done[rows] = (np.asarray(each)[:width] for each in moved)
    return Lanes(x, damping, done)


@partial(jax.jit, static_argnames=("model", "xp"))
def _advance_chunk(
    t: Float[Array, " delay"],
    averaging: Float[Array, " delay"] | None,
    g2: Float[Array, "curve delay"],
    root_weight: Float[Array, "curve delay"],
    freedom: Array,
    start: Float[Array, "curve param"],
    first_damping: Float[Array, " curve"],
    lower: Float[Array, "curve param"],
    upper: Float[Array, "curve param"],
    *,
    model: G2Model,
    xp: BackendProtocol,
) -> tuple[Float[Array, "curve param"], Float[Array, " curve"], Bool[Array, " curve"]]:
    limit = jnp.array([LOG_STEP_LIMIT if p.log else LINEAR_STEP_LIMIT for p in model.parameters])

    def residual(x: Array, curve: tuple[Array, Array]) -> Array:
        return jnp.asarray((model_g2(model, t, x, averaging, xp=xp) - curve[0]) * curve[1])

    def one(
        g2: Array,
        root_weight: Array,
        freedom: Array,
        x0: Array,
        damping: Array,
        lo: Array,
        hi: Array,
    ) -> tuple[Array, Array, Array]:
        solution = optx.least_squares(
            residual,
            _BoxLM(_BoxDescent(lo, hi, limit, damping), freedom),
            x0,
            (g2, root_weight),
            # The first of them only looks at the start.
            max_steps=ROUND_STEPS + 1,
            throw=False,
        )
        done = solution.result == optx.RESULTS.successful
        damping = damping / solution.state.search_state.step_size
        return jnp.clip(solution.value, lo, hi), jnp.maximum(damping, LEAST_DAMPING), done

    return jax.vmap(one)(g2, root_weight, freedom, start, first_damping, lower, upper)


def normal_equations(
    model: G2Model,
    problem: Problem,
    x: Float[np.ndarray, "curve param"],
    *,
    xp: BackendProtocol,
) -> tuple[Float[np.ndarray, "curve param"], Float[np.ndarray, "curve param param"]]:
    """Return gradient and Gauss-Newton matrix of chi2/2 of every curve."""
    gradient = np.empty_like(x)
    normal = np.empty((*x.shape, x.shape[1]))
    with jax.enable_x64(True):
        for rows in problem.chunks():
            chunk = problem.take(rows)
            pad = ((0, CHUNK - len(chunk)), (0, 0))
            parts = _normal_chunk(
                problem.t,
                problem.averaging,
                np.pad(chunk.g2, pad),
                np.pad(chunk.root_weight, pad),
                np.pad(x[rows], pad, mode="edge"),
                model=model,
                xp=xp,
            )
            gradient[rows], normal[rows] = (np.asarray(part)[: len(chunk)] for part in parts)
    return gradient, normal


@partial(jax.jit, static_argnames=("model", "xp"))
def _normal_chunk(
    t: Float[Array, " delay"],
    averaging: Float[Array, " delay"] | None,
    g2: Float[Array, "curve delay"],
    root_weight: Float[Array, "curve delay"],
    x: Float[Array, "curve param"],
    *,
    model: G2Model,
    xp: BackendProtocol,
) -> tuple[Float[Array, "curve param"], Float[Array, "curve param param"]]:
    def one(g2: Array, root_weight: Array, x: Array) -> tuple[Array, Array]:
        def residual(x: Array) -> Array:
            return jnp.asarray((model_g2(model, t, x, averaging, xp=xp) - g2) * root_weight)

        derivative = jax.jacfwd(residual)(x)
        return derivative.T @ residual(x), derivative.T @ derivative

    return jax.vmap(one)(g2, root_weight, x)


class _BoxState(eqx.Module):
    """What the step needs to know about the last accepted point ``y``."""

    y: Float[Array, " param"]
    gradient: Float[Array, " param"]
    normal: Float[Array, "param param"]
    free: Bool[Array, " param"]


class _BoxDescent(optx.AbstractDescent):  # type: ignore[misc]
    """A damped Newton step that stays inside the box."""

    lower: Float[Array, " param"]
    upper: Float[Array, " param"]
    limit: Float[Array, " param"]
    first_damping: Float[Array, ""]

    def init(self, y: Array, f_info_struct: optx.FunctionInfo.ResidualJac) -> _BoxState:
        del f_info_struct
        nothing = jnp.zeros_like(y)
        return _BoxState(y, nothing, jnp.outer(nothing, nothing), nothing > 0)

    def query(self, y: Array, f_info: optx.FunctionInfo.ResidualJac, state: _BoxState) -> _BoxState:
        del state
        derivative = f_info.jac.as_matrix()
        gradient = derivative.T @ f_info.residual
        margin = AT_BOUND * (self.upper - self.lower)
        pressed_low = (y <= self.lower + margin) & (gradient > -GAIN)
        pressed_high = (y >= self.upper - margin) & (gradient < GAIN)
        free = (self.upper > self.lower) & ~pressed_low & ~pressed_high
        return _BoxState(y, gradient, derivative.T @ derivative, free)

    def step(self, step_size: Array, state: _BoxState) -> tuple[Array, optx.RESULTS]:
        damping = jnp.maximum(self.first_damping / step_size, LEAST_DAMPING)
        step = jnp.clip(-_damped_solution(state, damping), -self.limit, self.limit)
        trial = jnp.clip(state.y + step, self.lower, self.upper)
        return trial - state.y, optx.RESULTS.successful


class _BoxLM(optx.AbstractGaussNewton):  # type: ignore[misc]
    """optimistix's Gauss-Newton loop with the step above; ends by the distance to the minimum."""

    descent: _BoxDescent
    freedom: Array
    search: optx.ClassicalTrustRegion = eqx.field(
        default_factory=lambda: optx.ClassicalTrustRegion(
            high_cutoff=HIGH_CUTOFF,
            low_cutoff=LOW_CUTOFF,
            high_constant=HIGH_FACTOR,
            low_constant=LOW_FACTOR,
        )
    )
    # The base class asks for these; its own test of convergence is replaced below.
    rtol: float = 1e-4
    atol: float = 1e-4
    norm: Callable[[Any], Array] = optx.max_norm
    verbose: Callable[..., None] = eqx.field(static=True, default=lambda **_: None)

    def terminate(
        self,
        fn: Callable[..., Any],
        y: Array,
        args: Any,
        options: dict[str, Any],
        state: Any,
        tags: frozenset[object],
    ) -> tuple[Bool[Array, ""], optx.RESULTS]:
        """Return whether a Newton step could still lower chi2 by a noticeable amount."""
        del fn, y, args, options, tags
        point = state.descent_state
        step = _damped_solution(point, jnp.asarray(LEAST_DAMPING))
        gain = 0.5 * jnp.sum(jnp.where(point.free, point.gradient, 0) * step)
        part = 1 / jnp.maximum(1, jnp.max(jnp.abs(step) / self.descent.limit))
        chi2 = jnp.sum(state.f_info.residual**2)
        small = gain * part * (2 - part) <= GAIN * jnp.maximum(1, chi2 / self.freedom)
        stuck = self.descent.first_damping / state.search_state.step_size > MOST_DAMPING
        return ~state.first_step & (small | stuck), optx.RESULTS.successful


def _damped_solution(point: _BoxState, damping: Float[Array, ""]) -> Float[Array, " param"]:
    """Solve (A + damping diag A) x = gradient on the free parameters by Cholesky.

    Unrolled: a model has at most 7 parameters, and JAX calls LAPACK once per matrix on a CPU.
    """
    diagonal = jnp.diagonal(point.normal)
    scale = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    both = point.free[:, None] & point.free[None, :]
    matrix = jnp.where(both, point.normal / (scale[:, None] * scale[None, :]), 0)
    matrix = matrix + jnp.diag(jnp.where(point.free, damping, 1))
    side = jnp.where(point.free, point.gradient / scale, 0)

    size = len(side)
    factor: list[list[Array]] = [[] for _ in range(size)]
    for i in range(size):
        for j in range(i):
            inner = sum((factor[i][k] * factor[j][k] for k in range(j)), start=jnp.zeros(()))
            factor[i].append((matrix[i, j] - inner) / factor[j][j])
        pivot = matrix[i, i] - sum((v**2 for v in factor[i]), start=jnp.zeros(()))
        factor[i].append(jnp.sqrt(jnp.maximum(pivot, LEAST_DAMPING)))
    half: list[Array] = []
    for i in range(size):
        inner = sum((factor[i][k] * half[k] for k in range(i)), start=jnp.zeros(()))
        half.append((side[i] - inner) / factor[i][i])
    x: list[Array] = []
    for i in reversed(range(size)):
        later = zip(range(size - 1, i, -1), x, strict=True)
        inner = sum((factor[k][i] * value for k, value in later), start=jnp.zeros(()))
        x.append((half[i] - inner) / factor[i][i])
    return jnp.stack(x[::-1]) / scale
