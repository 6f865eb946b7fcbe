"""What the two-time correlator makes is written as the programs of the beamline read it."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.multitau_twotime_run import correlate_multitau_twotime
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.io.layouts import AGES
from napari_xpcs.io.result_file import read_result
from napari_xpcs.io.result_writer import write_result
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTimeResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import SMOOTHINGS, TwoTimeResult
from napari_xpcs.progress import run

DETECTOR = "/entry/instrument/detector_1"
TWOTIME_NEEDS = [
    "/entry/start_time",
    "/entry/instrument/incident_beam/incident_energy",
    f"{DETECTOR}/frame_time",
    f"{DETECTOR}/count_time",
    "/xpcs/temporal_mean/scattering_2d",
    "/xpcs/temporal_mean/scattering_1d",
    "/xpcs/temporal_mean/scattering_1d_segments",
    "/xpcs/spatial_mean/intensity_vs_time",
    "/xpcs/twotime/correlation_map",
    "/xpcs/twotime/normalized_g2",
    "/xpcs/twotime/normalized_g2_segments",
    "/xpcs/twotime/processed_bins",
    "/xpcs/twotime/config/stride_frame",
    "/xpcs/twotime/config/avg_frame",
    *[
        f"/xpcs/qmap/{kind}_{name}"
        for kind in ("dynamic", "static")
        for name in ("roi_map", "num_pts", "index_mapping", "v_list_dim0", "v_list_dim1")
    ],
    *[f"/xpcs/qmap/{name}" for name in ("mask", "beam_center_x", "beam_center_y", "pixel_size")],
    *[f"/xpcs/qmap/{name}" for name in ("detector_distance", "energy", "map_names", "map_units")],
]
"""One missing name and the viewer of the beamline does not open a two-time file."""


BOOST_NAMES = {"static": "sqmap", "dynamic": "dqmap", "none": "none"}


def correlated(smoothing: str = "static") -> tuple[Partition, TwoTimeResult]:
    geometry = Geometry(
        shape=(16, 20),
        energy_kev=10.0,
        distance_m=5.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=-3.0,
        center_col_px=-4.0,
    )
    xp = get_backend()
    spec = PartitionSpec(dq=3, sq=6)
    partition = make_partition(geometry, np.ones((16, 20), dtype=bool), spec, xp=xp)
    frames = np.random.default_rng(0).poisson(2.0, (25, 16, 20)).astype(np.uint16)
    steps = correlate_twotime(
        frames, partition, frame_time_s=0.01, xp=xp, bins=[3, 1], smoothing=smoothing
    )
    return partition, run(steps)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_the_smoothing_that_was_used_is_written(tmp_path: Path, smoothing: str) -> None:
    partition, result = correlated(smoothing)
    path = tmp_path / "results.hdf"
    write_result(path, source="run.h5", partition=partition, twotime=result)
    with h5py.File(path) as file:
        assert file["/xpcs/twotime/config/smooth"].asstr()[()] == BOOST_NAMES[smoothing]
        assert file["/xpcs/twotime/config/normalization"].asstr()[()] == smoothing


def test_a_two_time_file_has_what_the_viewer_needs(tmp_path: Path) -> None:
    partition, result = correlated()
    path = tmp_path / "results.hdf"
    write_result(path, source="run.h5", partition=partition, twotime=result)
    with h5py.File(path) as file:
        assert [name for name in TWOTIME_NEEDS if name not in file] == []
        assert len(file["/xpcs/qmap"].attrs["hash"]) == 64
        assert "/xpcs/multitau" not in file
    read = read_result(path)
    assert read.curves is None
    assert read.twotime is not None
    assert read.twotime.bins.tolist() == result.processed_bins.tolist()
    for position, half in enumerate(result.maps):
        full = half + np.triu(half, 1).T
        np.testing.assert_array_equal(read.twotime.read(position), full)
    np.testing.assert_allclose(read.twotime.g2, result.g2, rtol=1e-6)
    np.testing.assert_allclose(read.twotime.segments, result.segments, rtol=1e-6)


def test_ages_of_a_long_run_come_back(tmp_path: Path) -> None:
    partition, result = aged()
    path = tmp_path / "results.hdf"
    write_result(path, source="run.h5", partition=partition, ages=result)
    read = read_result(path)
    assert read.twotime is None
    assert read.problems == ()
    assert read.ages.processed_bins.tolist() == [3, 1]
    assert read.ages.frame_time_s == 0.02
    for ours, theirs in zip(read.ages.levels, result.ages.levels, strict=True):
        assert ours.frames_per_sum == theirs.frames_per_sum
        np.testing.assert_array_equal(ours.lags, theirs.lags)
        np.testing.assert_array_equal(ours.c2, theirs.c2)


def test_damaged_ages_are_left_out_with_a_reason(tmp_path: Path) -> None:
    partition, result = aged()
    path = tmp_path / "results.hdf"
    write_result(path, source="run.h5", partition=partition, ages=result)
    with h5py.File(path, "r+") as file:
        del file[f"{AGES}/level_01/lags"]
    read = read_result(path)
    assert read.ages is None
    assert any("level_01/lags is absent" in problem for problem in read.problems)


def aged() -> tuple[Partition, MultiTauTwoTimeResult]:
    partition, _ = correlated()
    frames = np.random.default_rng(0).poisson(2.0, (50, 16, 20)).astype(np.uint16)
    steps = correlate_multitau_twotime(
        frames,
        partition,
        frame_time_s=0.01,
        xp=get_backend(),
        bins=[3, 1],
        selection=FrameSelection(average=2),
    )
    return partition, run(steps)
