"""Two-time maps on a cluster: some bins on each worker."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.correlate.twotime_maps import MapSink
from napari_xpcs.correlate.twotime_run import (
    MAKING_MAPS,
    TILE_FRAMES,
    correlate_twotime,
    labels_with_pixels,
)
from napari_xpcs.distributed.cluster import Cluster, fetched, listening
from napari_xpcs.distributed.tasks import PreparedRun, Run, Tasks, Teller
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import TwoTimeResult
from napari_xpcs.progress import Progress, Steps
from napari_xpcs.progress import run as drain

MAP_BYTES = 1.7e9
"""Two-time maps of a task; one of 20 000 frames fits."""

_TICKS = 1000


def correlate_twotime_on(
    cluster: Cluster,
    path: Path,
    frames: Frames,
    partition: Partition,
    *,
    sink: MapSink,
    dataset: str | None = None,
    bins: Sequence[int] | None = None,
    selection: FrameSelection | None = None,
    skipped: Iterable[int] = (),
    skip_corrupt: bool = False,
    **options: Any,
) -> Steps[TwoTimeResult]:
    """Make two-time maps on a cluster, some bins on each worker, to the values of one computer.

    Every worker reads the run once for its bins.  Maps arrive one at a time and go into ``sink``.

    Parameters
    ----------
    cluster, path, frames, dataset
        As in :func:`~napari_xpcs.distributed.multitau.correlate_multitau_on`.
    partition, sink, bins, selection, skipped, skip_corrupt, options
        As in :func:`~napari_xpcs.correlate.twotime_run.correlate_twotime`.

    Raises
    ------
    CorrelationError
        As there; or a map does not fit into the memory of a worker.
    """
    labels = labels_with_pixels(used_pixels(partition, frames.shape[1:]), bins)
    plan = RunPlan.of(frames.shape[0], selection, skipped)
    of_map = 4.0 * plan.frames**2
    if of_map > MAP_BYTES:
        msg = (
            f"A two-time map of {plan.frames} frames takes {of_map / 1e9:.3g} GB, and a worker "
            f"makes maps of {MAP_BYTES / 1e9:.3g} GB at most; use --scheduler none, which writes "
            "them tile by tile, or fewer frames by a stride or an average."
        )
        raise CorrelationError(msg)
    size = max(min(-(-len(labels) // cluster.workers), int(MAP_BYTES // of_map)), 1)
    groups = [labels[start : start + size] for start in range(0, len(labels), size)]
    run = Run.of(path, frames, partition, plan, dataset=dataset, skip_corrupt=skip_corrupt)
    total = _TICKS * len(groups)
    sink.start(len(labels), plan.frames, TILE_FRAMES)
    made: list[Any] = []
    results: list[TwoTimeResult] = []
    with closing(Tasks(cluster, run)) as tasks, listening(cluster, run.topic) as done:

        def told() -> Progress:
            return Progress(min(sum(done.values()), total), total, MAKING_MAPS)

        for number, group in enumerate(groups):
            # Maps wait in the memory of workers: not more than one group ahead of each.
            while len(made) < min(len(groups), number + cluster.workers + 1):
                position = len(made)
                inputs = (tasks.prepared, position, groups[position], options)
                made.append(tasks.submit("accumulate", _maps_of_bins, *inputs))
            rest = tasks.submit("averages", _without_maps, made[number])
            results.append((yield from fetched(cluster, rest, told, direct=False)))
            for which, label in enumerate(group):
                one = tasks.submit("map", _one_map, made[number], which)
                half = yield from fetched(cluster, one, told, direct=True)
                for row, col, tile in _tiles_of(half):
                    sink.put(labels.index(label), row, col, tile)
                    yield told()
                tasks.let_go([one])
            tasks.let_go([made[number], rest])
    yield Progress(total, total, MAKING_MAPS)
    return replace(
        results[0],
        processed_bins=np.array(labels),
        g2=np.concatenate([one.g2 for one in results], axis=1),
        g2_err=np.concatenate([one.g2_err for one in results], axis=1),
        g2_ratio=np.concatenate([one.g2_ratio for one in results], axis=1),
        segments=np.concatenate([one.segments for one in results], axis=2),
        empty_frames=tuple(sorted({n for one in results for n in one.empty_frames})),
        engine=f"{results[0].engine}, {cluster.named(cluster.workers)}",
    )


def _tiles_of(half: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the tiles of the upper half of a map with their first row and column."""
    for row in range(0, len(half), TILE_FRAMES):
        for col in range(row, len(half), TILE_FRAMES):
            yield row, col, half[row : row + TILE_FRAMES, col : col + TILE_FRAMES]


def _maps_of_bins(
    prepared: PreparedRun, part: int, bins: Sequence[int], options: dict[str, Any]
) -> TwoTimeResult:
    """Make the two-time maps of some bins."""
    run = prepared.run
    teller = Teller(run.topic, part)
    with teller.turn():
        steps = correlate_twotime(
            run.frames(),
            run.partition,
            xp=get_backend(),
            bins=bins,
            selection=run.plan.selection,
            skipped=run.plan.skipped,
            skip_corrupt=run.skip_corrupt,
            **options,
        )

        def tell(progress: Progress) -> None:
            teller.tell(_TICKS * progress.done // max(progress.total, 1))

        with closing(steps):
            result = drain(steps, tell)
        teller.tell(_TICKS, last=True)
        return result


def _without_maps(result: TwoTimeResult) -> TwoTimeResult:
    return replace(result, maps=())


def _one_map(result: TwoTimeResult, number: int) -> np.ndarray:
    return result.maps[number]
