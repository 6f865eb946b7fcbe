"""The multi-tau engine on the array backend: JAX on a CPU or GPU, or NumPy."""

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

from napari_xpcs.backends import BackendProtocol, DeviceManager
from napari_xpcs.correlate.engines import plain, usable_cores
from napari_xpcs.correlate.pixel_slabs import cut_slabs
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.kernels.multitau_rows import TILE_PIXELS, BlockSums, block_sums
from napari_xpcs.kernels.multitau_state import MultiTauState

EXACT = 2.0**24
"""Whole numbers below this are exact in float32."""

_FITTING = 2.0**48
"""Squares of the sums of a block of smaller counts do not overflow float32."""

_MOST_TILES = 16
"""Tiles of a slab at most: the time to call a program is small beside that to run it."""

_WIDE_TILE = 16 * TILE_PIXELS
"""Pixels of a tile for NumPy, where every operation on rows is a call."""

_DEVICE_TILE = 128 * TILE_PIXELS
"""Pixels of a tile for a GPU, which works on all of them at once."""

Rooms: TypeAlias = tuple[Shaped[np.ndarray, "tile frame pixel"], ...]

_ALIGNED = 64
"""A compiled program reads memory that starts at a multiple of so many bytes where it lies."""


class ArrayEngine:
    """Adds blocks of one length on the device of a backend.

    The device works out what a block adds to the levels that lie within it.  The state stays in
    the memory of the host; beside it there are the last sums of these levels, tile by tile as a
    program takes them.  Sums of whole counts are worked out in float32 until those of a slab
    have become too large to be exact in it.

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
        self._last = self._load()
        self._rooms: Rooms = ()

    @property
    def device(self) -> str:
        """Where it computes, in words."""
        return f"{self._platform}, {self._xp.name}"

    def prepare(self, dtype: np.dtype[Any], *, weighted: bool) -> None:
        """Compile for frames of ``dtype``."""
        self._make_rooms(dtype, weighted=weighted)
        self._xp.block_until_ready(self._sums(0, 0))

    def add(
        self,
        frames: Shaped[np.ndarray, "frame row col"],
        weight: Float[np.ndarray, " frame"] | None,
    ) -> None:
        """Add the next frames, whole or each times its weight."""
        flat = plain(frames).reshape(len(frames), -1)
        self._make_rooms(flat.dtype, weighted=weight is not None)
        state, fresh = self._state, len(frames)
        started: list[tuple[int, BlockSums]] = []
        for number, slab in enumerate(self._slabs):
            # While the device works on one room, the next slab is put into the other.
            if len(started) == len(self._rooms):
                self._take(*started.pop(0), fresh)
            slab.fill(flat, weight, self._rooms[number % len(self._rooms)])
            started.append((number, self._sums(number, fresh)))
        for number, sums in started:
            self._take(number, sums, fresh)
        self._add_above(fresh)
        self._remember_first(fresh)
        seen, top = state.frames, state.alignment
        if state.begin and seen + fresh >> top > seen >> top:
            self._show(top)
            self._kept.append(state.last[top, -1:].copy())
        self._state = replace(state, frames=seen + fresh)

    def state(self) -> MultiTauState:
        """Return the state; the arrays are those that the next :meth:`add` changes."""
        for level in range(self._state.frames.bit_length()):
            self._show(level)
        self._state = replace(self._state, kept=np.concatenate(self._kept))
        self._kept = [self._state.kept]
        return self._state

    def close(self) -> None:
        """Drop what the engine holds beside the state."""
        self._last, self._rooms = [], ()

    def _cut(self, pixels: int) -> tuple[int, int]:
        """Return how many tiles a slab has and how wide they are."""
        if self._looped:
            # Powers of two, so that detectors of any size share a few programs.
            tiles = -(-pixels // TILE_PIXELS)
            return min(1 << (tiles - 1).bit_length(), _MOST_TILES), TILE_PIXELS
        if self._xp.supports_jit:
            return 1, _DEVICE_TILE
        return 1, min(pixels, _WIDE_TILE)

    def _make_rooms(self, dtype: np.dtype[Any], *, weighted: bool) -> None:
        """Make room for the counts of two slabs, of one where a single core does all the work."""
        # Counts of one byte share the program of those of two.
        whole = np.dtype(np.uint16) if dtype == np.uint8 else dtype
        kind = whole if dtype.kind == "u" and not weighted else np.dtype(np.float64)
        if not self._rooms or self._rooms[0].dtype != kind:
            shape = (self._tiles, self._length, self._width)
            alone = self._looped and usable_cores() == 1
            self._rooms = tuple(_aligned(shape, kind) for _ in range(1 if alone else 2))

    def _load(self) -> list[Float[np.ndarray, "tile level history pixel"]]:
        """Return the last sums of the levels of a block, slab by slab."""
        state = self._state
        known = state.last[: self._levels]
        # Zeros of a new state take no memory before they are looked at.
        most = float(known.max(initial=1.0)) if state.frames else 1.0
        narrow = state.largest_count < _FITTING and most**2 < EXACT
        tiles = len(self._slabs) * self._tiles
        shape = (tiles, self._levels, known.shape[1], self._width)
        every = _aligned(shape, np.dtype(np.float32 if narrow else np.float64))
        loaded = [every[at : at + self._tiles] for at in range(0, tiles, self._tiles)]
        if state.frames:
            for slab, last in zip(self._slabs, loaded, strict=True):
                for sums, into in slab.pairs(known, last[:, : len(known)]):
                    into[:] = sums
        self._most = [most] * len(self._slabs)
        return loaded

    def _sums(self, number: int, fresh: int) -> BlockSums:
        room = self._rooms[number % len(self._rooms)]
        return block_sums(self._last[number], room, fresh, looped=self._looped, xp=self._xp)

    def _take(self, number: int, sums: BlockSums, fresh: int) -> None:
        """Put what a block adds to a slab into the state."""
        state, slab = self._state, self._slabs[number]
        last = np.asarray(sums.last)
        # A block as a whole is in its newest sums of those levels that make up its length.
        parts = [last[:, level, -1] for level in range(self._levels) if fresh >> level & 1]
        total = np.sum(parts, axis=0)
        # No sum of a level that lies within a block is larger than the block's own.
        self._most[number] = max(self._most[number], float(total.max()))
        if last.dtype == np.float32 and self._most[number] ** 2 >= EXACT:
            self._last[number] = self._last[number].astype(np.float64)
            self._take(number, self._sums(number, fresh), fresh)
            return
        self._last[number][:] = last
        for into, found in slab.pairs(state.total, total):
            into += found
        # In the order of the rows of the state, which makes this twice as fast.
        products = np.asarray(sums.products).swapaxes(0, 1).astype(np.float64, order="C")
        inside = state.products[: len(products)]
        for into, found in slab.pairs(inside, products.swapaxes(0, 1)[:, : len(inside)]):
            into += found
        if not state.frames:
            for known, first in zip(state.first, sums.first, strict=False):
                for into, found in slab.pairs(known, np.asarray(first)):
                    into[:] = found

    def _show(self, level: int) -> None:
        """Bring the last sums of a level of the state up to date."""
        if level < self._levels:
            for slab, last in zip(self._slabs, self._last, strict=True):
                for into, found in slab.pairs(self._state.last[level], last[:, level]):
                    into[:] = found

    def _add_above(self, fresh: int) -> None:
        """Add to the levels above a block, which get a sum whenever the one below has got two."""
        state, delays = self._state, self._state.delays_per_level
        for level in range(self._levels, state.levels):
            if fresh < self._length or (state.frames + fresh) % (1 << level):
                return
            self._show(level - 1)
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
                self._show(level)
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
