import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate.checkpoint import Checkpoint, array_hash, run_key
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import run


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
    saved = checkpoint.load()
    assert saved is not None
    assert saved.state.levels.frames > 100
    resumed = run(correlate_multitau(counts, rings, checkpoint=checkpoint, **options))
    whole = run(correlate_multitau(counts, rings, **options))
    for name in (
        "g2", "g2_err", "covariance", "mean_frame", "scattering_1d", "scattering_1d_segments",
        "intensity_vs_time", "partial_g2", "partial_frames",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name), err_msg=name)


def test_what_is_not_of_this_run_is_not_used(tmp_path: Path, rings: Partition) -> None:
    counts = np.ones((64, 12, 20), np.uint16)
    path = tmp_path / "part"
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "block": 16}
    one = Checkpoint(path=path, key="one", every_s=0.0)
    run(correlate_multitau(counts, rings, checkpoint=one, **options))
    assert one.load() is not None
    assert Checkpoint(path=path, key="other").load() is None
    path.write_bytes(path.read_bytes()[:2000])
    assert one.load() is None
    one.remove()
    assert one.load() is None
    nowhere = Checkpoint(path=tmp_path / "absent" / "part", key="one", every_s=0.0)
    with pytest.raises(CorrelationError, match="cannot be written: No such file"):
        run(correlate_multitau(counts, rings, checkpoint=nowhere, **options))


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


def test_killed_and_run_again(tmp_path: Path) -> None:
    """The command itself, ended by SIGKILL while it works."""
    program = [sys.executable, "-m", "napari_xpcs.cli"]
    frames, qmap = tmp_path / "run.h5", tmp_path / "q.hdf"
    size = ["--frames", "3000", "--rows", "64", "--cols", "64"]
    subprocess.run([*program, "simulate", frames, *size], check=True, capture_output=True)
    bins = ["--dq", "3", "--sq", "6"]
    subprocess.run([*program, "qmap", frames, "-o", qmap, *bins], check=True, capture_output=True)
    whole, again = tmp_path / "whole.hdf", tmp_path / "again.hdf"

    def command(output: Path) -> list[str]:
        options = ["--qmap", str(qmap), "-o", str(output), "--checkpoint-s", "0"]
        return [*program, "correlate", str(frames), *options, "--partials", "4"]

    subprocess.run(command(whole), check=True, capture_output=True)
    checkpoint = again.with_name("again.hdf.part")
    job = subprocess.Popen(command(again), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL, "the job was over before it could be killed"
    assert checkpoint.exists()
    assert not again.exists()
    subprocess.run(command(again), check=True, capture_output=True)
    assert not checkpoint.exists()
    with h5py.File(whole) as one, h5py.File(again) as other:
        compared = []

        def compare(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
                np.testing.assert_array_equal(other[f"xpcs/{name}"][()], item[()], err_msg=name)
                compared.append(name)

        one["xpcs"].visititems(compare)
    assert "multitau/normalized_g2" in compared
    assert "multitau/normalized_g2_partial" in compared
