"""Two-time maps and what follows from their diagonals, gathered tile by tile."""

from typing import Protocol

import numpy as np
from jaxtyping import Float, Float32

from napari_xpcs.kernels.twotime import SEGMENTS

_ROUNDING = 1e-6
"""Part of a sum of squares of float32 that may be left over by rounding."""


class MapSink(Protocol):
    """Where the tiles of maps go: memory, or a file that may be larger."""

    def start(self, maps: int, frames: int, tile: int) -> None:
        """Make room for ``maps`` of ``frames`` x ``frames`` entries that come in tiles."""
        ...

    def room(self, position: int, shape: tuple[int, int]) -> Float32[np.ndarray, "row col"] | None:
        """Return where a tile of map ``position`` is best made; ``None``: anywhere."""
        ...

    def put(self, position: int, row: int, col: int, tile: Float32[np.ndarray, "row col"]) -> None:
        """Take a tile of the upper half of map ``position`` with its first row and column."""
        ...


class MapsInMemory:
    """Maps as arrays, zero below the diagonal."""

    def __init__(self) -> None:
        self.maps: tuple[Float32[np.ndarray, "frame frame"], ...] = ()

    def start(self, maps: int, frames: int, tile: int) -> None:
        """Make room; ``tile`` is of no interest here."""
        # In one piece, which the system gives in large pages.
        self.maps = tuple(np.zeros((maps, frames, frames), np.float32))

    def room(self, position: int, shape: tuple[int, int]) -> Float32[np.ndarray, "row col"] | None:
        """Return the map where the tile is all of it."""
        whole = self.maps[position]
        return whole if whole.shape == shape else None

    def put(self, position: int, row: int, col: int, tile: Float32[np.ndarray, "row col"]) -> None:
        """Take a tile, unless it was made here."""
        rows, cols = tile.shape
        here = self.maps[position][row : row + rows, col : col + cols]
        if not np.may_share_memory(here, tile):
            here[:] = tile


class Diagonals:
    """Finishes the tiles of one map, with sums along its diagonals and those of its equal blocks.

    Parameters
    ----------
    totals
        Sum over the pixels of every frame; a frame whose sum is 0 makes no pair.
    pixels
        Pixels of the bin.
    centre
        Products are those of the values less this.
    """

    def __init__(self, totals: Float[np.ndarray, " frame"], pixels: int, centre: float) -> None:
        self._totals = totals
        self._pixels = pixels
        frames = len(totals)
        self._products = np.zeros(frames)
        self._sums = np.zeros(frames)
        self._squares = np.zeros(frames)
        self._segments = np.zeros((SEGMENTS, frames // SEGMENTS))
        # Sum of xy = sum of (x - c)(y - c) + c (sum of x) + c (sum of y) - c^2 pixels.
        self._shift = centre * totals - centre**2 * pixels / 2
        there = totals > 0.0
        self._scale = np.where(there, np.sqrt(pixels) / np.where(there, totals, 1.0), 0.0)
        self.counted = there
        """(frame) whether a frame makes pairs."""
        edges = np.flatnonzero(np.diff(there, prepend=False, append=False))
        self._begins, self._ends = edges[::2].copy(), edges[1::2].copy()

    def add(self, row: int, col: int, tile: Float32[np.ndarray, "row col"]) -> None:
        """Turn a tile of products into one of C2 and add it.

        NaN stands for pairs with a frame that makes none, 0 for what is below the diagonal.
        """
        from napari_xpcs.correlate._numba_twotime import finish_tile

        # Squares of the distance from 1, near which C2 lies: little is lost to rounding.
        finish_tile(
            tile, row, col, self._shift, self._scale, self._begins, self._ends,
            self._products, self._sums, self._squares, self._segments,
        )  # fmt: skip

    def g2(self) -> tuple[Float[np.ndarray, " frame"], ...]:
        """Return the means of C2, their standard errors, and the ratios of sums."""
        pairs = np.round(_autocorrelation((self._totals > 0.0).astype(np.float64)))
        mean = _divide(self._sums, pairs)
        squares = _divide(self._squares, pairs)
        variance = squares - (mean - 1.0) ** 2
        variance = np.where(variance > _ROUNDING * squares, variance, 0.0)
        error = np.where(pairs > 1, np.sqrt(_divide(variance, pairs)), np.nan)
        ratio = _divide(self._pixels * self._products, _autocorrelation(self._totals), pairs > 0)
        return mean, error, ratio

    def segments(self) -> Float[np.ndarray, "delay segment"]:
        """Return the means of C2 in the blocks."""
        length = self._segments.shape[1]
        counted = (self._totals > 0.0)[: SEGMENTS * length].reshape(SEGMENTS, length)
        means = [
            _divide(sums, np.round(_autocorrelation(here.astype(np.float64))))
            for sums, here in zip(self._segments, counted, strict=True)
        ]
        return np.stack(means, axis=1)


def _autocorrelation(series: Float[np.ndarray, " frame"]) -> Float[np.ndarray, " delay"]:
    """Return the sums over t of ``series[t] * series[t + k]``."""
    count = len(series)
    padded = max(2 * count, 1)  # a transform has a point, a block of a short run no frame
    spectrum = np.fft.rfft(series, padded)
    return np.asarray(np.fft.irfft(np.abs(spectrum) ** 2, padded)[:count])


def _divide(
    numerator: Float[np.ndarray, " delay"],
    denominator: Float[np.ndarray, " delay"],
    where: np.ndarray | None = None,
) -> Float[np.ndarray, " delay"]:
    """Divide, NaN where there is nothing to divide by."""
    there = denominator > 0.0 if where is None else where
    return np.where(there, numerator / np.where(there, denominator, 1.0), np.nan)
