"""Multi-tau on a cluster: parts of a run, joined in a tree where they are."""

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from napari_xpcs import __version__
from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.accumulate import Accumulation
from napari_xpcs.correlate.binning import BinSums
from napari_xpcs.correlate.engines import choose_engine
from napari_xpcs.correlate.event_engine import EventAccumulation, few_events
from napari_xpcs.correlate.finish import Reduction, finish, snapshot
from napari_xpcs.correlate.multitau_run import prefers_gpu
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan, RunState, merge, up_to_now
from napari_xpcs.distributed.cluster import Cluster, fetched, let_go, listening
from napari_xpcs.distributed.tasks import PreparedRun, Run, Tasks, Teller, array_bytes
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.multitau_state import ALIGNMENT
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import Progress, Steps

SHORTEST_PART, LONGEST_PART = 1024, 16_384
"""Frames of a part.  Joining one costs as much as 150 frames; a lost worker costs its part."""

PARTS_PER_WORKER = 4
"""A slow worker leaves parts to the others."""


def correlate_multitau_on(
    cluster: Cluster,
    path: Path,
    frames: Frames,
    partition: Partition,
    *,
    frame_time_s: float,
    dataset: str | None = None,
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
) -> Steps[MultiTauResult]:
    """Correlate the frames of a file on a cluster, to the result of one computer bit for bit.

    Frames of broken numbers, and those that are normalised, agree to rounding.

    Parameters
    ----------
    cluster
        The workers; some may come and go meanwhile.
    path, dataset
        The file as :func:`~napari_xpcs.io.open.open_path` opens it, seen by all workers.
    frames
        The same frames, as they were opened here.
    partition, frame_time_s, selection, skipped, skip_corrupt, normalization, normalize_frame
        As in :func:`~napari_xpcs.correlate.multitau_run.correlate_multitau`.
    delays_per_level, errors, partials, pixel_averages, engine
        Likewise.

    Raises
    ------
    CorrelationError
        As there; or workers were lost again and again, or the scheduler was.
    FileFormatError
        The file cannot be read, here or on a worker.
    """
    reduction = Reduction(
        frame_time_s=frame_time_s,
        normalization=normalization,
        errors=errors,
        pixel_averages=pixel_averages,
    )
    used_pixels(partition, frames.shape[1:])  # its faults are told before anything is sent
    plan = RunPlan(
        selection=(selection or FrameSelection()).within(frames.shape[0]),
        skipped=tuple(sorted(set(skipped))),
        normalize_frame=normalize_frame,
        delays_per_level=delays_per_level,
    )
    stops = plan.frames_between_snapshots(errors, partials)
    length = part_length(plan.frames, cluster.workers, stops)
    plan = replace(plan, alignment=min(ALIGNMENT, length.bit_length() - 1))
    choice = choose_engine(engine, events=few_events(frames), prefer_gpu=prefers_gpu())
    topic = f"napari-xpcs-{uuid4().hex[:12]}"
    run = Run(
        version=__version__,
        path=path.absolute(),
        dataset=dataset,
        modified_ns=path.stat().st_mtime_ns,
        shape=tuple(frames.shape),
        partition=partition,
        plan=plan,
        engine=choice,
        skip_corrupt=skip_corrupt,
        topic=topic,
    )
    graph = _Graph(cluster.client, run)
    whole, snapshots = graph.parts(plan.frames, length, stops)
    workers = f"{cluster.workers} workers of {cluster.name}"
    started = time.monotonic()
    final = graph.submit("finish", _finished, whole, graph.prepared, reduction, snapshots)
    # Nobody here holds on to a part: workers let go of it once it is joined.
    del graph, whole, snapshots
    result: MultiTauResult = yield from _result_of(
        cluster, final, topic, plan.frames, direct=pixel_averages
    )
    seconds = f"{time.monotonic() - started:.3f}"
    device = f"{result.engine['device']}, {workers}"
    return replace(result, engine={**result.engine, "device": device, "seconds": seconds})


