import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate.checkpoint import Checkpoint, array_hash, run_key
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.multitau_twotime_run import correlate_multitau_twotime
from napari_xpcs.errors import CorrelationError
from napari_xpcs.io.raw_file import write_raw
from napari_xpcs.io.result_file import read_result
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.pipeline.bins import partition_file
from napari_xpcs.pipeline.correlate import checkpoint_paths, correlate_file
from napari_xpcs.progress import Steps, run


class StoppedError(Exception):
    """Ends a run in the middle."""


class Breaking:
    """Frames that cannot be read any more after a while."""

    def __init__(self, counts: np.ndarray, until: int) -> None:
        self.shape, self.dtype = counts.shape, counts.dtype
        self._counts, self._until = counts, until

    def __getitem__(self, key: slice) -> np.ndarray:
        if key.stop > self._until:
            raise StoppedError
        return self._counts[key]


@pytest.mark.parametrize("normalize_frame", [False, True])
def test_a_run_goes_on_where_it_was(
    tmp_path: Path, rings: Partition, normalize_frame: bool
) -> None:
    counts = np.random.default_rng(1).poisson(2.0, (300, 12, 20)).astype(np.uint16)
    checkpoint = Checkpoint(path=tmp_path / "out.hdf.part", key="one", every_s=0.0)
    options = {
        "frame_time_s": 1e-3,
        "xp": NumPyBackend(),
        "block": 16,
        "errors": "segments",
        "partials": 3,
        "normalize_frame": normalize_frame,
    }
    with pytest.raises(StoppedError):
        run(correlate_multitau(Breaking(counts, 200), rings, checkpoint=checkpoint, **options))
    assert checkpoint.load()["state"]["levels"]["frames"] > 100
    resumed = run(correlate_multitau(counts, rings, checkpoint=checkpoint, **options))
    whole = run(correlate_multitau(counts, rings, **options))
    for name in (
        "g2", "g2_err", "covariance", "mean_frame", "scattering_1d", "scattering_1d_segments",
        "intensity_vs_time", "partial_g2", "partial_frames",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name), err_msg=name)


@pytest.mark.parametrize("engine", ["numba", "array"])
def test_a_run_before_two_time_is_kept_to_its_end(
    tmp_path: Path, rings: Partition, engine: str
) -> None:
    counts = np.random.default_rng(4).poisson(2.0, (300, 12, 20)).astype(np.uint16)
    checkpoint = Checkpoint(path=tmp_path / "out.hdf.part", key="one", at_end=True)
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "engine": engine, "partials": 3}
    whole = run(correlate_multitau(counts, rings, checkpoint=checkpoint, **options))
    assert checkpoint.load()["state"]["levels"]["frames"] == 300
    nothing_to_read = Breaking(counts, 0)
    again = run(correlate_multitau(nothing_to_read, rings, checkpoint=checkpoint, **options))
    for name in ("g2", "g2_err", "mean_frame", "partial_g2"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name), err_msg=name)


def test_what_is_not_of_this_run_is_not_used(tmp_path: Path, rings: Partition) -> None:
    counts = np.ones((64, 12, 20), np.uint16)
    path = tmp_path / "part"
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "block": 16}
    one = Checkpoint(path=path, key="one", every_s=0.0)
    run(correlate_multitau(counts, rings, checkpoint=one, **options))
    assert one.load() is not None
    assert Checkpoint(path=path, key="other").load() is None
    for kept in (2000, 0):
        path.write_bytes(path.read_bytes()[:kept])
        assert one.load() is None
    with path.open("wb") as file:  # as an older version named its arrays
        np.savez(file, key=np.array("one"), **{"levels.begin": np.array(0), "corrupt": np.zeros(0)})
    assert one.load() is None
    path.with_name("part~").write_bytes(b"killed while it was written")
    one.remove()
    assert one.load() is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("correlate", [correlate_multitau, correlate_multitau_twotime])
def test_a_run_goes_on_without_room_for_its_checkpoint(
    tmp_path: Path, rings: Partition, correlate: Callable[..., Steps[object]]
) -> None:
    counts = np.random.default_rng(2).poisson(2.0, (64, 12, 20)).astype(np.uint16)
    nowhere = Checkpoint(path=tmp_path / "absent" / "part", key="one", every_s=0.0)
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "checkpoint": nowhere}
    run(correlate(counts, rings, **options))
    told = f"The checkpoint {nowhere.path} cannot be written: No such file or directory."
    assert nowhere.fault == told
    stopped = correlate(counts, rings, **options)
    while next(stopped).done == 0:
        pass
    with pytest.raises(CorrelationError, match=re.escape(told)):
        stopped.close()


def test_a_key_tells_bins_and_options() -> None:
    labels = np.arange(12).reshape(3, 4)
    keys = {
        run_key([labels], {"average": 1}),
        run_key([labels], {"average": 2}),
        run_key([labels.reshape(4, 3)], {"average": 1}),
        run_key([labels.astype(float)], {"average": 1}),
    }
    assert len(keys) == 4
    assert array_hash(labels) == array_hash(labels.copy())


