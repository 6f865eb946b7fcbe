"""Age-resolved g2 of long runs, in the time and memory of multi-tau."""

from collections.abc import Iterable, Sequence
from contextlib import closing

import numpy as np
from jaxtyping import Float, Float32

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.finish import check_frame_time
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.reading import FrameReader, Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.correlate.turned_counts import TurnedCounts, sort_by_bin
from napari_xpcs.correlate.twotime_run import check_smoothing, labels_with_pixels, sums_of_run
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.multitau import multitau_lags
from napari_xpcs.kernels.multitau_twotime import (
    AgeLevel,
    MultiTauTwoTime,
    MultiTauTwoTimeResult,
    lagged_products,
)
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import Progress, Steps

LONG_RUN = 20_000
"""Used frames above which the full map of a bin (1.6 GB there) is not the default."""

MAPS = ("auto", "full", "ages")
"""What two-time correlation makes: maps of all pairs of frames, or ages on the delays of multi-tau;
``auto`` takes the second above :data:`LONG_RUN` used frames."""

_BLOCK_BYTES = 2**26
"""Values of a block of frames; the levels above it take as much again."""


def ages_instead_of_maps(maps: str, frames: int) -> bool:
    """Return whether a run of ``frames`` used frames gets ages instead of maps.

    Raises
    ------
    CorrelationError
        ``maps`` is none of :data:`MAPS`.
    """
    if maps not in MAPS:
        msg = f"There are no two-time maps of the kind {maps!r}; choose {', '.join(MAPS)}."
        raise CorrelationError(msg)
    return maps == "ages" or (maps == "auto" and frames > LONG_RUN)


def correlate_multitau_twotime(
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
    delays_per_level: int = 4,
) -> Steps[MultiTauTwoTimeResult]:
    """Correlate the frames of a run with those that follow at the delays of multi-tau.

    Frames are read once; memory holds a block of frames and the result, about 50 bytes for each
    frame and bin.

    Parameters
    ----------
    frames, partition, frame_time_s, bins, selection, skipped, skip_corrupt, smoothing
        As in :func:`~napari_xpcs.correlate.twotime_run.correlate_twotime`.
    delays_per_level
        4 or 8.

    Raises
    ------
    CorrelationError
        Frames, bins and options do not fit each other, the run ends early, or a used pixel holds
        what stands for a masked or saturated value.
    """
    check_smoothing(smoothing)
    check_frame_time(frame_time_s)
    pixels = used_pixels(partition, frames.shape[1:])
    plan = RunPlan(
        selection=(selection or FrameSelection()).within(frames.shape[0]),
        skipped=tuple(sorted(set(skipped))),
        delays_per_level=delays_per_level,
    )
    reader = FrameReader(
        frames, plan.selection, pixels.mask, skipped=plan.skipped, skip_corrupt=skip_corrupt
    )
    labels = labels_with_pixels(pixels, bins)
    in_order = sort_by_bin(pixels)
    sums = sums_of_run(pixels, reader.count)
    levels = _empty_levels(reader.count, len(labels), delays_per_level)
    widths = [in_order.width(label) for label in labels]
    centre = 0.0 if smoothing == "none" else 1.0
    lines = [
        [_Line(level, map_number, width, centre, xp=xp) for level in levels]
        for map_number, width in enumerate(widths)
    ]
    length = reader.block_length(max(_BLOCK_BYTES // (4 * len(pixels.index)), 1))
    turned = TurnedCounts(
        pixels, in_order, labels, smoothing, frames=length, tile=length, dtype=reader.block_type
    )
    yield Progress(0, reader.count, "frames")
    with closing(turned), closing(reader.summed(length)) as blocks:
        for block in blocks:
            count, done = len(block.counts), block.begin + len(block.counts)
            turned.begin = block.begin
            turned.add(block, sums)
            del block  # its memory is used again
            for position, of_bin in enumerate(lines):
                every = slice(0, widths[position])
                values = turned.values(position, slice(0, count), every, centre)
                fresh = np.ascontiguousarray(values.T)
                for line in of_bin:
                    fresh = line.add(fresh)
                yield Progress(done, reader.count, "frames")
    sums.without_value[:] = reader.without_value
    return MultiTauTwoTimeResult(
        ages=MultiTauTwoTime(
            levels=levels,
            processed_bins=np.array(labels),
            frame_time_s=frame_time_s * reader.selection.step,
        ),
        **sums.averages(pixels),
        selection=reader.selection,
        frame_time_s=frame_time_s,
        normalization=smoothing,
        skipped_frames=plan.left_out(reader.corrupt),
    )


def _empty_levels(frames: int, maps: int, delays_per_level: int) -> tuple[AgeLevel, ...]:
    delays = multitau_lags(frames, delays_per_level)
    levels = []
    for level in range(int(delays.level[-1]) + 1):
        lags = delays.lag[delays.level == level]
        shape = (maps, len(lags), frames >> level)
        c2 = np.full(shape, np.nan, np.float32)
        levels.append(AgeLevel(frames_per_sum=1 << level, lags=lags, c2=c2))
    return tuple(levels)


class _Line:
    """The last sums of one level of one bin, and where its C2 goes."""

    def __init__(
        self, level: AgeLevel, number: int, pixels: int, centre: float, *, xp: BackendProtocol
    ) -> None:
        self._level = level
        self._c2 = level.c2[number]
        self._centre = centre * level.frames_per_sum
        self._history = int(level.lags[-1])
        self._last = np.zeros((self._history, pixels), np.float32)
        self._totals = np.zeros(self._history)
        self._waiting = np.zeros((0, pixels), np.float32)
        self._seen = 0
        self._xp = xp

    def add(self, fresh: Float32[np.ndarray, "sum pixel"]) -> Float32[np.ndarray, "sum pixel"]:
        """Correlate further sums with those before them; return what the next level gets."""
        if len(fresh):
            rows = np.concatenate([self._last, fresh])
            self._store(rows, len(fresh))
            self._last = rows[len(fresh) :].copy()
        pairs = np.concatenate([self._waiting, fresh])
        whole = len(pairs) // 2 * 2
        self._waiting = pairs[whole:].copy()
        joined: np.ndarray = pairs[0:whole:2] + pairs[1:whole:2]
        return joined

    def _store(self, rows: Float32[np.ndarray, "row pixel"], count: int) -> None:
        xp, lags, pixels = self._xp, self._level.lags, rows.shape[1]
        fresh = rows[self._history :].sum(axis=1, dtype=np.float64) + self._centre * pixels
        totals = np.concatenate([self._totals, fresh])
        found = lagged_products(xp.asarray(rows), lags, self._history, xp=xp)
        products = xp.to_numpy(found).astype(np.float64)
        later = self._history + np.arange(count)
        earlier = totals[later - lags[:, None]]
        # Sum of (x - m)(y - m) = sum of xy - m (sum of x + sum of y) + m^2 pixels.
        products += self._centre * (totals[later] + earlier) - self._centre**2 * pixels
        c2 = _ratio(pixels * products, totals[later] * earlier)
        for row, lag in enumerate(lags):
            first = max(int(lag) - self._seen, 0)
            into = self._seen + first - int(lag)
            self._c2[row, into : into + count - first] = c2[row, first:]
        self._totals = totals[count:]
        self._seen += count


def _ratio(
    numerator: Float[np.ndarray, "lag sum"], denominator: Float[np.ndarray, "lag sum"]
) -> Float[np.ndarray, "lag sum"]:
    there = denominator > 0.0
    return np.where(there, numerator / np.where(there, denominator, 1.0), np.nan)
