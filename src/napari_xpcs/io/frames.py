"""Frames that stay in their file until somebody looks at them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from napari_xpcs.errors import CorruptFramesError, FileFormatError, XpcsError
from napari_xpcs.io.chunks import DamagedFramesError, read_chunks
from napari_xpcs.io.completeness import FrameSource, examine
from napari_xpcs.io.hdf5 import open_dataset, open_hdf5, reading
from napari_xpcs.io.sources import named


class SeveralFramesError(FileFormatError):
    """More than one dataset or channel could be the frames.

    ``candidates`` are what ``dataset`` may be set to.
    """

    def __init__(
        self, path: Path, candidates: tuple[str, ...], described: tuple[str, ...] = ()
    ) -> None:
        self.candidates = candidates
        shown = described or candidates
        choices = ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")
        super().__init__(
            f"{path.name} holds several stacks of frames; name one of them as dataset: {choices}."
        )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HDF5Frames(LazyFrames):
    """Frames of one HDF5 dataset, stored, linked or virtual.

    Every read opens the file, takes what is asked for in one go and closes it: no lock is held
    on a file that the beamline still writes to.  A dataset of two axes appears as one frame,
    of one with four (frame, channel, row, col) one channel is shown.

    Parameters
    ----------
    path, dataset
        Where the frames are.
    shape, dtype
        As presented here, always three axes and native byte order.
    stored_axes, channel
        Axes of the dataset; position on its channel axis where it has one.
    announced
        Frames that the dataset has room for; more than ``shape[0]`` where they are not all
        written, or the files behind a virtual dataset not all there.
    sources
        Files that a virtual dataset takes its frames from.
    """

    path: Path
    dataset: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    stored_axes: int = 3
    channel: int = 0
    announced: int = 0
    sources: tuple[FrameSource, ...] = ()
    missing_sources: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: Path, dataset: str, channel: str | None = None) -> "HDF5Frames":
        """Look at ``dataset`` in ``path`` and check that its frames can be had.

        Parameters
        ----------
        channel
            Name or number of a channel of a dataset with four axes; needed where there is
            more than one.

        Raises
        ------
        FileFormatError
            Absent, not two to four axes of numbers, not a frame complete, its sources or
            filters are missing, or the channel is not there.
        """
        with open_hdf5(path) as file:
            found = open_dataset(file, dataset, sources_needed=False)
            shape, dtype = found.shape, found.dtype
            if dtype.kind not in "iuf" or len(shape or ()) not in (2, 3, 4):
                msg = (
                    f"{dataset} in {path.name} has the shape {shape} and type {dtype}; frames are "
                    "numbers over (frame, row, column), (row, column) or (frame, channel, row, "
                    "column)."
                )
                raise FileFormatError(msg)
            if 0 in shape:
                msg = f"{dataset} in {path.name} is empty: its shape is {shape}."
                raise FileFormatError(msg)
            refuse_impossible_size(path, shape)
            number = choose_channel(found, dataset, channel)
            with reading(path, dataset):
                completeness = examine(found)
        announced = 1 if len(shape) == 2 else shape[0]
        if completeness.frames == 0:
            raise FileFormatError(_explain_no_frame(path, dataset, completeness.missing))
        return cls(
            path=path,
            dataset=dataset,
            shape=(min(completeness.frames, announced), *shape[-2:]),
            dtype=dtype.newbyteorder("="),
            stored_axes=len(shape),
            channel=number,
            announced=announced,
            sources=completeness.sources,
            missing_sources=completeness.missing,
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """Say where the frames end before what the dataset announces."""
        if self.announced <= len(self):
            return ()
        why = (
            f"{named(self.missing_sources)} cannot be found"
            if self.missing_sources
            else f"frame {len(self)} is not written"
        )
        return (
            f"{self.dataset} in {self.path.name} announces {self.announced} frames, the first "
            f"{len(self)} are there and used: {why}.",
        )

    def read(self, frames: Stored, rows: Stored, cols: Stored) -> np.ndarray:
        """Return a block of three axes."""
        return self._read(frames, rows, cols, None)

    def read_whole(self, frames: Stored, room: np.ndarray) -> np.ndarray:
        """Return whole frames, in ``room`` where the file is read by its chunks."""
        whole = self._read(frames, slice(None), slice(None), room)
        return whole.astype(self.dtype, copy=False)

    def _read(
        self, frames: Stored, rows: Stored, cols: Stored, room: np.ndarray | None
    ) -> np.ndarray:
        self._require_sources(frames)
        stored = {
            2: (rows, cols),
            3: (frames, rows, cols),
            4: (frames, self.channel, rows, cols),
        }[self.stored_axes]
        with open_hdf5(self.path) as file:
            with reading(self.path, self.dataset):
                dataset = file[self.dataset]
            try:
                with reading(self.path, self.dataset):
                    whole = read_chunks(dataset, frames, self.channel, room)
                    if whole is not None:
                        return whole[:, rows][:, :, cols]
                    block = np.asarray(dataset[stored])
            except FileFormatError as fault:
                if damaged := self._damaged(dataset, frames, fault):
                    raise corrupt_frames(self.path.name, damaged) from fault
                raise
        return block[None] if self.stored_axes == 2 else block

    def _damaged(
        self, dataset: h5py.Dataset, frames: Stored, fault: FileFormatError
    ) -> tuple[int, ...]:
        """Return which of ``frames`` are to blame for a fault, none where it is not a frame."""
        if isinstance(fault.__cause__, DamagedFramesError):
            return fault.__cause__.positions
        if self.stored_axes == 2 or not (dataset.is_virtual or dataset.chunks):
            return ()
        wanted = np.arange(len(self))[frames] if isinstance(frames, slice) else frames
        channel = (self.channel,) if self.stored_axes == 4 else ()
        return tuple(
            frame for frame in wanted.tolist() if not _readable(dataset, (frame, *channel))
        )

    def _require_sources(self, frames: Stored) -> None:
        """Refuse to read frames whose file has gone since: HDF5 would return zeros."""
        if not self.sources:
            return
        positions = range(frames.start, frames.stop) if isinstance(frames, slice) else frames
        first, last = int(positions[0]), int(positions[-1])
        for source in self.sources:
            if source.first <= last and source.last >= first and not source.path.is_file():
                msg = f"{source.path.name}, which holds frames of {self.path.name}, has gone."
                raise FileFormatError(msg)


def corrupt_frames(where: str, numbers: tuple[int, ...]) -> CorruptFramesError:
    """Return the fault that some frames of a file cannot be unpacked."""
    more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
    return CorruptFramesError(
        f"Frame {numbers[0]}{more} of {where} cannot be read: what is stored of it is damaged. "
        "Copy the file again, or leave such frames out (correlate --skip-corrupt, in napari under "
        "More).",
        numbers,
    )


def _readable(dataset: h5py.Dataset, place: tuple[int, ...]) -> bool:
    try:
        dataset[place]
    except (OSError, RuntimeError):
        return False
    return True


def _explain_no_frame(path: Path, dataset: str, missing: tuple[str, ...]) -> str:
    if missing:
        return (
            f"{dataset} in {path.name} is made of other files, and {named(missing)} cannot be "
            f"found or does not hold its part. Put the data files beside {path.name}."
        )
    return f"Not one frame of {dataset} in {path.name} is written yet."


def choose_channel(dataset: h5py.Dataset, name: str, channel: str | None) -> int:
    """Return the position of ``channel`` on the second of four axes.

    Raises
    ------
    SeveralFramesError
        There are several channels and none is named, or none has that name.
    """
    path = Path(dataset.file.filename)
    if dataset.ndim < 4:
        if channel is not None:
            msg = f"{name} in {path.name} has no channels, so that [{channel}] cannot be chosen."
            raise FileFormatError(msg)
        return 0
    count = dataset.shape[1]
    names = _channel_names(dataset)
    if channel is None and count == 1:
        return 0
    if channel in names:
        return names.index(channel)
    if channel is not None and channel.isdecimal() and int(channel) < count:
        return int(channel)
    raise SeveralFramesError(path, tuple(f"{name}[{one}]" for one in names))


def _channel_names(dataset: h5py.Dataset) -> list[str]:
    """Return what DECTRIS writes in ``channel`` beside the frames, else numbers from 0."""
    count = dataset.shape[1]
    beside = dataset.parent.get("channel") if dataset.name else None
    if isinstance(beside, h5py.Dataset) and beside.shape == (count,) and beside.dtype.kind in "OS":
        names = [
            value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            for value in beside[()]
        ]
        if len(set(names)) == count:
            return names
    return [str(number) for number in range(count)]


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
