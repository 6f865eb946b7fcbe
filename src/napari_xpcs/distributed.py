"""The same correlation on a cluster of ``dask.distributed``: parts of a run, joined in a tree.

A part is a span of time: chunks of a file are whole frames, so every frame is read once.  Every
worker opens the file itself, adds up its part with the engine and the threads that it has, and
neighbours are joined where they are.  All sums are of whole counts, so the result is that of one
computer bit for bit.  A part that fails is done again, and a worker that is lost costs its parts.

The scheduler holds no frames and no states, and the client gets the finished result alone.
"""

import logging
import pickle
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np

from napari_xpcs import __version__
from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.accumulate import Accumulation, waiting
from napari_xpcs.correlate.binning import BinSums
from napari_xpcs.correlate.engines import EngineChoice, choose_engine, usable_cores
from napari_xpcs.correlate.event_engine import EventAccumulation, few_events
from napari_xpcs.correlate.finish import Reduction, check_frame_time, finish, snapshot
from napari_xpcs.correlate.multitau_run import prefers_gpu
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan, RunState, merge, up_to_now
from napari_xpcs.correlate.twotime_maps import MapSink
from napari_xpcs.correlate.twotime_run import (
    TILE_FRAMES,
    check_smoothing,
    correlate_twotime,
    labels_with_pixels,
)
from napari_xpcs.errors import CorrelationError, FileFormatError
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.multitau import MultiTauResult
from napari_xpcs.kernels.multitau_state import ALIGNMENT
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import TwoTimeResult
from napari_xpcs.progress import Progress, Steps
from napari_xpcs.progress import run as drain

Result = TypeVar("Result")

LOCAL, NONE = "local", "none"
"""Schedulers that are no address: workers on this computer, and no workers at all."""

SHORTEST_PART, LONGEST_PART = 1024, 16_384
"""Frames of a part.  Joining one costs as much as 150 frames; a lost worker costs its part."""

PARTS_PER_WORKER = 4
"""A slow worker leaves parts to the others."""

THREADS_OF_A_PROCESS = 8
"""Cores for each of the processes of the scheduler ``local``."""

RETRIES = 2
"""How often a part that failed is done again; a file system may have been out for a moment."""

MAP_BYTES = 1.7e9
"""Two-time maps of a task; one of 20 000 frames fits."""

CONNECT_S = 20.0
"""How long a scheduler may take to answer."""

