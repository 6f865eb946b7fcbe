"""A viewer without a window, and a small experiment to show in it."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_xpcs.backends import NumPyBackend, reset_backend, set_backend
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.geometry import FIELD_UNITS, Geometry, KnownGeometry, Sourced
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec

DIFFUSION_A2_PER_S = 5e6
PATIENCE_MS = 120_000
"""A test that waits goes on at once; on a busy computer with nothing compiled yet, later."""

PONI = """PixelSize1: 7.5e-05
PixelSize2: 7.5e-05
Distance: 4.0
Poni1: 0.0015
Poni2: 0.003
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 1.2398419843320026e-10
"""


@pytest.fixture
def qtbot(qtbot, monkeypatch):
    for name in ("waitUntil", "waitSignal"):
        monkeypatch.setattr(qtbot, name, partial(getattr(qtbot, name), timeout=PATIENCE_MS))
    return qtbot


@pytest.fixture
def numpy_backend():
    """Compute with NumPy, which starts at once; what a panel does is the same on both."""
    set_backend("numpy")
    yield
    reset_backend()


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def geometry() -> Geometry:
    return Geometry(
        shape=(48, 64),
        energy_kev=10.0,
        distance_m=8.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=20.5,
        center_col_px=-3.0,
    )


@pytest.fixture
def known(geometry: Geometry) -> KnownGeometry:
    names = [name for name in FIELD_UNITS if name not in ("frame_time_s", "count_time_s")]
    values = {name: getattr(geometry, name) for name in names}
    values["frame_time_s"] = 1e-3
    return {
        name: Sourced(value=value, unit=FIELD_UNITS[name], origin="test file")
        for name, value in values.items()
    }


@pytest.fixture
def partition(geometry: Geometry) -> Partition:
    spec = PartitionSpec(dq=6, sq=12, dp=1, sp=1)
    used = np.ones(geometry.shape, dtype=bool)
    used[:5] = False
    return make_partition(geometry, used, spec, xp=NumPyBackend())


@pytest.fixture
def curves(partition: Partition) -> G2Curves:
    """Brownian decays with a little noise; the last bin was never counted."""
    table = partition.table()
    delay = np.geomspace(1e-3, 5.0, 40)
    rate = DIFFUSION_A2_PER_S * table.q**2
    noise = np.random.default_rng(3).normal(0.0, 1e-3, (40, len(table)))
    g2 = 1.0 + 0.25 * np.exp(-2 * rate * delay[:, None]) + noise
    error = np.full_like(g2, 1e-3)
    g2[:, -1] = error[:, -1] = np.nan
    return G2Curves(delay_s=delay, g2=g2, error=error, bins=table, source="test")


@pytest.fixture
def poni(tmp_path: Path) -> Path:
    """Write a calibration of pyFAI: 4 m, 10 keV."""
    path = tmp_path / "run.poni"
    path.write_text(PONI)
    return path
