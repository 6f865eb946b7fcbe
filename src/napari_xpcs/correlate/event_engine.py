"""Multi-tau correlation of events: few photons in a frame, never a dense frame.

The work goes with the number of events: ahead of the engines for dense frames up to about
:data:`FEW_EVENTS` events for each pixel and frame.  The state is theirs, number for number.
"""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from napari_xpcs.correlate.accumulate import waiting
from napari_xpcs.correlate.engines import usable_cores
from napari_xpcs.correlate.event_share import EventShare, SelectedEvents, no_events
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.correlate.run_state import RunPlan, RunState, largest_count
from napari_xpcs.correlate.run_sums import empty_sums, frame_weights
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.multitau_state import empty_state
from napari_xpcs.progress import Progress

FEW_EVENTS = 0.05
"""Events per pixel and frame up to which they are correlated as events by default.

There the kernel for dense frames is as quick, once these have been made of the events."""

_ALIGNED = 1024
"""Frames of which a share ends at a multiple: its sums of as many frames begin within it."""

_EVENT_BYTES = 60
"""Of an event in memory with the sparse matrix that it goes into."""

_PARTS = 32
"""Parts of a share that threads take one after the other, for even work and for Cancel."""

_EVENTS_OF_PIXEL = 64
"""Events of a share for each used pixel: each share reads and writes the whole state."""


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

    Events are read in shares, so memory is bounded by the state and one share, which takes less
    than that.

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
    stops
        A share ends after each so many frames, too.
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
        stops: int | None = None,
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
        self._stops = stops
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
        self._ending = False
        most = _EVENTS_OF_PIXEL * len(pixels.index)
        self._share = EventShare(pixels, plan, min(int(frames.source.starts[-1]), most))

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

    def end_early(self) -> None:
        """Let :meth:`steps` end with what was read: :meth:`state` is whole then."""
        self._ending = True

    def close(self) -> None:
        """Nothing is held between shares."""

    def steps(self) -> Generator[Progress, None, None]:
        """Add the events; :meth:`state` is whole where as much was done as :attr:`frames` says."""
        stops = self._stops
        total = self._end - self._begin
        with ThreadPoolExecutor(self._threads, thread_name_prefix="events") as pool:
            yield Progress(self.frames, total, "compiling")
            for _ in waiting(pool.submit(self._prepare)):
                yield Progress(self.frames, total, "compiling")
            yield Progress(self.frames, total, "frames")
            first = self._begin + self.frames
            spans = selected_events(self._frames, self._plan, first, self._end, stops)
            for span in _read_ahead(spans, pool):
                if not self._share.has_room(span):
                    yield from self._add_share(pool, total)
                    if self._ending:
                        return
                    self._share.has_room(span)
                self._share.add(span, self._sums)
                yield Progress(span.end - self._begin, total, "frames")
                at_stop = stops is not None and span.end % stops == 0
                if self._ending or at_stop or span.end == self._end:
                    yield from self._add_share(pool, total)
                if self._ending:
                    return

    def _prepare(self) -> None:
        self._share.add(no_events(self._begin + self.frames), self._sums)
        self._adder(self._levels.kept)(0, 0)
        self._share.clear()

    def _add_share(self, pool: ThreadPoolExecutor, total: int) -> Generator[Progress, None, None]:
        levels, share = self._levels, self._share
        now = Progress(levels.frames + share.frames, total, "frames")
        top = levels.alignment
        rows = (now.done >> top) - (levels.frames >> top) if levels.begin else 0
        kept = np.zeros((rows, len(self._pixels.index)), levels.first.dtype)
        add = self._adder(kept)
        # Divided by events: they are where the work is.
        before = (share.bounds - share.bounds[:, :1]).sum(axis=0)
        wanted = np.linspace(0, before[-1], _PARTS + 1)[1:-1]
        cuts = np.unique([0, *np.searchsorted(before, wanted), share.buckets])
        jobs = [pool.submit(add, int(start), int(stop)) for start, stop in pairwise(cuts)]
        try:
            for job in jobs:
                for _ in waiting(job):
                    yield now
        finally:
            for job in jobs:
                job.cancel()
        kept = np.concatenate([levels.kept, kept])
        self._levels = replace(levels, frames=now.done, kept=kept)
        share.clear()
        yield now

    def _adder(self, kept: Shaped[np.ndarray, "sum pixel"]) -> Callable[[int, int], None]:
        """Return what adds the events of some buckets of the share to the levels."""
        from napari_xpcs.correlate._numba_events import add_buckets

        levels, sums, share = self._levels, self._sums, self._share
        bounds, seen, fresh = share.bounds, levels.frames, share.frames
        weight, largest = np.ones(fresh), float(share.largest)
        if self._plan.normalize_frame:
            counts = sums.counts[seen : seen + fresh]
            weight, largest = frame_weights(counts, len(self._pixels.index)), np.inf

        def add(start: int, stop: int) -> None:
            add_buckets(
                share.records, bounds, share.pixel_bounds, start, stop, share.shift, largest,
                share.used_pixel, weight, seen, fresh, sums.total.reshape(-1), levels.products,
                levels.first, levels.last, levels.total, kept,
            )  # fmt: skip

        return add


def _read_ahead(
    spans: Iterator[SelectedEvents], pool: ThreadPoolExecutor
) -> Iterator[SelectedEvents]:
    """Yield ``spans``; the next one is read while one is worked on."""
    job = pool.submit(next, spans, None)
    while (span := job.result()) is not None:
        job = pool.submit(next, spans, None)
        yield span
