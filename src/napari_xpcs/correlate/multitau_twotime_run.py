"""Age-resolved g2 of long runs, in the time and memory of multi-tau."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.age_parts import (
    SHORTEST_PART,
    AgePart,
    AgeRun,
    levels_of_ages,
    part_of_ages,
)
from napari_xpcs.correlate.checkpoint import Checkpoint
from napari_xpcs.correlate.finish import check_frame_time
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import FrameReader, Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.correlate.twotime_run import labels_with_pixels
from napari_xpcs.errors import check_choice
from napari_xpcs.kernels.multitau import multitau_lags
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime, MultiTauTwoTimeResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import SMOOTHINGS
from napari_xpcs.progress import Steps

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
    ChoiceError
        ``maps`` is none of :data:`MAPS`.
    """
    check_choice("kind of two-time maps", maps, MAPS)
    return maps == "ages" or (maps == "auto" and frames > LONG_RUN)


def correlate_multitau_twotime(
    frames: Frames,
    partition: Partition,
    *,
    frame_time_s: float,
    xp: BackendProtocol,
    skip_corrupt: bool = False,
    checkpoint: Checkpoint | None = None,
    **options: Any,
) -> Steps[MultiTauTwoTimeResult]:
    """Correlate the frames of a run with those that follow at the delays of multi-tau.

    Frames are read once; memory holds a block of frames and the result, about 50 bytes for each
    frame and bin.

    Parameters
    ----------
    frames, partition, frame_time_s, skip_corrupt
        As in :func:`~napari_xpcs.correlate.twotime_run.correlate_twotime`.
    checkpoint
        Where what is done is saved now and then, and when this generator is closed, and taken up
        again by the same call.
    options
        Those of :func:`plan_ages`.

    Raises
    ------
    CorrelationError
        Frames, bins and options do not fit each other, the run ends early, or a used pixel holds
        what stands for a masked or saturated value.
    """
    check_frame_time(frame_time_s)
    pixels = used_pixels(partition, frames.shape[1:])
    run = plan_ages(frames, pixels, **options)
    whole = yield from part_of_ages(
        run,
        frames,
        pixels,
        0,
        run.plan.frames,
        skip_corrupt=skip_corrupt,
        checkpoint=checkpoint,
        xp=xp,
    )
    return ages_of_run(run, whole, pixels, frame_time_s, xp=xp)


def plan_ages(
    frames: Frames,
    pixels: UsedPixels,
    *,
    bins: Sequence[int] | None = None,
    selection: FrameSelection | None = None,
    skipped: Iterable[int] = (),
    smoothing: str = "static",
    delays_per_level: int = 4,
) -> AgeRun:
    """Return how a run is to be correlated, as one part.

    Parameters
    ----------
    bins, selection, skipped, smoothing
        As in :func:`~napari_xpcs.correlate.twotime_run.correlate_twotime`.
    delays_per_level
        4 or 8.

    Raises
    ------
    CorrelationError
        Frames, bins and options do not fit each other.
    """
    check_choice("smoothing", smoothing, SMOOTHINGS)
    plan = RunPlan.of(frames.shape[0], selection, skipped, delays_per_level=delays_per_level)
    reader = FrameReader(frames, plan.selection, pixels.mask)
    wanted = max(_BLOCK_BYTES // (4 * len(pixels.index)), 1)
    return AgeRun(
        plan=plan,
        labels=tuple(labels_with_pixels(pixels, bins)),
        smoothing=smoothing,
        block=reader.block_length(min(wanted, SHORTEST_PART)),
        levels=int(multitau_lags(plan.frames, delays_per_level).level[-1]) + 1,
    )


def ages_of_run(
    run: AgeRun, whole: AgePart, pixels: UsedPixels, frame_time_s: float, *, xp: BackendProtocol
) -> MultiTauTwoTimeResult:
    """Return the result of a run of which all parts were joined."""
    return MultiTauTwoTimeResult(
        ages=MultiTauTwoTime(
            levels=levels_of_ages(run, whole, xp=xp),
            processed_bins=np.array(run.labels),
            frame_time_s=frame_time_s * run.plan.selection.step,
        ),
        **whole.sums.averages(pixels),
        selection=run.plan.selection,
        frame_time_s=frame_time_s,
        normalization=run.smoothing,
        skipped_frames=run.plan.left_out(whole.corrupt),
    )