_LEAVE_CTRL_C_TO_THE_CLIENT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""For processes of the scheduler ``local``: a terminal interrupts all of them at once."""

_POLL_S = 0.1
_REPORT_S = 0.5
_TICKS = 1000

_one_part = threading.Lock()
"""Held by the part that a worker computes: it uses all threads, others of the process wait."""


class MissingSchedulerError(CorrelationError, ImportError):
    """``dask.distributed`` is not installed."""


class Cluster:
    """A connection to workers.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    started
        What was started for it, to be closed with it.
    name
        What the user called it.
    """

    def __init__(self, client: Any, started: Any, name: str) -> None:
        self.client = client
        self.name = name
        self._started = started

    @property
    def workers(self) -> int:
        """Number of workers that there are now."""
        return len(self.client.scheduler_info(n_workers=-1)["workers"])

    def close(self) -> None:
        """Disconnect, and end the workers that were started with it."""
        self.client.close()
        if self._started is not None:
            self._started.close()


def on_cluster(scheduler: str, job: Callable[[Cluster | None], Steps[Result]]) -> Steps[Result]:
    """Do ``job`` with a connection that is closed behind it; ``None`` for the scheduler ``none``.

    Parameters
    ----------
    scheduler
        Address of a ``dask.distributed`` scheduler, ``local`` or ``none``.

    Raises
    ------
    MissingSchedulerError
        ``dask.distributed`` is not installed.
    CorrelationError
        The scheduler does not answer, or its workers have another version of this program.
    """
    if scheduler == NONE:
        return (yield from job(None))
    cluster = yield from _connected(scheduler)
    with closing(cluster):
        return (yield from job(cluster))


def _connected(scheduler: str) -> Steps[Cluster]:
    """Return a connection to ``scheduler`` that has a worker at least."""
    try:
        import distributed
    except ImportError as fault:
        msg = (
            "A scheduler needs dask.distributed, which is not installed; get it with "
            "`pip install napari-xpcs[cluster]`, or correlate with --scheduler none."
        )
        raise MissingSchedulerError(msg) from fault

    def connect() -> Cluster:
        started = None
        if scheduler == LOCAL:
            cores = usable_cores()
            processes = max(min(cores, 2), cores // THREADS_OF_A_PROCESS)
            started = distributed.LocalCluster(
                n_workers=processes,
                threads_per_worker=max(cores // processes, 1),
                dashboard_address=None,
                silence_logs=logging.ERROR,
                preload=[_LEAVE_CTRL_C_TO_THE_CLIENT],
            )
        try:
            client = distributed.Client(started or scheduler, timeout=CONNECT_S)
        except (OSError, ValueError) as fault:
            msg = (
                f"No scheduler answers at {scheduler}: {fault}. Expected the address that "
                "`dask scheduler` prints, such as tcp://node01:8786, or local, or none."
            )
            raise CorrelationError(msg) from fault
        return Cluster(client, started, scheduler)

    what = "starting workers" if scheduler == LOCAL else "connecting"
    with ThreadPoolExecutor(1, thread_name_prefix="connect") as pool:
        opening = pool.submit(connect)
        try:
            for _ in waiting(opening):
                yield Progress(0, 1, what)
        except GeneratorExit:
            # What was being started has to be ended, too.
            with suppress(CorrelationError):
                opening.result().close()
            raise
    cluster = opening.result()
    try:
        while not cluster.workers:
            yield Progress(0, 1, "waiting for workers")
            time.sleep(_POLL_S)
        _check_versions(cluster)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _check_versions(cluster: Cluster) -> None:
    """Raise :class:`CorrelationError` where a worker has not this version of this program."""
    found = cluster.client.run(metadata.version, "napari-xpcs", on_error="return")
    for worker, version in found.items():
        if version != __version__:
            got = f"napari-xpcs {version}" if isinstance(version, str) else "no napari-xpcs"
            msg = (
                f"The worker {worker} has {got}, and this is {__version__}; start the workers from "
                "the same environment."
            )
            raise CorrelationError(msg)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """What every worker has to know; packed, it is small."""

    path: Path
    dataset: str | None
    modified_ns: int
    shape: tuple[int, ...]
    partition: Partition
    plan: RunPlan
    engine: EngineChoice
    skip_corrupt: bool
    topic: str

    def frames(self) -> Frames:
        """Open the file on this computer."""
        frames = _frames_of(self.path, self.dataset, self.modified_ns)
        if tuple(frames.shape) != self.shape:
            msg = (
                f"{self.path} has the shape {tuple(frames.shape)} on a worker and {self.shape} "
                "here; put it where all computers see the same file."
            )
            raise FileFormatError(msg)
        return frames


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Prepared:
    """A run with its pixels, in the memory of workers."""

    run: _Run
    pixels: UsedPixels

    def __sizeof__(self) -> int:
        return _array_bytes(self.pixels)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """Neighbouring frames of a run after correlation, in the memory of a worker."""

    state: RunState
    corrupt: tuple[int, ...]
    devices: frozenset[str]

    def __sizeof__(self) -> int:
        # What dask knows of its size: it moves small things and spills when memory is short.
        return _array_bytes(self.state.levels) + _array_bytes(self.state.sums)


def _array_bytes(held: Any) -> int:
    values = (getattr(held, field.name) for field in fields(held))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


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
    run = _Run(
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
    whole, snapshots = graph.parts(length, stops)
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


def correlate_twotime_on(
    cluster: Cluster,
    path: Path,
    frames: Frames,
    partition: Partition,
    *,
    sink: MapSink,
    frame_time_s: float,
    dataset: str | None = None,
    bins: Sequence[int] | None = None,
    selection: FrameSelection | None = None,
    smoothing: str = "static",
) -> Steps[TwoTimeResult]:
    """Make two-time maps on a cluster, some bins on each worker, to the values of one computer.

    Every worker reads the run once for its bins.  Maps arrive one at a time and go into ``sink``.

    Parameters
    ----------
    cluster, path, frames, dataset
        As in :func:`correlate_multitau_on`.
    partition, sink, frame_time_s, bins, selection, smoothing
        As in :func:`~napari_xpcs.correlate.twotime_run.correlate_twotime`.

    Raises
    ------
    CorrelationError
        As there; or a map does not fit into the memory of a worker.
    """
    check_smoothing(smoothing)
    check_frame_time(frame_time_s)
    labels = labels_with_pixels(used_pixels(partition, frames.shape[1:]), bins)
    plan = RunPlan(selection=(selection or FrameSelection()).within(frames.shape[0]))
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
    topic = f"napari-xpcs-{uuid4().hex[:12]}"
    run = _Run(
        path=path.absolute(),
        dataset=dataset,
        modified_ns=path.stat().st_mtime_ns,
        shape=tuple(frames.shape),
        partition=partition,
        plan=plan,
        engine=EngineChoice(name="two-time", reason=""),
        skip_corrupt=False,
        topic=topic,
    )
    total = _TICKS * len(groups)
    sink.start(len(labels), plan.frames, TILE_FRAMES)
    graph = _Graph(cluster.client, run)
    made: list[Any] = []
    results: list[TwoTimeResult] = []
    with _listening(cluster, topic) as done:

        def told() -> Progress:
            return Progress(min(sum(done.values()), total), total, "two-time maps")

        try:
            for number, group in enumerate(groups):
                # Maps wait in the memory of workers: not more than one group ahead of each.
                while len(made) < min(len(groups), number + cluster.workers + 1):
                    position = len(made)
                    inputs = (graph.prepared, position, groups[position], frame_time_s, smoothing)
                    made.append(graph.submit("accumulate", _maps_of_bins, *inputs))
                rest = graph.submit("averages", _without_maps, made[number])
                results.append((yield from _fetched(cluster, rest, told, direct=False)))
                for which, label in enumerate(group):
                    one = graph.submit("map", _one_map, made[number], which)
                    half = yield from _fetched(cluster, one, told, direct=True)
                    for row, col, tile in _tiles_of(half):
                        sink.put(labels.index(label), row, col, tile)
                        yield told()
                    _let_go(cluster, [one])
                _let_go(cluster, [made[number], rest])
        finally:
            _let_go(cluster, made)
    yield Progress(total, total, "two-time maps")
    return replace(
        results[0],
        processed_bins=np.array(labels),
        g2=np.concatenate([one.g2 for one in results], axis=1),
        g2_err=np.concatenate([one.g2_err for one in results], axis=1),
        g2_ratio=np.concatenate([one.g2_ratio for one in results], axis=1),
        segments=np.concatenate([one.segments for one in results], axis=2),
        engine=f"{results[0].engine}, {cluster.workers} workers of {cluster.name}",
    )


def _tiles_of(half: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the tiles of the upper half of a map with their first row and column."""
    for row in range(0, len(half), TILE_FRAMES):
        for col in range(row, len(half), TILE_FRAMES):
            yield row, col, half[row : row + TILE_FRAMES, col : col + TILE_FRAMES]


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


