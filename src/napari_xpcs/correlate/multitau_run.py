"""Multi-tau correlation of a run of any number of frames."""

import time
from contextlib import closing
from dataclasses import replace
from typing import Any

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.accumulate import Accumulation
from napari_xpcs.correlate.checkpoint import Checkpoint, Saved
from napari_xpcs.correlate.event_engine import EventAccumulation
from napari_xpcs.correlate.finish import finish, preview, snapshot
from napari_xpcs.correlate.multitau_options import MultiTauOptions
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan, RunState
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import Progress, Steps

PREVIEW_S = 1.0
"""Time between two previews of g2; they take a tenth of it at most."""


def correlate_multitau(
    frames: Frames,
    partition: Partition,
    *,
    xp: BackendProtocol,
    block: int = 256,
    checkpoint: Checkpoint | None = None,
    **options: Any,
) -> Steps[MultiTauResult]:
    """Correlate a run in the bins of ``partition``; memory does not grow with the frames.

    About once a second a :class:`Progress` has g2 of the frames so far as its ``partial``.

    Parameters
    ----------
    frames
        Counts (frame, row, col): an array, or anything that returns ``frames[a:b]``.
    xp
        Backend of the engine ``array``.
    block
        Frames in memory at once, rounded down to a power of two; no result depends on it.
    checkpoint
        Where the state is saved now and then, and when this generator is closed, and taken up
        again by the same call.
    options
        ``frame_time_s`` and the others of
        :class:`~napari_xpcs.correlate.multitau_options.MultiTauOptions`.

    Raises
    ------
    CorrelationError
        Frames, bins and options do not fit each other, the run ends early, or a used pixel
        holds what stands for a masked or saturated value.
    """
    chosen = MultiTauOptions(**options)
    reduction = chosen.reduction()
    pixels = used_pixels(partition, frames.shape[1:])
    plan = chosen.plan(frames)
    choice = chosen.engine_for(frames)
    saved = checkpoint.load() if checkpoint is not None else None
    stops = plan.frames_between_snapshots(chosen.errors, chosen.partials)
    snapshots = [] if saved is None else list(saved.snapshots)
    started = time.monotonic()
    resumed = None if saved is None else saved.state
    accumulation = start(
        choice.name,
        frames,
        pixels,
        plan,
        skip_corrupt=chosen.skip_corrupt,
        resumed=resumed,
        xp=xp,
        block=block,
    )
    with closing(accumulation) as work:

        def corrupt() -> tuple[int, ...]:
            return (() if saved is None else saved.corrupt) + work.corrupt

        def save() -> None:
            if checkpoint is not None and work.frames:
                checkpoint.save(Saved(state=work.state(), snapshots=snapshots, corrupt=corrupt()))

        shown = saving = time.monotonic()
        for progress in work.steps(stops):
            if progress.done != work.frames:
                yield progress  # more was read than the state is whole with
                continue
            now, partial = time.monotonic(), None
            at_stop = stops is not None and work.frames >= 2 and work.frames % stops == 0
            if at_stop and (not snapshots or snapshots[-1].frames < work.frames):
                snapshots.append(snapshot(work.state(), pixels, plan))
            if now - shown > PREVIEW_S:
                partial = preview(work.state(), partition, pixels, plan, reduction)
                shown = time.monotonic() + 9 * (time.monotonic() - now)
            if checkpoint is not None and now - saving > checkpoint.every_s:
                save()
                saving = time.monotonic()
            try:
                yield replace(progress, partial=partial)
            except GeneratorExit:
                save()
                raise
        result = finish(
            work.state(),
            partition,
            pixels,
            plan,
            reduction,
            snapshots=snapshots,
            left_out=plan.left_out(corrupt()),
            engine={
                "engine": choice.name,
                "engine_reason": choice.reason,
                "device": work.device,
                "seconds": f"{time.monotonic() - started:.3f}",
            },
        )
    yield Progress(plan.frames, plan.frames, "frames")
    return result


def start(
    engine: str,
    frames: Frames,
    pixels: UsedPixels,
    plan: RunPlan,
    *,
    begin: int = 0,
    end: int | None = None,
    skip_corrupt: bool,
    resumed: RunState | None = None,
    threads: int | None = None,
    xp: BackendProtocol | None,
    block: int = 256,
) -> Accumulation | EventAccumulation:
    """Return what adds up a part of a run with the engine that was chosen for it.

    Parameters
    ----------
    begin, end, resumed, threads, xp, block
        As in :class:`~napari_xpcs.correlate.accumulate.Accumulation`; the last two are of no
        interest to the engine for events.
    """
    common: dict[str, Any] = {"begin": begin, "end": end, "resumed": resumed, "threads": threads}
    if engine == "events":
        return EventAccumulation(frames, pixels, plan, **common)
    return Accumulation(
        frames,
        pixels,
        plan,
        engine=engine,
        xp=xp,
        block=block,
        skip_corrupt=skip_corrupt,
        **common,
    )
