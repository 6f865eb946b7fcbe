r"""Multi-tau correlation of a stream of frames, pixel by pixel, and its reduction to g2.

Level :math:`L` works on sums of :math:`2^L` frames.  With :math:`n_L` complete sums
:math:`x_L(j)` of a pixel and lag :math:`k` of the level, :math:`n = n_L - k` pairs give

.. math::

    G_2 = \frac{1}{n 4^L} \sum_{j<n} x_L(j) x_L(j+k), \quad
    I_P = \frac{1}{n 2^L} \sum_{j<n} x_L(j), \quad
    I_F = \frac{1}{n 2^L} \sum_{j\ge k} x_L(j).

Lags are those of the programs of APS 8-ID: 1 to 2d at level 0 and d+1 to 2d above, with
d = 4 or 8 delays per level.  The two intensities are sums over all frames less the first or
last ``k``, so a state holds per level the sum of products, the total and the first and last
2d sums, and never needs to know how long the run will be.

The pixels of a detector are cut into tiles of one size: a tile fits the cache of a core, and
a program that was compiled once serves every detector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection

ROUNDING = 1e-12
"""Part of a sum of squares that may be left over by rounding."""

TILE_PIXELS = 4096
"""Pixels of a tile: 256 rows of float32 fill the second-level cache of a core."""

Normalization: TypeAlias = Literal["symmetric", "pixel-weighted", "no-static"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)
r"""How static bins s make g2 of a dynamic bin.

