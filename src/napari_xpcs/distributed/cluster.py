"""Workers of dask: connected, started here, waited for, and let go."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
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

CONNECT_S = 20.0
"""How long a scheduler may take to answer."""

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
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)

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
            time.sleep(POLL_S)
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


def let_go(cluster: Cluster, futures: Iterable[Any]) -> None:
    """Cancel tasks and what only they need, or forget their results."""
    if cluster.client.status == "running":
        cluster.client.cancel(list(futures))


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
        msg = f"The scheduler {cluster.name} was lost or has dropped the run; start it again."
        raise CorrelationError(msg) from fault