class _Graph:
    """Tasks of a run.

    Parameters
    ----------
    client
        Where they are submitted.
    """

    def __init__(self, client: Any, run: _Run) -> None:
        self._client = client
        self._token = uuid4().hex
        self._number = 0
        self._frames = run.plan.frames
        # In a task instead of scattered: what a lost worker held is made again.
        self.prepared = self.submit("prepare", _prepared, zlib.compress(pickle.dumps(run), 1))

    def submit(self, name: str, function: Callable[..., Any], *inputs: Any) -> Any:
        """Return the future of a task; those that join go before those that read on."""
        self._number += 1
        return self._client.submit(
            function,
            *inputs,
            key=(f"{name}-{self._token}", self._number),
            retries=RETRIES,
            priority=0 if name == "accumulate" else 1,
        )

    def parts(self, length: int, stops: int | None) -> tuple[Any, list[Any]]:
        """Return the futures of the whole run and of its sums after each ``stops`` frames."""
        whole, snapshots = None, []
        for begin, end in _spans(0, self._frames, stops or self._frames):
            cuts = _spans(begin, end, length)
            parts = [self.submit("accumulate", _accumulated, self.prepared, *cut) for cut in cuts]
            here = self._joined(parts)
            whole = here if whole is None else self.submit("join", _joined, whole, here)
            if stops and 2 <= end < self._frames:
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
    with _listening(cluster, topic) as done:

        def told() -> Progress:
            frames = min(sum(done.values()), total)
            return Progress(frames, total, "frames" if frames < total else "joining parts")

        try:
            result = yield from _fetched(cluster, future, told, direct=direct)
        finally:
            _let_go(cluster, [future])
    yield Progress(total, total, "frames")
    return result


@contextmanager
def _listening(cluster: Cluster, topic: str) -> Iterator[dict[int, int]]:
    """Give what the tasks of a run tell: for each part, how far it is."""
    done: dict[int, int] = {}

    def heard(event: tuple[float, dict[str, int]]) -> None:
        done[event[1]["part"]] = event[1]["done"]

    cluster.client.subscribe_topic(topic, heard)
    try:
        yield done
    finally:
        cluster.client.unsubscribe_topic(topic)


