"""One result file, two layouts: NXxpcs readers find the numbers that the tools of 8-ID find."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.io import layouts
from napari_xpcs.io.nxxpcs import is_nxxpcs, read_nxxpcs
from napari_xpcs.io.open import open_path
from napari_xpcs.io.result_writer import write_result
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import run


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    geometry = Geometry(
        shape=(16, 20),
        energy_kev=10.0,
        distance_m=5.0,
        pixel_row_m=75e-6,
        pixel_col_m=55e-6,
        center_row_px=-3.0,
        center_col_px=-4.0,
    )
    xp = get_backend()
    spec = PartitionSpec(dq=3, sq=6, dp=2, sp=4)
    partition = make_partition(geometry, np.ones((16, 20), dtype=bool), spec, xp=xp)
    frames = np.random.default_rng(0).poisson(2.0, (30, 16, 20)).astype(np.uint16)
    every_second = FrameSelection(stride=2)
    common = {"frame_time_s": 0.01, "xp": xp}
    written = tmp_path_factory.mktemp("nxxpcs") / "results.hdf"
    write_result(
        written,
        source="run.h5",
        partition=partition,
        multitau=run(correlate_multitau(frames, partition, selection=every_second, **common)),
        twotime=run(correlate_twotime(frames, partition, bins=[2, 5], **common)),
    )
    return written.rename(written.with_name("renamed.hdf"))


def test_both_layouts_hold_the_same(path: Path) -> None:
    ours = open_path(path)
    assert ours.layout == "aps-results"
    with h5py.File(path) as file:
        assert is_nxxpcs(file)
        theirs = read_nxxpcs(path, file)
    np.testing.assert_array_equal(theirs.curves.g2, ours.curves.g2)
    np.testing.assert_array_equal(theirs.curves.error, ours.curves.error)
    np.testing.assert_allclose(theirs.curves.delay_s, ours.curves.delay_s)
    np.testing.assert_allclose(theirs.curves.bins.q, ours.curves.bins.q)
    np.testing.assert_allclose(theirs.curves.bins.phi_deg, ours.curves.bins.phi_deg)
    np.testing.assert_array_equal(theirs.partition.dynamic.labels, ours.partition.dynamic.labels)
    np.testing.assert_array_equal(theirs.partition.static.labels, ours.partition.static.labels)
    np.testing.assert_array_equal(theirs.scattering, ours.scattering)
    assert theirs.twotime.bins.tolist() == ours.twotime.bins.tolist() == [2, 5]
    for position in range(2):
        np.testing.assert_array_equal(theirs.twotime.read(position), ours.twotime.read(position))
    for name in ("energy_kev", "distance_m", "center_row_px", "center_col_px", "frame_time_s"):
        assert theirs.known[name].value == pytest.approx(ours.known[name].value), name
    assert theirs.problems == ()


def test_what_the_definition_requires_is_there(path: Path) -> None:
    with h5py.File(path) as file:
        assert file["/entry"].attrs["NX_class"] == "NXentry"
        assert file["/entry/definition"].asstr()[()] == "NXxpcs"
        assert file["/entry/data"].attrs["NX_class"] == "NXdata"
        assert file["/entry/data/g2"].attrs["storage_mode"] == "one_array"
        assert file["/entry/instrument/masks"].attrs["NX_class"] == "NXnote"
        assert file["/entry/instrument/detector_1"].attrs["NX_class"] == "NXdetector"
        assert file["/entry/instrument/incident_beam"].attrs["NX_class"] == "NXbeam"
        assert file["/entry/twotime/g2_from_two_time_corr_func"].attrs["first_point_for_fit"] == 0
        stack = file["/entry/twotime/two_time_corr_func"]
        assert stack.attrs["populated_elements"] == "upper_half"
        assert stack.shape == (2, 30, 30)
        assert stack[1].sum() == file[f"{layouts.TWOTIME_MAPS}/c2_00002"][()].sum() > 0


def test_links_store_no_number_twice(path: Path) -> None:
    with h5py.File(path) as file:
        assert isinstance(file.get("/entry/data/g2", getlink=True), h5py.SoftLink)
        assert file["/entry/twotime/two_time_corr_func"].is_virtual