``symmetric``: plain mean over s of :math:`\langle G_2\rangle_s / (\langle I_P\rangle_s
\langle I_F\rangle_s)`, as boost_corr and xpcs-eigen do.  ``pixel-weighted``: the same mean
weighted with the pixels of s.  ``no-static``: one ratio of means over the dynamic bin, whose
baseline lies above 1 where the intensity varies within the bin.
"""

_ROW_GROUP = 16


class MultiTauLags(NamedTuple):
    """The delays of a run: ``delay_frames = lag * 2**level``."""

    level: Int[np.ndarray, " delay"]
    lag: Int[np.ndarray, " delay"]
    delay_frames: Int[np.ndarray, " delay"]


class Level(NamedTuple):
    """What one level of a tile remembers; sums of 2^level frames.

    ``products`` (lag, pixel) float64; ``first`` and ``last`` (history, pixel) float32, the
    latter with the newest sum at the end; ``total`` (pixel) float64 of all complete sums.
    """

    products: Array
    first: Array
    last: Array
    total: Array


Tile: TypeAlias = tuple[Level, ...]
Number: TypeAlias = int | Int[Array, ""]
"""A count that a compiled program does not depend on."""


class MultiTauState(NamedTuple):
    """Everything that the frames seen so far leave behind; arrays nested in tuples."""

    frames: int
    tiles: tuple[Tile, ...]


class BinnedG2(NamedTuple):
    """g2 of dynamic bins and what it is made of.

    ``g2`` and ``g2_err`` (delay, bin); ``static_g2`` (delay, sbin), NaN where a bin counted
    nothing; ``static_sums`` (sbin, 3, delay), sums over pixels and pairs of products, past and
    future, in sums of 2^level frames.
    """

    g2: Float[np.ndarray, "delay bin"]
    g2_err: Float[np.ndarray, "delay bin"]
    static_g2: Float[np.ndarray, "delay sbin"]
    static_sums: Float[np.ndarray, "sbin 3 delay"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiTauResult:
    """g2 of every dynamic bin with the averages of the same frames.

    Parameters
    ----------
    delay_frames
        Delays in used frames.
    g2, g2_err
        g2 and the standard error of its mean over pixels; NaN where nothing was counted.
    mean_frame
        Mean counts per frame, every pixel of the detector; 0 for a pixel outside the bins
        that held the "no value" of the file (NaN, the largest integer) in any frame.
    scattering_1d
        Mean counts per pixel and frame of the static bins, NaN for one without pixels.
    scattering_1d_segments
        The same for up to 16 equal spans of time, in counts too.
    intensity_vs_time
        Used frame number, and mean counts per used pixel of that frame.
    selection
        The used frames, with ``end`` filled in.
    frame_time_s
        Time between raw frames, s.
    normalization
        One of :data:`NORMALIZATIONS`.
    normalize_frame
        Whether every frame was divided by its mean over the used pixels.
    empty_static_bins
        Static bins that have no used pixel or counted nothing; g2 leaves them out.
    empty_frames
        Used frames without a count; with ``normalize_frame`` they stay zero.
    silent_pixels
        Used pixels that never counted: dead ones belong into the mask.
    covariance
        Of g2 between the delays of a bin, see :mod:`~napari_xpcs.kernels.g2_covariance`.
    """

    delay_frames: Int[np.ndarray, " delay"]
    g2: Float[np.ndarray, "delay bin"]
    g2_err: Float[np.ndarray, "delay bin"]
    mean_frame: Float32[np.ndarray, "row col"]
    scattering_1d: Float[np.ndarray, " sbin"]
    scattering_1d_segments: Float[np.ndarray, "segment sbin"]
    intensity_vs_time: Float[np.ndarray, "2 frame"]
    selection: FrameSelection
    frame_time_s: float
    normalization: str = "symmetric"
    normalize_frame: bool = False
    empty_static_bins: int = 0
    empty_frames: int = 0
    silent_pixels: int = 0
    covariance: Float[np.ndarray, "bin delay delay"] | None = None

    @property
    def delay_s(self) -> Float[np.ndarray, " delay"]:
        """Delays in s."""
        return self.delay_frames * (self.frame_time_s * self.selection.step)

    def remarks(self) -> tuple[str, ...]:
        """Return in words what was left out or looks wrong; nothing for a run in good order."""
        counted = (
            (self.empty_static_bins, "Static bins without a count, left out"),
            (self.empty_frames, "Used frames without a count"),
            (self.silent_pixels, "Used pixels that never counted (dead ones belong into the mask)"),
        )
        return tuple(f"{what}: {number}." for number, what in counted if number)

    @property
    def averaging_s(self) -> Float[np.ndarray, " delay"]:
        r"""Half-width of the triangle of delays over which g2 is averaged, s.

        Two sums of :math:`m = 2^L` frames are apart by delays of the variance
        :math:`(m^2 - 1)/6`, as is a triangle of the half-width :math:`\sqrt{m^2 - 1}` frames.
        """
        # A delay follows the one before it by the length of the sums of its level.
        length = np.diff(self.delay_frames, prepend=0).astype(np.float64)
        return np.sqrt(length**2 - 1.0) * (self.frame_time_s * self.selection.step)

    def curves(self, partition: Partition, source: str = "") -> G2Curves:
        """Return the curves with the q and phi that ``partition`` gives its bins."""
        return G2Curves(
            delay_s=self.delay_s,
            g2=self.g2,
            error=self.g2_err,
            bins=partition.table(),
            source=source,
            covariance=self.covariance,
            averaging_s=self.averaging_s,
        )


def multitau_lags(frames: int, delays_per_level: int = 4) -> MultiTauLags:
    """Return the delays of a run of ``frames`` used frames.

    A level ends the list at its first lag that no pair of complete sums reaches, as in
    boost_corr: the longest delays can rest on a single pair.
    """
    found: list[tuple[int, int]] = []
    for level in range(frames.bit_length()):
        sums = frames >> level
        first = 1 if level == 0 else delays_per_level + 1
        lags = [lag for lag in range(first, 2 * delays_per_level + 1) if lag < sums]
        found += [(level, lag) for lag in lags]
        if len(lags) < 2 * delays_per_level + 1 - first:
            break
    level_of, lag_of = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return MultiTauLags(level=level_of, lag=lag_of, delay_frames=lag_of << level_of)


def empty_state(
    tiles: int, levels: int, *, delays_per_level: int = 4, xp: BackendProtocol
) -> MultiTauState:
    """Return the state before the first frame for ``tiles`` of :data:`TILE_PIXELS` pixels.

    ``levels`` is one more than the highest level of :func:`multitau_lags`, or than the
    logarithm of the block length where that is more: then the compiled program of a block
    does not depend on the length of the run.
    """
    history = 2 * delays_per_level

    def level(index: int) -> Level:
        lags = history if index == 0 else delays_per_level
        return Level(
            products=xp.zeros((lags, TILE_PIXELS)),
            first=xp.zeros((history, TILE_PIXELS), xp.float32),
            last=xp.zeros((history, TILE_PIXELS), xp.float32),
            total=xp.zeros(TILE_PIXELS),
        )

    return MultiTauState(0, tuple(tuple(level(i) for i in range(levels)) for _ in range(tiles)))


def add_block(
    state: MultiTauState, block: Sequence[Shaped[Array, "frame pixel"]], fresh: int, *,
    xp: BackendProtocol,
) -> MultiTauState:  # fmt: skip
    """Return ``state`` after another block of frames.

    Parameters
    ----------
    state
        It has seen a multiple of the block length so far.
    block
        One array for each tile.  Their length, a power of two, is that of all blocks.
    fresh
        Frames of the block that are new; rows behind them are ignored.  Only the last block
        of a run may have fewer than its length.
    """
    length = len(block[0])
    reach = length.bit_length()
    seen = state.frames + fresh
    advance = xp.jit(_add_frames, static_argnames=("xp",))
    carry = xp.jit(_add_pair, static_argnames=("xp",))
    tiles = []
    for tile, frames in zip(state.tiles, block, strict=True):
        levels = list(advance(tile[:reach], xp.asarray(frames), state.frames, fresh, xp=xp))
        # Above the block, a level gets one sum whenever the level below has got two.
        for index in range(reach, len(tile)):
            if fresh < length or seen % (1 << index):
                levels += tile[index:]
                break
            before = state.frames >> index
            levels.append(carry(tile[index], levels[-1].last, before, xp=xp))
        tiles.append(tuple(levels))
    return MultiTauState(seen, tuple(tiles))


def binned_g2(
    state: MultiTauState,
    static: Int[np.ndarray, " pixel"],
    dynamic: Int[np.ndarray, " pixel"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    bins: int,
    *,
    normalization: Normalization = "symmetric",
    xp: BackendProtocol,
) -> BinnedG2:
    """Return g2 of the frames seen so far; the state stays as it is.

    Parameters
    ----------
    static, dynamic
        Bin of every used pixel, counted from 0.
    dynamic_of_static
        Dynamic bin of every static bin, counted from 0; negative for one without pixels.
    bins
        Number of dynamic bins.

    Notes
    -----
    The error is the sample standard deviation over the pixels of the dynamic bin of
    :math:`G_2/(I_P I_F)`, divided by the root of their number; a pixel that counted nothing
    enters with 0, as in boost_corr.
    """
    levels = len(state.tiles[0])
    sums_seen = np.array([state.frames >> level for level in range(levels)])
    reduce = xp.jit(_bin_sums, static_argnames=("sbins", "bins", "xp"))
    static_sums: Array = 0.0
    pixel_sums: Array = 0.0
    for number, tile in enumerate(state.tiles):
        here = slice(number * TILE_PIXELS, (number + 1) * TILE_PIXELS)
        part = reduce(
            tile,
            xp.asarray(sums_seen),
            xp.asarray(_fill_tile(static[here])),
            xp.asarray(_fill_tile(dynamic[here])),
            sbins=len(dynamic_of_static),
            bins=bins,
            xp=xp,
        )
        static_sums, pixel_sums = static_sums + part[0], pixel_sums + part[1]
    history = state.tiles[0][0].last.shape[0]
    lags = multitau_lags(state.frames, history // 2)
    rows = lags.lag - 1 + lags.level * (history // 2)
    return _normalize(
        xp.to_numpy(static_sums)[..., rows],
        xp.to_numpy(pixel_sums)[..., rows],
        sums_seen[lags.level] - lags.lag,
        np.bincount(static, minlength=len(dynamic_of_static)),
        np.bincount(dynamic, minlength=bins),
        dynamic_of_static,
        normalization,
    )


def _fill_tile(labels: Int[np.ndarray, " pixel"]) -> Int[np.ndarray, " tile"]:
    """Mark the unused end of the last tile with a bin that is dropped."""
    return np.pad(labels, (0, TILE_PIXELS - len(labels)), constant_values=-1)


def _add_frames(
    levels: Tile,
    frames: Shaped[Array, "frame pixel"],
    seen: Number,
    fresh: Number,
    *,
    xp: BackendProtocol,
) -> Tile:
    advanced = []
    sums = xp.astype(frames, xp.float32)
    for index, level in enumerate(levels):
        # An odd sum at the end of a run is no pair: it counts at no higher level.
        sums = xp.where(xp.arange(len(sums))[:, None] < fresh, sums, xp.zeros((), xp.float32))
        # Stored once, or XLA would work out every row again for every lag and level above.
        rows = xp.optimization_barrier(xp.concatenate([level.last, sums]))
        advanced.append(_add_rows(level, rows, seen, fresh, xp=xp))
        if index + 1 < len(levels):
            sums = rows[len(level.last) :]
            sums, seen, fresh = sums[0::2] + sums[1::2], seen >> 1, fresh >> 1
    return tuple(advanced)


def _add_pair(
    level: Level, below: Float32[Array, "history pixel"], seen: Number, *, xp: BackendProtocol
) -> Level:
    rows = xp.concatenate([level.last, below[-2:-1] + below[-1:]])
    return _add_rows(level, rows, seen, 1, xp=xp)


def _add_rows(
    level: Level,
    rows: Float32[Array, "row pixel"],
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
        _sum_rows([rows, rows], [history, history - lag], len(sums), xp=xp)
        for lag in range(history - lags + 1, history + 1)
    ]
    slot = xp.arange(history)
    arrived = xp.take(sums, xp.clip(slot - seen, 0, len(sums) - 1), axis=0)
    return Level(
        products=level.products + xp.astype(xp.stack(products), xp.float64),
        first=xp.where((slot < seen)[:, None], level.first, arrived),
        last=xp.take(rows, slot + fresh, axis=0),
        total=level.total + xp.astype(_sum_rows([rows], [history], len(sums), xp=xp), xp.float64),
    )


def _sum_rows(
    factors: list[Float32[Array, "row pixel"]],
    starts: list[int],
    count: int,
    *,
    xp: BackendProtocol,
) -> Float32[Array, " pixel"]:
    """Return the sum over ``count`` rows, from ``starts`` on, of the product of ``factors``.

    Written out as additions of groups of rows: on a CPU, XLA turns these into vector
    instructions and a reduction over the first axis into scalar ones, ten times slower.
    """
    group = min(_ROW_GROUP, count)

    def product(offset: int) -> Array:
        rows = [
            factor[start + offset : start + offset + group]
            for factor, start in zip(factors, starts, strict=True)
        ]
        return rows[0] if len(rows) == 1 else rows[0] * rows[1]

    partial = product(0)
    for offset in range(group, count, group):
        partial = partial + product(offset)
    partial = xp.optimization_barrier(partial)
    total = partial[0]
    for row in range(1, group):
        total = total + partial[row]
    return total


def _bin_sums(
    levels: Tile,
    sums_seen: Int[Array, " level"],
    static: Int[Array, " pixel"],
    dynamic: Int[Array, " pixel"],
    *,
    sbins: int,
    bins: int,
    xp: BackendProtocol,
) -> tuple[Float[Array, "sbin 3 delay"], Float[Array, "bin 2 delay"]]:
    """Return sums of products, past and future per static bin; of pixel g2 and its square."""
    columns = [pair_sums(level, sums_seen[i], xp=xp) for i, level in enumerate(levels)]
    product, past, future, pairs = (
        xp.transpose(xp.concatenate(column)) for column in zip(*columns, strict=True)
    )
    counted = past * future > 0
    pixel_g2 = xp.where(counted, pairs * product / xp.where(counted, past * future, 1.0), 0.0)
    return (
        xp.segment_sum(xp.stack([product, past, future], axis=1), static, sbins),
        xp.segment_sum(xp.stack([pixel_g2, pixel_g2**2], axis=1), dynamic, bins),
    )


def pair_sums(
    level: Level, seen: Number, *, xp: BackendProtocol
) -> tuple[
    Float[Array, "lag pixel"], Float[Array, "lag pixel"], Float[Array, "lag pixel"],
    Float[Array, "lag 1"],
]:  # fmt: skip
    """Return sums of products, past and future over the pairs of each lag, and the pairs.

    Sums of 2^level frames; meaningless where there is no pair.
    """
    lags, history = len(level.products), len(level.last)

    def ends(sums: Array) -> Array:
        return xp.cumsum(xp.astype(sums, xp.float64), axis=0)[history - lags :]

    pairs = seen - xp.arange(history - lags + 1, history + 1)
    return (
        level.products,
        level.total - ends(xp.flip(level.last, axis=0)),
        level.total - ends(level.first),
        xp.astype(pairs, xp.float64)[:, None],
    )


def _normalize(
    static_sums: Float[np.ndarray, "sbin 3 delay"],
    pixel_sums: Float[np.ndarray, "bin 2 delay"],
    pairs: Int[np.ndarray, " delay"],
    static_pixels: Int[np.ndarray, " sbin"],
    pixels: Int[np.ndarray, " bin"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    normalization: Normalization,
) -> BinnedG2:
    """Turn the sums over the pixels of bins into g2 and its error."""
    bins = len(pixels)
    static_g2 = _ratio(static_sums, static_pixels, pairs)
    if normalization == "no-static":
        g2 = _ratio(sum_groups(static_sums, dynamic_of_static, bins), pixels, pairs)
    else:
        weight = static_pixels if normalization == "pixel-weighted" else np.ones_like(static_pixels)
        weights = np.where(np.isfinite(static_g2), weight[:, None], 0.0)
        weighted = np.where(np.isfinite(static_g2), static_g2 * weights, 0.0)
        total = sum_groups(weights, dynamic_of_static, bins)
        g2 = np.where(
            total > 0,
            sum_groups(weighted, dynamic_of_static, bins) / np.where(total > 0, total, 1.0),
            np.nan,
        )
    count = pixels[:, None].astype(np.float64)
    enough = np.isfinite(g2) & (count > 1)
    deviation = pixel_sums[:, 1] - pixel_sums[:, 0] ** 2 / np.maximum(count, 1.0)
    # Pixels that all agree leave a rest of rounding, which is no error but would weigh as one.
    deviation = np.where(deviation > ROUNDING * pixel_sums[:, 1], deviation, 0.0)
    variance = deviation / np.maximum(count - 1.0, 1.0)
    error = np.where(enough, np.sqrt(variance / np.maximum(count, 1.0)), np.nan)
    return BinnedG2(g2=g2.T, g2_err=error.T, static_g2=static_g2.T, static_sums=static_sums)


def _ratio(
    sums: Float[np.ndarray, "bin 3 delay"],
    pixels: Int[np.ndarray, " bin"],
    pairs: Int[np.ndarray, " delay"],
) -> Float[np.ndarray, "bin delay"]:
    r"""Return :math:`\langle G_2\rangle / (\langle I_P\rangle \langle I_F\rangle)`, else NaN.

    Of sums over pixels and pairs, so that one division is left: the frames of a level sum
    cancel, and constant counts give exactly 1.
    """
    product, past, future = np.moveaxis(sums, 1, 0)
    counted = past * future > 0
    number = pixels[:, None] * pairs.astype(np.float64)
    return np.where(counted, number * product / np.where(counted, past * future, 1.0), np.nan)


def sum_groups(
    values: Float[np.ndarray, "sbin ..."], group: Int[np.ndarray, " sbin"], groups: int
) -> Float[np.ndarray, "bin ..."]:
    """Add up the static bins of every dynamic bin; those of a negative group are dropped."""
    sums = np.zeros((groups, *values.shape[1:]))
    np.add.at(sums, group[group >= 0], values[group >= 0])
    return sums
