"""Multi-tau sums of a block of frames for tiles of pixels, on the array backend.

The pixels of a detector are cut into tiles of one size, whose rows stay in the cache of a core
while all levels are worked out.  Some tiles make a slab, which one call of a compiled program
goes through: the same program serves every detector.
"""

from typing import NamedTuple

from jaxtyping import Float, Int, Shaped

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol

TILE_PIXELS = 272
"""Pixels of a tile.

No power of two: rows that lie 4096 bytes apart share a few places of the first-level cache, and
sums over them take four times as long.
"""

_PARTIAL_ROWS = 16
"""Sums of a lag that are added last; with fewer, XLA would work out every row again for each."""

_MOST_TERMS = 16
"""Products of such a sum; with more, XLA gives up vector instructions."""


class BlockSums(NamedTuple):
    """What a block of frames adds to the levels of a ``MultiTauState`` that lie within it.

    ``products`` (tile, row, pixel) are to be added, ``last`` (tile, level, history, pixel)
    replaces what was there, and ``first`` has the first sums of the block, (tile, history, pixel)
    for each level, from 0 on, of which it has more than ``last`` can hold.
    """

    products: Array
    last: Array
    first: tuple[Array, ...]


def block_sums(
    last: Float[Array, "tile level history pixel"],
    frames: Shaped[Array, "tile frame pixel"],
    fresh: int,
    *,
    looped: bool,
    xp: BackendProtocol,
) -> BlockSums:
    """Return the sums of a block of frames that follows others.

    Parameters
    ----------
    last
        The last ``2 d`` sums of each level that lies within a block, the newest at the end; zeros
        where there are none.  Their type is that of the arithmetic: float32 is right for whole
        counts of which no sum of products reaches 2^24.
    frames
        Their number, a power of two, is that of all blocks.
    fresh
        Frames of the block that are new; rows behind them are ignored.  Only the last block
        of a run may have fewer than its length.
    looped
        Work out one tile after the other: for a CPU.
    """
    compiled = xp.jit(_block_sums, static_argnames=("looped", "xp"))
    found: BlockSums = compiled(last, frames, fresh, looped=looped, xp=xp)
    return found


def _block_sums(
    last: Float[Array, "tile level history pixel"],
    frames: Shaped[Array, "tile frame pixel"],
    fresh: int | Int[Array, ""],
    *,
    looped: bool,
    xp: BackendProtocol,
) -> BlockSums:
    if not looped:
        return _sums_of_tiles(last, frames, fresh, xp=xp)

    def step(nothing: None, tile: tuple[Array, Array]) -> tuple[None, BlockSums]:
        return nothing, _sums_of_tiles(*tile, fresh, xp=xp)

    found: BlockSums = xp.scan(step, None, (last, frames))[1]
    return found


def _sums_of_tiles(
    last: Float[Array, "*tile level history pixel"],
    frames: Shaped[Array, "*tile frame pixel"],
    fresh: int | Int[Array, ""],
    *,
    xp: BackendProtocol,
) -> BlockSums:
    levels, history = last.shape[-3:-1]
    sums = xp.astype(frames, last.dtype)
    products, newest, first = [], [], []
    for level in range(levels):
        # An odd sum at the end of a run is no pair: it counts at no higher level.
        known = xp.arange(sums.shape[-2])[:, None] < fresh
        sums = xp.where(known, sums, xp.zeros((), last.dtype))
        # Stored once, or XLA would work out every row again for every lag and level above.
        rows = xp.optimization_barrier(xp.concatenate([last[..., level, :, :], sums], axis=-2))
        lags = history if level == 0 else history // 2
        products += [
            _sum_products(rows, history, lag, xp=xp)
            for lag in range(history - lags + 1, history + 1)
        ]
        newest.append(xp.take(rows, xp.arange(history) + fresh, axis=-2))
        if sums.shape[-2] > history:
            first.append(rows[..., history : 2 * history, :])
        if level + 1 < levels:
            sums = rows[..., history::2, :] + rows[..., history + 1 :: 2, :]
            fresh = fresh >> 1
    return BlockSums(
        products=xp.stack(products, axis=-2),
        last=xp.stack(newest, axis=-3),
        first=tuple(first),
    )


def _sum_products(
    rows: Float[Array, "*tile row pixel"], start: int, lag: int, *, xp: BackendProtocol
) -> Float[Array, "*tile pixel"]:
    """Return the sum over rows from ``start`` on of their products with those ``lag`` earlier.

    Written out as additions of whole rows: on a CPU, XLA turns these into vector instructions
    and a reduction over the first axis into scalar ones, ten times slower.  Products of rows that
    follow each other are added first, so that most rows are loaded once for two products.
    """
    stop = rows.shape[-2]
    terms = min(max((stop - start) // _PARTIAL_ROWS, 1), _MOST_TERMS)

    def product(offset: int) -> Array:
        later = rows[..., start + offset : stop : terms, :]
        return later * rows[..., start + offset - lag : stop - lag : terms, :]

    partial = product(0)
    for offset in range(1, terms):
        partial = partial + product(offset)
    partial = xp.optimization_barrier(partial)
    total = partial[..., 0, :]
    for row in range(1, partial.shape[-2]):
        total = total + partial[..., row, :]
    return total
