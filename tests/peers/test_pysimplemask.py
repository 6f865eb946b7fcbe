"""pySimpleMask, the mask and bin editor of the field, reads what we write, and as we read.

It lives in an environment of its own; ``XPCS_PYSIMPLEMASK`` names the Python of that::

    uv venv PEER && VIRTUAL_ENV=PEER uv pip install pysimplemask==0.4.5
    XPCS_PYSIMPLEMASK=PEER/bin/python python -m pytest tests/peers
"""

import os
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.mask_writer import write_mask
from napari_xpcs.io.open import open_path
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.io.result_writer import write_result
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.progress import run

READER = Path(__file__).with_name("read_with_pysimplemask.py")
SHAPE = (48, 60)


def _partition(mask: np.ndarray) -> Partition:
    geometry = Geometry(
        shape=SHAPE,
        energy_kev=10.0,
        distance_m=5.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=20.3,
        center_col_px=-4.7,
    )
    spec = PartitionSpec(dq=6, sq=18, dp=4, sp=8)
    return make_partition(geometry, mask, spec, xp=get_backend())


def _write_events(folder: Path) -> None:
    rng = np.random.default_rng(3)

    def words(frames: int) -> np.ndarray:
        frame = np.sort(rng.integers(0, frames, 5000)).astype("<u8")
        pixel = rng.integers(0, 512 * 1024, 5000).astype("<u8")
        return frame << 40 | pixel << 16 | rng.integers(1, 4096, 5000).astype("<u8")

    words(20).tofile(folder / "run.bin")
    for number in range(6):
        words(10 + number).tofile(folder / f"large.bin.{number:03d}")
    with (folder / "run.imm").open("wb") as file:
        for _ in range(5):
            pixels = np.unique(rng.integers(0, SHAPE[0] * SHAPE[1], 50)).astype("<i4")
            header = bytearray(1024)
            struct.pack_into("<ii", header, 0, 2, 6)
            struct.pack_into("<iii", header, 108, *SHAPE, 2)
            struct.pack_into("<I", header, 152, len(pixels))
            counts = rng.integers(1, 4096, len(pixels)).astype("<u2")
            file.write(bytes(header) + pixels.tobytes() + counts.tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our files, and what pySimpleMask found in them."""
    python = os.environ.get("XPCS_PYSIMPLEMASK")
    if python is None:
        pytest.skip("needs pySimpleMask: XPCS_PYSIMPLEMASK names no Python that has it")
    folder = tmp_path_factory.mktemp("peer")
    mask = np.random.default_rng(0).random(SHAPE) > 0.05
    partition = _partition(mask)
    frames = np.random.default_rng(1).poisson(1.0, (40, *SHAPE)).astype(np.uint16)
    result = run(correlate_multitau(frames, partition, frame_time_s=1e-3, xp=get_backend()))
    write_partition(folder / "bins.hdf", partition)
    write_result(folder / "results.hdf", source="run.h5", partition=partition, multitau=result)
    upper = np.arange(SHAPE[0])[:, None] < 20
    write_partition(folder / "upper.hdf", _partition(mask & upper))
    write_partition(folder / "lower.hdf", _partition(mask & ~upper))
    write_mask(folder / "mask.tif", mask)
    write_mask(folder / "mask.hdf", mask)
    np.save(folder / "mask.npy", mask)
    _write_events(folder)
    done = subprocess.run(
        [python, READER, folder], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Mapping[str, np.ndarray]:
    with np.load(folder / "found.npz") as file:
        return dict(file)


@pytest.mark.parametrize("where", ["bins", "results"])
def test_bins_are_read_with_identical_labels(
    folder: Path, found: Mapping[str, np.ndarray], where: str
) -> None:
    ours = read_partition(folder / "bins.hdf")
    np.testing.assert_array_equal(found[f"{where}/mask"], ours.mask)
    np.testing.assert_array_equal(found[f"{where}/dynamic_roi_map"], ours.dynamic.labels)
    np.testing.assert_array_equal(found[f"{where}/static_roi_map"], ours.static.labels)


def test_tables_of_bins_are_read(folder: Path, found: Mapping[str, np.ndarray]) -> None:
    ours = read_partition(folder / "bins.hdf")
    assert found["results/consistent"]
    for kind, bins in (("dynamic", ours.dynamic), ("static", ours.static)):
        assert found[f"results/{kind}_num_pts"].tolist() == list(bins.grid)
        np.testing.assert_array_equal(found[f"results/{kind}_index_mapping"], bins.index)
        for axis in (0, 1):
            stored = found[f"results/{kind}_v_list_dim{axis}"]
            np.testing.assert_array_equal(stored, bins.centers[axis])
    assert found["results/beam_center_x"] == ours.geometry.center_col_px
    assert found["results/detector_distance"] == ours.geometry.distance_m


def test_partition_files_can_be_combined(folder: Path, found: Mapping[str, np.ndarray]) -> None:
    upper, lower = read_partition(folder / "upper.hdf"), read_partition(folder / "lower.hdf")
    np.testing.assert_array_equal(found["combined/mask"], upper.mask | lower.mask)
    for kind in ("dynamic", "static"):
        first, second = getattr(upper, kind), getattr(lower, kind)
        joined = np.where(second.labels > 0, second.labels + len(first), first.labels)
        np.testing.assert_array_equal(found[f"combined/{kind}_roi_map"], joined)


def test_masks_are_read_the_right_way_round(folder: Path, found: Mapping[str, np.ndarray]) -> None:
    mask = np.load(folder / "mask.npy")
    np.testing.assert_array_equal(found["mask/mask.tif"], mask)
    np.testing.assert_array_equal(found["mask/mask.hdf"], mask)


@pytest.mark.parametrize("name", ["run.bin", "large.bin.000", "run.imm"])
def test_events_are_read_as_the_peer_reads_them(
    folder: Path, found: Mapping[str, np.ndarray], name: str
) -> None:
    opened = open_path(folder / name)
    assert isinstance(opened, FramesFile)
    frames = opened.frames
    mean = frames.sum_of(0, len(frames)) / len(frames)
    np.testing.assert_allclose(found[f"mean/{name}"], mean, rtol=1e-6)
