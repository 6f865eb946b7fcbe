"""Multi-tau correlation of a run of any number of frames."""

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from napari_xpcs.backends import BackendProtocol, DeviceConfig
from napari_xpcs.correlate.accumulate import Accumulation
from napari_xpcs.correlate.checkpoint import Checkpoint, Saved
from napari_xpcs.correlate.engines import choose_engine
from napari_xpcs.correlate.event_engine import EventAccumulation, few_events
from napari_xpcs.correlate.finish import Reduction, finish, preview, snapshot
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import Progress, Steps

PREVIEW_S = 1.0
"""Time between two previews of g2; they take a tenth of it at most."""


def correlate_multitau(
    frames: Frames,
    partition: Partition,
    *,
    frame_time_s: float,
    xp: BackendProtocol,
    selection: FrameSelection | None = None,
    skipped: Iterable[int] = (),
    skip_corrupt: bool = False,
    normalization: str = "symmetric",
    normalize_frame: bool = False,
    delays_per_level: int = 4,
    errors: str = "pixel",
    partials: int = 0,
    pixel_averages: bool = False,
    engine: str = "auto",
    block: int = 256,
    checkpoint: Checkpoint | None = None,
) -> Steps[MultiTauResult]:
    """Correlate a run in the bins of ``partition``; memory does not grow with the frames.

    About once a second a :class:`Progress` has g2 of the frames so far as its ``partial``.

    Parameters
    ----------
    frames
        Counts (frame, row, col): an array, or anything that returns ``frames[a:b]``.
    frame_time_s
        Time between raw frames, s.
    xp
        Backend of the engine ``array``.
    selection
        The frames to use, all by default.
    skipped
        Raw frames to leave out: they enter no pair and no average.
    skip_corrupt
        Leave out frames that cannot be read, too, instead of stopping there.
    normalization
        One of :data:`~napari_xpcs.kernels.multitau.NORMALIZATIONS`.
    normalize_frame
        Divide every frame by its mean over the used pixels; a frame without a count is left out.
    delays_per_level
        4 as in the programs of APS 8-ID, or 8.
    errors
        One of :data:`~napari_xpcs.kernels.multitau.G2_ERRORS`.
    partials
        Give g2 of the first part of the run, too, at this many times or up to twice as many.
    pixel_averages
        Keep G2, IP and IF of every pixel.
    engine
        One of :data:`~napari_xpcs.correlate.engines.ENGINES`.
    block
        Frames in memory at once, rounded down to a power of two; no result depends on it.
    checkpoint
        Where the state is saved now and then, and taken up again by the same call.

    Raises
    ------
    CorrelationError
        Frames, bins and options do not fit each other, the run ends early, or a used pixel
        holds what stands for a masked or saturated value.
    """
    reduction = Reduction(
        frame_time_s=frame_time_s,
        normalization=normalization,
        errors=errors,
        pixel_averages=pixel_averages,
    )
    pixels = used_pixels(partition, frames.shape[1:])
    plan = RunPlan(
        selection=(selection or FrameSelection()).within(frames.shape[0]),
        skipped=tuple(sorted(set(skipped))),
        normalize_frame=normalize_frame,
        delays_per_level=delays_per_level,
    )
    choice = choose_engine(engine, events=few_events(frames), prefer_gpu=prefers_gpu())
    saved = checkpoint.load() if checkpoint is not None else None
    stops = plan.frames_between_snapshots(errors, partials)
    snapshots = [] if saved is None else list(saved.snapshots)
    started = time.monotonic()
    resumed = None if saved is None else saved.state
    accumulation: Accumulation | EventAccumulation
    if choice.name == "events":
        accumulation = EventAccumulation(frames, pixels, plan, resumed=resumed)
    else:
        accumulation = Accumulation(
            frames,
            pixels,
            plan,
            engine=choice.name,
            xp=xp,
            block=block,
            resumed=resumed,
            skip_corrupt=skip_corrupt,
        )
    with closing(accumulation) as work:
        shown = saving = time.monotonic()
        for progress in work.steps(stops):
            if progress.done != work.frames:
                yield progress  # more was read than the state is whole with
                continue
            now, partial = time.monotonic(), None
            at_stop = stops is not None and work.frames and work.frames % stops == 0
            if at_stop and (not snapshots or snapshots[-1].frames < work.frames >= 2):
                snapshots.append(snapshot(work.state(), pixels, plan))
            if now - shown > PREVIEW_S:
                partial = preview(work.state(), partition, pixels, plan, reduction)
                shown = time.monotonic() + 9 * (time.monotonic() - now)
            if checkpoint is not None and now - saving > checkpoint.every_s:
                checkpoint.save(
                    Saved(state=work.state(), snapshots=snapshots, corrupt=work.corrupt)
                )
                saving = time.monotonic()
            yield replace(progress, partial=partial)
        corrupt = (() if saved is None else saved.corrupt) + work.corrupt
        result = finish(
            work.state(),
            partition,
            pixels,
            plan,
            reduction,
            snapshots=snapshots,
            left_out=plan.left_out(corrupt),
            engine={
                "engine": choice.name,
                "engine_reason": choice.reason,
                "device": work.device,
                "seconds": f"{time.monotonic() - started:.3f}",
            },
        )
    yield Progress(plan.frames, plan.frames, "frames")
    return result


def prefers_gpu() -> bool:
    """Return whether the user asked for a GPU."""
    return DeviceConfig.from_environment().use_gpu
