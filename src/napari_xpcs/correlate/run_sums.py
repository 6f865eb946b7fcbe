"""Sums over the frames of a run, or of a part of it: every pixel, every span of time, every frame.

Kept as sums of counts, so that parts of a run add up to the whole without a rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from napari_xpcs._typing import Mask
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.errors import CorrelationError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunSums:
    """What the averages of a run are made of; plain arrays that are filled in place.

    Parameters
    ----------
    begin
        First used frame of the part.
    span
        Used frames of one of the equal spans of time for which I(q) is given.
    total
        (row, col) counts of every pixel, used or not.
    spans
        (span of the run, sbin) counts of the static bins.
    counts
        (frame) counts of the used pixels of every used frame of the part.
    raw_frames
        (frame) raw frames that a used frame was added up from; 0 for one that is left out.
    without_value
        Pixels outside the bins that held the "no value" of a file in any frame.
    """

    begin: int
    span: int
    total: Float[np.ndarray, "row col"]
    spans: Float[np.ndarray, "segment sbin"]
    counts: Float[np.ndarray, " frame"]
    raw_frames: Float[np.ndarray, " frame"]
    without_value: Mask

    def scattering_1d(self, pixels: UsedPixels) -> Float[np.ndarray, " sbin"]:
        """Return mean counts per pixel and raw frame of the static bins, NaN without pixels."""
        return pixels.static_mean(self.total / max(self.raw_frames.sum(), 1.0))

    def scattering_1d_segments(self, pixels: UsedPixels) -> Float[np.ndarray, "segment sbin"]:
        """Return the same for every full span of time; NaN where all its frames were left out.

        Of a run that was broken off before the first span was full there is one, of all frames.
        """
        full = len(self.raw_frames) // self.span
        if not full:
            return self.scattering_1d(pixels)[None]
        raw = self.raw_frames[: full * self.span].reshape(full, self.span).sum(axis=1)
        number = raw[:, None] * np.bincount(pixels.static, minlength=self.spans.shape[1])
        return np.where(number > 0, self.spans[:full] / np.maximum(number, 1.0), np.nan)

    def mean_frame(self) -> Shaped[np.ndarray, "row col"]:
        """Return mean counts per raw frame of all pixels, 0 for those without a value."""
        mean = self.total / max(self.raw_frames.sum(), 1.0)
        return np.where(self.without_value, 0.0, mean).astype(np.float32)

    def intensity_vs_time(self, pixels: UsedPixels) -> Float[np.ndarray, "2 frame"]:
        """Return used frame number and mean counts per used pixel; frames left out are absent."""
        there = np.flatnonzero(self.raw_frames)
        mean = self.counts[there] / (self.raw_frames[there] * len(pixels.index))
        return np.stack([there.astype(np.float64), mean])

    def averages(self, pixels: UsedPixels) -> dict[str, Any]:
        """Return all of these, by the names that they have in a result."""
        return {
            "mean_frame": self.mean_frame(),
            "scattering_1d": self.scattering_1d(pixels),
            "scattering_1d_segments": self.scattering_1d_segments(pixels),
            "intensity_vs_time": self.intensity_vs_time(pixels),
        }

    def add(
        self,
        pixels: UsedPixels,
        first: int,
        counts: Float[np.ndarray, " frame"],
        raw_frames: Int[np.ndarray, " frame"],
        add_up: Callable[[int, int], Float[np.ndarray, " place"]],
    ) -> None:
        """Add a block of frames.

        Parameters
        ----------
        first
            Number of its first frame among the used frames of the run.
        counts
            Counts of the used pixels of every frame.
        raw_frames
            Raw frames that every frame was added up from.
        add_up
            Returns the sum of the frames from one to before another of the block at every place
            of the flattened detector.
        """
        here = slice(first - self.begin, first - self.begin + len(counts))
        self.counts[here] = counts
        self.raw_frames[here] = raw_frames
        for start, stop, number in _parts_of_spans(first, len(counts), self.span):
            part = add_up(start, stop)
            with np.errstate(invalid="ignore"):  # infinities outside the used pixels
                self.total.reshape(-1)[:] += part
            if number < len(self.spans):
                of_pixels = part[pixels.index]
                self.spans[number] += np.bincount(pixels.static, of_pixels, self.spans.shape[1])


def _parts_of_spans(first: int, frames: int, span: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, stop, number) of the spans of time that a block lies in."""
    start = 0
    while start < frames:
        number = (first + start) // span
        stop = min((number + 1) * span - first, frames)
        yield start, stop, number
        start = stop


def empty_sums(pixels: UsedPixels, *, begin: int, frames: int, span: int, spans: int) -> RunSums:
    """Return the sums before the first of ``frames`` used frames from ``begin`` on."""
    return RunSums(
        begin=begin,
        span=span,
        total=np.zeros(pixels.mask.shape),
        spans=np.zeros((spans, len(pixels.dynamic_of_static))),
        counts=np.zeros(frames),
        raw_frames=np.zeros(frames),
        without_value=np.zeros(pixels.mask.shape, dtype=bool),
    )


def join_sums(earlier: RunSums, later: RunSums) -> RunSums:
    """Return the sums of two neighbouring parts of a run; neither is changed."""
    if earlier.span != later.span or earlier.total.shape != later.total.shape:
        msg = "Parts of different runs cannot be joined; correlate both with the same options."
        raise CorrelationError(msg)
    return RunSums(
        begin=earlier.begin,
        span=earlier.span,
        total=earlier.total + later.total,
        spans=earlier.spans + later.spans,
        counts=np.concatenate([earlier.counts, later.counts]),
        raw_frames=np.concatenate([earlier.raw_frames, later.raw_frames]),
        without_value=earlier.without_value | later.without_value,
    )


def frame_weights(counts: Float[np.ndarray, " frame"], pixels: int) -> Float[np.ndarray, " frame"]:
    """Return the inverse of the mean count of frames; 0 for one without a count.

    Parameters
    ----------
    counts
        Counts of the used pixels of each frame.
    pixels
        Number of these.
    """
    mean = counts / pixels
    return np.where(mean > 0.0, 1.0 / np.where(mean > 0.0, mean, 1.0), 0.0)
