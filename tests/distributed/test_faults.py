"""What can go wrong between computers: a sentence each, and soon."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.correlate.twotime_maps import MapsInMemory
from napari_xpcs.distributed import cluster as cluster_module
from napari_xpcs.distributed import tasks as tasks_module
from napari_xpcs.distributed.ages import correlate_ages_on
from napari_xpcs.distributed.cluster import Cluster, connected, on_cluster
from napari_xpcs.distributed.multitau import correlate_multitau_on
from napari_xpcs.distributed.twotime import correlate_twotime_on
from napari_xpcs.errors import CorrelationError, FileFormatError
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import Progress, Steps, run


def nothing(_: object) -> Steps[None]:
    return iter(())


def address_of(cluster: Cluster) -> str:
    return str(cluster.client.scheduler_info()["address"])


def test_a_scheduler_by_its_address_is_left_running(
    cluster: Cluster, rings: Partition, frames_path: Path
) -> None:
    frames = open_path(frames_path).frames

    def job(one: Cluster | None) -> Steps[MultiTauResult]:
        assert one is not None
        return correlate_multitau_on(one, frames_path, frames, rings, frame_time_s=1e-3)

    result = run(on_cluster(address_of(cluster), job))
    assert f"of {address_of(cluster)}" in result.engine["device"]
    assert cluster.workers == 2


@pytest.fixture(params=[b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "web server"])
def something_else(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a server that is no scheduler."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as asked:
                asked.sendall(request.param)
                while asked.recv(4096):
                    pass

        threading.Thread(target=answer, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_what_answers_is_no_scheduler(something_else: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.5)
    said = f"No scheduler answers at {something_else}: nothing of dask answered in 0.5 s"
    with pytest.raises(CorrelationError, match=said):
        run(on_cluster(something_else, nothing))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:9", r"nothing of dask answered in 0\.5 s"),
        ("node01", "missing port number"),
        ("http://node01:80", "unknown address scheme"),
    ],
)
def test_no_scheduler_at_the_address(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.5)
    with pytest.raises(CorrelationError, match=f"No scheduler answers at {address}: {words}"):
        run(on_cluster(address, nothing))


def test_the_address_of_a_worker(cluster: Cluster) -> None:
    worker = min(cluster.client.scheduler_info()["workers"])
    with pytest.raises(CorrelationError, match=f"A worker answers at {worker}; give the address"):
        run(on_cluster(worker, nothing))


def test_another_version(
    cluster: Cluster, rings: Partition, frames_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = open_path(frames_path).frames
    monkeypatch.setattr(tasks_module, "__version__", "99.0")
    with pytest.raises(CorrelationError, match=r"The worker tcp.* has napari-xpcs .* is 99\.0"):
        run(correlate_multitau_on(cluster, frames_path, frames, rings, frame_time_s=1e-3))
    monkeypatch.setattr(cluster_module, "__version__", "99.0")
    with pytest.raises(CorrelationError, match=r"The scheduler .* has napari-xpcs .* is 99\.0"):
        run(on_cluster(address_of(cluster), nothing))


def test_a_file_that_workers_see_otherwise(
    cluster: Cluster, rings: Partition, frames_path: Path
) -> None:
    def correlate(path: Path, frames: np.ndarray) -> None:
        run(correlate_multitau_on(cluster, path, frames, rings, frame_time_s=1e-3))

    with pytest.raises(FileFormatError, match=r"on the worker tcp.* and .* here"):
        correlate(frames_path, np.zeros((10, *rings.shape), np.uint16))
    with frames_path.open() as file:
        only_here = Path(f"/proc/self/fd/{os.dup(file.fileno())}")
    try:
        with pytest.raises(FileFormatError, match=r"is not there on the worker tcp"):
            correlate(only_here, np.zeros((10, *rings.shape), np.uint16))
    finally:
        os.close(int(only_here.name))


@pytest.mark.parametrize(
    "correlate",
    [
        correlate_multitau_on,
        correlate_ages_on,
        partial(correlate_twotime_on, sink=MapsInMemory()),
    ],
    ids=["g2", "ages", "maps"],
)
def test_a_run_that_failed_leaves_nothing_on_the_workers(
    correlate: Callable[..., Steps[object]],
    cluster: Cluster,
    rings: Partition,
    frames_path: Path,
    tasks_left: Callable[[Cluster], list[str]],
) -> None:
    other = np.zeros((10, *rings.shape), np.uint16)
    with pytest.raises(FileFormatError) as raised:
        run(correlate(cluster, frames_path, other, rings, frame_time_s=1e-3))
    # Who keeps the fault, as a log does, keeps what the run held.
    assert raised.tb is not None
    assert tasks_left(cluster) == []


@pytest.fixture
def start_dask(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return a function that starts ``dask scheduler`` or ``dask worker``."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *map(str, words), "--host", "127.0.0.1"]
        command += ["--no-dashboard", "--dashboard-address", ":0"]
        with (tmp_path / "log.txt").open("ab") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_scheduler_that_dies(
    start_dask: Callable[..., subprocess.Popen[bytes]],
    rings: Partition,
    tmp_path: Path,
    write_frames: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 60.0)
    path = write_frames(tmp_path / "long.h5", 16_384, chunk=16)
    frames = open_path(path).frames
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = start_dask("scheduler", "--port", port)
    start_dask("worker", address, "--nthreads", 1)

    def job(one: Cluster | None) -> Steps[MultiTauResult]:
        assert one is not None
        return correlate_multitau_on(one, path, frames, rings, frame_time_s=1e-3)

    def kill(progress: Progress) -> None:
        if progress.done:
            scheduler.kill()

    with pytest.raises(CorrelationError, match=f"The scheduler {address} was lost"):
        run(on_cluster(address, job), kill)


def test_a_scheduler_that_ends_while_workers_are_waited_for() -> None:
    import distributed

    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        steps = connected(empty.scheduler_address)
        while next(steps).what != "waiting for workers":
            pass
    with pytest.raises(CorrelationError, match="was lost"):
        run(steps)


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install napari-xpcs\[cluster\]"):
        run(on_cluster("local", nothing))


def test_dask_is_not_imported_unasked() -> None:
    code = (
        "import sys, napari_xpcs.pipeline.correlate;"
        " print({'distributed', 'dask'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_fault_on_a_worker_is_no_traceback_in_between(tmp_path: Path, write_frames) -> None:
    frames, qmap = write_frames(tmp_path / "run.h5", 40), tmp_path / "no_bins.h5"
    with h5py.File(frames) as file:
        at = file["entry/data/data"].id.get_chunk_info(7)
    with frames.open("r+b") as raw:
        raw.seek(at.byte_offset)
        raw.write(bytes(at.size))
    labels = np.ones((12, 20), np.uint8)
    with h5py.File(qmap, "w") as file:
        for name in ("mask", "dynamic_roi_map", "static_roi_map"):
            file[f"qmap/{name}"] = labels
    program = [sys.executable, "-m", "napari_xpcs.cli", "correlate", str(frames)]
    options = ["--qmap", str(qmap), "-o", str(tmp_path / "x.hdf"), "--frame-time", "1e-3"]
    job = subprocess.run(
        [*program, *options, "--scheduler", "local"], capture_output=True, text=True, check=False
    )
    assert job.returncode == 1
    assert job.stderr.startswith("napari-xpcs: Frame 7 of run.h5 cannot be read")
    assert job.stderr.count("\n") == 1
