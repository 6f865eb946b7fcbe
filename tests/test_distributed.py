"""Parts of a run on workers in processes of their own: the same result, whatever happens."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.twotime_maps import MapsInMemory
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.distributed import cluster as cluster_module
from napari_xpcs.distributed import twotime as twotime_module
from napari_xpcs.distributed.cluster import Cluster, connected, on_cluster
from napari_xpcs.distributed.multitau import (
    LONGEST_PART,
    SHORTEST_PART,
    correlate_multitau_on,
    part_length,
)
from napari_xpcs.distributed.twotime import correlate_twotime_on
from napari_xpcs.errors import CorrelationError, CorruptFramesError, FileFormatError
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.pipeline.simulate import simulate_file
from napari_xpcs.progress import Progress, Steps, run

FRAMES, ROWS, COLS = 5000, 12, 20
DAMAGED = 2100


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two worker processes, as ``--scheduler local`` starts them."""
    with closing(run(connected("local"))) as started:
        yield started


def write_frames(path: Path, frames: int, chunk: int = 1) -> Path:
    rng = np.random.default_rng(3)
    light = rng.gamma(4.0, 0.5, (frames // 8 + 1, ROWS, COLS)).repeat(8, axis=0)[:frames]
    counts = rng.poisson(light).astype(np.uint16)
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "entry/data/data", data=counts, chunks=(chunk, ROWS, COLS), compression="gzip"
        )
    return path


@pytest.fixture(scope="module")
def frames_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("frames") / "run.h5", FRAMES)


def rings() -> Partition:
    static = np.broadcast_to(np.repeat(np.arange(1, 7), 2)[:, None], (ROWS, COLS)).copy()
    static[:, 0] = 0

    def bins(labels: np.ndarray) -> Bins:
        count = int(labels.max())
        return Bins(
            labels=labels.astype(np.int32),
            grid=(count, 1),
            index=np.arange(count),
            centers=(np.arange(count, dtype=float), np.zeros(1)),
            edges=None,
            pixels=np.bincount(labels.ravel(), minlength=count + 1)[1:],
        )

    return Partition(mask=static > 0, dynamic=bins((static + 1) // 2), static=bins(static))


def both(cluster: Cluster, path: Path, **options: object) -> tuple[MultiTauResult, MultiTauResult]:
    """Return the result of the cluster and that of this process."""
    frames = open_path(path).frames
    options = {"frame_time_s": 1e-3, **options}
    there = run(correlate_multitau_on(cluster, path, frames, rings(), **options))
    return there, run(correlate_multitau(frames, rings(), xp=get_backend(), **options))


def assert_same(one: object, other: object, where: str = "") -> None:
    """All values are equal, bit for bit, but for who made them."""
    if hasattr(one, "__slots__") and hasattr(one, "__dataclass_fields__"):
        for name in one.__dataclass_fields__:
            if name not in ("engine", "alignment"):
                assert_same(getattr(one, name), getattr(other, name), f"{where}.{name}")
    else:
        np.testing.assert_array_equal(one, other, err_msg=where)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"selection": FrameSelection(begin=7, end=4990, stride=1, average=2)},
        {"selection": FrameSelection(begin=3, stride=2)},
        {"errors": "segments"},
        {"partials": 5, "normalization": "pixel-weighted"},
        {"skipped": (0, 5, 1023, 1024, 4999), "pixel_averages": True},
        {"delays_per_level": 8, "selection": FrameSelection(end=1500)},
    ],
    ids=lambda options: ",".join(options) or "defaults",
)
def test_same_as_on_one_computer(
    cluster: Cluster, frames_path: Path, options: dict[str, object]
) -> None:
    there, here = both(cluster, frames_path, **options)
    assert_same(there, here)
    assert "2 workers of local" in there.engine["device"]


def test_normalised_frames_agree_to_rounding(cluster: Cluster, frames_path: Path) -> None:
    there, here = both(cluster, frames_path, normalize_frame=True)
    np.testing.assert_allclose(there.g2, here.g2, rtol=1e-13)


def test_array_engine(cluster: Cluster, frames_path: Path) -> None:
    there, here = both(cluster, frames_path, engine="array", selection=FrameSelection(end=2500))
    assert there.engine["engine"] == "array"
    assert_same(there, here)


