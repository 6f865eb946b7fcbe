"""From the state of a run, whole or so far, to g2 with errors and the averages."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float

from napari_xpcs.correlate.binning import BinSums, bin_sums
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.correlate.run_state import RunPlan, RunState, up_to_now
from napari_xpcs.errors import CorrelationError, check_choice
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.g2_covariance import g2_covariance
from napari_xpcs.kernels.multitau import (
    G2_ERRORS,
    NORMALIZATIONS,
    BinnedG2,
    Normalization,
    g2_of_spans,
    g2_of_sums,
    multitau_lags,
)
from napari_xpcs.kernels.multitau_result import MultiTauResult, PixelAverages
from napari_xpcs.kernels.partition import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """How pixels become g2.

    Parameters
    ----------
    frame_time_s
        Time between raw frames, s.
    normalization
        One of :data:`~napari_xpcs.kernels.multitau.NORMALIZATIONS`.
    errors
        One of :data:`~napari_xpcs.kernels.multitau.G2_ERRORS`.
    pixel_averages
        Whether the result is to hold G2, IP and IF of every pixel.

    Raises
    ------
    ChoiceError
        There is no such normalization or source of errors.
    CorrelationError
        No run has that frame time.
    """

    frame_time_s: float
    normalization: str = "symmetric"
    errors: str = "pixel"
    pixel_averages: bool = False

    def __post_init__(self) -> None:
        check_choice("normalization", self.normalization, NORMALIZATIONS)
        check_choice("source of errors", self.errors, G2_ERRORS)
        check_frame_time(self.frame_time_s)


def check_frame_time(frame_time_s: float) -> None:
    """Raise :class:`CorrelationError` where no run can have this time between frames."""
    if not (np.isfinite(frame_time_s) and frame_time_s > 0.0):
        msg = f"The time between frames must be positive, got {frame_time_s} s."
        raise CorrelationError(msg)


def finish(
    state: RunState,
    partition: Partition,
    pixels: UsedPixels,
    plan: RunPlan,
    reduction: Reduction,
    *,
    snapshots: list[BinSums] | None = None,
    left_out: tuple[int, ...] = (),
    engine: dict[str, str] | None = None,
) -> MultiTauResult:
    """Return the result of the frames so far; the state stays as it is.

    Parameters
    ----------
    state
        A part that starts at the first used frame.
    partition, pixels
        The bins, and :func:`~napari_xpcs.correlate.pixels.used_pixels` of them.
    snapshots
        Sums after equal spans of time, for errors from time and for partial g2.
    left_out
        Raw frames that were skipped.
    engine
        What the result is to tell about its making.

    Raises
    ------
    CorrelationError
        The state is a later part of a run, or has fewer than two frames.
    """
    if state.begin or state.levels.frames < 2:
        msg = (
            f"g2 needs 2 frames or more from the first used one on, got frames {state.begin} to "
            f"{state.end}; join the parts of the run first."
        )
        raise CorrelationError(msg)
    state = up_to_now(state)
    sums = bin_sums(state.levels, pair_weights(state, plan), pixels)
    normalization = cast("Normalization", reduction.normalization)
    binned = binned_g2(sums, pixels, normalization)
    covariance = g2_covariance(
        state.levels,
        sums.static_sums,
        sums.numbers.effective,
        pixels.static,
        pixels.dynamic_of_static,
        pixels.bins,
        normalization=normalization,
    )
    error = binned.g2_err
    spans = [each for each in snapshots or [] if each.frames < sums.frames]
    if reduction.errors == "segments":
        error = _error_of_spans([*spans, sums], pixels, normalization)
    partial_g2, partial_g2_err = None, None
    if snapshots:
        parts = [binned_g2(each, pixels, normalization) for each in spans]
        errors = [part.g2_err for part in parts]
        if reduction.errors == "segments":
            errors = [
                _error_of_spans(spans[: number + 1], pixels, normalization)
                for number in range(len(spans))
            ]
        partial_g2, partial_g2_err = (
            np.stack([_padded(each, len(binned.g2), np.nan) for each in values])
            for values in ([*(part.g2 for part in parts), binned.g2], [*errors, error])
        )
    mean_frame = state.sums.mean_frame()
    scattering = state.sums.scattering_1d(pixels)
    raw, counts = state.sums.raw_frames, state.sums.counts
    return MultiTauResult(
        delay_frames=multitau_lags(sums.frames, plan.delays_per_level).delay_frames,
        g2=binned.g2,
        g2_err=error,
        mean_frame=mean_frame,
        scattering_1d=scattering,
        scattering_1d_segments=state.sums.scattering_1d_segments(pixels),
        intensity_vs_time=state.sums.intensity_vs_time(pixels),
        selection=plan.selection,
        frame_time_s=reduction.frame_time_s,
        normalization=reduction.normalization,
        normalize_frame=plan.normalize_frame,
        empty_static_bins=int((~(scattering > 0.0)).sum()),
        empty_frames=int(((counts == 0.0) & (raw > 0)).sum()),
        silent_pixels=int((mean_frame[pixels.mask] == 0.0).sum()),
        covariance=covariance,
        errors=reduction.errors,
        skipped_frames=left_out,
        partial_frames=None
        if partial_g2 is None
        else np.array([*(each.frames for each in spans), sums.frames]),
        partial_g2=partial_g2,
        partial_g2_err=partial_g2_err,
        engine=engine or {},
        pixel_averages=PixelAverages(
            state=state.levels, raw_frames=pair_weights(state, plan), mask=pixels.mask
        )
        if reduction.pixel_averages
        else None,
    )


def preview(
    state: RunState,
    partition: Partition,
    pixels: UsedPixels,
    plan: RunPlan,
    reduction: Reduction,
) -> G2Curves | None:
    """Return g2 of the frames so far with errors from pixels; ``None`` before there is one."""
    if state.levels.frames < 2:
        return None
    state = up_to_now(state)
    sums = bin_sums(state.levels, pair_weights(state, plan), pixels)
    binned = binned_g2(sums, pixels, cast("Normalization", reduction.normalization))
    lags = multitau_lags(sums.frames, plan.delays_per_level)
    return G2Curves(
        delay_s=lags.delay_frames * (reduction.frame_time_s * plan.selection.step),
        g2=binned.g2,
        error=binned.g2_err,
        bins=partition.table(),
    )


def snapshot(state: RunState, pixels: UsedPixels, plan: RunPlan) -> BinSums:
    """Return the sums over bins of the frames so far."""
    state = up_to_now(state)
    return bin_sums(state.levels, pair_weights(state, plan), pixels)


def pair_weights(state: RunState, plan: RunPlan) -> Float[np.ndarray, " frame"]:
    """Return what a used frame weighs in the pairs: its raw frames, or 1 when it is normalised."""
    raw = state.sums.raw_frames
    if not plan.normalize_frame:
        return raw
    return ((raw > 0) & (state.sums.counts > 0)).astype(np.float64)


def binned_g2(sums: BinSums, pixels: UsedPixels, normalization: Normalization) -> BinnedG2:
    """Return g2 and the error from the spread of pixels."""
    return g2_of_sums(
        sums.static_sums,
        sums.pixel_sums,
        sums.numbers.effective,
        np.bincount(pixels.static, minlength=len(pixels.dynamic_of_static)),
        np.bincount(pixels.dynamic, minlength=pixels.bins),
        pixels.dynamic_of_static,
        normalization,
    )


def _error_of_spans(
    spans: list[BinSums], pixels: UsedPixels, normalization: Normalization
) -> Float[np.ndarray, "delay bin"]:
    delays = spans[-1].static_sums.shape[-1]
    return g2_of_spans(
        np.stack([_padded(each.static_sums.T, delays, 0.0).T for each in spans]),
        np.stack([_padded(np.stack(each.numbers).T, delays, 0.0).T for each in spans]),
        np.bincount(pixels.static, minlength=len(pixels.dynamic_of_static)),
        np.bincount(pixels.dynamic, minlength=pixels.bins),
        pixels.dynamic_of_static,
        normalization,
    )


def _padded(values: np.ndarray, delays: int, fill: float) -> np.ndarray:
    """Return ``values`` (delay, ...) with ``fill`` where a shorter span has no delay."""
    missing = [(0, delays - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, missing, constant_values=fill)
