"""Frames from a run, block by block, checked, averaged, and read one block ahead."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from jaxtyping import Shaped

from napari_xpcs._typing import Mask
from napari_xpcs.errors import CorrelationError
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

    Raises
    ------
    CorrelationError
        The run is no stack of frames, or the selection does not fit it.
    """

    def __init__(self, frames: Frames, selection: FrameSelection, used: Mask) -> None:
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

    def block_length(self, wanted: int) -> int:
        """Return the largest power of two up to ``wanted`` frames whose block is not too large."""
        if wanted < 1:
            msg = f"A block must hold 1 frame or more, got {wanted}."
            raise CorrelationError(msg)
        itemsize = np.dtype(self._frames.dtype).itemsize if self.selection.average == 1 else 4
        frame_bytes = self._used.size * itemsize
        fitting = min(wanted, max(BLOCK_BYTES // frame_bytes, 1))
        return 1 << (fitting.bit_length() - 1)

    def blocks(self, length: int) -> Generator[Shaped[np.ndarray, "frame row col"], None, None]:
        """Yield blocks of ``length`` used frames, the last one shorter where it must be.

        A thread reads the next block meanwhile; it has ended when this generator has.
        """
        starts = range(0, self.count, length)
        with ThreadPoolExecutor(1, thread_name_prefix="read-frames") as reader:
            ahead = reader.submit(self._read, 0, length)
            for start in starts:
                block = ahead.result()
                if start + length < self.count:
                    ahead = reader.submit(self._read, start + length, length)
                yield block

    def _read(self, start: int, length: int) -> Shaped[np.ndarray, "frame row col"]:
        """Return used frames from ``start`` on."""
        stop = min(start + length, self.count)
        average = self.selection.average
        if average == 1:
            return self._read_raw(start, stop)
        sums = np.zeros((stop - start, *self._used.shape))
        for first in range(start * average, stop * average, length):
            raw = np.arange(first, min(first + length, stop * average))
            frame = raw // average - start
            groups = np.flatnonzero(np.diff(frame, prepend=-1))
            counts = self._read_raw(raw[0], raw[-1] + 1)
            sums[frame[groups]] += np.add.reduceat(counts, groups, axis=0, dtype=np.float64)
        return (sums / average).astype(np.float32)

    def _read_raw(self, start: int, stop: int) -> Shaped[np.ndarray, "frame row col"]:
        """Return strided frames, checked."""
        stride = self.selection.stride
        numbers = range(self.selection.begin + start * stride, self.selection.end or 0, stride)
        numbers = numbers[: stop - start]
        if stride == 1:
            frames = self._slice(numbers[0], numbers[-1] + 1)
        else:
            frames = np.concatenate([self._slice(number, number + 1) for number in numbers])
        self._check(frames, numbers)
        return frames

    def _slice(self, start: int, stop: int) -> Shaped[np.ndarray, "frame row col"]:
        frames = np.asarray(self._frames[start:stop])
        if len(frames) != stop - start:
            msg = (
                f"The run ends at frame {start + len(frames)}, {self._frames.shape[0]} were "
                "announced; choose an earlier end."
            )
            raise CorrelationError(msg)
        return frames

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
            "stands for saturated or masked; put the pixel into the mask or leave out the frame."
        )
        raise CorrelationError(msg)


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
