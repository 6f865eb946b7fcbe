"""What all tasks of a run share: the run itself, in small, and how far they tell that they are."""

import pickle
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import WeakSet

import numpy as np

from napari_xpcs import __version__
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.distributed.cluster import POLL_S, Cluster, fetched, listening
from napari_xpcs.errors import CorrelationError, FileFormatError
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import Progress, Steps

RETRIES = 2
"""How often a part that failed is done again; a file system may have been out for a moment."""

_REPORT_S = 0.5

_ONE_PART = threading.Lock()
"""Held by the part that a worker computes: it uses all threads, others of the process wait."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What every worker has to know; packed, it is small.

    Parameters
    ----------
    version
        Of this program where the run was sent from.
    path, dataset, modified_ns, shape
        The file, as it was seen there.
    topic
        Where tasks tell how far they are.
    """

    version: str
    path: Path
    dataset: str | None
    modified_ns: int
    shape: tuple[int, ...]
    partition: Partition
    plan: RunPlan
    skip_corrupt: bool
    topic: str

    @classmethod
    def of(
        cls,
        path: Path,
        frames: Frames,
        partition: Partition,
        plan: RunPlan,
        *,
        dataset: str | None,
        skip_corrupt: bool,
    ) -> "Run":
        """Return what workers have to know of the frames in a file, as they were opened here."""
        return cls(
            version=__version__,
            path=path.absolute(),
            dataset=dataset,
            modified_ns=path.stat().st_mtime_ns,
            shape=tuple(frames.shape),
            partition=partition,
            plan=plan,
            skip_corrupt=skip_corrupt,
            topic=f"napari-xpcs-{uuid4().hex[:12]}",
        )

    def frames(self) -> Frames:
        """Open the file on this computer.

        Raises
        ------
        CorrelationError
            Another version of this program runs here: a worker that came when others had begun.
        FileFormatError
            The file is not there, or it is another one.
        """
        from distributed import get_worker

        here = get_worker().address
        if self.version != __version__:
            msg = (
                f"The worker {here} has napari-xpcs {__version__}, and this is {self.version}; "
                "start all workers from the same environment."
            )
            raise CorrelationError(msg)
        if not self.path.exists():
            msg = (
                f"{self.path} is not there on the worker {here}; put it where all computers see "
                "it under the same path."
            )
            raise FileFormatError(msg)
        frames = _frames_of(self.path, self.dataset, self.modified_ns)
        if tuple(frames.shape) != self.shape:
            msg = (
                f"{self.path} has the shape {tuple(frames.shape)} on the worker {here} and "
                f"{self.shape} here; put it where all computers see the same file."
            )
            raise FileFormatError(msg)
        return frames


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedRun:
    """A run with its pixels, in the memory of workers."""

    run: Run
    pixels: UsedPixels

    def __sizeof__(self) -> int:
        return array_bytes(self.pixels)


def array_bytes(held: Any) -> int:
    """Return the bytes of the arrays that a dataclass holds."""
    values = (getattr(held, field.name) for field in fields(held))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


class Tasks:
    """Tasks of a run on the workers of a cluster, until they are closed."""

    def __init__(self, cluster: Cluster, run: Run) -> None:
        self._cluster = cluster
        self._topic = run.topic
        self._token = uuid4().hex
        self._number = 0
        self._futures: WeakSet[Any] = WeakSet()
        # In a task instead of scattered: what a lost worker held is made again.
        self.prepared = self.submit("prepare", _prepared, zlib.compress(pickle.dumps(run), 1))

    def submit(self, name: str, function: Callable[..., Any], *inputs: Any) -> Any:
        """Return the future of a task; those that join go before those that read on."""
        self._number += 1
        future = self._cluster.client.submit(
            function,
            *inputs,
            key=(f"{name}-{self._token}", self._number),
            retries=RETRIES,
            priority=0 if name == "accumulate" else 1,
        )
        self._futures.add(future)
        return future

    def let_go(self, futures: Iterable[Any]) -> None:
        """End tasks and what only they need, or forget their results."""
        # Not cancelled: a scheduler drops the client that cancels what others read that it let go.
        if self._cluster.client.status == "running":
            for future in futures:
                future.release()

    def close(self) -> None:
        """Let go of all: a fault that somebody keeps would keep the futures of its run, too."""
        self.let_go(list(self._futures))

    def joined(self, parts: list[Any], join: Callable[[Any, Any], Any]) -> Any:
        """Return the future of neighbouring ``parts`` joined in a tree.

        Whoever holds on to a part keeps it in the memory of a worker.
        """
        while len(parts) > 1:
            odd = parts[len(parts) // 2 * 2 :]
            pairs = zip(parts[0::2], parts[1::2], strict=False)
            parts = [self.submit("join", join, *pair) for pair in pairs] + odd
        return parts[0]

    def result(self, future: Any, frames: int, *, direct: bool) -> Steps[Any]:
        """Wait for the last future of a run and return its value.

        Parameters
        ----------
        frames
            Used frames, what the parts of the run tell adds up to.
        direct
            Fetch it past the scheduler: it is large.
        """
        with listening(self._cluster, self._topic) as done:

            def told() -> Progress:
                so_far = min(sum(done.values()), frames)
                return Progress(so_far, frames, "frames" if so_far < frames else "joining parts")

            value = yield from fetched(self._cluster, future, told, direct=direct)
        yield Progress(frames, frames, "frames")
        return value


@lru_cache(maxsize=1)
def _frames_of(path: Path, dataset: str | None, modified_ns: int) -> Frames:
    """Open frames; files of events are walked once in a process, not for every part."""
    opened = open_path(path, dataset)
    if not isinstance(opened, FramesFile):
        msg = f"{path} holds no frames on a worker; put it where all computers see the same file."
        raise FileFormatError(msg)
    return opened.frames


def _prepared(packed: bytes) -> PreparedRun:
    run: Run = pickle.loads(zlib.decompress(packed))
    return PreparedRun(run=run, pixels=used_pixels(run.partition, run.shape[1:]))


class _UnwantedError(Exception):
    """Ends a task that nobody waits for."""


class Teller:
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

    @property
    def address(self) -> str:
        """Of this worker."""
        return str(self._worker.address)

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

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other part is computed in this process, and keep others waiting."""
        while not _ONE_PART.acquire(timeout=POLL_S):
            self.tell(0)
        try:
            yield
        finally:
            _ONE_PART.release()
