"""The multi-tau engine on the array backend: JAX on a CPU or GPU, or NumPy."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol, DeviceManager
from napari_xpcs.correlate.engines import plain
from napari_xpcs.correlate.pixel_slabs import PixelSlab, cut_slabs
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.kernels.multitau_rows import TILE_PIXELS, Level, Slab, add_block, first_sums
from napari_xpcs.kernels.multitau_state import MultiTauState, level_rows

EXACT = 2.0**24
"""Whole numbers below this are exact in float32."""

_MOST_TILES = 32
"""Tiles of a slab at most: the time to call a program is small beside that to run it."""

_WIDE_TILE = 4 * TILE_PIXELS
"""Pixels of a tile for NumPy, where every operation on rows is a call."""

_ALIGNED = 64
"""A compiled program reads memory that starts at a multiple of so many bytes where it lies."""


class ArrayEngine:
    """Adds blocks of one length on the device of a backend.

    Parameters
    ----------
    state
        What was seen so far: a multiple of the block length.  Its arrays are changed in place.
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
        self._length = length
        self._xp = xp
        self._platform = platform_of(xp)
        self._looped = xp.supports_jit and self._platform == "cpu"
        self._tiles, self._width = self._cut(len(pixels.index))
        self._slabs = cut_slabs(pixels.index, self._tiles, self._width)
        # A compiled program does not depend on the length of the run, so every slab has the
        # levels of a block.
        self._levels = max(state.levels, length.bit_length())
        self._sums = [self._load(slab) for slab in self._slabs]
        self._kept = [state.kept]
        last = state.last[: length.bit_length()]
        self._most = [float(last[..., slab.here].max(initial=0.0)) for slab in self._slabs]
        self._rooms: list[Shaped[np.ndarray, "tile frame pixel"]] = []
        self._readers: list[tuple[Any, ...]] = [(), ()]

    @property
    def device(self) -> str:
        """Where it computes, in words."""
        return f"{self._platform}, {self._xp.name}"

    def prepare(self, dtype: np.dtype[Any], *, weighted: bool) -> None:
        """Compile for frames of ``dtype``."""
        self._make_rooms(dtype, weighted=weighted)
        room = self._rooms[0]
        self._xp.block_until_ready(self._add(0, room, 0, narrow=room.dtype.kind == "u"))
        self._xp.block_until_ready(self._heads(room))

    def add(
        self,
        frames: Shaped[np.ndarray, "frame row col"],
        weight: Float[np.ndarray, " frame"] | None,
    ) -> None:
        """Add the next frames, whole or each times its weight."""
        flat = plain(frames).reshape(len(frames), -1)
        self._make_rooms(flat.dtype, weighted=weight is not None)
        seen, fresh = self._state.frames, len(frames)
        brought = []
        for number, slab in enumerate(self._slabs):
            # While a program reads one room, the next slab is put into the other.
            self._xp.block_until_ready(self._readers[number % 2])
            room = self._rooms[number % 2]
            total = slab.fill(flat, weight, room)
            self._state.total[slab.here] += total
            # No sum of a level that lies within a block is larger than the block's own.
            most = max(float(total.max()), 1.0)
            self._most[number] = max(self._most[number], most)
            narrow = room.dtype.kind == "u" and self._most[number] * most < EXACT
            self._sums[number] = self._add(number, room, fresh, narrow=narrow)
            brought.append(() if seen else self._heads(room))
            self._readers[number % 2] = (self._sums[number], brought[-1])
        for number, heads in enumerate(brought):
            self._keep_first(number, heads, fresh)
        self._state = replace(self._state, frames=seen + fresh)
        top = self._state.alignment
        if self._state.begin and seen + fresh >> top > seen >> top:
            kept = np.empty((1, len(self._state.total)), self._state.kept.dtype)
            newest = [np.asarray(slab[top].last)[:, -1:] for slab in self._sums]
            self._gather(newest, kept)
            self._kept.append(kept)

    def state(self) -> MultiTauState:
        """Return the state as NumPy arrays, which the next :meth:`add` changes."""
        state = self._state
        for level in range(state.levels):
            products = state.products[level_rows(level, state.delays_per_level)]
            self._gather([slab[level].products for slab in self._sums], products)
            self._gather([slab[level].last for slab in self._sums], state.last[level])
        self._state = replace(state, kept=np.concatenate(self._kept))
        self._kept = [self._state.kept]
        return self._state

    def close(self) -> None:
        """Drop the arrays of the device."""
        self._sums, self._rooms, self._readers = [], [], [(), ()]

    def _cut(self, pixels: int) -> tuple[int, int]:
        """Return how many tiles a slab has and how wide they are."""
        if self._looped:
            # Powers of two, so that detectors of any size share a few programs.
            tiles = -(-pixels // TILE_PIXELS)
            return min(1 << (tiles - 1).bit_length(), _MOST_TILES), TILE_PIXELS
        if self._xp.supports_jit:
            return 1, _MOST_TILES * TILE_PIXELS
        return 1, min(pixels, _WIDE_TILE)

    def _add(
        self,
        number: int,
        room: Shaped[np.ndarray, "tile frame pixel"],
        fresh: int,
        *,
        narrow: bool,
    ) -> Slab:
        return add_block(
            self._sums[number], room, self._state.frames, fresh, narrow=narrow,
            looped=self._looped, xp=self._xp,
        )  # fmt: skip

    def _heads(self, room: Shaped[np.ndarray, "tile frame pixel"]) -> tuple[Array, ...]:
        return first_sums(room, 2 * self._state.delays_per_level, xp=self._xp)

    def _make_rooms(self, dtype: np.dtype[Any], *, weighted: bool) -> None:
        """Make room for two slabs of counts."""
        # Counts of one byte share the program of those of two, and can be added up in it.
        whole = np.dtype(np.uint16) if dtype == np.uint8 else dtype
        kind = whole if dtype.kind == "u" and not weighted else np.dtype(np.float64)
        if not self._rooms or self._rooms[0].dtype != kind:
            shape = (self._tiles, self._length, self._width)
            self._rooms = [_aligned(shape, kind) for _ in self._readers]

    def _load(self, slab: PixelSlab) -> Slab:
        """Put a slab of the state onto the device."""
        state = self._state
        history = 2 * state.delays_per_level
        levels = []
        for level in range(self._levels):
            rows = level_rows(level, state.delays_per_level)
            if level < state.levels and state.frames:
                products = slab.to_slab(state.products[rows], self._tiles)
                last = slab.to_slab(state.last[level], self._tiles)
            else:
                products = np.zeros((self._tiles, rows.stop - rows.start, self._width))
                last = np.zeros((self._tiles, history, self._width))
            levels.append(Level(products=self._xp.asarray(products), last=self._xp.asarray(last)))
        return tuple(levels)

    def _keep_first(self, number: int, heads: tuple[Array, ...], fresh: int) -> None:
        """Remember the first sums of a level; those that are not its last ones are ``heads``."""
        seen = self._state.frames
        for level, first in enumerate(self._state.first):
            history, known = len(first), seen >> level
            brought = (seen + fresh >> level) - known
            if not brought or known >= history:
                continue
            if brought > history:
                sums = np.asarray(heads[level])
            else:
                sums = np.asarray(self._sums[number][level].last)[:, history - brought :]
            stop = min(known + brought, history)
            self._slabs[number].from_slab(sums[:, : stop - known], first[known:stop])

    def _gather(self, tiles: Iterable[Array], into: Shaped[np.ndarray, "row pixel"]) -> None:
        """Write an array of every slab into rows of the used pixels."""
        for slab, of_slab in zip(self._slabs, tiles, strict=True):
            slab.from_slab(np.asarray(of_slab), into)


def platform_of(xp: BackendProtocol) -> str:
    """Return where a backend computes: ``cpu``, ``gpu``."""
    return DeviceManager.instance().info().platform if xp.supports_gpu else "cpu"


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Shaped[np.ndarray, "..."]:
    """Return zeros in memory that a compiled program need not copy."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + _ALIGNED, np.uint8)
    start = -memory.ctypes.data % _ALIGNED
    return memory[start : start + size].view(dtype).reshape(shape)
