"""Frames from a run, block by block, checked, averaged, and read one block ahead."""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Shaped

from napari_xpcs._typing import Mask
from napari_xpcs.correlate.block_rooms import BlockRooms
from napari_xpcs.errors import CorrelationError, CorruptFramesError
from napari_xpcs.kernels.selection import FrameSelection

BLOCK_BYTES = 2**29
"""Blocks are made shorter where a block of frames would take more memory than this."""


class Frames(Protocol):
    """A run of frames: an ndarray, or a file that reads the frames it is asked for."""

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


@runtime_checkable
class RoomyFrames(Frames, Protocol):
    """Frames that can be read into memory that is there already."""

    def read_whole(self, frames: slice, room: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return ``frames``, in the first part of ``room`` or in an array of their own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameBlock:
    """Consecutive used frames of a run.

    Parameters
    ----------
    begin
        Number of the first, in used frames.
    counts
        (frame, row, col) counts of a used frame: those of its raw frames added up.
    raw_frames
        (frame) how many raw frames were added up; 0 for a used frame that is left out, whose
        counts are 0.
    """

    begin: int
    counts: Shaped[np.ndarray, "frame row col"]
    raw_frames: Int[np.ndarray, " frame"]


class FrameReader:
    """Reads the used frames of a run.

    Parameters
    ----------
    frames
        The run, (frame, row, col).
    selection
        The used frames.
    used
        Pixels whose counts are needed: there the "no value" of a file (NaN, a negative
        integer, the largest unsigned integer) is a fault.
    skipped
        Raw frames that are left out unread.
    skip_corrupt
        Leave out frames that cannot be read, too, and list them in :attr:`corrupt`.

    Raises
    ------
    CorrelationError
        The run is no stack of frames, or the selection does not fit it.
    """

    def __init__(
        self,
        frames: Frames,
        selection: FrameSelection,
        used: Mask,
        *,
        skipped: Iterable[int] = (),
        skip_corrupt: bool = False,
    ) -> None:
        if len(frames.shape) != 3:
            msg = f"Expected frames (frame, row, col), got an array of shape {frames.shape}."
            raise CorrelationError(msg)
        if np.dtype(frames.dtype).kind not in "uif":
            msg = f"Expected frames of counts, got the type {frames.dtype}."
            raise CorrelationError(msg)
        self.selection = selection.within(frames.shape[0])
        self.count = self.selection.count()
        self.without_value: Mask = np.zeros(used.shape, dtype=bool)
        """Pixels outside ``used`` that held no value in a frame read so far."""
        self._frames = frames
        self._used = used
        self._skipped = frozenset(skipped)
        self._skip_corrupt = skip_corrupt
        self._corrupt: set[int] = set()

    @property
    def corrupt(self) -> tuple[int, ...]:
        """Raw frames that could not be read so far and were left out, ascending."""
        return tuple(sorted(self._corrupt))

    def block_length(self, wanted: int) -> int:
        """Return the largest power of two up to ``wanted`` frames whose block is not too large."""
        if wanted < 1:
            msg = f"A block must hold 1 frame or more, got {wanted}."
            raise CorrelationError(msg)
        frame_bytes = self._used.size * self.block_type.itemsize
        fitting = min(wanted, max(BLOCK_BYTES // frame_bytes, 1))
        return 1 << (fitting.bit_length() - 1)

    def blocks(self, length: int) -> Generator[Shaped[np.ndarray, "frame row col"], None, None]:
        """Yield what :meth:`summed` yields as mean counts per raw frame, and nothing else."""
        with closing(self.summed(length)) as blocks:
            for block in blocks:
                if self.selection.average == 1:
                    yield block.counts
                else:
                    raw = np.maximum(block.raw_frames, 1)[:, None, None]
                    yield (block.counts / raw).astype(np.float32)
                del block

    def summed(
        self, length: int, begin: int = 0, end: int | None = None
    ) -> Generator[FrameBlock, None, None]:
        """Yield the used frames ``begin`` to ``end`` in blocks of ``length``, or less at the end.

        A thread reads the next block meanwhile, so that two are in memory; it has ended when
        this generator has.  Memory of a block that is let go before the next one is asked for is
        used again.
        """
        end = self.count if end is None else end
        starts = range(begin, end, length)
        if not starts:
            return
        rooms = BlockRooms(min(length, end - begin), self._used.shape, np.dtype(self._frames.dtype))
        with ThreadPoolExecutor(1, thread_name_prefix="read-frames") as reader:
            ahead = reader.submit(self._read, begin, min(begin + length, end), rooms)
            for start in starts:
                block = ahead.result()
                following = start + length
                if following < end:
                    stop = min(following + length, end)
                    ahead = reader.submit(self._read, following, stop, rooms)
                yield block
                del block

    @property
    def block_type(self) -> np.dtype[Any]:
        """The smallest type that holds a used frame and that compiled loops know."""
        stored = np.dtype(self._frames.dtype)
        average = self.selection.average
        if average == 1 and (stored.kind != "f" or stored.itemsize in (4, 8)):
            return stored
        whole = stored.kind in "ui" and int(np.iinfo(stored).max) * average < 2**32
        return np.dtype(np.uint32 if whole else np.float64)

    def _read(self, start: int, stop: int, rooms: BlockRooms) -> FrameBlock:
        """Return used frames from ``start`` up to before ``stop``."""
        average = self.selection.average
        if average == 1:
            counts, there = self._read_raw(start, stop, rooms)
            counts = counts.astype(self.block_type, copy=False)
            return FrameBlock(begin=start, counts=counts, raw_frames=there.astype(np.int64))
        sums = np.zeros((stop - start, *self._used.shape), self.block_type)
        number = np.zeros(stop - start, np.int64)
        step = max(stop - start, 1)
        for first in range(start * average, stop * average, step):
            raw = np.arange(first, min(first + step, stop * average))
            frame = raw // average - start
            groups = np.flatnonzero(np.diff(frame, prepend=-1))
            counts, there = self._read_raw(raw[0], raw[-1] + 1, rooms)
            sums[frame[groups]] += np.add.reduceat(counts, groups, axis=0, dtype=sums.dtype)
            number += np.bincount(frame[there], minlength=len(number))
        return FrameBlock(begin=start, counts=sums, raw_frames=number)

    def _read_raw(
        self, start: int, stop: int, rooms: BlockRooms
    ) -> tuple[Shaped[np.ndarray, "frame row col"], Bool[np.ndarray, " frame"]]:
        """Return strided frames, checked, and which of them are there; the others are 0."""
        stride = self.selection.stride
        numbers = range(self.selection.begin + start * stride, self.selection.end or 0, stride)
        numbers = numbers[: stop - start]
        there = np.array([number not in self._skipped for number in numbers])
        if not there.all():
            frames = np.zeros((len(numbers), *self._used.shape), self._frames.dtype)
            for first, last in _spans(np.flatnonzero(there)):
                frames[first:last], there[first:last] = self._slice(numbers[first:last], rooms)
        else:
            frames, there = self._slice(numbers, rooms)
        self._check(frames, numbers)
        return frames, there

    def _slice(
        self, numbers: range, rooms: BlockRooms
    ) -> tuple[Shaped[np.ndarray, "frame row col"], Bool[np.ndarray, " frame"]]:
        """Return frames, and which of them could be read."""
        there = np.ones(len(numbers), dtype=bool)
        try:
            wanted = slice(numbers.start, numbers[-1] + 1, numbers.step)
            if isinstance(self._frames, RoomyFrames):
                frames = self._frames.read_whole(wanted, rooms.take())
            else:
                frames = np.asarray(self._frames[wanted])
        except CorruptFramesError as fault:
            if not self._skip_corrupt:
                raise
            self._corrupt.update(fault.frames)
            there = np.array([number not in self._corrupt for number in numbers])
            frames = np.zeros((len(numbers), *self._used.shape), self._frames.dtype)
            for first, last in _spans(np.flatnonzero(there)):
                frames[first:last], there[first:last] = self._slice(numbers[first:last], rooms)
        if len(frames) != len(numbers):
            msg = (
                f"The run ends at frame {numbers[0] + len(frames) * numbers.step}, "
                f"{self._frames.shape[0]} were announced; choose an earlier end."
            )
            raise CorrelationError(msg)
        return frames, there

    def _check(self, frames: Shaped[np.ndarray, "frame row col"], numbers: range) -> None:
        without = _without_value(frames)
        if without is None:
            return
        self.without_value |= without & ~self._used
        if not (without & self._used).any():
            return
        row, col = np.argwhere(without & self._used)[0]
        series = frames[:, row, col]
        at = next(i for i in range(len(series)) if _without_value(series[i : i + 1]) is not None)
        msg = (
            f"Pixel (row {row}, column {col}) of frame {numbers[at]} holds {series[at]}, which "
            "stands for saturated or masked; put the pixel into the mask or leave out the frame "
            "(--skip-frames, in napari under More)."
        )
        raise CorrelationError(msg)


def _spans(positions: Int[np.ndarray, " position"]) -> Iterator[tuple[int, int]]:
    """Yield the runs of consecutive ``positions`` as (first, behind the last)."""
    for group in np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1):
        if len(group):
            yield int(group[0]), int(group[-1]) + 1


def _without_value(frames: Shaped[np.ndarray, "frame ..."]) -> np.ndarray[Any, Any] | None:
    """Return where a frame holds no value; ``None`` where all do, which costs one pass."""
    if frames.dtype.kind == "f":
        return None if np.isfinite(frames).all() else ~np.isfinite(frames).all(axis=0)
    if frames.dtype.kind == "i":
        low = np.asarray(frames.min(axis=0))
        return low < 0 if low.min() < 0 else None
    high = np.asarray(frames.max(axis=0))
    limit = np.iinfo(frames.dtype).max
    return high == limit if high.max() == limit else None
