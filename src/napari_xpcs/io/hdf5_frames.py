"""Frames of one HDF5 dataset, read when somebody looks at them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xpcs.errors import CorruptFramesError, FileFormatError
from napari_xpcs.io.chunks import DamagedFramesError, read_chunks
from napari_xpcs.io.completeness import FrameSource, examine
from napari_xpcs.io.frames import LazyFrames, Stored, refuse_impossible_size
from napari_xpcs.io.hdf5 import open_dataset, open_hdf5, reading, sources_fault
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
            if completeness.missing:
                raise sources_fault(path, dataset, completeness.missing)
            msg = f"Not one frame of {dataset} in {path.name} is written yet."
            raise FileFormatError(msg)
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
