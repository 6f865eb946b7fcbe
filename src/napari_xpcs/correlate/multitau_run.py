"""Multi-tau correlation of a run of any number of frames."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.accumulate import Accumulation
from napari_xpcs.correlate.binning import BinSums
from napari_xpcs.correlate.checkpoint import Checkpoint
from napari_xpcs.correlate.engines import EngineChoice
from napari_xpcs.correlate.event_engine import EventAccumulation
from napari_xpcs.correlate.finish import Reduction, finish, preview, snapshot
from napari_xpcs.correlate.multitau_options import MultiTauOptions
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan, RunState
from napari_xpcs.correlate.run_sums import RunSums
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.multitau import PairNumbers
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.multitau_state import MultiTauState
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
    keep: Callable[[MultiTauResult], None] | None = None,
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
    keep
        Called with the result of the frames so far when this generator is closed, if there are
        two or more; the result is that of a run which ends there.
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
    saved = None if checkpoint is None else Saved.in_file(checkpoint)
    stops = plan.frames_between_snapshots(chosen.errors, chosen.partials)
    accumulation = start(
        choice.name,
        frames,
        pixels,
        plan,
        skip_corrupt=chosen.skip_corrupt,
        resumed=None if saved is None else saved.state,
        xp=xp,
        block=block,
        stops=stops,
    )
    with closing(accumulation) as work:
        so_far = _SoFar(work, partition, pixels, plan, reduction, choice, saved, checkpoint)
        steps = work.steps()
        progress = Progress(0, plan.frames)
        try:
            for progress in steps:
                if progress.done != work.frames:
                    yield progress  # more was read than the state is whole with
                else:
                    so_far.note(stops)
                    yield replace(progress, partial=so_far.preview_at_times())
            so_far.note_end()
            yield Progress(plan.frames, plan.frames, "frames")
        except GeneratorExit:
            if progress.done == work.frames:
                so_far.save()
            if keep is not None and progress.done >= 2:
                work.end_early()
                for _ in steps:
                    pass
                keep(so_far.result())
            raise
        return so_far.result()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Saved:
    """What a run has to remember.

    Parameters
    ----------
    state
        The frames so far.
    snapshots
        Sums after the spans of time so far.
    corrupt
        Raw frames that could not be read.
    """

    state: RunState
    snapshots: list[BinSums]
    corrupt: tuple[int, ...]

    @classmethod
    def in_file(cls, checkpoint: Checkpoint) -> "Saved | None":
        """Return what was saved of the run; ``None`` if it begins."""
        stored = checkpoint.load()
        if stored is None:
            return None
        state = stored["state"]
        return cls(
            state=RunState(levels=MultiTauState(**state["levels"]), sums=RunSums(**state["sums"])),
            snapshots=[
                BinSums(**{**each, "numbers": PairNumbers(*each["numbers"])})
                for each in stored.get("snapshots", [])
            ],
            corrupt=tuple(stored["corrupt"].tolist()),
        )


class _SoFar:
    """What there is of a run that is being added up, and where it is saved."""

    def __init__(
        self,
        work: Accumulation | EventAccumulation,
        partition: Partition,
        pixels: UsedPixels,
        plan: RunPlan,
        reduction: Reduction,
        choice: EngineChoice,
        saved: Saved | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._work = work
        self._partition = partition
        self._pixels = pixels
        self._plan = plan
        self._reduction = reduction
        self._choice = choice
        self._checkpoint = checkpoint
        self._snapshots = [] if saved is None else list(saved.snapshots)
        self._corrupt = () if saved is None else saved.corrupt
        self._started = self._shown = time.monotonic()

    def corrupt(self) -> tuple[int, ...]:
        """Return the raw frames that could not be read."""
        return self._corrupt + self._work.corrupt

    def note(self, stops: int | None) -> None:
        """Keep the sums after each ``stops`` frames, and save the state where it is time to."""
        frames, last = self._work.frames, self._snapshots[-1:]
        at_stop = stops is not None and frames >= 2 and frames % stops == 0
        if at_stop and (not last or last[0].frames < frames):
            self._snapshots.append(snapshot(self._work.state(), self._pixels, self._plan))
        if self._checkpoint is not None and frames:
            self._checkpoint.save_in_time(self._saved)

    def note_end(self) -> None:
        """Save the state of all frames, if something else follows."""
        if self._checkpoint is not None and self._checkpoint.at_end:
            self._checkpoint.save_in_time(self._saved, now=True)

    def save(self) -> None:
        """Save the state, if there is one and a file for it."""
        if self._checkpoint is not None and self._work.frames:
            self._checkpoint.save(self._saved())

    def _saved(self) -> Saved:
        return Saved(state=self._work.state(), snapshots=self._snapshots, corrupt=self.corrupt())

    def preview_at_times(self) -> G2Curves | None:
        """Return g2 of the frames so far, or ``None`` where the last one is not old enough."""
        now = time.monotonic()
        if now - self._shown <= PREVIEW_S:
            return None
        curves = preview(
            self._work.state(), self._partition, self._pixels, self._plan, self._reduction
        )
        self._shown = time.monotonic() + 9 * (time.monotonic() - now)
        return curves

    def result(self) -> MultiTauResult:
        """Return the result of the frames so far."""
        frames, asked = self._work.frames, self._plan.frames
        plan, reduction = self._plan.up_to(frames), self._reduction
        if frames < asked and frames < 3 * self._plan.span:
            # Errors from spans of time begin with three of them.
            reduction = replace(reduction, errors="pixel")
        return replace(
            finish(
                self._work.state(),
                self._partition,
                self._pixels,
                plan,
                reduction,
                snapshots=self._snapshots,
                left_out=plan.left_out(self.corrupt()),
                engine={
                    "engine": self._choice.name,
                    "engine_reason": self._choice.reason,
                    "device": self._work.device,
                    "seconds": f"{time.monotonic() - self._started:.3f}",
                },
            ),
            asked_frames=asked if frames < asked else None,
        )


def start(
    engine: str,
    frames: Frames,
    pixels: UsedPixels,
    plan: RunPlan,
    *,
    begin: int = 0,
    end: int | None = None,
    skip_corrupt: bool,
    stops: int | None = None,
    resumed: RunState | None = None,
    threads: int | None = None,
    xp: BackendProtocol | None,
    block: int = 256,
) -> Accumulation | EventAccumulation:
    """Return what adds up a part of a run with the engine that was chosen for it.

    Parameters
    ----------
    begin, end, stops, resumed, threads, xp, block
        As in :class:`~napari_xpcs.correlate.accumulate.Accumulation`; the last two are of no
        interest to the engine for events.
    """
    common: dict[str, Any] = {
        "begin": begin, "end": end, "stops": stops, "resumed": resumed, "threads": threads,
    }  # fmt: skip
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
