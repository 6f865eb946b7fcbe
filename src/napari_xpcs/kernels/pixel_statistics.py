"""How every pixel counts over a run: mean, variance, maximum; and which pixels are hot or dead."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from napari_xpcs._typing import Mask
from napari_xpcs.errors import MaskError
from napari_xpcs.kernels.mask import not_counted
from napari_xpcs.kernels.robust import MAD_TO_SIGMA
from napari_xpcs.progress import Progress, Steps

TILE_PX = 16
"""Hot pixels are compared with a tile of this side: small, as the scattering falls off within."""

_READ_BYTES = 2**26
_CACHED_PIXELS = 2**15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelStatistics:
    """What the sampled frames hold at every pixel.

    Parameters
    ----------
    frames
        Number of frames that were looked at.
    mean, variance
        Of the counts, NaN where no frame has a count; the variance is unbiased.
    maximum
        Highest number in any frame, what stands for "no value" included.
    """

    frames: int
    mean: Float[np.ndarray, "row col"]
    variance: Float[np.ndarray, "row col"]
    maximum: Float[np.ndarray, "row col"]


def pixel_statistics(frames: Any, sample: int) -> Steps[PixelStatistics]:
    """Read frames, a few at a time, and return their statistics.

    Parameters
    ----------
    frames
        (frame, row, col): an ndarray, or a file that reads the frames it is asked for.
    sample
        Frames to look at, spread evenly over the run; 0 for all of them.
    """
    total = frames.shape[0]
    if len(frames.shape) != 3 or total == 0:
        msg = f"Expected frames (frame, row, col), got the shape {tuple(frames.shape)}."
        raise MaskError(msg)
    spread = 0 < sample < total
    chosen = np.unique(np.linspace(0, total - 1, sample).round().astype(int)) if spread else None
    count = total if chosen is None else len(chosen)
    shape = tuple(frames.shape[1:])
    at_once = 1 if spread else max(1, _READ_BYTES // (8 * shape[0] * shape[1]))
    sums = _Sums.empty(shape, np.dtype(frames.dtype))
    for done in range(0, count, at_once):
        yield Progress(done, count, "frames")
        start = done if chosen is None else int(chosen[done])
        for frame in np.asarray(frames[start : min(start + at_once, total)]):
            sums.add(frame)
    return sums.statistics(count)


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums over the frames so far, of what was counted.

    A variance below some 1e-8 of the squared mean drowns in rounding; no detector has that.
    """

    seen: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    maximum: np.ndarray

    @classmethod
    def empty(cls, shape: tuple[int, int], dtype: np.dtype[Any]) -> "_Sums":
        lowest = np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf
        return cls(
            np.zeros(shape, np.int32),
            np.zeros(shape),
            np.zeros(shape),
            np.full(shape, lowest, dtype),
        )

    def add(self, frame: np.ndarray) -> None:
        """Add one frame, some rows at a time so that they stay in the cache."""
        rows_at_once = max(1, _CACHED_PIXELS // frame.shape[1])
        for first in range(0, frame.shape[0], rows_at_once):
            rows = slice(first, first + rows_at_once)
            counts = frame[rows]
            np.fmax(self.maximum[rows], counts, out=self.maximum[rows])
            without = not_counted(counts)
            self.seen[rows] += ~without
            real = counts.astype(np.float64)
            if without.any():
                real[without] = 0.0
            self.total[rows] += real
            real *= real
            self.squares[rows] += real

    def statistics(self, frames: int) -> PixelStatistics:
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.total / self.seen
            spread = np.maximum(self.squares - self.total * mean, 0.0)
            variance = np.where(self.seen > 1, spread / (self.seen - 1), np.nan)
        maximum = self.maximum.astype(np.float64)
        return PixelStatistics(
            frames=frames,
            mean=mean,
            variance=variance,
            maximum=np.where(np.isfinite(maximum), maximum, np.nan),
        )


def dead_pixels(statistics: PixelStatistics) -> Mask:
    """Return the pixels that counted nothing in any frame."""
    dead: Mask = (statistics.mean == 0) | np.isnan(statistics.mean)
    return dead


def hot_pixels(statistics: PixelStatistics, used: Mask, cutoff: float) -> Mask:
    r"""Return the used pixels whose mean or variance is far above that of their tile.

    Parameters
    ----------
    used
        Pixels that are judged, and that a tile is made of.
    cutoff
        Distance from the median of the tile of 16 x 16 pixels in robust standard deviations.

    Notes
    -----
    The standard deviation is 1.4826 times the median absolute deviation, at least that of
    Poisson counts with the mean :math:`\mu` of the tile: :math:`\sqrt{\mu/n}` for the mean of
    :math:`n` frames, :math:`\sqrt{(1/\mu + 2)/n}` for variance over mean.  Without this a
    tile in which most pixels count nothing would have no spread at all.
    """
    n = statistics.frames
    mean = np.where(used, statistics.mean, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(mean > 0, statistics.variance / mean, np.nan)
    means, ratios = _tiles(mean), _tiles(relative)
    middle = _row_medians(means)
    level = np.fmax(middle, 1.0 / n)
    found = _far_above(means, middle, cutoff, np.sqrt(level / n))
    found |= _far_above(ratios, _row_medians(ratios), cutoff, np.sqrt((1.0 / level + 2.0) / n))
    return _untiled(found, (mean.shape[0], mean.shape[1]))


_Rows = Float[np.ndarray, "tile pixel"]
_PerTile = Float[np.ndarray, " tile"]


def _tiles(image: Float[np.ndarray, "row col"]) -> _Rows:
    """Return one row per tile; tiles at the far edges are filled up with NaN."""
    down, across = (-(-length // TILE_PX) for length in image.shape)
    full = np.full((down * TILE_PX, across * TILE_PX), np.nan)
    full[: image.shape[0], : image.shape[1]] = image
    tiles = full.reshape(down, TILE_PX, across, TILE_PX).swapaxes(1, 2)
    return tiles.reshape(down * across, TILE_PX**2)


def _untiled(rows: Bool[np.ndarray, "tile pixel"], shape: tuple[int, int]) -> Mask:
    down, across = (-(-length // TILE_PX) for length in shape)
    tiles = rows.reshape(down, across, TILE_PX, TILE_PX).swapaxes(1, 2)
    whole: Mask = tiles.reshape(down * TILE_PX, across * TILE_PX)[: shape[0], : shape[1]]
    return whole


def _row_medians(rows: _Rows) -> _PerTile:
    """Return the median of what is a number in each row, NaN where nothing is."""
    ordered = np.sort(rows, axis=1)  # NaN come last
    count = np.isfinite(rows).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    pair = np.take_along_axis(ordered, np.stack([low, high], axis=1), axis=1)
    return np.where(count > 0, pair.mean(axis=1), np.nan)


def _far_above(
    rows: _Rows, middle: _PerTile, cutoff: float, least: _PerTile
) -> Bool[np.ndarray, "tile pixel"]:
    excess = rows - middle[:, None]
    spread = np.fmax(MAD_TO_SIGMA * _row_medians(np.abs(excess)), least)
    return np.asarray(excess >= cutoff * spread[:, None])
