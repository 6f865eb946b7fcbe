"""Events of consecutive frames, put into buckets of neighbouring pixels as they are read."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.correlate.run_sums import RunSums

_BUCKETS = 256
"""Buckets of pixels that events are sorted into first: each is then sorted within a cache."""

_SMALLEST_BUCKET = 8
"""Logarithm of the pixels of a bucket, at least."""


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


def no_events(begin: int) -> SelectedEvents:
    """Return the events of no frame; functions are compiled for their types."""
    none = np.zeros(0, np.int64)
    return SelectedEvents(
        begin=begin,
        end=begin,
        starts=np.zeros(1, np.int64),
        pixel=np.zeros(0, np.int32),
        count=np.zeros(0, np.uint16),
        used_frame=none,
        raw_frames=none,
    )


class EventShare:
    """Room for the events that are added to the levels of a run together.

    Parameters
    ----------
    pixels, plan
        The run.
    capacity
        Events that there is room for at first.
    """

    def __init__(self, pixels: UsedPixels, plan: RunPlan, capacity: int) -> None:
        number, used = pixels.mask.size, len(pixels.index)
        self._span = plan.span
        self.shift = max(_SMALLEST_BUCKET, (number // _BUCKETS).bit_length())
        self.buckets = -(-number // (1 << self.shift))
        self.used_pixel = np.full(number, -1, np.int32)
        self.used_pixel[pixels.index] = np.arange(used, dtype=np.int32)
        self.pixel_bounds = np.searchsorted(pixels.index, np.arange(self.buckets + 1) << self.shift)
        # Static bins from 1 on, of the narrowest type: they are looked up in no order.
        self._label = np.zeros(number, np.min_scalar_type(len(pixels.dynamic_of_static)))
        self._label[pixels.index] = pixels.static + 1
        self.records = np.empty(capacity, np.int64)
        self.clear()

    def clear(self) -> None:
        """Forget the events."""
        self.frames, self.largest = 0, 0
        self._bounds: list[np.ndarray] = []

    @property
    def events(self) -> int:
        """Number of events."""
        return int(self._bounds[-1][-1]) if self._bounds else 0

    @property
    def bounds(self) -> Int[np.ndarray, "piece bucket+1"]:
        """Where each bucket begins in ``records``, and the last one ends."""
        return np.stack(self._bounds)

    def has_room(self, events: SelectedEvents) -> bool:
        """Return whether some more events fit in; into an empty share they are made to."""
        if not self._bounds and len(events.pixel) > len(self.records):
            self.records = np.empty(len(events.pixel), np.int64)
        return self.events + len(events.pixel) <= len(self.records)

    def add(self, events: SelectedEvents, sums: RunSums) -> None:
        """Add the events of the next frames, and their sums over frames and spans to ``sums``."""
        from napari_xpcs.correlate._numba_events import bucket_sizes, to_buckets

        sizes = np.zeros(self.buckets, np.int64)
        bucket_sizes(events.starts, events.pixel, events.used_frame, self.shift, sizes)
        bounds = self.events + np.concatenate([[0], np.cumsum(sizes)])
        here = slice(events.begin - sums.begin, events.end - sums.begin)
        largest = to_buckets(
            events.starts, events.pixel, events.count, events.used_frame, self.frames,
            self._label, np.arange(events.begin, events.end) // self._span, self.shift,
            bounds[:-1].copy(), self.records, sums.counts[here], sums.spans,
        )  # fmt: skip
        sums.raw_frames[here] = events.raw_frames
        self._bounds.append(bounds)
        self.frames += events.end - events.begin
        self.largest = max(self.largest, int(largest))
