"""Multi-tau sums of a block of frames for tiles of pixels, on the array backend.

The pixels of a detector are cut into tiles of one size, whose rows stay in the cache of a core
while all levels are worked out.  Some tiles make a slab, which one call of a compiled program
goes through: the same program serves every detector.
"""

from typing import NamedTuple, TypeAlias

from jaxtyping import Float, Int, Shaped

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol

TILE_PIXELS = 1040
"""Pixels of a tile.

No power of two: rows that lie 4096 bytes apart share a few places of the first-level cache, and
sums over them take four times as long.
"""

_PARTIAL_ROWS = 16
"""Sums of a lag that are added last; with fewer, XLA would work out every row again for each."""

_MOST_TERMS = 16
"""Products of such a sum; with more, XLA gives up vector instructions."""


class Level(NamedTuple):
    """What one level of a slab has to remember to go on, as a ``MultiTauState`` does.

    ``products`` (tile, lag, pixel) float64; ``last`` (tile, history, pixel), the newest sum at the
    end: float64, or float32 as long as the frames of a block are multiplied in that.
    """

    products: Array
    last: Array


Slab: TypeAlias = tuple[Level, ...]


def add_block(
    slab: Slab,
    frames: Shaped[Array, "tile frame pixel"],
    seen: int,
    fresh: int,
    *,
    narrow: bool,
    looped: bool,
    xp: BackendProtocol,
) -> Slab:
    """Return ``slab`` after another block of frames.

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
    looped
        Work out one tile after the other: for a CPU.
    """
    length = frames.shape[1]
    reach = length.bit_length()
    advance = xp.jit(_advance, static_argnames=("looped", "xp"))
    carry = xp.jit(_add_pair, static_argnames=("xp",))
    kind = xp.float32 if narrow else xp.float64
    inside = tuple(_of_kind(level, kind, xp=xp) for level in slab[:reach])
    levels = list(advance(inside, frames, fresh, looped=looped, xp=xp))
    # Above the block, a level gets one sum whenever the level below has got two.
    for index in range(reach, len(slab)):
        if fresh < length or (seen + fresh) % (1 << index):
            levels += slab[index:]
            break
        levels.append(carry(slab[index], levels[-1].last, xp=xp))
    return tuple(levels)


def first_sums(
    frames: Shaped[Array, "tile frame pixel"], history: int, *, xp: BackendProtocol
) -> tuple[Float[Array, "tile history pixel"], ...]:
    """Return the first ``history`` sums of each level of which a block has more, float64.

    A program of its own: only the first block of a run has any that are not among the last.
    """
    if frames.shape[1] < 2 * history:
        return ()
    sums = xp.jit(_first_sums, static_argnames=("history", "xp"))
    found: tuple[Array, ...] = sums(frames, history=history, xp=xp)
    return found


def _of_kind(level: Level, kind: object, *, xp: BackendProtocol) -> Level:
    if level.last.dtype == kind:
        return level
    return Level(products=level.products, last=xp.astype(level.last, kind))


def _advance(
    slab: Slab,
    frames: Shaped[Array, "tile frame pixel"],
    fresh: int | Int[Array, ""],
    *,
    looped: bool,
    xp: BackendProtocol,
) -> Slab:
    if not looped:
        return _add_frames(slab, frames, fresh, xp=xp)

    def step(nothing: None, tile: tuple[Slab, Array]) -> tuple[None, Slab]:
        return nothing, _add_frames(*tile, fresh, xp=xp)

    advanced: Slab = xp.scan(step, None, (slab, frames))[1]
    return advanced


def _add_frames(
    levels: Slab,
    frames: Shaped[Array, "*tile frame pixel"],
    fresh: int | Int[Array, ""],
    *,
    xp: BackendProtocol,
) -> Slab:
    advanced = []
    kind = levels[0].last.dtype
    sums = xp.astype(frames, kind)
    for index, level in enumerate(levels):
        history = level.last.shape[-2]
        # An odd sum at the end of a run is no pair: it counts at no higher level.
        known = xp.arange(sums.shape[-2])[:, None] < fresh
        sums = xp.where(known, sums, xp.zeros((), kind))
        # Stored once, or XLA would work out every row again for every lag and level above.
        rows = xp.optimization_barrier(xp.concatenate([level.last, sums], axis=-2))
        advanced.append(_add_rows(level, rows, fresh, xp=xp))
        if index + 1 < len(levels):
            sums = rows[..., history::2, :] + rows[..., history + 1 :: 2, :]
            fresh = fresh >> 1
    return tuple(advanced)


def _first_sums(
    frames: Shaped[Array, "tile frame pixel"], *, history: int, xp: BackendProtocol
) -> tuple[Array, ...]:
    # The first sums of the highest of these levels are those of half a block.
    sums = xp.astype(frames[:, : frames.shape[1] // 2], xp.float64)
    found = [sums[:, :history]]
    while sums.shape[1] > history:
        sums = sums[:, 0::2] + sums[:, 1::2]
        found.append(sums[:, :history])
    return tuple(found)


def _add_pair(
    level: Level, below: Float[Array, "tile history pixel"], *, xp: BackendProtocol
) -> Level:
    newest = xp.astype(below[:, -2:], xp.float64)
    pair = newest[:, :1] + newest[:, 1:]
    return _add_rows(level, xp.concatenate([level.last, pair], axis=1), 1, xp=xp)


def _add_rows(
    level: Level,
    rows: Float[Array, "*tile row pixel"],
    fresh: int | Int[Array, ""],
    *,
    xp: BackendProtocol,
) -> Level:
    """Add sums to a level.

    ``rows`` are its last sums followed by the new ones, of which ``fresh`` are not zero.
    """
    lags, history = level.products.shape[-2], level.last.shape[-2]
    products = [
        _sum_products(rows, history, lag, xp=xp) for lag in range(history - lags + 1, history + 1)
    ]
    return Level(
        products=level.products + xp.astype(xp.stack(products, axis=-2), xp.float64),
        last=xp.take(rows, xp.arange(history) + fresh, axis=-2),
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
