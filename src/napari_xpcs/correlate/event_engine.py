"""Multi-tau correlation of events: few photons in a frame, never a dense frame.

The work goes with the number of events: ahead of the engines for dense frames up to about
:data:`FEW_EVENTS` events for each pixel and frame.  The state is theirs, number for number.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped

from napari_xpcs.correlate.engines import usable_cores
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.correlate.run_state import RunPlan, RunState, largest_count
from napari_xpcs.correlate.run_sums import empty_sums
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.multitau_state import empty_state
from napari_xpcs.progress import Progress

FEW_EVENTS = 0.015
"""Events per pixel and frame up to which they are correlated as events by default."""

_ALIGNED = 1024
"""Frames of which a share ends at a multiple: its sums of as many frames begin within it."""

_EVENT_BYTES = 60
"""Of an event in memory with the sparse matrix that it goes into."""

_PARTS = 32
"""Parts of a share that threads take one after the other, for even work and for Cancel."""

_BUCKETS = 256
"""Buckets of pixels that events are sorted into first: each is then sorted within a cache."""

_SMALLEST_BUCKET = 8
"""Logarithm of the pixels of a bucket, at least."""


@runtime_checkable
class EventRun(Protocol):
    """Frames of a file of events, which also gives these as they are."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a count."""
        ...

    def __getitem__(self, key: Any, /) -> np.ndarray[Any, Any]:
        """Return dense frames."""
        ...

    def block(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the events before each of some frames, and in all; their pixels and counts."""
        ...

    def spans(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Divide frames into spans whose events fit into memory."""
        ...

    @property
    def source(self) -> Any:
        """Where they are; ``source.starts`` has the entries before each frame, and in all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SelectedEvents:
    """Events of consecutive used frames.

    Parameters
    ----------
    begin, end
        The used frames.
    starts
        Events before each raw frame, and in all.
    pixel, count
        Place in the flattened detector, and count.
    used_frame
        Used frame of every raw frame, counted from ``begin``; -1 where it is left out.
    raw_frames
        Raw frames that each used frame is made of.
    """

    begin: int
    end: int
    starts: Int[np.ndarray, " raw+1"]
    pixel: Int[np.ndarray, " event"]
    count: Shaped[np.ndarray, " event"]
    used_frame: Int[np.ndarray, " raw"]
    raw_frames: Int[np.ndarray, " frame"]


def few_events(frames: object, limit: float = FEW_EVENTS, memory_bytes: float = np.inf) -> bool:
    """Return whether a run is one of so few events that they are correlated as such by default.

    Parameters
    ----------
    limit
        Events per pixel and frame.
    memory_bytes
        What all events together may take.
    """
    if not isinstance(frames, EventRun):
        return False
    events = int(frames.source.starts[-1])
    return events <= limit * float(np.prod(frames.shape)) and events * _EVENT_BYTES <= memory_bytes


def selected_events(
    frames: EventRun, plan: RunPlan, begin: int, end: int, stops: int | None = None
) -> Iterator[SelectedEvents]:
    """Yield the events of the used frames ``begin`` to ``end`` in shares that fit into memory.

    A used frame is never divided; a share ends at each multiple of ``stops``.
    """
    selection = plan.selection
    skipped = np.asarray(plan.skipped, np.int64)
    first, step = selection.begin, selection.step
    while begin < end:
        limit = end if stops is None else min(end, (begin // stops + 1) * stops)
        start = first + begin * step
        _, stop = next(iter(frames.spans(start, min(first + limit * step, frames.shape[0]))))
        until = limit if stop >= frames.shape[0] else max((stop - first) // step, begin + 1)
        until = _aligned(begin, min(until, limit))
        raw = np.arange(min((until - begin) * step, frames.shape[0] - start))
        used = np.where(raw % selection.stride == 0, raw // step, -1)
        used[skipped[(skipped >= start) & (skipped < start + len(raw))] - start] = -1
        starts, pixel, count = frames.block(start, start + len(raw))
        yield SelectedEvents(
            begin=begin,
            end=until,
            starts=starts,
            pixel=pixel,
            count=count,
            used_frame=used,
            raw_frames=np.bincount(used[used >= 0], minlength=until - begin),
        )
        begin = until


def _aligned(begin: int, end: int) -> int:
    """Return a frame up to ``end`` that is a multiple of a large power of two, if there is one."""
    unit = _ALIGNED
    while end // unit * unit <= begin:
        unit //= 2
    return end // unit * unit


class EventAccumulation:
    """A part of a run of events that is being added up, as ``Accumulation`` does with frames.

    Events are read in shares, so memory is bounded by the state and one share.

    Parameters
    ----------
    frames
        The run.
    pixels
        The pixels to correlate.
    plan
        Frames that are used and how.
    begin, end
        Used frames of the part; ``begin`` is a multiple of ``2**plan.alignment``.
    resumed
        What an earlier call had done of the same part when it was stopped after a share.
    threads
        By default one for each core that the process may use.

    Raises
    ------
    CorrelationError
        The frames are no events.
    """

    corrupt: tuple[int, ...] = ()
    """A file of events has no frame that cannot be read alone."""

    def __init__(
        self,
        frames: object,
        pixels: UsedPixels,
        plan: RunPlan,
        *,
        begin: int = 0,
        end: int | None = None,
        resumed: RunState | None = None,
        threads: int | None = None,
    ) -> None:
        if not isinstance(frames, EventRun):
            msg = (
                "The engine 'events' correlates files of events (Rigaku, IMM, CHX), these are "
                "dense frames; choose the engine auto."
            )
            raise CorrelationError(msg)
        self._frames, self._pixels, self._plan = frames, pixels, plan
        self._begin, self._end = begin, plan.frames if end is None else end
        self._threads = threads or usable_cores()
        if resumed is None:
            largest = largest_count(frames.dtype, plan.selection.average)
            length = self._end - begin
            levels = empty_state(
                len(pixels.index),
                begin=begin,
                frames=length,
                delays_per_level=plan.delays_per_level,
                alignment=plan.alignment,
                largest_count=np.inf if plan.normalize_frame else largest,
            )
            spans = max(plan.frames // plan.span, 1)
            sums = empty_sums(pixels, begin=begin, frames=length, span=plan.span, spans=spans)
            resumed = RunState(levels=levels, sums=sums)
        self._levels, self._sums = resumed.levels, resumed.sums
        self._used_pixel = np.full(pixels.mask.size, -1, np.int32)
        self._used_pixel[pixels.index] = np.arange(len(pixels.index), dtype=np.int32)
        # Of the narrowest type: it is looked up in no order.
        narrow = np.min_scalar_type(len(pixels.dynamic_of_static))
        self._label = np.zeros(pixels.mask.size, narrow)
        self._label[pixels.index] = pixels.static + 1

    @property
    def frames(self) -> int:
        """Used frames so far."""
        return self._levels.frames

    @property
    def device(self) -> str:
        """Where it computes, in words."""
        return f"cpu, {self._threads} threads"

    def state(self) -> RunState:
        """Return what was added up so far; the next share changes the arrays."""
        return RunState(levels=self._levels, sums=self._sums)

    def close(self) -> None:
        """Nothing is held between shares."""

    def steps(self, stops: int | None = None) -> Generator[Progress, None, None]:
        """Add the events; a share ends where :attr:`frames` has changed.

        Parameters
        ----------
        stops
            A share ends after each so many frames, too.
        """
        total = self._end - self._begin
        yield Progress(self.frames, total, "frames")
        first = self._begin + self.frames
        with ThreadPoolExecutor(self._threads, thread_name_prefix="events") as pool:
            for share in selected_events(self._frames, self._plan, first, self._end, stops):
                yield from self._add(share, pool)
                yield Progress(self.frames, total, "frames")

    def _add(
        self, share: SelectedEvents, pool: ThreadPoolExecutor
    ) -> Generator[Progress, None, None]:
        from napari_xpcs.correlate._numba_events import add_buckets, bucket_sizes, to_buckets

        pixels, sums, levels = self._pixels, self._sums, self._levels
        fresh, seen = share.end - share.begin, levels.frames
        here = slice(seen, seen + fresh)
        now = Progress(seen, self._end - self._begin, "frames")
        number = pixels.mask.size
        shift = max(_SMALLEST_BUCKET, (number // _BUCKETS).bit_length())
        sizes = np.zeros(-(-number // (1 << shift)), np.int64)
        bucket_sizes(share.starts, share.pixel, share.used_frame, shift, sizes)
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        pixel_bounds = np.searchsorted(pixels.index, np.arange(len(bounds)) << shift)
        records = np.empty(bounds[-1], np.int64)
        largest = to_buckets(
            share.starts, share.pixel, share.count, share.used_frame, self._label,
            np.arange(share.begin, share.end) // self._plan.span, shift, bounds[:-1].copy(),
            records, sums.counts[here], sums.spans,
        )  # fmt: skip
        sums.raw_frames[here] = share.raw_frames
        yield now
        weight = np.ones(fresh)
        if self._plan.normalize_frame:
            weight, largest = _weights(sums.counts[here], len(pixels.index)), np.inf
        top = levels.alignment
        rows = (seen + fresh >> top) - (seen >> top) if levels.begin else 0
        kept = np.zeros((rows, len(pixels.index)), levels.first.dtype)

        def add(start: int, stop: int) -> None:
            add_buckets(
                records, bounds, pixel_bounds, start, stop, shift, float(largest),
                self._used_pixel, weight, seen, fresh, sums.total.reshape(-1), levels.products,
                levels.first, levels.last, levels.total, kept,
            )  # fmt: skip

        # Divided by events: they are where the work is.
        wanted = np.linspace(0, len(records), _PARTS + 1)[1:-1]
        cuts = np.unique([0, *np.searchsorted(bounds, wanted), len(sizes)])
        jobs = [pool.submit(add, int(start), int(stop)) for start, stop in pairwise(cuts)]
        try:
            for job in jobs:
                job.result()
                yield now
        finally:
            for job in jobs:
                job.cancel()
        kept = np.concatenate([levels.kept, kept])
        self._levels = replace(levels, frames=seen + fresh, kept=kept)


def _weights(counts: Float[np.ndarray, " frame"], pixels: int) -> Float[np.ndarray, " frame"]:
    """Return the inverse of the mean count of frames; 0 for one without a count."""
    mean = counts / pixels
    return np.where(mean > 0.0, 1.0 / np.where(mean > 0.0, mean, 1.0), 0.0)
