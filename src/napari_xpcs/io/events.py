"""Runs that are stored as photons: one list of (frame, pixel, count), shown as frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int, Shaped

from napari_xpcs._typing import Image, Mask
from napari_xpcs.errors import FileFormatError, XpcsError
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.progress import Progress, Steps

EVENTS_AT_ONCE = 1 << 22
"""Entries that are read together where a result is summed up over many frames."""

WHOLE_RUN_LIMIT_BYTES = 1 << 30
"""Above this, turning all frames into one array must be asked for as ``frames[:]``."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """What was counted, frames ascending; ``pixel`` is row * columns + column."""

    frame: Int[np.ndarray, " event"]
    pixel: Int[np.ndarray, " event"]
    count: Shaped[np.ndarray, " event"]


class EventSource(Protocol):
    """A run that lists what was counted."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a count."""
        ...

    @property
    def starts(self) -> Int[np.ndarray, " frame+1"]:
        """Entries stored before each frame, and in all; what a read costs."""
        ...

    def read(self, begin: int, end: int) -> Events:
        """Return the events of the frames from ``begin`` up to before ``end``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class EventFrames:
    """Array-like (frame, row, col) view of a run of events; the run is never dense as a whole.

    Indexing follows numpy for integers, slices, ``...`` and one list of frames; only the
    frames that are asked for become dense.
    """

    source: EventSource

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a count."""
        return self.source.dtype

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
        """Bytes of all frames once they are dense."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in range(len(self)):
            yield self[frame]

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = _split(key)
        if isinstance(first, slice):
            numbers = range(len(self))[first]
            forward = numbers if numbers.step > 0 else numbers[::-1]
            block = self._dense(forward)
            return np.asarray(block[:: 1 if numbers.step > 0 else -1][(slice(None), *rest)])
        if np.ndim(first) == 0:
            number = range(len(self))[first]
            return np.asarray(self._dense(range(number, number + 1))[(0, *rest)])
        chosen = np.arange(len(self))[np.asarray(first)]
        ascending, order = np.unique(chosen, return_inverse=True)
        blocks = [self._dense(range(number, number + 1)) for number in ascending.tolist()]
        block = np.concatenate(blocks) if blocks else self._dense(range(0))
        return np.asarray(block[order][(slice(None), *rest)])

    def events(self, begin: int, end: int) -> Events:
        """Return the events of the frames from ``begin`` up to before ``end``.

        Raises
        ------
        FileFormatError
            The file ends early or holds pixels that the detector does not have.
        """
        if not 0 <= begin <= end <= len(self):
            msg = f"There are the frames 0 to {len(self) - 1}, asked for {begin} to {end - 1}."
            raise IndexError(msg)
        return self.source.read(begin, end)

    def sum_of(self, begin: int, end: int) -> Image:
        """Return the sum of frames, without a dense frame on the way."""
        _, rows, cols = self.shape
        total = np.zeros(rows * cols)
        for first, last in self.spans(begin, end):
            events = self.events(first, last)
            total += np.bincount(events.pixel, weights=events.count, minlength=rows * cols)
        image = total.reshape(rows, cols)
        return image if self.dtype.kind == "f" else image.astype(np.int64)

    def spans(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Divide frames into spans of at most :data:`EVENTS_AT_ONCE` entries where that can be."""
        starts = self.source.starts
        while begin < end:
            full = np.searchsorted(starts, starts[begin] + EVENTS_AT_ONCE, side="right") - 1
            stop = min(max(int(full), begin + 1), end)
            yield begin, stop
            begin = stop

    def _dense(self, numbers: range) -> Shaped[np.ndarray, "frame row col"]:
        """Return the frames of ``numbers``, a forward range."""
        _, rows, cols = self.shape
        block = np.zeros((len(numbers), rows * cols), self.dtype)
        if not len(numbers):
            return block.reshape(0, rows, cols)
        if numbers.step == 1:
            self._add(block, numbers.start, numbers.stop)
        else:
            for place, number in enumerate(numbers):
                self._add(block[place : place + 1], number, number + 1)
        return block.reshape(len(numbers), rows, cols)

    def _add(self, block: Shaped[np.ndarray, "frame pixel"], begin: int, end: int) -> None:
        events = self.events(begin, end)
        place = (events.frame - begin) * block.shape[1] + events.pixel
        # A pixel that is listed twice in a frame was hit twice.
        np.add.at(block.reshape(-1), place, events.count.astype(self.dtype, copy=False))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.nbytes > WHOLE_RUN_LIMIT_BYTES:
            msg = (
                f"All {len(self)} frames are {self.nbytes / 2**30:.1f} GiB once they are dense and "
                "are not loaded unasked. Take a range, frames[a:b], or all of them, frames[:]."
            )
            raise XpcsError(msg)
        if copy is False:
            msg = "Events cannot become an array without a copy."
            raise ValueError(msg)
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventRun:
    """What a file of events holds.

    Parameters
    ----------
    frames
        The run.
    known
        Geometry of the file's own header; ``None`` for formats that have none.
    mask
        False where the detector has no pixels; ``None`` where it has them everywhere.
    problems
        In words: what is left out or doubtful.
    """

    frames: EventFrames
    known: KnownGeometry | None = None
    mask: Mask | None = None
    problems: tuple[str, ...] = ()


