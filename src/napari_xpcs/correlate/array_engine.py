"""The multi-tau engine on the array backend: JAX on a CPU or GPU, or NumPy."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.engines import plain
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.kernels.multitau_rows import TILE_PIXELS, Level, Tile, add_block
from napari_xpcs.kernels.multitau_state import MultiTauState, level_rows

EXACT = 2.0**24
"""Whole numbers below this are exact in float32."""


class ArrayEngine:
    """Adds blocks of one length on the device of a backend.

    Parameters
    ----------
    state
        What was seen so far: a multiple of the block length.
    pixels
        The used pixels of a frame.
    length
        Frames of every block but the last, a power of two up to ``2**state.alignment``.
    """

    name = "array"

    def __init__(
        self, state: MultiTauState, pixels: UsedPixels, length: int, *, xp: BackendProtocol
    ) -> None:
        self._state = state
        self._pixels = pixels
        self._length = length
        self._xp = xp
        # A compiled program does not depend on the length of the run, so every tile has the
        # levels of a block.
        self._levels = max(state.levels, length.bit_length())
        self._tiles = [self._load(start) for start in self._starts]
        self._total = state.total.copy()
        self._kept = [state.kept]
        self._most = float(max((sums.max(initial=0.0) for sums in state.last), default=0.0))

    @property
    def device(self) -> str:
        """Where it computes, in words."""
        where = "gpu" if self._xp.supports_gpu else "cpu"
        return f"{where}, {self._xp.name}"

    def prepare(self, dtype: np.dtype[Any], *, weighted: bool) -> None:
        """Compile for frames of ``dtype``."""
        narrow = dtype.kind in "ui" and not weighted
        tile = np.zeros((self._length, TILE_PIXELS), dtype if narrow else np.float64)
        self._xp.block_until_ready(
            add_block(
                self._tiles[0], self._xp.asarray(tile), 0, 0, narrow=narrow, xp=self._xp
            )[0].products
        )  # fmt: skip

    def add(
        self,
        frames: Shaped[np.ndarray, "frame row col"],
        weight: Float[np.ndarray, " frame"] | None,
    ) -> None:
        """Add the next frames, whole or each times its weight."""
        counts = self._pixels.take(plain(frames))
        if weight is not None:
            counts = counts * weight[:, None]
        elif counts.dtype.kind == "f":
            counts = counts.astype(np.float64)
        total = counts.sum(axis=0, dtype=np.float64)
        # No sum of a level that lies within a block is larger than the block's own.
        most = float(total.max())
        self._most = max(self._most, most)
        narrow = counts.dtype.kind in "ui" and self._most * most < EXACT
        self._total += total
        seen, fresh = self._state.frames, len(counts)
        self._tiles = [
            add_block(
                tile, self._xp.asarray(self._cut(counts, start)), seen, fresh, narrow=narrow,
                xp=self._xp,
            )
            for tile, start in zip(self._tiles, self._starts, strict=True)
        ]  # fmt: skip
        self._state = replace(self._state, frames=seen + fresh)
        top = self._state.alignment
        if self._state.begin and seen + fresh >> top > seen >> top:
            self._kept.append(self._gather(lambda tile: tile[top].last[-1:], 1))

    def state(self) -> MultiTauState:
        """Return the state as NumPy arrays."""
        state = self._state
        history = 2 * state.delays_per_level
        levels = state.levels
        products = np.zeros_like(state.products)
        first, last = np.zeros_like(state.first), np.zeros_like(state.last)
        for level in range(levels):
            rows = level_rows(level, state.delays_per_level)
            count = rows.stop - rows.start
            products[rows] = self._gather(lambda tile, at=level: tile[at].products, count)
            first[level] = self._gather(lambda tile, at=level: tile[at].first, history)
            last[level] = self._gather(lambda tile, at=level: tile[at].last, history)
        kept = np.concatenate(self._kept).astype(state.kept.dtype)
        return replace(
            state, products=products, first=first, last=last, total=self._total.copy(), kept=kept
        )

    def close(self) -> None:
        """Drop the arrays of the device."""
        self._tiles = []

    @property
    def _starts(self) -> range:
        return range(0, len(self._pixels.index), TILE_PIXELS)

    def _load(self, start: int) -> Tile:
        """Put a tile of the state onto the device."""
        state = self._state
        here = slice(start, min(start + TILE_PIXELS, len(state.total)))
        history = 2 * state.delays_per_level
        tile = []
        for level in range(self._levels):
            rows = level_rows(level, state.delays_per_level)
            arrays = [np.zeros((rows.stop - rows.start, TILE_PIXELS))]
            arrays += [np.zeros((history, TILE_PIXELS)) for _ in range(2)]
            if level < state.levels:
                stored = (state.products[rows], state.first[level], state.last[level])
                for array, values in zip(arrays, stored, strict=True):
                    array[:, : here.stop - here.start] = values[:, here]
            tile.append(Level(*(self._xp.asarray(array) for array in arrays)))
        return tuple(tile)

    def _cut(
        self, counts: Shaped[np.ndarray, "frame pixel"], start: int
    ) -> Shaped[np.ndarray, "frame pixel"]:
        """Return the counts of a tile, filled up to one shape with zeros."""
        part = counts[:, start : start + TILE_PIXELS]
        if part.shape == (self._length, TILE_PIXELS):
            return part
        tile = np.zeros((self._length, TILE_PIXELS), counts.dtype)
        tile[: len(part), : part.shape[1]] = part
        return tile

    def _gather(self, part: Any, rows: int) -> Float[np.ndarray, "row pixel"]:
        """Return an array of all tiles beside each other."""
        whole = np.empty((rows, len(self._tiles) * TILE_PIXELS))
        for tile, start in zip(self._tiles, self._starts, strict=True):
            whole[:, start : start + TILE_PIXELS] = self._xp.to_numpy(part(tile))
        return whole[:, : len(self._pixels.index)]
