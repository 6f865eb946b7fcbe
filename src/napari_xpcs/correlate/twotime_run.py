"""Two-time correlation of some bins of a run."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import numpy as np

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.array_engine import platform_of
from napari_xpcs.correlate.bin_values import ArrayBin, BinValues, BlasBin
from napari_xpcs.correlate.engines import choose_engine
from napari_xpcs.correlate.event_engine import EventRun, few_events, selected_events
from napari_xpcs.correlate.finish import check_frame_time
from napari_xpcs.correlate.multitau_options import prefers_gpu
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import FrameReader, Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.correlate.run_sums import RunSums, empty_sums
from napari_xpcs.correlate.sorted_counts import SortedCounts, sort_by_bin
from napari_xpcs.correlate.sparse_bin import SPARSE_BELOW, SparseBin, sparse_values
from napari_xpcs.correlate.twotime_maps import Diagonals, MapSink, MapsInMemory
from napari_xpcs.errors import CorrelationError, check_choice
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import SMOOTHINGS, TwoTimeResult
from napari_xpcs.progress import Progress, Steps

MEAN_SEGMENTS = 10
"""I(q) is given for so many equal spans of the run."""

TILE_FRAMES = 2048
"""Frames along a side of a tile, fewer where memory is short."""

COUNTS_IN_MEMORY = 5e8
"""Bytes of counts above which these lie in a scratch file: memory does not grow with a run."""

_SMALLEST_TILE = 64

_TILE_COPIES = 4
"""Arrays of the size of a tile that there are while one is made."""

_READ_PER_PRODUCT = 400
"""A frame is read in the time of so many products of two frames, about."""

READING = "steps (reading)"
MAKING_MAPS = "steps (maps)"
"""What the progress of a run counts: one step takes as long as reading a frame."""


_PRODUCTS = {
    "numba": "matrix products by BLAS",
    "array": "matrix products by the array backend {backend}",
    "events": "sparse products",
}


def correlate_twotime(
    frames: Frames,
    partition: Partition,
    *,
    frame_time_s: float,
    xp: BackendProtocol,
    bins: Sequence[int] | None = None,
    selection: FrameSelection | None = None,
    skipped: Iterable[int] = (),
    skip_corrupt: bool = False,
    smoothing: str = "static",
    engine: str = "auto",
    block: int = 128,
    memory_bytes: float = 4e9,
    sink: MapSink | None = None,
) -> Steps[TwoTimeResult]:
    """Correlate every frame with every other one, bin by bin.

    Frames are read once.  A run of few events becomes sparse matrices; otherwise the counts of
    the bins wait in memory, or in a scratch file where they do not fit.  The maps are made tile by
    tile.  Rows and columns of frames that are left out, or empty in a bin, are NaN.

    Parameters
    ----------
    frames
        Counts (frame, row, col): an array, or anything that returns ``frames[a:b]``.
    frame_time_s
        Time between raw frames, s.
    xp
        What multiplies where the engine is ``array``.
    bins
        Labels of the dynamic bins, by default all.
    selection
        The frames to use, all by default.
    skipped
        Raw frames to leave out: they enter no pair and no average, and time goes on.
    skip_corrupt
        Leave out frames that cannot be read, too.
    smoothing
        One of :data:`~napari_xpcs.kernels.twotime.SMOOTHINGS`.
    engine
        One of :data:`~napari_xpcs.correlate.engines.ENGINES`.
    block
        Frames read at once.
    memory_bytes
        What maps, counts and tiles may take together.
    sink
        Where the maps go instead of memory; the ``maps`` of the result are empty then.

    Raises
    ------
    CorrelationError
        Frames, bins and options do not fit each other or the memory, the run ends early, or
        a used pixel holds what stands for a masked or saturated value.
    """
    check_choice("smoothing", smoothing, SMOOTHINGS)
    check_frame_time(frame_time_s)
    pixels = used_pixels(partition, frames.shape[1:])
    plan = RunPlan.of(frames.shape[0], selection, skipped)
    labels = labels_with_pixels(pixels, bins)
    in_memory = MapsInMemory()
    tile, room = _tile_and_room(plan.frames, len(labels) if sink is None else 0, memory_bytes)
    steps = plan.frames + max(plan.frames**2 // _READ_PER_PRODUCT, len(labels))
    yield Progress(0, steps, READING)
    few = few_events(frames, SPARSE_BELOW, room)
    choice = choose_engine(engine, events=few, prefer_gpu=prefers_gpu())
    run = _Run(pixels, labels, plan, smoothing)
    corrupt: tuple[int, ...] = ()
    values: Sequence[BinValues]
    with ExitStack() as stack:
        if choice.name == "events":
            values = yield from run.values_of_events(frames, steps)
        else:
            reader = FrameReader(
                frames, plan.selection, pixels.mask, skipped=plan.skipped, skip_corrupt=skip_corrupt
            )
            counts = stack.enter_context(
                closing(run.counts(reader.block_type, min(room, COUNTS_IN_MEMORY)))
            )
            yield from run.read(reader, counts, steps, block)
            corrupt = reader.corrupt
            if choice.name == "array":
                values = [ArrayBin(counts, position, xp) for position in range(len(labels))]
            else:
                values = [BlasBin(counts, position) for position in range(len(labels))]
        maps = in_memory if sink is None else sink
        maps.start(len(labels), plan.frames, tile)
        diagonals = yield from _maps_of_bins(values, tile, maps, plan.frames, steps)
    yield Progress(steps, steps, MAKING_MAPS)
    curves = [one.g2() for one in diagonals]
    mean, error, ratio = (np.stack(columns, axis=1) for columns in zip(*curves, strict=True))
    if smoothing == "dynamic":
        # Divided by its mean every frame weighs alike: the ratio of sums is the mean of ratios.
        ratio = mean
    counted = np.all([one.counted for one in diagonals], axis=0)
    empty = np.flatnonzero(~counted & (run.sums.raw_frames > 0))
    device = platform_of(xp) if choice.name == "array" else "cpu"
    return TwoTimeResult(
        maps=in_memory.maps,
        processed_bins=np.array(labels),
        g2=mean,
        g2_err=error,
        g2_ratio=ratio,
        segments=np.stack([one.segments() for one in diagonals], axis=2),
        selection=plan.selection,
        frame_time_s=frame_time_s,
        normalization=smoothing,
        engine=f"{_PRODUCTS[choice.name].format(backend=xp.name)} on {device}: {choice.reason}",
        skipped_frames=plan.left_out(corrupt),
        empty_frames=tuple((plan.selection.begin + plan.selection.step * empty).tolist()),
        **run.sums.averages(pixels),
    )


class _Run:
    """Reads a run into the values that maps are made of, and the sums of its averages."""

    def __init__(
        self,
        pixels: UsedPixels,
        labels: list[int],
        plan: RunPlan,
        smoothing: str,
    ) -> None:
        self._pixels = pixels
        self._in_order = sort_by_bin(pixels)
        self._labels = labels
        self._plan = plan
        # One factor for all pixels of a frame leaves C2 as it is: the counts stay as they are.
        self._smoothing = "static" if smoothing == "static" else "none"
        self.sums = sums_of_run(pixels, plan.frames)

    def counts(self, dtype: np.dtype[Any], memory_bytes: float) -> SortedCounts:
        """Return room for the counts of the bins."""
        return SortedCounts(
            self._pixels,
            self._in_order,
            self._labels,
            self._smoothing,
            frames=self._plan.frames,
            dtype=dtype,
            memory_bytes=memory_bytes,
        )

    def read(
        self, reader: FrameReader, counts: SortedCounts, steps: int, block: int
    ) -> Steps[None]:
        """Read the frames."""
        with closing(reader.summed(reader.block_length(block))) as blocks:
            for frames in blocks:
                counts.add(frames, self.sums)
                done = frames.begin + len(frames.counts)
                del frames  # its memory is used again
                yield Progress(done, steps, READING)
        self.sums.without_value[:] = reader.without_value

    def values_of_events(self, frames: Frames, steps: int) -> Steps[list[BinValues]]:
        """Return the values of the bins as sparse matrices."""
        if not isinstance(frames, EventRun):
            msg = "The run holds frames and no events; choose the engine dense, or auto."
            raise CorrelationError(msg)
        pixels, in_order, sums, count = self._pixels, self._in_order, self.sums, self._plan.frames
        place = np.full(pixels.mask.size, -1, np.int64)
        place[in_order.index] = np.arange(len(in_order.index))
        static = pixels.static[np.searchsorted(pixels.index, in_order.index)]
        kept: list[tuple[np.ndarray, ...]] = []
        for share in selected_events(frames, self._plan, 0, count):
            used = np.repeat(share.used_frame, np.diff(share.starts))
            there = used >= 0
            frame, pixel, counts = used[there] + share.begin, share.pixel[there], share.count[there]
            sums.total.reshape(-1)[:] += np.bincount(pixel, counts, pixels.mask.size)
            sums.raw_frames[share.begin : share.end] = share.raw_frames
            inside = place[pixel] >= 0
            frame, pixel, counts = frame[inside], place[pixel[inside]], counts[inside]
            sums.counts[:] += np.bincount(frame, counts, count)
            full = frame < len(sums.spans) * sums.span
            np.add.at(sums.spans, (frame[full] // sums.span, static[pixel[full]]), counts[full])
            kept.append((frame, pixel.astype(np.int32), counts))
            yield Progress(share.end, steps, READING)
        frame, pixel, counts = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        values: list[BinValues] = []
        for label in self._labels:
            here, starts = in_order.bins[label - 1], in_order.static_starts[label - 1]
            of_bin = (pixel >= here.start) & (pixel < here.stop)
            groups = starts if self._smoothing == "static" else None
            matrix = sparse_values(
                frame[of_bin],
                pixel[of_bin] - here.start,
                counts[of_bin],
                count,
                groups,
                here.stop - here.start,
            )
            values.append(SparseBin(matrix))
        return values


def sums_of_run(pixels: UsedPixels, frames: int) -> RunSums:
    """Return the sums of a run before its first frame."""
    span = max(frames // MEAN_SEGMENTS, 1)
    return empty_sums(pixels, begin=0, frames=frames, span=span, spans=frames // span)


def _maps_of_bins(
    values: Sequence[BinValues], tile: int, maps: MapSink, frames: int, steps: int
) -> Steps[list[Diagonals]]:
    """Make the maps, tile by tile; the progress goes on from ``frames`` to ``steps``."""
    pixels = np.cumsum([0, *(one.pixels for one in values)])
    ticks = frames + pixels * (steps - frames) // pixels[-1]
    entries = frames * (frames + 1) // 2
    square = np.empty(min(tile, frames) ** 2, np.float32)
    found = []
    for position, one in enumerate(values):
        diagonals = Diagonals(one.totals(), one.pixels, one.centre)
        first, last = int(ticks[position]), int(ticks[position + 1])
        done = 0
        for rows, cols in _tiles(frames, tile):
            shape = rows.stop - rows.start, cols.stop - cols.start
            room = maps.room(position, shape)
            if room is None:
                room = square[: shape[0] * shape[1]].reshape(shape)
            progress = Progress(first + (last - first) * done // entries, steps, MAKING_MAPS)
            yield from one.products(rows, cols, room, progress)
            diagonals.add(rows.start, cols.start, room)
            maps.put(position, rows.start, cols.start, room)
            done += room.size // (2 if rows == cols else 1)
        found.append(diagonals)
    return found


def _tiles(frames: int, tile: int) -> Iterator[tuple[slice, slice]]:
    """Divide the upper half of a map."""
    spans = [slice(a, min(a + tile, frames)) for a in range(0, frames, tile)]
    for number, rows in enumerate(spans):
        for cols in spans[number:]:
            yield rows, cols


def _tile_and_room(frames: int, maps: int, memory_bytes: float) -> tuple[int, float]:
    """Return the side of a tile, and the bytes that are left for counts.

    ``maps`` of them are kept in memory.
    """
    in_memory = 4.0 * frames**2 * maps
    tile = min(TILE_FRAMES, 1 << (frames - 1).bit_length())

    def of_tiles() -> float:
        return 4.0 * min(tile, frames) ** 2 * _TILE_COPIES

    while tile > _SMALLEST_TILE and of_tiles() > min(memory_bytes / 2, memory_bytes - in_memory):
        tile //= 2
    needed = of_tiles() + in_memory
    if needed > memory_bytes:
        msg = (
            f"Two-time maps of {maps} bins and {frames} frames need {needed / 1e9:.3g} GB, "
            f"{memory_bytes / 1e9:.3g} GB are allowed; choose fewer bins, or fewer frames by a "
            "stride or an average, or let them be written to a file."
        )
        raise CorrelationError(msg)
    return tile, memory_bytes - needed


def labels_with_pixels(pixels: UsedPixels, bins: Sequence[int] | None) -> list[int]:
    """Return the labels to correlate, checked."""
    counts = np.bincount(pixels.dynamic, minlength=pixels.bins)
    if bins is None:
        return [int(label) for label in np.flatnonzero(counts) + 1]
    labels = list(dict.fromkeys(int(label) for label in bins))
    if not labels:
        msg = "No bin was chosen; name the labels to correlate, or none at all for every bin."
        raise CorrelationError(msg)
    for label in labels:
        if not 1 <= label <= pixels.bins:
            msg = f"There is no bin {label}; the partition has the bins 1 to {pixels.bins}."
            raise CorrelationError(msg)
        if counts[label - 1] == 0:
            msg = f"Bin {label} has no pixel inside the mask; leave it out."
            raise CorrelationError(msg)
    return labels
