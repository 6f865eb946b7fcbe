"""Parts of a run on workers in processes of their own: the same result, whatever happens."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.distributed.cluster import Cluster
from napari_xpcs.distributed.multitau import (
    LONGEST_PART,
    SHORTEST_PART,
    correlate_multitau_on,
    part_length,
)
from napari_xpcs.errors import CorruptFramesError
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.pipeline.simulate import simulate_file
from napari_xpcs.progress import Progress, run

DAMAGED = 2100

Both = Callable[..., tuple[MultiTauResult, MultiTauResult]]


@pytest.fixture
def both(cluster: Cluster, rings: Partition) -> Both:
    """Return a function that gives the result of the cluster and that of this process."""

    def correlate(path: Path, **options: object) -> tuple[MultiTauResult, MultiTauResult]:
        frames = open_path(path).frames
        options = {"frame_time_s": 1e-3, **options}
        there = run(correlate_multitau_on(cluster, path, frames, rings, **options))
        return there, run(correlate_multitau(frames, rings, xp=get_backend(), **options))

    return correlate


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
    both: Both, frames_path: Path, assert_same: Callable[..., None], options: dict[str, object]
) -> None:
    there, here = both(frames_path, **options)
    assert_same(there, here)
    assert there.engine["device"].endswith("of local")


def test_normalised_frames_agree_to_rounding(both: Both, frames_path: Path) -> None:
    there, here = both(frames_path, normalize_frame=True)
    np.testing.assert_allclose(there.g2, here.g2, rtol=1e-13)


def test_array_engine(both: Both, frames_path: Path, assert_same: Callable[..., None]) -> None:
    there, here = both(frames_path, engine="array", selection=FrameSelection(end=2500))
    assert there.engine["engine"] == "array"
    assert_same(there, here)


def test_events(
    both: Both, rings: Partition, tmp_path: Path, assert_same: Callable[..., None]
) -> None:
    path = tmp_path / "few.cmp"
    rows, cols = rings.shape
    few = Simulation(frames=2100, rows=rows, cols=cols, mean_counts=0.01)
    run(simulate_file(path, few, xp=get_backend(), events=True))
    there, here = both(path, errors="segments")
    assert there.engine["engine"] == "events"
    assert_same(there, here)


def test_a_worker_that_is_killed_costs_its_part(
    cluster: Cluster,
    rings: Partition,
    tmp_path: Path,
    write_frames: Callable[..., Path],
    assert_same: Callable[..., None],
) -> None:
    path = write_frames(tmp_path / "long.h5", 16 * SHORTEST_PART, chunk=16)
    frames = open_path(path).frames
    processes = cluster.client.run(os.getpid)
    steps = correlate_multitau_on(cluster, path, frames, rings, frame_time_s=1e-3)
    seen: list[Progress] = []

    def kill_one(progress: Progress) -> None:
        if progress.done and not any(each.done for each in seen):
            os.kill(min(processes.values()), signal.SIGKILL)
        seen.append(progress)

    there = run(steps, kill_one)
    assert 0 < next(each.done for each in seen if each.done) < len(frames)
    assert set(cluster.client.run(os.getpid).values()) != set(processes.values())
    assert_same(there, run(correlate_multitau(frames, rings, frame_time_s=1e-3, xp=get_backend())))


def test_cancel_ends_the_tasks_on_the_workers(
    cluster: Cluster,
    rings: Partition,
    tmp_path: Path,
    write_frames: Callable[..., Path],
    tasks_left: Callable[[Cluster], list[str]],
) -> None:
    path = write_frames(tmp_path / "long.h5", 16 * SHORTEST_PART, chunk=16)
    frames = open_path(path).frames
    steps = correlate_multitau_on(cluster, path, frames, rings, frame_time_s=1e-3)
    while not next(steps).done:
        pass
    steps.close()
    assert tasks_left(cluster) == []
    assert not any(cluster.client.processing().values())


def test_damaged_frames(
    both: Both, frames_path: Path, tmp_path: Path, assert_same: Callable[..., None]
) -> None:
    path = tmp_path / "damaged.h5"
    path.write_bytes(frames_path.read_bytes())
    with h5py.File(path) as file:
        at = file["entry/data/data"].id.get_chunk_info(DAMAGED)
    with path.open("r+b") as raw:
        raw.seek(at.byte_offset)
        raw.write(bytes(at.size))
    there, here = both(path, skip_corrupt=True)
    assert_same(there, here)
    assert there.skipped_frames == (DAMAGED,)
    with pytest.raises(CorruptFramesError, match=f"Frame {DAMAGED} of damaged.h5") as told:
        both(path)
    assert told.value.frames == (DAMAGED,)


def test_a_part_is_a_power_of_two_between_bounds() -> None:
    assert part_length(100, 2) == SHORTEST_PART
    assert part_length(10**7, 2) == LONGEST_PART
    assert part_length(100_000, 4) == 8192
    assert part_length(100_000, 4, stops=512) == 512
