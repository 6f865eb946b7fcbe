"""What all tasks of a run share: the run itself, in small, and how far they tell that they are."""

import pickle
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from napari_xpcs import __version__
from napari_xpcs.correlate.engines import EngineChoice
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.distributed.cluster import POLL_S
from napari_xpcs.errors import CorrelationError, FileFormatError
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.partition import Partition

RETRIES = 2
"""How often a part that failed is done again; a file system may have been out for a moment."""

_REPORT_S = 0.5

_ONE_PART = threading.Lock()
"""Held by the part that a worker computes: it uses all threads, others of the process wait."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What every worker has to know; packed, it is small."""

    version: str
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
    """Tasks of a run.

    Parameters
    ----------
    client
        Where they are submitted.
    """

    def __init__(self, client: Any, run: Run) -> None:
        self._client = client
        self._token = uuid4().hex
        self._number = 0
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
