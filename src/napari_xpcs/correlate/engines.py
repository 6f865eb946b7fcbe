"""Engines that add dense frames to the state of a multi-tau run.

Each takes the same blocks and leaves the same :class:`MultiTauState`; they differ in speed and in
the device that they use.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Shaped

from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.errors import check_choice
from napari_xpcs.kernels.multitau_state import MultiTauState

ENGINES = ("auto", "dense", "events", "numba", "array")
"""``dense`` is the best engine for dense frames on this computer, ``array`` the array backend."""


class DenseEngine(Protocol):
    """Adds blocks of frames to a state."""

    @property
    def name(self) -> str:
        """What is written into the result file."""
        ...

    @property
    def device(self) -> str:
        """Where it computes, in words."""
        ...

    def prepare(self, dtype: np.dtype[Any], *, weighted: bool) -> None:
        """Compile for frames of ``dtype``: seconds, once for each computer."""
        ...

    def add(
        self,
        frames: Shaped[np.ndarray, "frame row col"],
        weight: Float[np.ndarray, " frame"] | None,
    ) -> None:
        """Add the next frames, whole or each times its weight."""
        ...

    def state(self) -> MultiTauState:
        """Return the state; the arrays are those that the next :meth:`add` changes."""
        ...

    def close(self) -> None:
        """Give up what the engine holds beside the state."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """An engine and why it was taken."""

    name: str
    reason: str


def choose_engine(wanted: str, *, events: bool, prefer_gpu: bool) -> EngineChoice:
    """Return the engine for a run.

    Parameters
    ----------
    wanted
        One of :data:`ENGINES`.
    events
        Whether the file holds events rather than frames, and so few that these are quicker.
    prefer_gpu
        Whether the user asked for a GPU (``XPCS_USE_GPU``).

    Raises
    ------
    ChoiceError
        There is no such engine.
    """
    check_choice("engine", wanted, ENGINES)
    if wanted == "auto" and events:
        return EngineChoice(name="events", reason="the file holds few events per frame")
    if wanted in ("auto", "dense"):
        if prefer_gpu:
            return EngineChoice(name="array", reason="XPCS_USE_GPU asks for a GPU")
        reason = "quickest for dense frames on a CPU"
        return EngineChoice(name="numba", reason=reason)
    return EngineChoice(name=wanted, reason="asked for")


class NumbaEngine:
    """Compiled loops over tiles of pixels, on all cores that this process may use.

    Parameters
    ----------
    state
        Its arrays are changed in place.
    pixels
        The used pixels of a frame.
    threads
        By default one for each core that the process may use.
    """

    name = "numba"

    def __init__(
        self, state: MultiTauState, pixels: UsedPixels, *, threads: int | None = None
    ) -> None:
        self._state = state
        self._index = np.ascontiguousarray(pixels.index)
        self._kept: list[Shaped[np.ndarray, "sum pixel"]] = []
        self._threads = threads or usable_cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="multi-tau")

    @property
    def device(self) -> str:
        """Where it computes, in words."""
        return f"cpu, {self._threads} threads"

    def prepare(self, dtype: np.dtype[Any], *, weighted: bool) -> None:
        """Compile for frames of ``dtype``."""
        none = np.zeros((0, 1, 1), dtype)
        self._work(none, np.zeros(0) if weighted else None, self._empty(0))

    def add(
        self,
        frames: Shaped[np.ndarray, "frame row col"],
        weight: Float[np.ndarray, " frame"] | None,
    ) -> None:
        """Add the next frames, whole or each times its weight."""
        state = self._state
        seen = state.frames
        kept = self._empty(0)
        if state.begin:
            top = state.alignment
            kept = self._empty((seen + len(frames) >> top) - (seen >> top))
        self._work(frames, weight, kept)
        if len(kept):
            self._kept.append(kept)
        self._state = replace(state, frames=seen + len(frames))

    def state(self) -> MultiTauState:
        """Return the state; the arrays are those that the next :meth:`add` changes."""
        if self._kept:
            kept = np.concatenate([self._state.kept, *self._kept])
            self._state, self._kept = replace(self._state, kept=kept), []
        return self._state

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _empty(self, sums: int) -> Shaped[np.ndarray, "sum pixel"]:
        return np.zeros((sums, len(self._index)), self._state.first.dtype)

    def _work(
        self,
        frames: Shaped[np.ndarray, "frame row col"],
        weight: Float[np.ndarray, " frame"] | None,
        kept: Shaped[np.ndarray, "sum pixel"],
    ) -> None:
        from napari_xpcs.correlate._numba_multitau import TILE, add_weighted, add_whole

        flat = plain(frames).reshape(len(frames), frames.shape[1] * frames.shape[2])
        if weight is None and flat.dtype.kind == "f":
            weight = np.ones(len(flat))
        state = self._state
        kernel: Any = add_whole if weight is None else add_weighted
        narrow = flat.dtype.itemsize <= 2 and len(flat) < 2**16
        of_frames = np.uint32 if narrow else np.uint64
        # A whole number of tiles for each thread, and a few parts each for even work.
        pixels = len(self._index)
        length = max(-(-pixels // (4 * self._threads * TILE)), 1) * TILE

        def add(start: int) -> None:
            stop = min(start + length, pixels)
            sums = (state.total, state.products, state.first, state.last, kept)
            more = np.zeros(TILE, of_frames) if weight is None else np.ascontiguousarray(weight)
            kernel(flat, more, self._index, start, stop, state.frames, *sums)

        list(self._pool.map(add, range(0, pixels, length)))


def plain(frames: Shaped[np.ndarray, "frame row col"]) -> Shaped[np.ndarray, "frame row col"]:
    """Return frames in the byte order of the computer, row after row; a copy only if needed.

    Counts are never negative: signed ones are looked at as unsigned, for fewer types to compile.
    """
    frames = np.ascontiguousarray(frames, dtype=frames.dtype.newbyteorder("="))
    return frames.view(f"u{frames.itemsize}") if frames.dtype.kind == "i" else frames


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
