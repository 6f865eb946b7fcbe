"""Multi-tau on a cluster: parts of a run, joined in a tree where they are."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.binning import BinSums
from napari_xpcs.correlate.finish import Reduction, finish, snapshot
from napari_xpcs.correlate.multitau_options import MultiTauOptions
from napari_xpcs.correlate.multitau_run import start
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunState, merge, up_to_now
from napari_xpcs.distributed.cluster import Cluster
from napari_xpcs.distributed.tasks import PreparedRun, Run, Tasks, Teller, array_bytes
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.multitau_state import ALIGNMENT
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import Steps

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
    dataset: str | None = None,
    **options: Any,
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
    options
        ``frame_time_s`` and the others of
        :class:`~napari_xpcs.correlate.multitau_options.MultiTauOptions`.

    Raises
    ------
    CorrelationError
        As :func:`~napari_xpcs.correlate.multitau_run.correlate_multitau`; or workers were lost
        again and again, or the scheduler was.
    FileFormatError
        The file cannot be read, here or on a worker.
    """
    chosen = MultiTauOptions(**options)
    reduction = chosen.reduction()
    used_pixels(partition, frames.shape[1:])  # its faults are told before anything is sent
    plan = chosen.plan(frames)
    stops = plan.frames_between_snapshots(chosen.errors, chosen.partials)
    length = part_length(plan.frames, cluster.workers, stops)
    plan = replace(plan, alignment=min(ALIGNMENT, length.bit_length() - 1))
    engine = chosen.engine_for(frames)
    run = Run.of(path, frames, partition, plan, dataset=dataset, skip_corrupt=chosen.skip_corrupt)
    started = time.monotonic()
    with closing(Tasks(cluster, run)) as tasks:
        whole, snapshots = None, []
        for begin, end in spans(0, plan.frames, stops or plan.frames):
            cuts = spans(begin, end, length)
            parts = [
                tasks.submit("accumulate", _accumulated, tasks.prepared, engine.name, *cut)
                for cut in cuts
            ]
            here = tasks.joined(parts, _joined)
            whole = here if whole is None else tasks.submit("join", _joined, whole, here)
            if stops and 2 <= end < plan.frames:
                snapshots.append(tasks.submit("snapshot", _snapshot, whole, tasks.prepared))
        final = tasks.submit("finish", _finished, whole, tasks.prepared, reduction, snapshots)
        # Nobody here holds on to a part: workers let go of it once it is joined.
        del parts, here, whole, snapshots
        result, devices, workers = yield from tasks.result(
            final, plan.frames, direct=chosen.pixel_averages
        )
    told = {
        "engine": engine.name,
        "engine_reason": engine.reason,
        "device": f"{' and '.join(sorted(devices))}, {cluster.named(len(workers))}",
        "seconds": f"{time.monotonic() - started:.3f}",
    }
    made: MultiTauResult = replace(result, engine=told)
    return made


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


def spans(begin: int, end: int, length: int) -> list[tuple[int, int]]:
    """Divide the used frames ``begin`` to ``end`` into parts of ``length``."""
    return list(pairwise([*range(begin, end, length), end]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """Neighbouring frames of a run after correlation, in the memory of a worker."""

    state: RunState
    corrupt: tuple[int, ...]
    devices: frozenset[str]
    workers: frozenset[str]

    def __sizeof__(self) -> int:
        # What dask knows of its size: it moves small things and spills when memory is short.
        return array_bytes(self.state.levels) + array_bytes(self.state.sums)


def _accumulated(prepared: PreparedRun, engine: str, begin: int, end: int) -> _Part:
    """Add up the used frames ``begin`` to ``end``."""
    run = prepared.run
    teller = Teller(run.topic, begin)
    with (
        teller.turn(),
        closing(
            start(
                engine,
                run.frames(),
                prepared.pixels,
                run.plan,
                begin=begin,
                end=end,
                skip_corrupt=run.skip_corrupt,
                threads=teller.threads,
                xp=get_backend() if engine == "array" else None,
            )
        ) as work,
    ):
        for progress in work.steps():
            teller.tell(progress.done)
        teller.tell(end - begin, last=True)
        return _Part(
            state=up_to_now(work.state()),
            corrupt=work.corrupt,
            devices=frozenset({work.device}),
            workers=frozenset({teller.address}),
        )


def _joined(earlier: _Part, later: _Part) -> _Part:
    return _Part(
        state=merge(earlier.state, later.state),
        corrupt=earlier.corrupt + later.corrupt,
        devices=earlier.devices | later.devices,
        workers=earlier.workers | later.workers,
    )


def _snapshot(so_far: _Part, prepared: PreparedRun) -> BinSums:
    return snapshot(so_far.state, prepared.pixels, prepared.run.plan)


def _finished(
    whole: _Part, prepared: PreparedRun, reduction: Reduction, snapshots: Sequence[BinSums]
) -> tuple[MultiTauResult, frozenset[str], frozenset[str]]:
    """Return the result, where it was computed, and by which workers."""
    run = prepared.run
    result = finish(
        whole.state,
        run.partition,
        prepared.pixels,
        run.plan,
        reduction,
        snapshots=list(snapshots),
        left_out=run.plan.left_out(whole.corrupt),
    )
    return result, whole.devices, whole.workers
