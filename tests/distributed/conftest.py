"""Two worker processes, and a run that they share."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.distributed.cluster import Cluster, connected
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import run

FRAMES, ROWS, COLS = 5000, 12, 20


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two worker processes, as ``--scheduler local`` starts them."""
    with closing(run(connected("local"))) as started:
        yield started


def _write_frames(path: Path, frames: int, chunk: int = 1) -> Path:
    rng = np.random.default_rng(3)
    light = rng.gamma(4.0, 0.5, (frames // 8 + 1, ROWS, COLS)).repeat(8, axis=0)[:frames]
    counts = rng.poisson(light).astype(np.uint16)
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "entry/data/data", data=counts, chunks=(chunk, ROWS, COLS), compression="gzip"
        )
    return path


@pytest.fixture(scope="session")
def write_frames() -> Callable[..., Path]:
    """Return a function that writes so many frames to a path."""
    return _write_frames


@pytest.fixture(scope="session")
def frames_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5000 frames of 12 x 20 pixels."""
    return _write_frames(tmp_path_factory.mktemp("frames") / "run.h5", FRAMES)


@pytest.fixture(scope="session")
def rings(make_labels_partition: Callable[..., Partition]) -> Partition:
    """Three dynamic bins of two static ones each."""
    static = np.broadcast_to(np.repeat(np.arange(1, 7), 2)[:, None], (ROWS, COLS)).copy()
    static[:, 0] = 0
    return make_labels_partition(static > 0, (static + 1) // 2, static)


def _tasks_left(cluster: Cluster) -> list[str]:
    until = time.monotonic() + 30.0
    while True:
        left = cluster.client.run_on_scheduler(
            lambda dask_scheduler: [str(task) for task in dask_scheduler.tasks.values()]
        )
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


@pytest.fixture(scope="session")
def tasks_left() -> Callable[[Cluster], list[str]]:
    """Return a function that gives the tasks that are not let go within half a minute."""
    return _tasks_left


def _assert_same(one: object, other: object, where: str = "") -> None:
    if hasattr(one, "__slots__") and hasattr(one, "__dataclass_fields__"):
        for name in one.__dataclass_fields__:
            if name not in ("engine", "alignment"):
                _assert_same(getattr(one, name), getattr(other, name), f"{where}.{name}")
    elif isinstance(one, tuple) and one and hasattr(one[0], "__dataclass_fields__"):
        for number, pair in enumerate(zip(one, other, strict=True)):
            _assert_same(*pair, f"{where}[{number}]")
    else:
        np.testing.assert_array_equal(one, other, err_msg=where)


@pytest.fixture(scope="session")
def assert_same() -> Callable[..., None]:
    """Return a function that compares two results: equal bit for bit, but for who made them."""
    return _assert_same
