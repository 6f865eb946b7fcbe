"""Frames that stay in their file until somebody looks at them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from napari_xpcs.errors import FileFormatError, XpcsError

WHOLE_RUN_LIMIT_BYTES = 1 << 30
"""Above this, turning all frames into one array must be asked for as ``frames[:]``."""

LARGEST_FRAME_PIXELS = 2**28
MOST_FRAMES = 2**31
"""No detector has 268 million pixels or runs for 2 billion frames."""

Stored: TypeAlias = slice | np.ndarray
"""What is read along one axis: a forward slice within bounds, or ascending positions."""


class LazyFrames(ABC):
    """Array-like (frame, row, col) whose frames are read when they are asked for.

    Indexing follows numpy for integers, slices (steps of either sign), ``...`` and one array
    of indices or booleans.  Threads may share the object and it can be pickled: it holds names
    and numbers only.  A kind of frames gives ``shape``, ``dtype``, ``path`` and :meth:`read`.
    """

    __slots__ = ()

    path: Path
    shape: tuple[int, int, int]
    """Frames, rows, columns."""
    dtype: np.dtype[Any]
    """Type of a count, in native byte order."""

    @abstractmethod
    def read(self, frames: Stored, rows: Stored, cols: Stored) -> np.ndarray:
        """Return a block of three axes; no selection is empty."""

    def read_whole(self, frames: Stored, room: np.ndarray) -> np.ndarray:
        """Return whole frames, in ``room`` where this kind of file can be unpacked there.

        Parameters
        ----------
        frames
            A forward slice within bounds, or ascending positions; not none.
        room
            (frame, row, col) memory of the type of a count, used where it is large enough.
        """
        return self[frames]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is amiss with these frames as a whole, in words."""
        return ()

    @property
    def ndim(self) -> int:
        """Three: frame, row, column."""
        return 3

    @property
    def size(self) -> int:
        """Number of pixels in all frames."""
        frames, rows, cols = self.shape
        return frames * rows * cols

    @property
    def nbytes(self) -> int:
        """Bytes of all frames once they are decompressed."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in range(len(self)):
            yield self[frame]

    def __getitem__(self, key: Any) -> np.ndarray:
        axes = zip(self._expand(key), self.shape, strict=True)
        plans = [_plan_axis(item, length, axis) for axis, (item, length) in enumerate(axes)]
        if sum(isinstance(plan.stored, np.ndarray) for plan in plans) > 1:
            msg = "Frames are indexed with at most one array of indices."
            raise IndexError(msg)
        counts = [plan.count for plan in plans]
        if all(counts):
            block = self.read(*(plan.stored for plan in plans)).astype(self.dtype, copy=False)
        else:
            block = np.empty(counts, self.dtype)
        return np.ascontiguousarray(block[tuple(plan.rest for plan in plans)])

    def _expand(self, key: Any) -> tuple[Any, ...]:
        """Return one index per axis."""
        given = key if isinstance(key, tuple) else (key,)
        dots = [position for position, item in enumerate(given) if item is Ellipsis]
        if len(dots) > 1 or len(given) - len(dots) > self.ndim:
            msg = f"Frames have 3 axes, got the index {key!r}."
            raise IndexError(msg)
        before, after = (given[: dots[0]], given[dots[0] + 1 :]) if dots else (given, ())
        return (*before, *[slice(None)] * (self.ndim - len(before) - len(after)), *after)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.nbytes > WHOLE_RUN_LIMIT_BYTES:
            msg = (
                f"All {len(self)} frames of {self.path.name} are {self.nbytes / 2**30:.1f} GiB and "
                "are not loaded unasked. Take a range, frames[a:b], or all of them, frames[:]."
            )
            raise XpcsError(msg)
        if copy is False:
            msg = "Frames in a file cannot become an array without a copy."
            raise ValueError(msg)
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)


def refuse_impossible_size(path: Path, shape: tuple[int, ...]) -> None:
    """Raise :class:`FileFormatError` for a shape that only a damaged file can tell."""
    if shape[-1] * shape[-2] > LARGEST_FRAME_PIXELS or max(shape) > MOST_FRAMES:
        msg = f"{path.name} tells the impossible shape {shape}: it is damaged."
        raise FileFormatError(msg)


@dataclass(frozen=True, slots=True)
class _AxisPlan:
    """What to read along one axis (HDF5 knows forward steps only) and how to arrange it then."""

    stored: slice | np.ndarray
    rest: int | slice | np.ndarray
    count: int


def _plan_axis(key: Any, length: int, axis: int) -> _AxisPlan:
    if isinstance(key, slice):
        chosen = range(*key.indices(length))
        forward = chosen if chosen.step > 0 else chosen[::-1]
        count = len(chosen)
        stored = slice(forward.start, forward[-1] + 1, forward.step) if count else slice(0, 0)
        return _AxisPlan(stored, slice(None, None, 1 if chosen.step > 0 else -1), count)
    if isinstance(key, list | np.ndarray) and np.ndim(key) == 1:
        positions = _positions(np.asarray(key), length, axis)
        ascending, rest = np.unique(positions, return_inverse=True)
        return _AxisPlan(ascending, rest, len(ascending))
    try:
        position = index(key)
    except TypeError as fault:
        msg = (
            f"Axis {axis} of frames takes an integer, a slice or one list of indices, got {key!r}."
        )
        raise IndexError(msg) from fault
    position = int(_positions(np.array([position]), length, axis)[0])
    return _AxisPlan(slice(position, position + 1), 0, 1)


def _positions(key: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Return non-negative positions for indices or booleans, checked against the length."""
    if key.dtype.kind == "b":
        if len(key) != length:
            msg = f"{len(key)} booleans cannot index axis {axis} with {length} entries."
            raise IndexError(msg)
        return np.flatnonzero(key)
    if key.size and key.dtype.kind not in "iu":
        msg = f"Axis {axis} of frames takes integers, got {key.dtype}."
        raise IndexError(msg)
    key = key.astype(np.int64)
    positions = np.where(key < 0, key + length, key)
    if ((positions < 0) | (positions >= length)).any():
        wrong = key[(positions < 0) | (positions >= length)][0]
        msg = f"index {wrong} is out of bounds for axis {axis} with {length} entries"
        raise IndexError(msg)
    return positions
