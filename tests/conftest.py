"""Fixtures that every test may use."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_xpcs.backends import (
    BackendProtocol,
    NumPyBackend,
    get_backend,
    reset_backend,
    set_backend,
)
from napari_xpcs.cli import main
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.pipeline.bins import partition_file
from napari_xpcs.pipeline.correlate import correlate_file
from napari_xpcs.pipeline.simulate import simulate_file
from napari_xpcs.progress import run

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(params=["numpy", "jax"])
def xp(request: pytest.FixtureRequest) -> BackendProtocol:
    """Run the test once on each backend."""
    set_backend(request.param)
    yield get_backend()
    reset_backend()


@pytest.fixture
def shared_data() -> Path:
    """Folder of real example files; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the example files in {SHARED_DATA.parent.name}/{SHARED_DATA.name}")
    return SHARED_DATA


def _bins(labels: np.ndarray) -> Bins:
    count = int(labels.max())
    return Bins(
        labels=labels.astype(np.int32),
        grid=(count, 1),
        index=np.arange(count),
        centers=(np.arange(count, dtype=float), np.zeros(1)),
        edges=None,
        pixels=np.bincount(labels.ravel(), minlength=count + 1)[1:],
    )


def _partition(mask: np.ndarray, dynamic: np.ndarray, static: np.ndarray) -> Partition:
    return Partition(mask=mask.astype(bool), dynamic=_bins(dynamic), static=_bins(static))


@pytest.fixture(scope="session")
def make_labels_partition() -> Callable[..., Partition]:
    """Return a function that makes a partition of a mask, dynamic and static labels."""
    return _partition


@pytest.fixture(scope="session")
def one_result(tmp_path_factory) -> Path:
    """Result file of a small simulated run, beside its frames ``run.h5``; copy it to change it."""
    folder = tmp_path_factory.mktemp("one_result")
    frames, bins, result = (folder / name for name in ("run.h5", "bins.hdf", "run_results.hdf"))
    xp = NumPyBackend()
    run(simulate_file(frames, Simulation(frames=160, rows=40, cols=40, mean_counts=4.0), xp=xp))
    spec = PartitionSpec(dq=4, sq=12, dp=1, sp=1)
    partition_file(bins, frames=frames, values={}, spec=spec, xp=xp)
    steps = correlate_file(
        frames, bins, result, selection=FrameSelection(), normalization="symmetric", xp=xp
    )
    run(steps)
    return result


@dataclass
class Outcome:
    """What a shell sees of a command."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def xpcs(capsys, monkeypatch):
    """Run the command line in this process and return what a shell would see."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["napari-xpcs", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call