def test_events(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "few.cmp"
    few = Simulation(frames=2100, rows=ROWS, cols=COLS, mean_counts=0.01)
    run(simulate_file(path, few, xp=get_backend(), events=True))
    there, here = both(cluster, path, errors="segments")
    assert there.engine["engine"] == "events"
    assert_same(there, here)


def test_a_scheduler_by_its_address_is_left_running(cluster: Cluster, frames_path: Path) -> None:
    frames = open_path(frames_path).frames

    def job(one: Cluster | None) -> Steps[MultiTauResult]:
        assert one is not None
        return correlate_multitau_on(one, frames_path, frames, rings(), frame_time_s=1e-3)

    address = cluster.client.scheduler_info()["address"]
    result = run(on_cluster(address, job))
    assert f"2 workers of {address}" in result.engine["device"]
    assert cluster.workers == 2


def test_workers_of_another_version(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "__version__", "99.0")
    with pytest.raises(CorrelationError, match=r"has napari-xpcs .*, and this is 99\.0"):
        run(on_cluster(cluster.client.scheduler_info()["address"], lambda _: iter(())))


def test_a_worker_that_is_killed_costs_its_part(cluster: Cluster, tmp_path: Path) -> None:
    path = write_frames(tmp_path / "long.h5", 16 * SHORTEST_PART, chunk=16)
    frames = open_path(path).frames
    processes = cluster.client.run(os.getpid)
    steps = correlate_multitau_on(cluster, path, frames, rings(), frame_time_s=1e-3)
    seen: list[Progress] = []

    def kill_one(progress: Progress) -> None:
        if progress.done and not any(each.done for each in seen):
            os.kill(min(processes.values()), signal.SIGKILL)
        seen.append(progress)

    there = run(steps, kill_one)
    assert 0 < next(each.done for each in seen if each.done) < len(frames)
    assert set(cluster.client.run(os.getpid).values()) != set(processes.values())
    assert_same(
        there, run(correlate_multitau(frames, rings(), frame_time_s=1e-3, xp=get_backend()))
    )


@pytest.mark.parametrize("bins", [None, [3, 1]])
def test_two_time_maps(
    cluster: Cluster, frames_path: Path, monkeypatch: pytest.MonkeyPatch, bins: list[int] | None
) -> None:
    frames, there = open_path(frames_path).frames, MapsInMemory()
    options = {"frame_time_s": 1e-3, "bins": bins, "selection": FrameSelection(end=300)}
    of_cluster = run(
        correlate_twotime_on(cluster, frames_path, frames, rings(), sink=there, **options)
    )
    here = run(correlate_twotime(frames, rings(), xp=get_backend(), **options))
    np.testing.assert_array_equal(there.maps, here.maps)
    assert_same(replace(of_cluster, maps=()), replace(here, maps=()))
    monkeypatch.setattr(twotime_module, "MAP_BYTES", 1000.0)
    with pytest.raises(CorrelationError, match="--scheduler none"):
        run(correlate_twotime_on(cluster, frames_path, frames, rings(), sink=there, **options))


def tasks_of(cluster: Cluster) -> int:
    return cluster.client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))


def test_cancel_ends_the_tasks_on_the_workers(cluster: Cluster, tmp_path: Path) -> None:
    path = write_frames(tmp_path / "long.h5", 16 * SHORTEST_PART, chunk=16)
    frames = open_path(path).frames
    steps = correlate_multitau_on(cluster, path, frames, rings(), frame_time_s=1e-3)
    while not next(steps).done:
        pass
    started = time.perf_counter()
    steps.close()
    assert time.perf_counter() - started < 0.3
    while tasks_of(cluster) and time.perf_counter() - started < 5.0:
        time.sleep(0.05)
    assert tasks_of(cluster) == 0
    assert not any(cluster.client.processing().values())


def test_damaged_frames(cluster: Cluster, frames_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.h5"
    path.write_bytes(frames_path.read_bytes())
    with h5py.File(path) as file:
        at = file["entry/data/data"].id.get_chunk_info(DAMAGED)
    with path.open("r+b") as raw:
        raw.seek(at.byte_offset)
        raw.write(bytes(at.size))
    there, here = both(cluster, path, skip_corrupt=True)
    assert_same(there, here)
    assert there.skipped_frames == (DAMAGED,)
    with pytest.raises(CorruptFramesError, match=f"Frame {DAMAGED} of damaged.h5") as told:
        both(cluster, path)
    assert told.value.frames == (DAMAGED,)


def test_a_file_that_workers_see_otherwise(cluster: Cluster, frames_path: Path) -> None:
    other = np.zeros((10, ROWS, COLS), np.uint16)
    with pytest.raises(FileFormatError, match=r"on a worker and .* here"):
        run(correlate_multitau_on(cluster, frames_path, other, rings(), frame_time_s=1e-3))


def test_a_part_is_a_power_of_two_between_bounds() -> None:
    assert part_length(100, 2) == SHORTEST_PART
    assert part_length(10**7, 2) == LONGEST_PART
    assert part_length(100_000, 4) == 8192
    assert part_length(100_000, 4, stops=512) == 512


def test_no_scheduler_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.5)
    steps = on_cluster("tcp://127.0.0.1:9", lambda _: iter(()))
    with pytest.raises(CorrelationError, match=r"at tcp://127\.0\.0\.1:9"):
        run(steps)


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install napari-xpcs\[cluster\]"):
        run(on_cluster("local", lambda _: iter(())))


def test_dask_is_not_imported_unasked() -> None:
    code = (
        "import sys, napari_xpcs.pipeline.correlate;"
        " print({'distributed', 'dask'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