def _let_go(cluster: Cluster, futures: Iterable[Any]) -> None:
    """Cancel tasks and what only they need, or forget their results."""
    if cluster.client.status == "running":
        cluster.client.cancel(list(futures))


def _fetched(
    cluster: Cluster, future: Any, told: Callable[[], Progress], *, direct: bool
) -> Steps[Any]:
    """Wait for a future, telling how far the work is, and return its value."""
    from distributed import KilledWorker

    try:
        while not future.done():
            yield told()
            time.sleep(_POLL_S)
        return cluster.client.gather(future, direct=direct)
    except KilledWorker as fault:
        msg = (
            f"Workers of {cluster.name} were lost again and again at the same task, the last one "
            f"{fault.last_worker.address}; give them more memory, or fewer on a computer."
        )
        raise CorrelationError(msg) from fault
    except CancelledError as fault:
        msg = f"The scheduler {cluster.name} was lost or has dropped the run; start it again."
        raise CorrelationError(msg) from fault


# -- what runs on workers


@lru_cache(maxsize=1)
def _frames_of(path: Path, dataset: str | None, modified_ns: int) -> Frames:
    """Open frames; files of events are walked once in a process, not for every part."""
    opened = open_path(path, dataset)
    if not isinstance(opened, FramesFile):
        msg = f"{path} holds no frames on a worker; put it where all computers see the same file."
        raise FileFormatError(msg)
    return opened.frames


def _prepared(packed: bytes) -> _Prepared:
    run: _Run = pickle.loads(zlib.decompress(packed))
    return _Prepared(run=run, pixels=used_pixels(run.partition, run.shape[1:]))


class _UnwantedError(Exception):
    """Ends a task that nobody waits for."""


class _Teller:
    """Tells the client how far a task is, and the task when nobody wants it any more."""

    def __init__(self, topic: str, part: int) -> None:
        from distributed import get_worker

        self._worker = get_worker()
        self._task = self._worker.get_current_task()
        self._topic, self._part = topic, part
        self._told = -_REPORT_S

    @property
    def threads(self) -> int:
        """Threads that this worker was given."""
        return int(self._worker.state.nthreads)

    def tell(self, done: int, *, last: bool = False) -> None:
        """Tell how many frames are done.

        Raises
        ------
        _UnwantedError
            The task was cancelled, or its client has gone.
        """
        task = self._worker.state.tasks.get(self._task)
        if task is None or task.state == "cancelled":
            raise _UnwantedError
        now = time.monotonic()
        if last or now - self._told > _REPORT_S:
            self._worker.log_event(self._topic, {"part": self._part, "done": done})
            self._told = now

    def take_turn(self) -> None:
        """Wait until no other part is computed in this process."""
        while not _one_part.acquire(timeout=_POLL_S):
            self.tell(0)


def _accumulated(prepared: _Prepared, begin: int, end: int) -> _Part:
    """Add up the used frames ``begin`` to ``end``."""
    run = prepared.run
    teller = _Teller(run.topic, begin)
    teller.take_turn()
    try:
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
    finally:
        _one_part.release()


def _joined(earlier: _Part, later: _Part) -> _Part:
    return _Part(
        state=merge(earlier.state, later.state),
        corrupt=earlier.corrupt + later.corrupt,
        devices=earlier.devices | later.devices,
    )


def _snapshot(so_far: _Part, prepared: _Prepared) -> BinSums:
    return snapshot(so_far.state, prepared.pixels, prepared.run.plan)


def _finished(
    whole: _Part, prepared: _Prepared, reduction: Reduction, snapshots: Sequence[BinSums]
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


def _maps_of_bins(
    prepared: _Prepared, part: int, bins: Sequence[int], frame_time_s: float, smoothing: str
) -> TwoTimeResult:
    """Make the two-time maps of some bins."""
    run = prepared.run
    teller = _Teller(run.topic, part)
    teller.take_turn()
    try:
        steps = correlate_twotime(
            run.frames(),
            run.partition,
            frame_time_s=frame_time_s,
            xp=get_backend(),
            bins=bins,
            selection=run.plan.selection,
            smoothing=smoothing,
        )

        def tell(progress: Progress) -> None:
            teller.tell(_TICKS * progress.done // max(progress.total, 1))

        with closing(steps):
            result = drain(steps, tell)
        teller.tell(_TICKS, last=True)
        return result
    finally:
        _one_part.release()


def _without_maps(result: TwoTimeResult) -> TwoTimeResult:
    return replace(result, maps=())


def _one_map(result: TwoTimeResult, number: int) -> np.ndarray:
    return result.maps[number]
