"""Averages over the frames of a run: mean frame, I(q), I(q) in spans of time, I(t)."""

import numpy as np
from jaxtyping import Float, Float32, Shaped

from napari_xpcs._typing import Mask
from napari_xpcs.correlate.pixels import UsedPixels


class RunMeans:
    """Sums up the blocks of a run, in counts.

    Parameters
    ----------
    pixels
        The used pixels and their static bins.
    frames
        Number of used frames.
    segment
        Frames of a span of time; frames behind the last full one are in no span.
    """

    def __init__(self, pixels: UsedPixels, frames: int, segment: int) -> None:
        self._pixels = pixels
        self._segment = segment
        self._seen = 0
        self._total = np.zeros(pixels.mask.shape)
        self._span = np.zeros(pixels.mask.shape)
        self._intensity = np.full(frames, np.nan)
        self._segments: list[Float[np.ndarray, " sbin"]] = []

    def add(
        self,
        frames: Shaped[np.ndarray, "frame row col"],
        counts: Shaped[np.ndarray, "frame pixel"],
    ) -> Float[np.ndarray, " frame"]:
        """Add a block and the counts of its used pixels; return the mean count of its frames."""
        start = self._seen
        while self._seen < start + len(frames):
            room = self._segment - self._seen % self._segment
            part = frames[self._seen - start :][:room]
            with np.errstate(invalid="ignore"):  # infinities outside the used pixels
                self._span += part.sum(axis=0, dtype=np.float64)
            self._seen += len(part)
            if self._seen % self._segment == 0:
                self._segments.append(self._pixels.static_mean(self._span / self._segment))
                self._close_span()
        mean: np.ndarray = np.asarray(counts.sum(axis=1, dtype=np.float64) / counts.shape[1])
        self._intensity[start : self._seen] = mean
        return mean

    def _close_span(self) -> None:
        with np.errstate(invalid="ignore"):
            self._total += self._span
        self._span[:] = 0.0

    def mean_frame(self, without_value: Mask) -> Float32[np.ndarray, "row col"]:
        """Return mean counts per frame of all pixels, 0 where ``without_value``."""
        with np.errstate(invalid="ignore"):
            total = self._total + self._span
        return np.where(without_value, 0.0, total / self._seen).astype(np.float32)

    def scattering_1d(self) -> Float[np.ndarray, " sbin"]:
        """Return mean counts per pixel and frame of the static bins."""
        return self._pixels.static_mean((self._total + self._span) / self._seen)

    def segments(self) -> Float[np.ndarray, "segment sbin"]:
        """Return the same for every full span of time."""
        return np.stack(self._segments)

    def intensity_vs_time(self) -> Float[np.ndarray, "2 frame"]:
        """Return frame number and mean counts per used pixel."""
        return np.stack([np.arange(len(self._intensity), dtype=np.float64), self._intensity])
