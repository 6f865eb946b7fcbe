"""Multi-tau sums of a block of frames for a tile of pixels, on the array backend.

The pixels of a detector are cut into tiles of one size: a tile fits the cache of a core, and
a program that was compiled once serves every detector.
"""

from typing import NamedTuple, TypeAlias

from jaxtyping import Float, Int, Shaped

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol

TILE_PIXELS = 4096
"""Pixels of a tile: 256 rows of float32 fill the second-level cache of a core."""

_ROW_GROUP = 16


class Level(NamedTuple):
    """What one level of a tile remembers, float64; as in :class:`MultiTauState`.

    ``products`` (lag, pixel); ``first`` and ``last`` (history, pixel), the latter with the newest
    sum at the end.
    """

    products: Array
    first: Array
    last: Array


Tile: TypeAlias = tuple[Level, ...]
Number: TypeAlias = int | Int[Array, ""]
"""A count that a compiled program does not depend on."""


def add_block(
    tile: Tile,
    frames: Shaped[Array, "frame pixel"],
    seen: int,
    fresh: int,
    *,
    narrow: bool,
    xp: BackendProtocol,
) -> Tile:
    """Return ``tile`` after another block of frames.

    Parameters
    ----------
    frames
        Their number, a power of two, is that of all blocks.
    seen
        Frames so far, a multiple of the block length.
    fresh
        Frames of the block that are new; rows behind them are ignored.  Only the last block
        of a run may have fewer than its length.
    narrow
        Multiply in float32: right for whole counts of which no sum of products reaches 2^24.
    """
    length = len(frames)
    reach = length.bit_length()
    advance = xp.jit(_add_frames, static_argnames=("narrow", "xp"))
    carry = xp.jit(_add_pair, static_argnames=("xp",))
    levels = list(advance(tile[:reach], frames, seen, fresh, narrow=narrow, xp=xp))
    # Above the block, a level gets one sum whenever the level below has got two.
    for index in range(reach, len(tile)):
        if fresh < length or (seen + fresh) % (1 << index):
            levels += tile[index:]
            break
        levels.append(carry(tile[index], levels[-1].last, seen >> index, xp=xp))
    return tuple(levels)


def _add_frames(
    levels: Tile,
    frames: Shaped[Array, "frame pixel"],
    seen: Number,
    fresh: Number,
    *,
    narrow: bool,
    xp: BackendProtocol,
) -> Tile:
    advanced = []
    kind = xp.float32 if narrow else xp.float64
    sums = xp.astype(frames, kind)
    for index, level in enumerate(levels):
        # An odd sum at the end of a run is no pair: it counts at no higher level.
        sums = xp.where(xp.arange(len(sums))[:, None] < fresh, sums, xp.zeros((), kind))
        # Stored once, or XLA would work out every row again for every lag and level above.
        rows = xp.optimization_barrier(xp.concatenate([xp.astype(level.last, kind), sums]))
        advanced.append(_add_rows(level, rows, seen, fresh, xp=xp))
        if index + 1 < len(levels):
            sums = rows[len(level.last) :]
            sums, seen, fresh = sums[0::2] + sums[1::2], seen >> 1, fresh >> 1
    return tuple(advanced)


def _add_pair(
    level: Level, below: Float[Array, "history pixel"], seen: Number, *, xp: BackendProtocol
) -> Level:
    rows = xp.concatenate([level.last, below[-2:-1] + below[-1:]])
    return _add_rows(level, rows, seen, 1, xp=xp)


def _add_rows(
    level: Level,
    rows: Float[Array, "row pixel"],
    seen: Number,
    fresh: Number,
    *,
    xp: BackendProtocol,
) -> Level:
    """Add sums to a level that has ``seen`` so many already.

    ``rows`` are its last sums followed by the new ones, of which ``fresh`` are not zero.
    """
    lags, history = len(level.products), len(level.last)
    sums = rows[history:]
    products = [
        _sum_products(rows, history, lag, len(sums), xp=xp)
        for lag in range(history - lags + 1, history + 1)
    ]
    slot = xp.arange(history)
    arrived = xp.take(sums, xp.clip(slot - seen, 0, len(sums) - 1), axis=0)
    known = (slot < seen) | (slot >= seen + fresh)
    return Level(
        products=level.products + xp.astype(xp.stack(products), xp.float64),
        first=xp.where(known[:, None], level.first, xp.astype(arrived, xp.float64)),
        last=xp.astype(xp.take(rows, slot + fresh, axis=0), xp.float64),
    )


def _sum_products(
    rows: Float[Array, "row pixel"], start: int, lag: int, count: int, *, xp: BackendProtocol
) -> Float[Array, " pixel"]:
    """Return the sum over ``count`` rows from ``start`` on of their products with earlier ones.

    Written out as additions of groups of rows: on a CPU, XLA turns these into vector
    instructions and a reduction over the first axis into scalar ones, ten times slower.
    """
    group = min(_ROW_GROUP, count)

    def product(offset: int) -> Array:
        at = start + offset
        return rows[at : at + group] * rows[at - lag : at - lag + group]

    partial = product(0)
    for offset in range(group, count, group):
        partial = partial + product(offset)
    partial = xp.optimization_barrier(partial)
    total = partial[0]
    for row in range(1, group):
        total = total + partial[row]
    return total
