"""Runs that are stored as photons: one list of (frame, pixel, count), shown as frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int, Int32, Int64, Shaped, UInt16

from napari_xpcs._typing import Image, Mask
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.frames import LazyFrames, Stored
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.kernels.mask import not_counted

EVENTS_AT_ONCE = 1 << 22
"""Entries that are read together where a result is summed up over many frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """What was counted in the frames from ``begin`` on.

    Parameters
    ----------
    begin
        The first frame.
    starts
        Events before each frame, and in all.
    pixel
        row * columns + column.
    count
        What was counted there.
    """

    begin: int
    starts: Int[np.ndarray, " frame+1"]
    pixel: Int[np.ndarray, " event"]
    count: Shaped[np.ndarray, " event"]

    @property
    def frame(self) -> Int[np.ndarray, " event"]:
        """The frame of each event, ascending."""
        frames = np.arange(self.begin, self.begin + len(self.starts) - 1)
        return np.repeat(frames, np.diff(self.starts))


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventFrames(LazyFrames):
    """A run of events as frames; it is never dense as a whole, only what is asked for."""

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    source: EventSource

    @classmethod
    def of(cls, path: Path, source: EventSource) -> "EventFrames":
        """Return the frames of ``source``, which is (in) the file ``path``."""
        return cls(path=path, shape=source.shape, dtype=source.dtype, source=source)

    def read(self, frames: Stored, rows: Stored, cols: Stored) -> np.ndarray:
        """Return a block of three axes."""
        numbers = range(len(self))[frames] if isinstance(frames, slice) else frames.tolist()
        spans = pairwise([0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)])
        _, height, width = self.shape
        block = np.zeros((len(numbers), height * width), self.dtype)
        for first, last in spans:
            events = self.events(numbers[first], numbers[last - 1] + 1)
            place = (events.frame - numbers[first] + first) * block.shape[1] + events.pixel
            # A pixel that is listed twice in a frame was hit twice.
            np.add.at(block.reshape(-1), place, events.count.astype(self.dtype, copy=False))
        return block.reshape(-1, height, width)[:, rows][:, :, cols]

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

    def block(
        self, begin: int, end: int
    ) -> tuple[
        Int64[np.ndarray, " frame+1"], Int32[np.ndarray, " event"], UInt16[np.ndarray, " event"]
    ]:
        """Return the events of some frames, for the event engine.

        These are the events before each frame, and in all; their pixels, row * columns + column,
        in the order of the file; their counts.  A pixel may come twice in a frame: it was hit
        twice then.

        Raises
        ------
        FileFormatError
            As :meth:`events`; or a count is no whole number up to 65535.
        """
        events = self.events(begin, end)
        count = events.count.astype(np.uint16, copy=False)
        if (
            events.count.dtype != count.dtype
            and (wrong := np.flatnonzero(count != events.count)).size
        ):
            first = wrong[0]
            msg = (
                f"{self.path.name} holds the count {events.count[first]} in frame "
                f"{events.frame[first]}; events are correlated with whole counts up to 65535."
            )
            raise FileFormatError(msg)
        return events.starts, events.pixel.astype(np.int32, copy=False), count

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


class DenseFrames(Protocol):
    """Frames that can be read in ranges."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, rows, columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a count."""
        ...

    def __getitem__(self, key: Any, /) -> np.ndarray[Any, Any]:
        """Return the frames of ``key``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThresholdedFrames:
    """What was counted in dense frames, as events; frames are read when they are asked for.

    Parameters
    ----------
    frames
        Counts (frame, row, col); what stands for "no value" is no event, see
        :func:`~napari_xpcs.kernels.mask.not_counted`.
    threshold
        Counts above it are events.
    mask
        Pixels that are False have no event; ``None`` for none such.
    """

    frames: DenseFrames
    threshold: float = 0.0
    mask: Mask | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        count, rows, cols = self.frames.shape
        return count, rows, cols

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a count."""
        return np.dtype(self.frames.dtype)

    @property
    def starts(self) -> Int[np.ndarray, " frame+1"]:
        """Pixels before each frame: dense frames are read whole."""
        count, rows, cols = self.shape
        return np.arange(count + 1) * (rows * cols)

    def read(self, begin: int, end: int) -> Events:
        """Return the events of the frames from ``begin`` up to before ``end``."""
        _, rows, cols = self.shape
        dense = np.asarray(self.frames[begin:end])
        counted = (dense > max(self.threshold, 0.0)) & ~not_counted(dense)
        if self.mask is not None:
            counted &= self.mask
        place = np.flatnonzero(counted)
        starts = np.searchsorted(place, np.arange(len(dense) + 1) * (rows * cols))
        return Events(begin, starts, place % (rows * cols), dense.reshape(-1)[place])


def read_stored(
    path: Path, kind: np.dtype[Any], count: int, first_byte: int
) -> Shaped[np.ndarray, " entry"]:
    """Return ``count`` numbers of a file from ``first_byte`` on.

    The file is opened for every read: no handle to lose in a thread or a pickle, no crash of
    the process where a mapped file is cut.

    Raises
    ------
    FileFormatError
        It has become too short since it was looked at.
    """
    entries = np.fromfile(path, kind, count=count, offset=first_byte)
    if len(entries) != count:
        msg = f"{path.name} was cut while it was open; open it again."
        raise FileFormatError(msg)
    return entries


def last_frame_cut(path: Path) -> str:
    """Return in words that a file ends within a frame."""
    return f"The last frame of {path.name} is cut short and left out."


def check_ascending(frame: Int[np.ndarray, " event"], name: str) -> None:
    """Check that the frames of events ascend.

    Raises
    ------
    FileFormatError
        With the first two that do not.
    """
    falls = np.flatnonzero(np.diff(frame) < 0)
    if falls.size:
        before, after = frame[falls[0] : falls[0] + 2].tolist()
        raise falling_frames(name, before, after)


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
