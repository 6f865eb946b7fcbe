"""Workers of dask: connected, started here, waited for, and let go."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from importlib import metadata
from typing import Any, TypeVar

from napari_xpcs import __version__
from napari_xpcs.correlate.accumulate import waiting
from napari_xpcs.correlate.engines import usable_cores
from napari_xpcs.errors import CorrelationError
from napari_xpcs.progress import Progress, Steps

Result = TypeVar("Result")

LOCAL, NONE = "local", "none"
"""Schedulers that are no address: workers on this computer, and no workers at all."""

THREADS_OF_A_PROCESS = 8
"""Cores for each of the processes of the scheduler ``local``."""

CONNECT_S = 5.0
"""How long a scheduler may take to answer."""

SETTLE_S = 3.0
"""A run is not cut before the workers that a queue gives have been that many for so long."""

_LEAVE_CTRL_C_TO_THE_CLIENT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""For processes of the scheduler ``local``: a terminal interrupts all of them at once."""

POLL_S = 0.1


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
        """Number of workers that there are now.

        Raises
        ------
        CorrelationError
            The scheduler was lost.
        """
        known = self.client.scheduler_info(n_workers=-1)
        if "workers" not in known:
            raise CorrelationError(self.lost())
        return len(known["workers"])

    def named(self, workers: int) -> str:
        """Return ``workers`` of this cluster in words."""
        return f"{workers} worker{'s' if workers != 1 else ''} of {self.name}"

    def lost(self) -> str:
        """Return in words that the scheduler is there no more."""
        return f"The scheduler {self.name} was lost or has dropped the run; start it again."

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
    cluster = yield from connected(scheduler)
    with closing(cluster):
        return (yield from job(cluster))


def connected(scheduler: str) -> Steps[Cluster]:
    """Return a connection to ``scheduler`` that has a worker at least."""
    try:
        import distributed
    except ImportError as fault:
        msg = (
            "A scheduler needs dask.distributed, which is not installed; get it with "
            "`pip install napari-xpcs[cluster]`, or correlate with --scheduler none."
        )
        raise MissingSchedulerError(msg) from fault

    # A scheduler that is lost is told as a fault, not by a traceback in between.
    for name in ("distributed.client", "distributed.core", "distributed.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    def connect() -> Cluster:
        started = None
        if scheduler == LOCAL:
            cores = usable_cores()
            processes = max(min(cores, 2), cores // THREADS_OF_A_PROCESS)
            started = distributed.LocalCluster(
                n_workers=processes,
                threads_per_worker=max(cores // processes, 1),
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,  # what fails on a worker is told here
                preload=[_LEAVE_CTRL_C_TO_THE_CLIENT],
            )
        else:
            _ask_who_is_there(scheduler)
        return Cluster(
            distributed.Client(started or scheduler, timeout=CONNECT_S), started, scheduler
        )

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
        _check_scheduler(cluster)
        yield from _wait_for_workers(cluster)
        _check_versions(cluster)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _ask_who_is_there(address: str) -> None:
    """Raise :class:`CorrelationError` unless a scheduler answers at ``address`` in time."""
    from distributed import Security, rpc

    async def identity() -> dict[str, Any]:
        security = Security().get_connection_args("client")
        async with rpc(address, timeout=CONNECT_S, connection_args=security) as there:
            return dict(await there.identity())

    try:
        # A server of another kind may keep silent, and dask would wait for it.
        found = asyncio.run(asyncio.wait_for(identity(), CONNECT_S))["type"]
    except (OSError, ValueError, MemoryError) as fault:
        # To dask, the words of a web server are the length of a message that fits nowhere.
        wrong = isinstance(fault, ValueError)
        reason = str(fault) if wrong else f"nothing of dask answered in {CONNECT_S:g} s"
        msg = (
            f"No scheduler answers at {address}: {reason}. Expected the address that "
            "`dask scheduler` prints, such as tcp://node01:8786, or local, or none."
        )
        raise CorrelationError(msg) from fault
    if found != "Scheduler":
        msg = f"A {found.lower()} answers at {address}; give the address of its scheduler instead."
        raise CorrelationError(msg)


def _wait_for_workers(cluster: Cluster) -> Steps[None]:
    """Wait for a worker, and for those that a queue gives together with it."""
    workers, since = cluster.workers, time.monotonic()
    if workers:
        return
    while not workers or time.monotonic() - since < SETTLE_S:
        yield Progress(0, 1, "waiting for workers")
        time.sleep(POLL_S)
        found = cluster.workers
        if found != workers:
            workers, since = found, time.monotonic()


def _check_scheduler(cluster: Cluster) -> None:
    """Raise :class:`CorrelationError` where the scheduler has not this version of this program."""
    try:
        version = cluster.client.run_on_scheduler(metadata.version, "napari-xpcs")
    except metadata.PackageNotFoundError:
        version = None
    if version != __version__:
        raise CorrelationError(_other_version(f"The scheduler {cluster.name}", version))


def _check_versions(cluster: Cluster) -> None:
    """Raise :class:`CorrelationError` where a worker has not this version of this program."""
    found = cluster.client.run(metadata.version, "napari-xpcs", on_error="return")
    for worker, version in found.items():
        if version != __version__:
            raise CorrelationError(_other_version(f"The worker {worker}", version))


def _other_version(who: str, version: object) -> str:
    has = f"napari-xpcs {version}" if isinstance(version, str) else "no napari-xpcs"
    return (
        f"{who} has {has}, and this is {__version__}; start scheduler and workers from the same "
        "environment as this command."
    )


@contextmanager
def listening(cluster: Cluster, topic: str) -> Iterator[dict[int, int]]:
    """Give what the tasks of a run tell: for each part, how far it is."""
    done: dict[int, int] = {}

    def heard(event: tuple[float, dict[str, int]]) -> None:
        done[event[1]["part"]] = event[1]["done"]

    cluster.client.subscribe_topic(topic, heard)
    try:
        yield done
    finally:
        cluster.client.unsubscribe_topic(topic)


def fetched(
    cluster: Cluster, future: Any, told: Callable[[], Progress], *, direct: bool
) -> Steps[Any]:
    """Wait for a future, telling how far the work is, and return its value."""
    from distributed import KilledWorker

    try:
        while not future.done():
            yield told()
            time.sleep(POLL_S)
        return cluster.client.gather(future, direct=direct)
    except KilledWorker as fault:
        msg = (
            f"Workers of {cluster.name} were lost again and again at the same task, the last one "
            f"{fault.last_worker.address}; give them more memory, or fewer on a computer."
        )
        raise CorrelationError(msg) from fault
    except CancelledError as fault:
        raise CorrelationError(cluster.lost()) from fault
