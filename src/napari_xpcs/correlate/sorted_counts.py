"""Counts of the pixels of bins, those of a bin together."""

import math
import mmap
import shutil
import tempfile
from collections.abc import Iterator, Sequence
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

_WHOLE = [np.dtype(kind) for kind in (np.uint8, np.uint16, np.uint32)]
"""Types that whole numbers are kept in."""


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
class SortedBin:
    """A bin in :class:`SortedCounts`.

    Parameters
    ----------
    begin
        Pixels of the bins before it.
    starts
        (group + 1) first pixel of each group by whose mean counts are divided, counted from that
        of the bin, and the one behind the last.
    factors
        (frame, group) factors of the counts.
    totals
        Sum over the pixels of the values of every frame, before ``centre`` is subtracted.
    """

    begin: int
    starts: Int[np.ndarray, " edge"]
    factors: Float32[np.ndarray, "frame group"]
    totals: Float[np.ndarray, " frame"]

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.starts[-1])


class SortedCounts:
    """Counts of the pixels of some bins in a run or a part of it, and the values made of them.

    Kept are the counts, in chunks of some frames in which those of a bin lie together, in memory
    or in a scratch file; values are larger and are made when they are wanted.  A chunk has the
    smallest type that its counts and those before them fit into, most often one byte.

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
        dtype: np.dtype[Any],
        memory_bytes: float = np.inf,
    ) -> None:
        self.begin = 0
        """First used frame; to be set before another part of the run is put in place of this."""
        self._pixels = pixels
        self._divide = smoothing != "none"
        self._length = min(frames, FRAMES)
        index = [in_order.index[in_order.bins[label - 1]] for label in labels]
        self._index = np.concatenate(index).astype(np.uint32)
        edges = np.cumsum([0, *map(len, index)])
        within = [
            in_order.static_starts[label - 1] if smoothing == "static" else np.zeros(1, np.int64)
            for label in labels
        ]
        of_bin = np.repeat(np.arange(len(labels)), list(map(len, within)))
        first = edges[of_bin] + np.concatenate(within)
        self._starts = np.append(first, edges[-1])
        self._widths = np.diff(edges)[of_bin]
        self._begins = edges[of_bin] * self._length + np.concatenate(within)
        self._bin_groups = np.cumsum([0, *map(len, within)])
        self._factors = np.empty((frames, len(first)), np.float32)
        self._totals = np.zeros((len(labels), frames))
        self.bins = [
            SortedBin(
                begin=int(edges[position]),
                starts=np.append(starts, len(index[position])),
                factors=self._factors[:, slice(*self._bin_groups[position : position + 2])],
                totals=self._totals[position],
            )
            for position, starts in enumerate(within)
        ]
        inside = np.zeros(pixels.mask.size, bool)
        inside[self._index] = True
        self._others = pixels.index[~inside[pixels.index]]
        counted = plain(np.empty((0, 0, 0), dtype)).dtype
        # Only numbers with a fraction, or beyond 2^32, are larger, and values are float32 too.
        self._types = [kind for kind in _WHOLE if counted.kind == "u" and kind < counted]
        self._types.append(counted if counted in _WHOLE else np.dtype(np.float32))
        self._memory_bytes = memory_bytes
        shape = -(-frames // self._length), int(edges[-1]) * self._length
        self._scratch: list[mmap.mmap] = []
        self._stretches = [self._room(shape, self._types[0], memory_bytes)]
        small = counted.kind == "u" and counted.itemsize <= 2
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
            of_groups = self._sort(flat[here], min(edge, count), begin - self.begin)
            counts = self._counts_of_others(flat[here]) + of_groups.sum(axis=1)
            self._divide_by(of_groups, block.raw_frames[here], begin - self.begin)
            sums.add(self._pixels, begin, counts, block.raw_frames[here], self._sum_of)
            first += count
        self._leave_to_the_file()

    def values(
        self,
        position: int,
        frames: slice,
        pixels: slice,
        centre: float,
        room: int = 0,
    ) -> Float32[np.ndarray, "frame pixel"]:
        """Return values of some pixels of a bin, less ``centre``.

        They lie in memory that the next call with the same ``room`` uses again.

        Parameters
        ----------
        position
            Of the bin among the labels.
        frames
            Counted from the first that there is room for.
        pixels
            Counted from the first one of the bin.
        """
        from napari_xpcs.correlate._numba_twotime import fill_values

        one, count = self.bins[position], pixels.stop - pixels.start
        size = (frames.stop - frames.start) * count
        if len(self._rooms[room]) < size:
            self._rooms[room] = np.empty(1 << (size - 1).bit_length(), np.float32)
        out = self._rooms[room][:size].reshape(-1, count)
        factors = one.factors[frames]

        def share(cut: tuple[int, int]) -> None:
            for chunks, start, here in self._alike(frames.start + cut[0], frames.start + cut[1]):
                rows = slice(cut[0] + here.start, cut[0] + here.stop)
                fill_values(
                    chunks, start, self._length, one.begin * self._length, one.pixels,
                    one.starts, factors[rows], centre, pixels.start, out[rows],
                )  # fmt: skip

        list(self._map(share, self._shares(len(out))))
        self._leave_to_the_file()
        return out

    def _shares(self, length: int) -> Iterator[tuple[int, int]]:
        """Divide ``length`` among the threads."""
        return pairwise(length * number // self._threads for number in range(self._threads + 1))

    def _sort(
        self, frames: Shaped[np.ndarray, "frame place"], edge: int, at: int
    ) -> Float[np.ndarray, "frame group"]:
        """Put frames into their chunk and sum them up; return the sums of the groups."""
        from napari_xpcs.correlate._numba_twotime import sort_counts

        of_groups = np.empty((len(frames), len(self._begins)))

        def share(cuts: tuple[tuple[int, int], tuple[int, int]]) -> Any:
            return sort_counts(
                frames, edge, *cuts, self._index, self._starts, self._begins, self._widths,
                *self._chunk(at), self._sums, of_groups,
            )  # fmt: skip

        shares = list(
            zip(self._shares(frames.shape[1]), self._shares(len(self._begins)), strict=True)
        )
        largest = max(self._map(share, shares))
        if not _holds(self._chunk(at)[0].dtype, largest):
            self._widen(at, largest)
            list(self._map(share, shares))
        return of_groups

    def _counts_of_others(
        self, frames: Shaped[np.ndarray, "frame place"]
    ) -> Float[np.ndarray, " frame"]:
        """Return the counts of the used pixels in other bins."""
        from napari_xpcs.correlate._numba_multitau import frame_counts

        counts = np.zeros(len(frames))
        frame_counts(frames, self._others, counts)
        return counts

    def _divide_by(
        self,
        of_groups: Float[np.ndarray, "frame group"],
        raw_frames: Int[np.ndarray, " frame"],
        at: int,
    ) -> None:
        """Set the factors and the totals of the frames last sorted.

        The mean of pixels without a count is taken as 1.
        """
        here = slice(at, at + len(of_groups))
        if self._divide:
            there = of_groups > 0.0
            pixels = np.diff(self._starts)
            self._factors[here] = np.where(there, pixels / np.where(there, of_groups, 1.0), 1.0)
            values = np.where(there, pixels, 0)
        else:
            scale = np.where(raw_frames > 0, 1.0 / np.maximum(raw_frames, 1), 0.0)[:, None]
            self._factors[here] = scale
            values = of_groups * scale
        self._totals[:, here] = np.add.reduceat(values, self._bin_groups[:-1], axis=1).T

    def _sum_of(self, start: int, stop: int) -> Float[np.ndarray, " place"]:
        """Return the sums of the frames last sorted, before or behind the end of a span."""
        return np.asarray(self._sums[1 if start else 0], dtype=np.float64)

    def _alike(
        self, start: int, stop: int
    ) -> Iterator[tuple[Shaped[np.ndarray, "chunk count"], int, slice]]:
        """Yield the chunks of frames in stretches of one type.

        With each comes the frame in it that is the first wanted one, and which of the wanted
        frames lie there.
        """
        first = 0
        for chunks in self._stretches:
            end = first + len(chunks) * self._length
            here = slice(max(first, start), min(end, stop))
            if here.start < here.stop:
                yield chunks, here.start - first, slice(here.start - start, here.stop - start)
            first = end

    def _chunk(self, at: int) -> tuple[Shaped[np.ndarray, " count"], int]:
        """Return the chunk of a frame, and the number of the frame in it."""
        ((chunks, start, _),) = self._alike(at, at + 1)
        return chunks[start // self._length], start % self._length

    def _widen(self, at: int, largest: float) -> None:
        """Give the chunks from that of a frame on a type that holds ``largest``."""
        begin = at - at % self._length
        narrow, _ = self._chunk(at)
        earlier = [
            chunks[: len(range(here.start, here.stop, self._length))]
            for chunks, _, here in self._alike(0, begin)
        ]
        count = sum(map(len, self._stretches)) - begin // self._length
        kind = next(kind for kind in self._types if _holds(kind, largest))
        left = self._memory_bytes - sum(chunks.nbytes for chunks in earlier)
        wide = self._room((count, len(narrow)), kind, left)
        wide[0] = narrow
        self._stretches = [*earlier, wide]

    def _room(
        self, shape: tuple[int, int], dtype: np.dtype[Any], memory_bytes: float
    ) -> Shaped[np.ndarray, "chunk count"]:
        """Return room for counts, in memory or in a scratch file.

        In one piece: the system gives it in large pages, far quicker than in many small ones.
        """
        needed = math.prod(shape) * dtype.itemsize
        if needed <= memory_bytes:
            return np.empty(shape, dtype)
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if needed > free:
            msg = (
                f"The counts of {shape[1] // self._length} pixels need {needed / 1e9:.3g} GB in "
                f"{tempfile.gettempdir()}, {free / 1e9:.3g} GB are free there; "
                "choose fewer bins or frames, or name a larger folder in TMPDIR."
            )
            raise CorrelationError(msg)
        with tempfile.TemporaryFile(prefix="napari-xpcs-") as file:
            file.truncate(needed)
            self._scratch.append(mmap.mmap(file.fileno(), needed))
        return np.frombuffer(self._scratch[-1], dtype).reshape(shape)

    def _leave_to_the_file(self) -> None:
        """Give back the memory in which a scratch file was looked at; what it holds stays."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for pages in self._scratch:
                pages.madvise(mmap.MADV_DONTNEED)


def _holds(kind: np.dtype[Any], count: float) -> bool:
    """Return whether a type has room for a count."""
    return kind.kind == "f" or int(count) <= int(np.iinfo(kind).max)
