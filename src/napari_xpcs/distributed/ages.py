"""Ages of long runs on a cluster: parts of a run, joined in a tree where they are."""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.age_parts import AgePart, AgeRun, join_ages, part_of_ages
from napari_xpcs.correlate.finish import check_frame_time
from napari_xpcs.correlate.multitau_twotime_run import ages_of_run, plan_ages
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.distributed.cluster import Cluster
from napari_xpcs.distributed.multitau import part_length, spans
from napari_xpcs.distributed.tasks import PreparedRun, Run, Tasks, Teller
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTimeResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import Progress, Steps
from napari_xpcs.progress import run as drain


def correlate_ages_on(
    cluster: Cluster,
    path: Path,
    frames: Frames,
    partition: Partition,
    *,
    frame_time_s: float,
    dataset: str | None = None,
    skip_corrupt: bool = False,
    **options: Any,
) -> Steps[MultiTauTwoTimeResult]:
    """Correlate a long run on a cluster, to the ages of one computer of the same kind.

    Parameters
    ----------
    cluster, path, frames, dataset
        As in :func:`~napari_xpcs.distributed.multitau.correlate_multitau_on`.
    partition, frame_time_s, skip_corrupt, options
        As in :func:`~napari_xpcs.correlate.multitau_twotime_run.correlate_multitau_twotime`.

    Raises
    ------
    CorrelationError
        As there; or workers were lost again and again, or the scheduler was.
    FileFormatError
        The file cannot be read, here or on a worker.
    """
    check_frame_time(frame_time_s)
    ages = plan_ages(frames, used_pixels(partition, frames.shape[1:]), **options)
    total = ages.plan.frames
    length = part_length(total, cluster.workers)
    if length < total:
        ages = ages.in_parts(length)
    run = Run.of(path, frames, partition, ages.plan, dataset=dataset, skip_corrupt=skip_corrupt)
    with closing(Tasks(cluster, run)) as tasks:
        parts = [
            tasks.submit("accumulate", _accumulated, tasks.prepared, ages, *cut)
            for cut in spans(0, total, length)
        ]
        whole = tasks.joined(parts, partial(_joined, ages=ages))
        final = tasks.submit("finish", _finished, whole, tasks.prepared, ages, frame_time_s)
        # Nobody here holds on to a part: workers let go of it once it is joined.
        del parts, whole
        result: MultiTauTwoTimeResult = yield from tasks.result(final, total, direct=True)
    return result


def _accumulated(prepared: PreparedRun, ages: AgeRun, begin: int, end: int) -> AgePart:
    """Correlate the used frames ``begin`` to ``end`` with each other."""
    run = prepared.run
    teller = Teller(run.topic, begin)

    def tell(progress: Progress) -> None:
        teller.tell(progress.done)

    steps = part_of_ages(
        ages,
        run.frames(),
        prepared.pixels,
        begin,
        end,
        skip_corrupt=run.skip_corrupt,
        xp=get_backend(),
    )
    with teller.turn(), closing(steps):
        part = drain(steps, tell)
        teller.tell(end - begin, last=True)
        return part


def _finished(
    whole: AgePart, prepared: PreparedRun, ages: AgeRun, frame_time_s: float
) -> MultiTauTwoTimeResult:
    return ages_of_run(ages, whole, prepared.pixels, frame_time_s, xp=get_backend())


def _joined(earlier: AgePart, later: AgePart, *, ages: AgeRun) -> AgePart:
    return join_ages(ages, earlier, later, xp=get_backend())