def part_length(frames: int, workers: int, stops: int | None = None) -> int:
    """Return the frames of a part, a power of two.

    Parameters
    ----------
    frames
        Used frames of the run.
    stops
        A part ends after each so many frames, too, a power of two.
    """
    wanted = -(-frames // (PARTS_PER_WORKER * max(workers, 1)))
    length = 1 << (max(wanted, 1) - 1).bit_length()
    length = min(max(length, SHORTEST_PART), LONGEST_PART)
    return min(length, stops or length)


class _Graph(Tasks):
    """Tasks that correlate parts of a run and join them."""

    def parts(self, frames: int, length: int, stops: int | None) -> tuple[Any, list[Any]]:
        """Return the futures of the whole run and of its sums after each ``stops`` frames."""
        whole, snapshots = None, []
        for begin, end in _spans(0, frames, stops or frames):
            cuts = _spans(begin, end, length)
            parts = [self.submit("accumulate", _accumulated, self.prepared, *cut) for cut in cuts]
            here = self._joined(parts)
            whole = here if whole is None else self.submit("join", _joined, whole, here)
            if stops and 2 <= end < frames:
                snapshots.append(self.submit("snapshot", _snapshot, whole, self.prepared))
        return whole, snapshots

    def _joined(self, parts: list[Any]) -> Any:
        """Return the future of neighbouring ``parts`` joined in a tree."""
        while len(parts) > 1:
            odd = parts[len(parts) // 2 * 2 :]
            pairs = zip(parts[0::2], parts[1::2], strict=False)
            parts = [self.submit("join", _joined, *pair) for pair in pairs] + odd
        return parts[0]


def _spans(begin: int, end: int, length: int) -> list[tuple[int, int]]:
    return list(pairwise([*range(begin, end, length), end]))


def _result_of(
    cluster: Cluster, future: Any, topic: str, total: int, *, direct: bool
) -> Steps[Any]:
    """Wait for ``future`` and return its value; closing this cancels what it needs.

    Parameters
    ----------
    topic
        Where the tasks tell how far each of them is.
    total
        What that adds up to.
    direct
        Fetch it past the scheduler: it is large.
    """
    with listening(cluster, topic) as done:

        def told() -> Progress:
            frames = min(sum(done.values()), total)
            return Progress(frames, total, "frames" if frames < total else "joining parts")

        try:
            result = yield from fetched(cluster, future, told, direct=direct)
        finally:
            let_go(cluster, [future])
    yield Progress(total, total, "frames")
    return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """Neighbouring frames of a run after correlation, in the memory of a worker."""

    state: RunState
    corrupt: tuple[int, ...]
    devices: frozenset[str]

    def __sizeof__(self) -> int:
        # What dask knows of its size: it moves small things and spills when memory is short.
        return array_bytes(self.state.levels) + array_bytes(self.state.sums)


def _accumulated(prepared: PreparedRun, begin: int, end: int) -> _Part:
    """Add up the used frames ``begin`` to ``end``."""
    run = prepared.run
    teller = Teller(run.topic, begin)
    with teller.turn():
        accumulation: Accumulation | EventAccumulation
        if run.engine.name == "events":
            accumulation = EventAccumulation(
                run.frames(),
                prepared.pixels,
                run.plan,
                begin=begin,
                end=end,
                threads=teller.threads,
            )
        else:
            accumulation = Accumulation(
                run.frames(),
                prepared.pixels,
                run.plan,
                begin=begin,
                end=end,
                engine=run.engine.name,
                xp=get_backend() if run.engine.name == "array" else None,
                skip_corrupt=run.skip_corrupt,
                threads=teller.threads,
            )
        with closing(accumulation) as work:
            for progress in work.steps():
                teller.tell(progress.done)
            teller.tell(end - begin, last=True)
            return _Part(
                state=up_to_now(work.state()),
                corrupt=work.corrupt,
                devices=frozenset({work.device}),
            )


def _joined(earlier: _Part, later: _Part) -> _Part:
    return _Part(
        state=merge(earlier.state, later.state),
        corrupt=earlier.corrupt + later.corrupt,
        devices=earlier.devices | later.devices,
    )


def _snapshot(so_far: _Part, prepared: PreparedRun) -> BinSums:
    return snapshot(so_far.state, prepared.pixels, prepared.run.plan)


def _finished(
    whole: _Part, prepared: PreparedRun, reduction: Reduction, snapshots: Sequence[BinSums]
) -> MultiTauResult:
    run = prepared.run
    return finish(
        whole.state,
        run.partition,
        prepared.pixels,
        run.plan,
        reduction,
        snapshots=list(snapshots),
        left_out=run.plan.left_out(whole.corrupt),
        engine={
            "engine": run.engine.name,
            "engine_reason": run.engine.reason,
            "device": " and ".join(sorted(whole.devices)),
        },
    )
