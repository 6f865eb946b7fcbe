"""Values of bins from blocks of frames, turned round so that the frames of a pixel lie together."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, Shaped

from napari_xpcs.correlate.bin_values import DenseValues, SortedPixels
from napari_xpcs.correlate.engines import plain, usable_cores
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.correlate.reading import FrameBlock
from napari_xpcs.correlate.run_sums import RunSums

_TURNED_BYTES = 2**26
"""Of counts that are turned round together; of very large detectors more, see below."""

_FEWEST_FRAMES = 16
"""Fewer would be written in pieces smaller than a line of the cache."""


class TurnedBlocks:
    """Makes values of the counts of blocks of frames, and adds the counts to the sums of the run.

    Parameters
    ----------
    pixels, in_order
        The used pixels, and their order.
    labels
        The bins whose values are wanted.
    smoothing
        One of :data:`~napari_xpcs.kernels.twotime.SMOOTHINGS`: values are counts over the mean of
        their bin in the same frame; ``none``: mean counts of a raw frame.
    """

    def __init__(
        self, pixels: UsedPixels, in_order: SortedPixels, labels: Sequence[int], smoothing: str
    ) -> None:
        self._pixels = pixels
        self._bins = in_order.bins
        self._position = {label - 1: position for position, label in enumerate(labels)}
        self._divide = smoothing != "none"
        self._starts = [
            np.append(starts if smoothing == "static" else starts[:1], here.stop - here.start)
            for starts, here in zip(in_order.static_starts, in_order.bins, strict=True)
        ]
        self._rank = np.full(pixels.mask.size, -1, np.int64)
        self._rank[in_order.index] = np.arange(len(in_order.index))
        self._threads = usable_cores()
        self._turned: Shaped[np.ndarray, "pixel frame"] = np.empty((0, 0))
        self._sums: Shaped[np.ndarray, "2 place"] = np.empty((2, 0))

    def add(self, block: FrameBlock, values: Sequence[DenseValues], sums: RunSums) -> None:
        """Fill the panels of every label with the frames of a block."""
        frames = plain(block.counts)
        flat = frames.reshape(len(frames), frames.shape[1] * frames.shape[2])
        self._make_room(flat)
        first = 0
        with ThreadPoolExecutor(self._threads, thread_name_prefix="two-time") as pool:
            while first < len(flat):
                begin = block.begin + first
                # The frames before the next end of a span, and at most one span behind it.
                edge = sums.span - begin % sums.span
                count = min(
                    self._turned.shape[1],
                    len(flat) - first,
                    edge + sums.span,
                    values[0].left_in_panel(begin),
                )
                edge = min(edge, count)
                self._turn(flat, first, edge, count, pool)
                raw = block.raw_frames[first : first + count]
                counts = self._fill(values, begin, raw, pool)
                sums.add(self._pixels, begin, counts, raw, self._sum_of)
                first += count

    def _make_room(self, frames: Shaped[np.ndarray, "frame place"]) -> None:
        from napari_xpcs.correlate._numba_twotime import FRAMES

        if self._turned.dtype != frames.dtype or not self._turned.size:
            pixels, size = len(self._pixels.index), frames.itemsize
            fitting = max(_TURNED_BYTES // (pixels * size), _FEWEST_FRAMES)
            length = 1 << (min(fitting, FRAMES).bit_length() - 1)
            self._turned = np.empty((pixels, length), frames.dtype)
            small = frames.dtype.kind == "u" and size <= 2
            self._sums = np.empty((2, frames.shape[1]), np.uint32 if small else np.float64)

    def _turn(
        self,
        frames: Shaped[np.ndarray, "frame place"],
        first: int,
        edge: int,
        count: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        from napari_xpcs.correlate._numba_twotime import turn_round

        places = frames.shape[1]
        cuts = [places * number // self._threads for number in range(self._threads + 1)]

        def share(cut: tuple[int, int]) -> None:
            turn_round(frames, first, edge, count, *cut, self._rank, self._turned, self._sums)

        list(pool.map(share, pairwise(cuts)))

    def _sum_of(self, start: int, stop: int) -> Float[np.ndarray, " place"]:
        """Return the sums of the frames that are turned, before or behind the end of a span."""
        return np.asarray(self._sums[1 if start else 0], dtype=np.float64)

    def _fill(
        self,
        values: Sequence[DenseValues],
        begin: int,
        raw_frames: Int[np.ndarray, " frame"],
        pool: ThreadPoolExecutor,
    ) -> Float[np.ndarray, " frame"]:
        """Fill the panels with the frames that are turned; return the counts of these frames."""
        from napari_xpcs.correlate._numba_twotime import add_pixels, values_of_bin

        count = len(raw_frames)
        scale = np.where(raw_frames > 0, 1.0 / np.maximum(raw_frames, 1), 0.0)

        def share(number: int) -> Float[np.ndarray, " frame"]:
            counts = np.zeros(count)
            for which in range(number, len(self._bins), self._threads):
                here, position = self._bins[which], self._position.get(which)
                if position is None:
                    add_pixels(self._turned, here.start, here.stop, count, counts)
                    continue
                into = values[position]
                values_of_bin(
                    self._turned, here.start, self._starts[which], count, scale, self._divide,
                    into.centre, *into.place(begin, count), counts,
                )  # fmt: skip
            return counts

        shares = np.stack(list(pool.map(share, range(self._threads))))
        return np.asarray(shares.sum(axis=0))
