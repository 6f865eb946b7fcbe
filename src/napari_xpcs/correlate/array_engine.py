"""The multi-tau engine on the array backend: JAX on a CPU or GPU, or NumPy."""

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

from napari_xpcs.backends import BackendProtocol, DeviceManager
from napari_xpcs.correlate.engines import plain
from napari_xpcs.correlate.pixel_slabs import PixelSlab, cut_slabs
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.kernels.multitau_rows import TILE_PIXELS, BlockSums, block_sums
from napari_xpcs.kernels.multitau_state import MultiTauState

EXACT = 2.0**24
"""Whole numbers below this are exact in float32."""

_MOST_TILES = 32
"""Tiles of a slab at most: the time to call a program is small beside that to run it."""

_WIDE_TILE = 16 * TILE_PIXELS
"""Pixels of a tile for NumPy, where every operation on rows is a call."""

_DEVICE_TILE = 128 * TILE_PIXELS
"""Pixels of a tile for a GPU, which works on all of them at once."""

Rooms: TypeAlias = tuple[Shaped[np.ndarray, "tile *row pixel"], ...]

_ALIGNED = 64
"""A compiled program reads memory that starts at a multiple of so many bytes where it lies."""


class ArrayEngine:
    """Adds blocks of one length on the device of a backend.

    The device works out what a block adds to the levels that lie within it; the state itself
    stays in the memory of the host, which is written to once and never copied.

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
        # A compiled program does not depend on the length of the run: it always has the levels
        # of a block, of which a short run leaves out the highest.
        self._levels = length.bit_length()
        self._kept = [state.kept]
        last = state.last[: self._levels]
        self._most = [float(last[..., slab.here].max(initial=0.0)) for slab in self._slabs]
        self._rooms: dict[tuple[tuple[int, ...], np.dtype[Any]], Rooms] = {}

    @property
    def device(self) -> str:
        """Where it computes, in words."""
        return f"{self._platform}, {self._xp.name}"

    def prepare(self, dtype: np.dtype[Any], *, weighted: bool) -> None:
        """Compile for frames of ``dtype``."""
        room = self._frame_rooms(dtype, weighted=weighted)[0]
        last = self._last_rooms(narrow=room.dtype.kind == "u")[0]
        self._xp.block_until_ready(self._sums(last, room, 0))

    def add(
        self,
        frames: Shaped[np.ndarray, "frame row col"],
        weight: Float[np.ndarray, " frame"] | None,
    ) -> None:
        """Add the next frames, whole or each times its weight."""
        flat = plain(frames).reshape(len(frames), -1)
        state, fresh = self._state, len(frames)
        rooms = self._frame_rooms(flat.dtype, weighted=weight is not None)
        started: list[tuple[PixelSlab, BlockSums]] = []
        for number, slab in enumerate(self._slabs):
            room = rooms[number % 2]
            total = slab.fill(flat, weight, room)
            state.total[slab.here] += total
            # No sum of a level that lies within a block is larger than the block's own.
            most = max(float(total.max()), 1.0)
            self._most[number] = max(self._most[number], most)
            narrow = room.dtype.kind == "u" and self._most[number] * most < EXACT
            last = self._last_rooms(narrow=narrow)[number % 2]
            for known, into in slab.pairs(state.last[: self._levels], last[:, : state.levels]):
                into[:] = known
            started.append((slab, self._sums(last, room, fresh)))
            # While the device works on one room, the next slab is put into the other.
            if len(started) > 1:
                self._take(*started.pop(0))
        for slab, sums in started:
            self._take(slab, sums)
        self._add_above(fresh)
        self._remember_first(fresh)
        seen, top = state.frames, state.alignment
        if state.begin and seen + fresh >> top > seen >> top:
            self._kept.append(state.last[top, -1:].copy())
        self._state = replace(state, frames=seen + fresh)

    def state(self) -> MultiTauState:
        """Return the state; the arrays are those that the next :meth:`add` changes."""
        if len(self._kept) > 1:
            self._state = replace(self._state, kept=np.concatenate(self._kept))
            self._kept = [self._state.kept]
        return self._state

    def close(self) -> None:
        """Drop what the engine holds beside the state."""
        self._rooms = {}

    def _cut(self, pixels: int) -> tuple[int, int]:
        """Return how many tiles a slab has and how wide they are."""
        if self._looped:
            # Powers of two, so that detectors of any size share a few programs.
            tiles = -(-pixels // TILE_PIXELS)
            return min(1 << (tiles - 1).bit_length(), _MOST_TILES), TILE_PIXELS
        if self._xp.supports_jit:
            return 1, _DEVICE_TILE
        return 1, min(pixels, _WIDE_TILE)

    def _frame_rooms(self, dtype: np.dtype[Any], *, weighted: bool) -> Rooms:
        """Return room for the counts of two slabs."""
        # Counts of one byte share the program of those of two, and can be added up in it.
        whole = np.dtype(np.uint16) if dtype == np.uint8 else dtype
        kind = whole if dtype.kind == "u" and not weighted else np.dtype(np.float64)
        return self._rooms_of((self._length,), kind)

    def _last_rooms(self, *, narrow: bool) -> Rooms:
        """Return room for the last sums of two slabs, of the type that the device works in."""
        shape = (self._levels, 2 * self._state.delays_per_level)
        return self._rooms_of(shape, np.dtype(np.float32 if narrow else np.float64))

    def _rooms_of(self, rows: tuple[int, ...], dtype: np.dtype[Any]) -> Rooms:
        if (rows, dtype) not in self._rooms:
            shape = (self._tiles, *rows, self._width)
            self._rooms[rows, dtype] = (_aligned(shape, dtype), _aligned(shape, dtype))
        return self._rooms[rows, dtype]

    def _sums(
        self,
        last: Float[np.ndarray, "tile level history pixel"],
        room: Shaped[np.ndarray, "tile frame pixel"],
        fresh: int,
    ) -> BlockSums:
        return block_sums(last, room, fresh, looped=self._looped, xp=self._xp)

    def _take(self, slab: PixelSlab, sums: BlockSums) -> None:
        """Put what a block adds to a slab into the state."""
        state = self._state
        products, last = np.asarray(sums.products), np.asarray(sums.last)
        inside = state.products[: products.shape[1]]
        for into, found in slab.pairs(inside, products[:, : len(inside)]):
            into += found
        for into, found in slab.pairs(state.last[: self._levels], last[:, : state.levels]):
            into[:] = found
        if not state.frames:
            for known, first in zip(state.first, sums.first, strict=False):
                for into, found in slab.pairs(known, np.asarray(first)):
                    into[:] = found

    def _add_above(self, fresh: int) -> None:
        """Add to the levels above a block, which get a sum whenever the one below has got two."""
        state, delays = self._state, self._state.delays_per_level
        for level in range(self._levels, state.levels):
            if fresh < self._length or (state.frames + fresh) % (1 << level):
                return
            for slab in self._slabs:
                last = state.last[level, :, slab.here]
                pair = state.last[level - 1, -2:, slab.here].sum(axis=0, dtype=last.dtype)
                earlier = last[delays - 1 :: -1].astype(np.float64)
                state.products[state.rows(level), slab.here] += earlier * pair
                last[:-1] = last[1:]
                last[-1] = pair

    def _remember_first(self, fresh: int) -> None:
        """Copy to the first sums those that are among the last ones, too."""
        state = self._state
        for level, first in enumerate(state.first):
            history, known = len(first), state.frames >> level
            brought = (state.frames + fresh >> level) - known
            if known < history and 0 < brought <= history:
                room = first[known : known + brought]
                room[:] = state.last[level, history - brought :][: len(room)]


def platform_of(xp: BackendProtocol) -> str:
    """Return where a backend computes: ``cpu``, ``gpu``."""
    return DeviceManager.instance().info().platform if xp.supports_gpu else "cpu"


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Shaped[np.ndarray, "..."]:
    """Return zeros in memory that a compiled program need not copy."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + _ALIGNED, np.uint8)
    start = -memory.ctypes.data % _ALIGNED
    return memory[start : start + size].view(dtype).reshape(shape)
