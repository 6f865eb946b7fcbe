"""NumPyro's NUTS kernel over many curves and chains at a time; the only importer of NumPyro.

Its ``MCMC`` compiles anew for every bin, so it takes no part.  A lane is one chain of one curve;
lanes of a block run in step in one compiled program, in the coordinates in which the posterior is
about a standard normal, so that a trajectory has 5 to 7 points instead of 40.
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import Any, cast

import arviz_stats.base  # noqa: F401  a second, with the other imports and not after a block
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.hmc import hmc

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.fitting._sampling import Sampling
from napari_xpcs.fitting._target import CurveData, Target
from napari_xpcs.fitting.diagnostics import judge
from napari_xpcs.fitting.posterior import Posterior
from napari_xpcs.progress import Progress, Steps

BLOCK_SIZES = (4, 30)
"""Curves of a block; a program is compiled for each.  More lanes wait longer for the slowest."""

CHUNK_S = 0.12
"""Seconds that one call of the program should take: Cancel waits for it."""

_ROWS = 50
"""Most iterations of a call."""

_FIRST_STEP = 0.5
_OVERDISPERSION = 2.0
"""Spread of the starting points, in standard deviations of the posterior."""

_JUDGED = 10
"""Bins whose diagnostics are made between two chances to cancel."""


def sample(
    sampling: Sampling,
    *,
    chains: int,
    warmup: int,
    draws: int,
    seed: int,
    careful: bool,
    xp: BackendProtocol,
) -> Steps[Posterior]:
    """Draw from the posterior of every curve, block by block.

    See :func:`napari_xpcs.fitting.nuts.sample_nuts`.
    """
    depth = 8 if careful else 5
    posterior = sampling.empty("nuts", chains, draws, warmup, seed, largest_tree=2**depth - 1)
    count = len(sampling.rows)
    size = next((size for size in BLOCK_SIZES if count <= size), BLOCK_SIZES[-1])
    blocks = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    total = len(blocks) * (warmup + draws)
    yield Progress(0, total, "compiling the sampler", posterior)
    start, advance = _program(sampling.target, warmup, careful, cast("Hashable", xp))
    for k, block in enumerate(blocks):
        rows = sampling.rows[block]
        before = k * (warmup + draws)
        with jax.enable_x64(True):
            data = sampling.chunk(block, size)
            labels = np.resize(sampling.fit.bins.label[rows], size)
            state = start(seed, labels, np.arange(chains), data)
        iteration, calls = 0, 5
        while iteration < warmup + draws:
            # Warm-up ends with a call, so that a call holds draws or none.
            left = (warmup if iteration < warmup else warmup + draws) - iteration
            steps = min(calls, left, _ROWS)
            began = perf_counter()
            with jax.enable_x64(True):
                state, made = advance(state, data, steps)
                made = tuple(np.asarray(each) for each in made)
            took = perf_counter() - began
            calls = int(np.clip(steps * CHUNK_S / took, 1, 2 * steps + 1))
            if iteration >= warmup:
                _store(posterior, sampling, block, iteration - warmup, steps, made)
            iteration += steps
            posterior = _so_far(posterior, rows, max(iteration - warmup, 0), draws, warmup)
            bins = f"bins {labels[0]}" + (f" to {labels[len(rows) - 1]}" if len(rows) > 1 else "")
            what = f"{bins}: {'warm-up' if iteration < warmup else 'draws'}"
            yield Progress(before + iteration, total, what, posterior)
        for some in np.array_split(rows, -(-len(rows) // _JUDGED)):
            posterior = judge(posterior, some)
            yield Progress(before + iteration, total, f"{bins}: diagnostics", posterior)
    yield Progress(total, total, "draws", posterior)
    return posterior


def _store(
    posterior: Posterior,
    sampling: Sampling,
    block: slice,
    first: int,
    steps: int,
    made: tuple[np.ndarray, ...],
) -> None:
    """Write new draws behind those that are there; posteriors so far share the memory."""
    assert posterior.trace is not None
    e, diverged, tree_size, energy = (each[:steps] for each in made)
    new = slice(first, first + steps)
    for k, curve in enumerate(range(block.start, block.stop)):
        row = sampling.rows[curve]
        posterior.draws[row, :, new] = sampling.values(curve, np.swapaxes(e[:, k], 0, 1))
        posterior.trace.diverged[row, :, new] = diverged[:, k].T
        posterior.trace.tree_size[row, :, new] = tree_size[:, k].T
        posterior.trace.energy[row, :, new] = energy[:, k].T


def _so_far(
    posterior: Posterior, rows: np.ndarray, drawn: int, draws: int, warmup: int
) -> Posterior:
    counts, status = posterior.drawn.copy(), list(posterior.status)
    counts[rows] = drawn
    for row in rows:
        status[row] = f"running: {drawn} of {draws} draws" if drawn else "running: warm-up"
    return replace(posterior, drawn=counts, status=tuple(status))


@lru_cache(maxsize=32)
def _program(
    target: Target, warmup: int, careful: bool, xp: Any
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the compiled start and the compiled iterations of a block."""

    def potential_of(data: CurveData) -> Callable[[Array], Array]:
        return lambda e: -target.log_density(e, data, xp=xp)

    init_kernel, sample_kernel = hmc(potential_fn_gen=potential_of, algo="NUTS")
    per_curve = CurveData(
        t=None,
        averaging=None,
        g2=0,
        root_weight=0,
        scale=0,
        numbers=None,
        centre=0,
        whitening=0,
    )

    def begin(key: Array, data: CurveData) -> Any:
        at, rest = jax.random.split(key)
        width = data.centre.shape[-1]
        e = _OVERDISPERSION * jax.random.normal(at, (width,), dtype=jnp.float64)
        return init_kernel(
            e,
            num_warmup=warmup,
            step_size=_FIRST_STEP,
            adapt_mass_matrix=careful,
            dense_mass=careful,
            target_accept_prob=0.95 if careful else 0.9,
            trajectory_length=None,
            max_tree_depth=8 if careful else 5,
            model_args=(data,),
            rng_key=rest,
        )

    @jax.jit
    def start(seed: Array, labels: Array, chains: Array, data: CurveData) -> Any:
        # From label and chain alone: what else is sampled with a bin does not change its draws.
        def key_of(label: Array, chain: Array) -> Array:
            return jax.random.fold_in(jax.random.fold_in(jax.random.PRNGKey(seed), label), chain)

        keys = jax.vmap(jax.vmap(key_of, (None, 0)), (0, None))(labels, chains)
        return jax.vmap(jax.vmap(begin, (0, None)), (0, per_curve))(keys, data)

    iterate: Any = jax.vmap(
        jax.vmap(lambda state, data: sample_kernel(state, (data,)), (0, None)), (0, per_curve)
    )

    @jax.jit
    def advance(state: Any, data: CurveData, steps: Array) -> Any:
        def row_of(state: Any) -> tuple[Array, ...]:
            return state.z, state.diverging, state.num_steps.astype(jnp.int32), state.energy

        def one(k: Array, carry: Any) -> Any:
            state, rows = carry
            state = iterate(state, data)
            rows = tuple(rs.at[k].set(new) for rs, new in zip(rows, row_of(state), strict=True))
            return state, rows

        empty = tuple(jnp.zeros((_ROWS, *x.shape), x.dtype) for x in row_of(state))
        return jax.lax.fori_loop(0, steps, one, (state, empty))

    return start, advance
