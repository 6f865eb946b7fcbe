"""What a multi-tau run gives: g2 of every bin, the averages of its frames, and words on both."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32, Int

from napari_xpcs._typing import Mask
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.multitau import MultiTauLags, multitau_lags, pair_numbers, pair_sums
from napari_xpcs.kernels.multitau_state import MultiTauState
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.run_averages import RunAverages


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelAverages:
    """G2, IP and IF of every used pixel, worked out one delay at a time.

    Parameters
    ----------
    state
        Of the whole run.
    raw_frames
        Raw frames in each used frame.
    mask
        Pixels of the state, in the order of the flattened detector.
    """

    state: MultiTauState
    raw_frames: Float[np.ndarray, " frame"]
    mask: Mask

    def image(self, delay: int) -> Float32[np.ndarray, "3 row col"]:
        """Return G2, past and future intensity at a delay, per raw frame; 0 outside the mask."""
        lags = multitau_lags(self.state.frames, self.state.delays_per_level)
        level, lag = int(lags.level[delay]), int(lags.lag[delay])
        sums = pair_sums(self.state, level, slice(None))
        row = lag - 1 - (2 * self.state.delays_per_level - len(sums[0]))
        numbers = pair_numbers(
            self.raw_frames, MultiTauLags(*(values[delay : delay + 1] for values in lags))
        )
        image = np.zeros((3, *self.mask.shape), np.float32)
        for part, values, number in zip(image, sums, numbers, strict=True):
            part[self.mask] = values[row] / number[0] if number[0] > 0 else 0.0
        return image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiTauResult(RunAverages):
    """g2 of every dynamic bin with the averages of the same frames.

    Parameters
    ----------
    delay_frames
        Delays in used frames.
    g2, g2_err
        g2 and the standard error of its mean over pixels; NaN where nothing was counted.
    normalization
        One of :data:`~napari_xpcs.kernels.multitau.NORMALIZATIONS`.
    normalize_frame
        Whether every frame was divided by its mean over the used pixels.
    empty_static_bins
        Static bins that have no used pixel or counted nothing; g2 leaves them out.
    empty_frames
        Used frames without a count; with ``normalize_frame`` they stay zero.
    silent_pixels
        Used pixels that never counted: dead ones belong into the mask.
    covariance
        Of g2 between the delays of a bin, see :mod:`~napari_xpcs.kernels.g2_covariance`.
    errors
        One of :data:`~napari_xpcs.kernels.multitau.G2_ERRORS`: where ``g2_err`` comes from.
    partial_frames, partial_g2, partial_g2_err
        g2 of the first so many used frames and its errors, (partial, delay, bin); NaN for delays
        that these do not reach.
    engine
        What computed it and where: ``name``, ``reason``, ``device`` and the like.
    pixel_averages
        G2, IP and IF of every used pixel, where they were asked for.
    asked_frames
        Used frames that were asked for, where the run was broken off before the last one.
    """

    delay_frames: Int[np.ndarray, " delay"]
    g2: Float[np.ndarray, "delay bin"]
    g2_err: Float[np.ndarray, "delay bin"]
    normalization: str = "symmetric"
    normalize_frame: bool = False
    empty_static_bins: int = 0
    empty_frames: int = 0
    silent_pixels: int = 0
    covariance: Float[np.ndarray, "bin delay delay"] | None = None
    errors: str = "pixel"
    partial_frames: Int[np.ndarray, " partial"] | None = None
    partial_g2: Float[np.ndarray, "partial delay bin"] | None = None
    partial_g2_err: Float[np.ndarray, "partial delay bin"] | None = None
    engine: dict[str, str] = field(default_factory=dict)
    pixel_averages: "PixelAverages | None" = None
    asked_frames: int | None = None

    @property
    def delay_s(self) -> Float[np.ndarray, " delay"]:
        """Delays in s."""
        return self.delay_frames * self.step_s

    def remarks(self) -> tuple[str, ...]:
        """Return in words what was left out or looks wrong; nothing for a run in good order."""
        counted = (
            (self.empty_static_bins, "Static bins without a count, left out"),
            (self.empty_frames, "Used frames without a count"),
            (self.silent_pixels, "Used pixels that never counted (dead ones belong into the mask)"),
        )
        said = (f"{what}: {number}." for number, what in counted if number)
        return (*self.broken_off(), *said, *self.left_out())

    def broken_off(self) -> tuple[str, ...]:
        """Return in words how many frames a run that was broken off rests on; else nothing."""
        if self.asked_frames is None:
            return ()
        frames = self.selection.count()
        return (f"Broken off: this rests on the first {frames} of {self.asked_frames} frames.",)

    @property
    def averaging_s(self) -> Float[np.ndarray, " delay"]:
        r"""Half-width of the triangle of delays over which g2 is averaged, s.

        Two sums of :math:`m = 2^L` frames are apart by delays of the variance
        :math:`(m^2 - 1)/6`, as is a triangle of the half-width :math:`\sqrt{m^2 - 1}` frames.
        """
        # A delay follows the one before it by the length of the sums of its level.
        length = np.diff(self.delay_frames, prepend=0).astype(np.float64)
        return np.sqrt(length**2 - 1.0) * self.step_s

    def curves(self, partition: Partition, source: str = "") -> G2Curves:
        """Return the curves with the q and phi that ``partition`` gives its bins."""
        return G2Curves(
            delay_s=self.delay_s,
            g2=self.g2,
            error=self.g2_err,
            bins=partition.table(),
            source=source,
            covariance=self.covariance,
            averaging_s=self.averaging_s,
        )
