"""Counts of the pixels of bins, turned round so that the frames of a pixel lie together."""

import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from napari_xpcs.correlate.engines import plain, usable_cores
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.correlate.reading import FrameBlock
from napari_xpcs.correlate.run_sums import RunSums
from napari_xpcs.errors import CorrelationError

FRAMES = 128
"""Most frames of a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SortedPixels:
    """The used pixels, those of a bin together and in it those of a static bin.

    Parameters
    ----------
    index
        Their places in the flattened detector.
    bins
        Where each dynamic bin lies in ``index``, counted from 0.
    static_starts
        First pixel of each static bin with pixels, from the start of its dynamic bin.
    """

    index: Int[np.ndarray, " pixel"]
    bins: tuple[slice, ...]
    static_starts: tuple[Int[np.ndarray, " sbin"], ...]

    def width(self, label: int) -> int:
        """Return the number of pixels of the dynamic bin ``label``."""
        here = self.bins[label - 1]
        return int(here.stop - here.start)


def sort_by_bin(pixels: UsedPixels) -> SortedPixels:
    """Return the used pixels in the order of their bins."""
    order = np.lexsort((pixels.static, pixels.dynamic))
    ends = np.cumsum(np.bincount(pixels.dynamic, minlength=pixels.bins))
    bins = tuple(slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True))
    static = pixels.static[order]
    return SortedPixels(
        index=pixels.index[order],
        bins=bins,
        static_starts=tuple(np.flatnonzero(np.diff(static[here], prepend=-1)) for here in bins),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TurnedBin:
    """The pixels of a bin among those of :class:`TurnedCounts`.

    Parameters
    ----------
    starts
        (group + 1) first pixel of each group by whose mean counts are divided, and the one behind
        the last.
    factors
        (group, frame) factors of the counts.
    totals
        Sum over the pixels of the values of every frame, before ``centre`` is subtracted.
    """

    starts: Int[np.ndarray, " edge"]
    factors: Float32[np.ndarray, "group frame"]
    totals: Float[np.ndarray, " frame"]


class TurnedCounts:
    """Counts of the pixels of some bins in a run or a part of it, and the values made of them.

    Kept are the counts as they were read, in chunks of some frames that lie together for every
    pixel, in memory or in a scratch file; values are larger and are made when they are wanted.

    Parameters
    ----------
    pixels, in_order
        The used pixels, and their order.
    labels
        The bins.
    smoothing
        One of :data:`~napari_xpcs.kernels.twotime.SMOOTHINGS`: values are counts over the mean of
        their bin in the same frame; ``none``: mean counts of a raw frame.
    frames
        Used frames that there is room for.
    tile
        Values are wanted for multiples of so many frames, a power of two, and up to the end.
    dtype
        Type of a count.
    memory_bytes
        Above this the counts lie in a scratch file in the folder for temporary files
        (``TMPDIR``), which is gone when this object is.

    Raises
    ------
    CorrelationError
        The disk has no room for that file.
    """

    def __init__(
        self,
        pixels: UsedPixels,
        in_order: SortedPixels,
        labels: Sequence[int],
        smoothing: str,
        *,
        frames: int,
        tile: int,
        dtype: np.dtype[Any],
        memory_bytes: float = np.inf,
    ) -> None:
        self.begin = 0
        """First used frame; to be set before another part of the run is put in place of this."""
        self.bins: list[TurnedBin] = []
        self._pixels = pixels
        self._divide = smoothing != "none"
        self._length = min(tile, FRAMES)
        self._rank = np.full(pixels.mask.size, -1, np.int64)
        row = 0
        for label in labels:
            here, starts = in_order.bins[label - 1], in_order.static_starts[label - 1]
            width = in_order.width(label)
            self._rank[in_order.index[here]] = np.arange(row, row + width)
            edges = row + np.append(starts if smoothing == "static" else starts[:1], width)
            one = TurnedBin(
                starts=edges,
                factors=np.empty((len(edges) - 1, frames), np.float32),
                totals=np.zeros(frames),
            )
            self.bins.append(one)
            row += width
        self._others = pixels.index[self._rank[pixels.index] < 0]
        # Only numbers with a fraction, or beyond 2^32, are larger, and values are float32 too.
        kept = plain(np.empty((0, 0, 0), dtype)).dtype
        kept = np.dtype(np.float32) if kept.kind == "f" or kept.itemsize > 4 else kept
        shape = -(-frames // self._length), row, self._length
        self._chunks = _room(shape, kept, memory_bytes)
        small = kept.kind == "u" and kept.itemsize <= 2
        self._sums = np.empty((2, pixels.mask.size), np.uint32 if small else np.float64)
        self._rooms: list[Float32[np.ndarray, " value"]] = [np.empty(0, np.float32)] * 2
        self._threads = usable_cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="two-time")
        # A thread of its own for the only core would only have to be waited for.
        self._map: Any = self._pool.map if self._threads > 1 else map

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def add(self, block: FrameBlock, sums: RunSums) -> None:
        """Take a block of frames, and add its counts to the sums of the run."""
        frames = plain(block.counts)
        flat = frames.reshape(len(frames), frames.shape[1] * frames.shape[2])
        first = 0
        while first < len(flat):
            begin = block.begin + first
            # The frames before the next end of a span, and at most one span behind it.
            edge = sums.span - begin % sums.span
            left = self._length - (begin - self.begin) % self._length
            count = min(left, len(flat) - first, edge + sums.span)
            here = slice(first, first + count)
            counts = self._turn(flat[here], min(edge, count), begin - self.begin)
            counts += self._add_groups(block.raw_frames[here], begin - self.begin)
            sums.add(self._pixels, begin, counts, block.raw_frames[here], self._sum_of)
            first += count

    def values(
        self,
        position: int,
        frames: slice,
        pixels: slice,
        centre: float,
        room: int = 0,
    ) -> Float32[np.ndarray, "pixel frame"]:
        """Return values of some pixels of a bin, less ``centre``.

        They lie in memory that the next call with the same ``room`` uses again.

        Parameters
        ----------
        position
            Of the bin among the labels.
        frames
            From a multiple of the tile on, counted from the first that there is room for.
        pixels
            Counted from the first one of the bin.
        """
        from napari_xpcs.correlate._numba_twotime import fill_values

        one, count = self.bins[position], frames.stop - frames.start
        size = (pixels.stop - pixels.start) * count
        if len(self._rooms[room]) < size:
            self._rooms[room] = np.empty(1 << (size - 1).bit_length(), np.float32)
        out = self._rooms[room][:size].reshape(-1, count)
        first = int(one.starts[0]) + pixels.start
        chunks = self._chunks[frames.start // self._length :]
        factors = one.factors[:, frames]

        def share(cut: tuple[int, int]) -> None:
            fill_values(chunks, first + cut[0], one.starts, factors, centre, out[cut[0] : cut[1]])

        list(self._map(share, self._shares(len(out))))
        return out

    def _shares(self, length: int) -> Iterable[tuple[int, int]]:
        """Divide ``length`` among the threads."""
        return pairwise(length * number // self._threads for number in range(self._threads + 1))

    def _turn(
        self, frames: Shaped[np.ndarray, "frame place"], edge: int, at: int
    ) -> Float[np.ndarray, " frame"]:
        """Put frames into their chunk and sum them up; return the counts of the other bins."""
        from napari_xpcs.correlate._numba_multitau import frame_counts
        from napari_xpcs.correlate._numba_twotime import turn_round

        chunk, col = self._chunks[at // self._length], at % self._length

        def share(cut: tuple[int, int]) -> None:
            turn_round(frames, edge, *cut, self._rank, chunk, col, self._sums)

        list(self._map(share, self._shares(frames.shape[1])))
        counts = np.zeros(len(frames))
        frame_counts(frames, self._others, counts)
        return counts

    def _sum_of(self, start: int, stop: int) -> Float[np.ndarray, " place"]:
        """Return the sums of the frames last turned, before or behind the end of a span."""
        return np.asarray(self._sums[1 if start else 0], dtype=np.float64)

    def _add_groups(
        self, raw_frames: Int[np.ndarray, " frame"], at: int
    ) -> Float[np.ndarray, " frame"]:
        """Sum up the frames last turned, bin by bin; return their counts."""
        from napari_xpcs.correlate._numba_twotime import add_groups

        count = len(raw_frames)
        scale = np.where(raw_frames > 0, 1.0 / np.maximum(raw_frames, 1), 0.0)
        chunk, col = self._chunks[at // self._length], at % self._length

        def share(number: int) -> Float[np.ndarray, " frame"]:
            counts = np.zeros(count)
            for one in self.bins[number :: self._threads]:
                totals = one.totals[at : at + count]
                totals[:] = 0.0
                add_groups(
                    chunk, one.starts, col, scale, self._divide,
                    one.factors[:, at : at + count], totals, counts,
                )  # fmt: skip
            return counts

        shares = np.stack(list(self._map(share, range(self._threads))))
        return np.asarray(shares.sum(axis=0))


def _room(
    shape: tuple[int, int, int], dtype: np.dtype[Any], memory_bytes: float
) -> Shaped[np.ndarray, "chunk pixel frame"]:
    """Return room for counts, in memory or in a scratch file.

    In one piece: the system gives it in large pages, far quicker than in many small ones.
    """
    needed = math.prod(shape) * dtype.itemsize
    if needed <= memory_bytes:
        return np.empty(shape, dtype)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        msg = (
            f"The counts of {shape[1]} pixels need {needed / 1e9:.3g} GB in "
            f"{tempfile.gettempdir()}, {free / 1e9:.3g} GB are free there; "
            "choose fewer bins or frames, or name a larger folder in TMPDIR."
        )
        raise CorrelationError(msg)
    with tempfile.TemporaryFile(prefix="napari-xpcs-") as file:
        return np.memmap(file, dtype, "w+", shape=shape).view(np.ndarray)