@pytest.mark.parametrize("yields", [2, 4, 6, 12])
@pytest.mark.parametrize("smoothing", ["static", "none"])
def test_ages_go_on_where_they_were(
    tmp_path: Path, rings: Partition, smoothing: str, yields: int
) -> None:
    """Stopped within a block, or behind it; upper levels have few sums, or one that waits."""
    counts = np.random.default_rng(3).poisson(2.0, (3301, 12, 20)).astype(np.uint16)
    counts[[5, 2047]] = 0
    checkpoint = Checkpoint(path=tmp_path / "out.hdf.ages.part", key="one")
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "smoothing": smoothing}
    whole = run(correlate_multitau_twotime(counts, rings, **options))
    stopped = correlate_multitau_twotime(counts, rings, checkpoint=checkpoint, **options)
    frames = [next(stopped).done for _ in range(yields)][-1]
    stopped.close()
    assert checkpoint.load()["c2"][0].shape[-1] == frames
    goes_on = correlate_multitau_twotime(counts, rings, checkpoint=checkpoint, **options)
    assert next(goes_on).done == frames
    resumed = run(goes_on)
    for one, other in zip(resumed.ages.levels, whole.ages.levels, strict=True):
        np.testing.assert_array_equal(one.c2, other.c2)
    for name in ("mean_frame", "scattering_1d", "scattering_1d_segments", "intensity_vs_time"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name), err_msg=name)


def test_a_run_that_has_grown_behind_its_links_begins_anew(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(1.0, (600, 64, 64)).astype(np.uint16)
    frames, qmap, output = tmp_path / "run.h5", tmp_path / "q.hdf", tmp_path / "out.hdf"
    geometry = Simulation(frames=600, rows=64, cols=64).geometry
    whole = tmp_path / "whole.h5"
    run(write_raw(whole, iter([counts]), frames=600, geometry=geometry, frame_time_s=1e-3))
    spec = PartitionSpec(dq=3, sq=6)
    partition_file(qmap, frames=whole, values={}, spec=spec, xp=NumPyBackend())
    with h5py.File(frames, "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("part.h5", "/data")

    def correlate() -> Steps[tuple[str, ...]]:
        options = {"normalization": "symmetric", "frame_time_s": 1e-3, "xp": NumPyBackend()}
        return correlate_file(frames, qmap, output, selection=FrameSelection(), **options)

    for number in (300, 600):
        with h5py.File(tmp_path / "part.h5", "w") as file:
            file["data"] = counts[:number]
        steps = correlate()
        while next(steps).done == 0:
            pass
        steps.close()
        assert checkpoint_paths(output)[0].exists()
    run(correlate())
    result = read_result(output)
    np.testing.assert_allclose(result.scattering, counts.mean(axis=0), rtol=1e-6)


KILLED_AFTER_SAVING = """
import os, signal, sys
from napari_xpcs.cli import main
from napari_xpcs.correlate.checkpoint import Checkpoint

save, last = Checkpoint.save, sys.argv.pop(1)

def save_and_end(checkpoint, state):
    save(checkpoint, state)
    if checkpoint.path.name == last:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoint.save = save_and_end
main()
"""
"""The command, which nothing has to catch in time."""


def test_killed_and_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself, ended by SIGKILL while it makes g2, and again while it makes ages."""
    monkeypatch.setenv("XPCS_USE_JAX", "false")  # takes seconds to start
    frames, qmap = tmp_path / "run.h5", tmp_path / "q.hdf"
    simulation = Simulation(frames=8000, rows=64, cols=64)
    some = np.random.default_rng(1).poisson(1.0, (400, 64, 64)).astype(np.uint16)
    drawn = {"geometry": simulation.geometry, "frame_time_s": simulation.frame_time_s}
    run(write_raw(frames, (some for _ in range(20)), frames=8000, **drawn))
    spec = PartitionSpec(dq=3, sq=6)
    partition_file(qmap, frames=frames, values={}, spec=spec, xp=NumPyBackend())
    whole, again = tmp_path / "whole.hdf", tmp_path / "again.hdf"

    words = ["correlate", str(frames), "--qmap", str(qmap), "--checkpoint-s", "0"]
    words += ["--type", "both", "--maps", "ages", "--partials", "4"]

    def command(output: Path, *program: str) -> list[str]:
        return [sys.executable, *program, *words, "-o", str(output)]

    def killed(checkpoint: Path) -> None:
        job = command(again, "-c", KILLED_AFTER_SAVING, checkpoint.name)
        assert subprocess.run(job, capture_output=True).returncode == -signal.SIGKILL
        assert checkpoint.exists()
        assert not again.exists()

    plain = "-m", "napari_xpcs.cli"
    subprocess.run(command(whole, *plain), check=True, capture_output=True)
    of_g2, of_ages = checkpoint_paths(again)
    killed(of_g2)
    assert not of_ages.exists()
    killed(of_ages)
    with np.load(of_g2) as finished:
        assert finished["state.levels.frames"] == 8000
    subprocess.run(command(again, *plain), check=True, capture_output=True)
    assert not of_g2.exists()
    assert not of_ages.exists()
    with h5py.File(whole) as one, h5py.File(again) as other:
        compared = []

        def compare(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
                np.testing.assert_array_equal(other[f"xpcs/{name}"][()], item[()], err_msg=name)
                compared.append(name)

        one["xpcs"].visititems(compare)
    assert "multitau/normalized_g2" in compared
    assert "multitau/normalized_g2_partial" in compared
    assert "napari_xpcs/multitau_twotime/level_08/c2" in compared
