"""Two-time correlation of some bins of a run."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.bin_values import (
    BinValues,
    DenseBin,
    SortedPixels,
    fluctuations,
    room_for_values,
    sort_by_bin,
)
from napari_xpcs.correlate.engines import plain
from napari_xpcs.correlate.event_engine import EventRun, few_events, selected_events
from napari_xpcs.correlate.finish import check_frame_time
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import FrameReader, Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.correlate.run_sums import RunSums, empty_sums
from napari_xpcs.correlate.sparse_bin import SPARSE_BELOW, SparseBin, sparse_values
from napari_xpcs.correlate.twotime_maps import Diagonals, MapSink, MapsInMemory
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import SMOOTHINGS, TwoTimeResult, normalized_tile
from napari_xpcs.progress import Progress, Steps

MEAN_SEGMENTS = 10
"""I(q) is given for so many equal spans of the run."""

TILE_FRAMES = 2048
"""Frames along a side of a tile, fewer where memory is short."""

_SMALLEST_TILE = 64

_TILE_COPIES = 6
"""Arrays of the size of a tile that there are while one is made."""

_READ_PER_PRODUCT = 400
"""A frame is read in the time of so many products of two frames, about."""


def correlate_twotime(
    frames: Frames,
    partition: Partition,
    *,
    frame_time_s: float,
    xp: BackendProtocol,
    bins: Sequence[int] | None = None,
    selection: FrameSelection | None = None,
    smoothing: str = "static",
    block: int = 256,
    memory_bytes: float = 4e9,
    sink: MapSink | None = None,
) -> Steps[TwoTimeResult]:
    """Correlate every frame with every other one, bin by bin.

    Frames are read once.  A run of few events becomes sparse matrices; otherwise the counts of
    the bins wait in memory, or in a scratch file where they do not fit.  The maps are made tile by
    tile.

    Parameters
    ----------
    frames
        Counts (frame, row, col): an array, or anything that returns ``frames[a:b]``.
    frame_time_s
        Time between raw frames, s.
    bins
        Labels of the dynamic bins, by default all.
    selection
        The frames to use, all by default.
    smoothing
        One of :data:`~napari_xpcs.kernels.twotime.SMOOTHINGS`.
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
    check_smoothing(smoothing)
    check_frame_time(frame_time_s)
    pixels = used_pixels(partition, frames.shape[1:])
    reader = FrameReader(frames, selection or FrameSelection(), pixels.mask)
    labels = labels_with_pixels(pixels, bins)
    in_memory = MapsInMemory()
    tile, room = _tile_and_room(reader.count, len(labels) if sink is None else 0, memory_bytes)
    in_order = sort_by_bin(pixels)
    widths = [in_order.bins[label - 1].stop - in_order.bins[label - 1].start for label in labels]
    of_maps = max(reader.count**2 // _READ_PER_PRODUCT, len(labels))
    steps = reader.count + of_maps
    yield Progress(0, steps, "frames")
    if isinstance(frames, EventRun) and few_events(frames, SPARSE_BELOW, room):
        engine = "sparse products: the file holds few events per frame"
        values, means = yield from _values_of_events(
            frames, reader.selection, pixels, in_order, labels, smoothing, steps, xp=xp
        )
    else:
        engine = "matrix products"
        values, means = yield from _values_of_frames(
            reader, pixels, in_order, labels, smoothing, steps, block, room, xp=xp
        )
    maps = in_memory if sink is None else sink
    maps.start(len(labels), reader.count, tile)
    g2: list[tuple[np.ndarray, ...]] = []
    segments: list[np.ndarray] = []
    ticks = reader.count + np.cumsum([0, *widths]) * of_maps // sum(widths)
    for position in range(len(labels)):
        # Taken off the list: the counts of a bin go when its map is there.
        diagonals = yield from _map_of_bin(
            values.pop(0),
            position,
            tile,
            maps,
            ticks=(int(ticks[position]), int(ticks[position + 1]), steps),
            xp=xp,
        )
        g2.append(diagonals.g2())
        segments.append(diagonals.segments())
    yield Progress(steps, steps, "maps")
    mean, error, ratio = (np.stack(columns, axis=1) for columns in zip(*g2, strict=True))
    if smoothing == "dynamic":
        # One factor for all pixels of a frame leaves C2 as it is: the counts were not touched.
        # With it every frame weighs alike, and the ratio of sums is the mean of ratios.
        ratio = mean
    return TwoTimeResult(
        maps=in_memory.maps,
        processed_bins=np.array(labels),
        g2=mean,
        g2_err=error,
        g2_ratio=ratio,
        segments=np.stack(segments, axis=2),
        selection=reader.selection,
        frame_time_s=frame_time_s,
        normalization=smoothing,
        engine=engine,
        **means,
    )


def _values_of_frames(
    reader: FrameReader,
    pixels: UsedPixels,
    in_order: SortedPixels,
    labels: list[int],
    smoothing: str,
    steps: int,
    block: int,
    room: float,
    *,
    xp: BackendProtocol,
) -> Steps[tuple[list[BinValues], dict[str, Any]]]:
    """Read the run; return what the maps of bins are made of, and the means of the result."""
    widths = [in_order.bins[label - 1].stop - in_order.bins[label - 1].start for label in labels]
    matrices = room_for_values(reader.count, widths, room)
    sums = sums_of_run(pixels, reader.count)
    start = 0
    with closing(reader.blocks(reader.block_length(block))) as blocks:
        for frames_of_block in blocks:
            counts = in_order.take(frames_of_block)
            add_averaged(sums, pixels, start, frames_of_block, counts)
            del frames_of_block  # its memory is used again
            here = slice(start, start + len(counts))
            for label, matrix in zip(labels, matrices, strict=True):
                of_bin = in_order.bins[label - 1]
                if smoothing == "static":
                    starts = in_order.static_starts[label - 1]
                    fluctuations(counts, of_bin, starts, matrix[here])
                else:
                    matrix[here] = counts[:, of_bin]
            start += len(counts)
            yield Progress(start, steps, "frames")
    values: list[BinValues] = [DenseBin(one, smoothing == "static", xp) for one in matrices]
    sums.without_value[:] = reader.without_value
    return values, sums.averages(pixels)


def _values_of_events(
    frames: EventRun,
    selection: FrameSelection,
    pixels: UsedPixels,
    in_order: SortedPixels,
    labels: list[int],
    smoothing: str,
    steps: int,
    *,
    xp: BackendProtocol,
) -> Steps[tuple[list[BinValues], dict[str, Any]]]:
    """Read a run of events; return the same as :func:`_values_of_frames`."""
    count = selection.count()
    sums = sums_of_run(pixels, count)
    place = np.full(pixels.mask.size, -1, np.int64)
    place[in_order.index] = np.arange(len(in_order.index))
    static = pixels.static[np.searchsorted(pixels.index, in_order.index)]
    kept: list[tuple[np.ndarray, ...]] = []
    for share in selected_events(frames, RunPlan(selection=selection), 0, count):
        used = share.used_frame[share.frame]
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
        yield Progress(share.end, steps, "frames")
    frame, pixel, counts = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    values: list[BinValues] = []
    for label in labels:
        here = in_order.bins[label - 1]
        of_bin = (pixel >= here.start) & (pixel < here.stop)
        matrix = sparse_values(
            frame[of_bin],
            pixel[of_bin] - here.start,
            counts[of_bin],
            count,
            in_order.static_starts[label - 1] if smoothing == "static" else None,
            here.stop - here.start,
        )
        values.append(SparseBin(matrix, xp))
    return values, sums.averages(pixels)


def sums_of_run(pixels: UsedPixels, frames: int) -> RunSums:
    """Return the sums of a run before its first frame."""
    span = max(frames // MEAN_SEGMENTS, 1)
    return empty_sums(pixels, begin=0, frames=frames, span=span, spans=frames // span)


def add_averaged(
    sums: RunSums, pixels: UsedPixels, first: int, frames: np.ndarray, counts: np.ndarray
) -> None:
    """Add a block of used frames, each the mean of its raw frames, with its used pixels."""
    from napari_xpcs.correlate._numba_multitau import add_up

    flat = plain(frames).reshape(len(frames), -1)

    def sum_of(start: int, stop: int) -> np.ndarray:
        total = np.zeros(flat.shape[1])
        add_up(flat[start:stop], 0, len(total), total)
        return total

    sums.add(
        pixels,
        first,
        counts.sum(axis=1, dtype=np.float64),
        np.ones(len(flat), dtype=np.int64),
        sum_of,
    )


def _map_of_bin(
    values: BinValues,
    position: int,
    tile: int,
    maps: MapSink,
    *,
    ticks: tuple[int, int, int],
    xp: BackendProtocol,
) -> Steps[Diagonals]:
    """Make one map; the progress goes from the first to the second of ``ticks``."""
    begin, end, steps = ticks
    totals = values.totals()
    frames = len(totals)
    diagonals = Diagonals(totals, values.pixels)
    done, whole = 0, frames * (frames + 1) // 2
    for rows, cols in _tiles(frames, tile):
        tick = begin + (end - begin) * done // whole
        products = yield from values.products(rows, cols, Progress(tick, steps, "maps"))
        c2 = normalized_tile(products, totals[rows], totals[cols], values.pixels, xp=xp)
        half = xp.to_numpy(c2)
        diagonals.add(rows.start, cols.start, xp.to_numpy(products), half)
        maps.put(position, rows.start, cols.start, np.triu(half) if rows == cols else half)
        done += (rows.stop - rows.start) * (cols.stop - cols.start) // (2 if rows == cols else 1)
    return diagonals


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
    tile = min(TILE_FRAMES, 1 << (frames - 1).bit_length())
    while tile > _SMALLEST_TILE and 4.0 * tile**2 * _TILE_COPIES > memory_bytes / 2:
        tile //= 2
    needed = 4.0 * min(tile, frames) ** 2 * _TILE_COPIES + 4.0 * frames**2 * maps
    if needed > memory_bytes:
        msg = (
            f"Two-time maps of {maps} bins and {frames} frames need {needed / 1e9:.3g} GB, "
            f"{memory_bytes / 1e9:.3g} GB are allowed; choose fewer bins, or fewer frames by a "
            "stride or an average, or let them be written to a file."
        )
        raise CorrelationError(msg)
    return tile, memory_bytes - needed


def check_smoothing(smoothing: str) -> None:
    """Raise :class:`CorrelationError` where there is no such smoothing."""
    if smoothing not in SMOOTHINGS:
        msg = f"There is no smoothing {smoothing!r}; choose {', '.join(SMOOTHINGS)}."
        raise CorrelationError(msg)


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