def _split(key: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the index of the frames and the indices of rows and columns."""
    given = key if isinstance(key, tuple) else (key,)
    dots = [place for place, item in enumerate(given) if item is Ellipsis]
    if len(dots) > 1 or len(given) - len(dots) > 3:
        msg = f"Frames have 3 axes, got the index {key!r}."
        raise IndexError(msg)
    if dots:
        middle = (slice(None),) * (4 - len(given))
        given = (*given[: dots[0]], *middle, *given[dots[0] + 1 :])
    return (given[0], given[1:]) if given else (slice(None), ())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventsInMemory:
    """Events in arrays, frames ascending.

    Parameters
    ----------
    shape
        Frames, rows, columns.
    starts
        Events before each frame, and in all.
    pixel, count
        One entry per event.
    """

    shape: tuple[int, int, int]
    starts: Int[np.ndarray, " frame+1"]
    pixel: Int[np.ndarray, " event"]
    count: Shaped[np.ndarray, " event"]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a count."""
        return self.count.dtype

    def read(self, begin: int, end: int) -> Events:
        """Return the events of the frames from ``begin`` up to before ``end``."""
        bounds = self.starts[begin : end + 1]
        these = slice(int(bounds[0]), int(bounds[-1]))
        return Events(
            np.repeat(np.arange(begin, end), np.diff(bounds)),
            self.pixel[these].astype(np.int64),
            self.count[these],
        )


def events_in_memory(shape: tuple[int, int, int], events: Events) -> EventsInMemory:
    """Return ``events`` as a run of frames of ``shape``.

    Raises
    ------
    FileFormatError
        Frames do not ascend, or a frame or pixel lies outside ``shape``.
    """
    frames, rows, cols = shape
    check_events(events, (rows, cols), "The list of events")
    if len(events.frame) and not 0 <= events.frame[0] <= events.frame[-1] < frames:
        msg = f"Events lie in the frames {events.frame[0]} to {events.frame[-1]} of {frames}."
        raise FileFormatError(msg)
    starts = np.searchsorted(events.frame, np.arange(frames + 1))
    return EventsInMemory(
        shape=shape,
        starts=starts,
        pixel=events.pixel.astype(np.int32),
        count=np.asarray(events.count),
    )


def check_events(events: Events, shape: tuple[int, int], name: str) -> None:
    """Check that frames ascend and that pixels belong to a detector of ``shape``.

    Raises
    ------
    FileFormatError
        With the first event that is wrong.
    """
    falls = np.flatnonzero(np.diff(events.frame) < 0)
    if falls.size:
        before, after = events.frame[falls[0] : falls[0] + 2].tolist()
        raise falling_frames(name, before, after)
    check_pixels(events.pixel, shape, name)


def falling_frames(name: str, before: int, after: int) -> FileFormatError:
    """Return the fault that an event of frame ``after`` follows one of the later ``before``."""
    return FileFormatError(
        f"{name} holds an event of frame {after} after one of frame {before}; frames must "
        "ascend, so the file is damaged or of another kind."
    )


def check_pixels(pixel: Int[np.ndarray, " event"], shape: tuple[int, int], name: str) -> None:
    """Check that pixels belong to a detector of ``shape``.

    Raises
    ------
    FileFormatError
        With the first pixel that does not.
    """
    rows, cols = shape
    wrong = (pixel < 0) | (pixel >= rows * cols)
    if wrong.any():
        msg = (
            f"{name} holds the pixel number {pixel[wrong][0]}, but the pixels of a detector of "
            f"{rows} x {cols} are numbered 0 to {rows * cols - 1}; the file is damaged or of "
            "another kind."
        )
        raise FileFormatError(msg)


class DenseFrames(Protocol):
    """Frames that can be read in ranges."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, rows, columns."""
        ...

    def __getitem__(self, key: Any, /) -> np.ndarray[Any, Any]:
        """Return the frames of ``key``."""
        ...


def find_events(
    frames: DenseFrames, *, threshold: float = 0, block: int = 64
) -> Steps[EventsInMemory]:
    """List what was counted in dense frames.

    Parameters
    ----------
    frames
        Counts (frame, row, col).  Negative numbers and NaN never count.
    threshold
        Counts above it are kept.
    block
        Frames in memory at once.
    """
    count, rows, cols = frames.shape
    per_frame: list[np.ndarray] = []
    pixels: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    for begin in range(0, count, block):
        dense = np.asarray(frames[begin : min(begin + block, count)]).reshape(-1, rows * cols)
        kept = (dense > threshold) & (dense > 0)
        place = np.flatnonzero(kept)
        per_frame.append(np.count_nonzero(kept, axis=1))
        pixels.append((place % (rows * cols)).astype(np.int32))
        counts.append(dense.reshape(-1)[place])
        yield Progress(min(begin + block, count), count, "frames")
    return EventsInMemory(
        shape=(count, rows, cols),
        starts=np.concatenate(([0], np.cumsum(np.concatenate(per_frame)))),
        pixel=np.concatenate(pixels),
        count=np.concatenate(counts),
    )
