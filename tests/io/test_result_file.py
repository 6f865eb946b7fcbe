"""Results are read from the files of the field and written so that its viewer opens them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.layouts import G2_COVARIANCE
from napari_xpcs.io.open import open_path, sniff
from napari_xpcs.io.result_file import read_result
from napari_xpcs.io.result_writer import write_result
from napari_xpcs.kernels.geometry import Geometry, Sourced
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import TwoTimeResult

E0173 = "aps_8idi/E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf"
AVERAGE = "aps_8idi/Average_B0147_S3_7_300C10p_att00_Rq0_00001_00200_results.hdf"
MULTITAU = "synthetic/Z0001_multitau_results.hdf"
TWOTIME = "synthetic/Z0001_twotime_results.hdf"

DETECTOR = "/entry/instrument/detector_1"
VIEWER_NEEDS = [
    "/entry/start_time",
    "/entry/instrument/incident_beam/incident_energy",
    f"{DETECTOR}/frame_time",
    f"{DETECTOR}/count_time",
    "/xpcs/temporal_mean/scattering_2d",
    "/xpcs/temporal_mean/scattering_1d",
    "/xpcs/temporal_mean/scattering_1d_segments",
    "/xpcs/spatial_mean/intensity_vs_time",
    "/xpcs/qmap/mask",
    *[
        f"/xpcs/qmap/{kind}_{name}"
        for kind in ("dynamic", "static")
        for name in ("roi_map", "num_pts", "index_mapping", "v_list_dim0", "v_list_dim1")
    ],
    *[f"/xpcs/qmap/{name}" for name in ("beam_center_x", "beam_center_y", "pixel_size")],
    *[f"/xpcs/qmap/{name}" for name in ("detector_distance", "energy", "map_names", "map_units")],
]
MULTITAU_NEEDS = [
    f"/xpcs/multitau/{name}"
    for name in (
        "normalized_g2",
        "normalized_g2_err",
        "delay_list",
        "config/stride_frame",
        "config/avg_frame",
    )
]
TWOTIME_NEEDS = [
    f"/xpcs/twotime/{name}"
    for name in (
        "correlation_map",
        "normalized_g2",
        "normalized_g2_segments",
        "processed_bins",
        "config/stride_frame",
        "config/avg_frame",
    )
]
"""One missing name and the viewer of the beamline does not open the file."""


@pytest.mark.parametrize("name", [E0173, AVERAGE, MULTITAU])
def test_real_curves_agree_with_the_stored_numbers(shared_data: Path, name: str) -> None:
    result = read_result(shared_data / name)
    with h5py.File(shared_data / name) as file:
        g2 = file["/xpcs/multitau/normalized_g2"][()].astype(float)
        error = file["/xpcs/multitau/normalized_g2_err"][()].astype(float)
        delay = file["/xpcs/multitau/delay_list"][()]
        frame_time = float(np.ravel(file[f"{DETECTOR}/frame_time"][()])[0])
        image = file["/xpcs/temporal_mean/scattering_2d"][0]
    nothing = (g2 == 0) & (error == 0)
    assert result.curves is not None
    np.testing.assert_array_equal(np.isnan(result.curves.g2), nothing)
    np.testing.assert_array_equal(result.curves.g2[~nothing], g2[~nothing])
    np.testing.assert_allclose(result.curves.delay_s, delay * frame_time, rtol=1e-14)
    np.testing.assert_array_equal(result.scattering, image)
    assert result.partition is not None
    assert result.partition.shape == image.shape
    assert len(result.curves.bins) == g2.shape[1]
    assert result.missing == ()


def test_points_without_photon_pairs_are_many_in_real_files(shared_data: Path) -> None:
    curves = read_result(shared_data / E0173).curves
    assert curves is not None
    assert 33 <= np.isnan(curves.g2).sum() <= 752
    assert not (curves.g2 == 0).any()


def test_empty_cells_do_not_shift_q(shared_data: Path) -> None:
    """26 of 9 x 4 cells hold pixels; (q, phi) of a column follows the index mapping."""
    result = read_result(shared_data / MULTITAU)
    with h5py.File(shared_data / MULTITAU) as file:
        group = file["/xpcs/qmap"]
        index = group["dynamic_index_mapping"][()].astype(int)
        q, phi = group["dynamic_v_list_dim0"][()], group["dynamic_v_list_dim1"][()]
        labels = group["dynamic_roi_map"][()]
    assert result.curves is not None
    bins = result.curves.bins
    np.testing.assert_array_equal(bins.q, q[index // 4])
    np.testing.assert_array_equal(bins.phi_deg, phi[index % 4])
    np.testing.assert_array_equal(bins.pixels, np.bincount(labels.ravel())[1:])


def test_average_names_its_files(shared_data: Path) -> None:
    result = read_result(shared_data / AVERAGE)
    assert len(result.averaged_files) == 173
    assert result.averaged_files[0] == "B0147_S3_7_300C10p_att00_Rq0_00001_results.hdf"
    assert len(result.config["raw"]) == 100
    assert result.config["smooth"] == "sqmap"


def test_twotime_maps_belong_to_the_processed_bins(shared_data: Path) -> None:
    result = read_result(shared_data / TWOTIME)
    assert result.curves is None
    maps = result.twotime
    assert maps is not None
    assert maps.bins.tolist() == [2, 5, 9, 14]
    assert maps.frame_time_s == 1e-3
    full = maps.read(1)
    assert full.shape == (1000, 1000)
    np.testing.assert_array_equal(full, full.T)
    with h5py.File(shared_data / TWOTIME) as file:
        half = file["/xpcs/twotime/correlation_map/c2_00002"][()]
        np.testing.assert_array_equal(np.triu(full), half)
        np.testing.assert_allclose(
            np.diagonal(full, 3).mean(), file["/xpcs/twotime/normalized_g2"][3, 1], rtol=1e-5
        )


GEOMETRY = Geometry(
    shape=(4, 6),
    energy_kev=10.0,
    distance_m=5.0,
    pixel_row_m=75e-6,
    pixel_col_m=75e-6,
    center_row_px=1.5,
    center_col_px=-2.0,
)


def bins(labels: np.ndarray, grid: tuple[int, int], index: list[int]) -> Bins:
    return Bins(
        labels=labels,
        grid=grid,
        index=np.array(index),
        centers=(np.linspace(0.01, 0.02, grid[0]), np.linspace(-90.0, 90.0, grid[1])),
        edges=None,
        pixels=np.bincount(labels.ravel(), minlength=len(index) + 1)[1:],
    )


def partition() -> Partition:
    """Three dynamic bins in a 2 x 2 grid (one cell empty), six static ones."""
    columns = np.tile(np.arange(6), (4, 1))
    mask = np.ones((4, 6), bool)
    mask[0, 0] = False
    return Partition(
        mask=mask,
        dynamic=bins(np.where(mask, columns // 2 + 1, 0), (2, 2), [0, 1, 3]),
        static=bins(np.where(mask, columns + 1, 0), (6, 1), [0, 1, 2, 3, 4, 5]),
        geometry=GEOMETRY,
    )


def means(frames: int = 20) -> dict[str, object]:
    rng = np.random.default_rng(1)
    return {
        "mean_frame": rng.random((4, 6)).astype(np.float32),
        "scattering_1d": rng.random(6),
        "scattering_1d_segments": rng.random((5, 6)),
        "intensity_vs_time": np.stack([np.arange(frames), rng.random(frames)]),
        "frame_time_s": 2e-3,
        "normalization": "symmetric",
        "selection": FrameSelection(begin=10, stride=2, average=3),
    }


def multitau() -> MultiTauResult:
    rng = np.random.default_rng(2)
    g2 = 1 + rng.random((5, 3))
    error = rng.random((5, 3)) * 0.1
    g2[4, 1] = error[4, 1] = np.nan
    covariance = rng.random((3, 5, 5)) * 0.01
    covariance[1, 4] = covariance[1, :, 4] = np.nan
    return MultiTauResult(
        delay_frames=np.array([1, 2, 3, 4, 6]),
        g2=g2,
        g2_err=error,
        covariance=covariance,
        **means(),
    )


def twotime() -> TwoTimeResult:
    rng = np.random.default_rng(3)
    return TwoTimeResult(
        maps=tuple(np.triu(rng.random((20, 20))).astype(np.float32) for _ in range(2)),
        processed_bins=np.array([1, 3]),
        g2=rng.random((20, 2)),
        g2_err=rng.random((20, 2)),
        g2_ratio=rng.random((20, 2)),
        engine="matrix products",
        segments=rng.random((4, 5, 2)),
        **means(),
    )


def test_round_trip_of_both_kinds(tmp_path: Path) -> None:
    path = tmp_path / "run_results.hdf"
    first, second = multitau(), twotime()
    write_result(
        path,
        source="run.h5",
        partition=partition(),
        multitau=first,
        twotime=second,
        config={"engine": "dense", "device": None},
    )
    result = open_path(path)
    assert isinstance(result, ResultFile)
    curves = result.curves
    assert curves is not None
    np.testing.assert_allclose(curves.delay_s, first.delay_frames * 2e-3 * 6, rtol=1e-15)
    np.testing.assert_array_equal(curves.g2, first.g2.astype(np.float32))
    np.testing.assert_array_equal(curves.error, first.g2_err.astype(np.float32))
    np.testing.assert_allclose(curves.averaging_s, [0, 0, 0, 0, 3**0.5 * 2e-3 * 6])
    np.testing.assert_array_equal(curves.covariance, first.covariance.astype(np.float32))
    np.testing.assert_array_equal(curves.bins.q, [0.01, 0.01, 0.02])
    np.testing.assert_array_equal(curves.bins.phi_deg, [-90, 90, 90])
    np.testing.assert_array_equal(result.scattering, first.mean_frame)
    np.testing.assert_array_equal(result.scattering_1d, first.scattering_1d.astype(np.float32))
    np.testing.assert_array_equal(result.intensity_vs_time[0], np.arange(20))
    assert result.partition is not None
    np.testing.assert_array_equal(result.partition.dynamic.labels, partition().dynamic.labels)
    assert result.twotime is not None
    assert result.twotime.bins.tolist() == [1, 3]
    assert result.twotime.frame_time_s == pytest.approx(12e-3)
    np.testing.assert_array_equal(np.triu(result.twotime.read(1)), second.maps[1])
    assert {name: result.config[name] for name in ("begin_frame", "end_frame", "engine")} == {
        "begin_frame": 10,
        "end_frame": -1,
        "engine": "dense",
    }
    assert "device" not in result.config
    assert result.known["energy_kev"].value == 10.0
    assert result.known["center_col_px"].value == -2.0
    assert result.missing == ()


def test_a_covariance_is_read_if_it_belongs_to_the_curves(written: Path) -> None:
    whole = read_result(written)
    with h5py.File(written, "r+") as file:
        stored = file[G2_COVARIANCE][()]
        del file[G2_COVARIANCE]
    without = read_result(written)
    assert without.curves is not None
    assert without.curves.covariance is None
    assert (without.problems, without.missing) == (whole.problems, whole.missing)
    with h5py.File(written, "r+") as file:
        file[G2_COVARIANCE] = stored[:2]
    other = read_result(written)
    assert other.curves is not None
    assert other.curves.covariance is None
    assert any("it is left out" in problem for problem in other.problems)


def test_every_name_that_the_viewer_needs_is_there(tmp_path: Path) -> None:
    path = tmp_path / "results.hdf"
    write_result(
        path, source="run.h5", partition=partition(), multitau=multitau(), twotime=twotime()
    )
    with h5py.File(path) as file:
        absent = [n for n in VIEWER_NEEDS + MULTITAU_NEEDS + TWOTIME_NEEDS if n not in file]
        assert absent == []
        assert file["/xpcs/qmap"].attrs["hash"]
        g2, error = (file[name][()] for name in MULTITAU_NEEDS[:2])
        assert g2.dtype == error.dtype == np.float32
        assert g2[4, 1] == error[4, 1] == 0
        assert file["/xpcs/temporal_mean/scattering_2d"].shape == (1, 4, 6)
        assert file["/xpcs/temporal_mean/scattering_1d"].shape == (1, 6)
        assert sorted(file["/xpcs/twotime/correlation_map"]) == ["c2_00001", "c2_00002"]


def test_what_is_large_is_compressed_with_lzf(tmp_path: Path) -> None:
    path = tmp_path / "results.hdf"
    result = replace(multitau(), intensity_vs_time=np.zeros((2, 5000)))
    write_result(path, source="run.h5", partition=partition(), multitau=result)
    with h5py.File(path) as file:
        assert file["/xpcs/spatial_mean/intensity_vs_time"].compression == "lzf"
        assert file["/xpcs/multitau/normalized_g2"].compression is None


def test_unknown_numbers_stay_unknown(tmp_path: Path) -> None:
    path = tmp_path / "results.hdf"
    write_result(path, source="run.h5", partition=partition(), multitau=multitau())
    with h5py.File(path) as file:
        assert np.isnan(file[f"{DETECTOR}/count_time"][()])
    assert read_result(path).known["count_time_s"].value is None
    known = {"count_time_s": Sourced(value=1e-3, unit="s", origin="typed")}
    write_result(
        path, source="run.h5", partition=partition(), multitau=multitau(), known=known, force=True
    )
    assert read_result(path).known["count_time_s"].value == 1e-3


def test_metadata_beside_the_frames_is_copied(shared_data: Path, tmp_path: Path) -> None:
    stem = "Z0001_Synthetic-D100_a0004_f001000_r00001"
    shutil.copy(shared_data / f"synthetic/{stem}_metadata.hdf", tmp_path)
    path = tmp_path / "results.hdf"
    write_result(path, source=tmp_path / f"{stem}.h5", partition=partition(), multitau=multitau())
    with h5py.File(path) as file:
        assert file["/entry/user/name"].asstr()[()] == "nobody"
        assert file["/entry/start_time"].asstr()[()] == "2026-08-04 12:00:00"
        assert file[f"{DETECTOR}/count_time"][()] == 0.00099
        # The delays were made with 2 ms, the metadata say 1 ms: both are kept.
        assert file[f"{DETECTOR}/frame_time"][()] == 2e-3
        assert file["/xpcs/napari_xpcs/frame_time_s_in_metadata"][()] == 1e-3
    known = read_result(path).known
    assert known["frame_time_s"].value == 2e-3
    assert known["energy_kev"].value == 10.0
    assert known["distance_m"].value == 5.0
    assert known["distance_m"].others[0][0] == 8.0


def test_an_energy_typed_by_the_user_reaches_the_viewer(shared_data: Path, tmp_path: Path) -> None:
    """The viewer takes the energy from /entry and the rest of the geometry from the Q-map."""
    name = "Z0001_Synthetic-D100_a0004_f001000_r00001_metadata.hdf"
    path = tmp_path / "results.hdf"
    bins_at_11_kev = replace(partition(), geometry=replace(GEOMETRY, energy_kev=11.0))
    write_result(
        path,
        source="run.h5",
        partition=bins_at_11_kev,
        multitau=multitau(),
        metadata_path=shared_data / "synthetic" / name,
    )
    with h5py.File(path) as file:
        assert file["/entry/instrument/incident_beam/incident_energy"][()] == 11.0
        assert file["/xpcs/napari_xpcs/energy_kev_in_metadata"][()] == 10.0


def test_nothing_to_write_and_nothing_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "results.hdf"
    with pytest.raises(FileFormatError, match="no results to write"):
        write_result(path, source="run.h5", partition=partition())
    write_result(path, source="run.h5", partition=partition(), multitau=multitau())
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match="exists already"):
        write_result(path, source="run.h5", partition=partition(), multitau=multitau())
    with pytest.raises(TypeError):
        write_result(
            path,
            source="run.h5",
            partition=partition(),
            multitau=multitau(),
            config={"engine": object()},
            force=True,
        )
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "results.hdf"
    write_result(
        path, source="run.h5", partition=partition(), multitau=multitau(), twotime=twotime()
    )
    return path


@pytest.fixture
def written(whole_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole_file, tmp_path))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("/xpcs/multitau/normalized_g2_err", "/xpcs/multitau/normalized_g2_err"),
        ("/xpcs/temporal_mean/scattering_2d", "/xpcs/temporal_mean/scattering_2d"),
        ("/xpcs/qmap", "/xpcs/qmap"),
        ("/xpcs/spatial_mean", "/xpcs/spatial_mean/intensity_vs_time"),
        ("/entry", "frame_time_s (looked for /entry/instrument/detector_1/frame_time)"),
    ],
)
def test_what_is_absent_is_named_and_the_rest_is_read(
    written: Path, name: str, sentence: str
) -> None:
    with h5py.File(written, "r+") as file:
        del file[name]
    result = read_result(written)
    assert sentence in result.missing
    assert result.twotime is not None


def test_contradictory_shapes_are_told(written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file["/xpcs/multitau/normalized_g2"], file["/xpcs/multitau/normalized_g2_err"]
        file["/xpcs/multitau/normalized_g2"] = np.full((5, 4), 1.1, np.float32)
    result = read_result(written)
    assert any("4 columns and the partition 3 bins" in problem for problem in result.problems)
    assert result.curves is not None
    assert np.isnan(result.curves.bins.q).all()
    with h5py.File(written, "r+") as file:
        del file["/xpcs/multitau/delay_list"]
        file["/xpcs/multitau/delay_list"] = np.arange(1, 4)
    result = read_result(written)
    assert result.curves is None
    assert any("5 rows of g2 for 3 delays" in problem for problem in result.problems)


def test_delays_may_be_stored_as_a_row(written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file["/xpcs/multitau/delay_list"]
        file["/xpcs/multitau/delay_list"] = np.array([[1, 2, 3, 4, 6]])
    curves = read_result(written).curves
    assert curves is not None
    np.testing.assert_allclose(curves.delay_s, np.array([1, 2, 3, 4, 6]) * 12e-3)


def test_maps_numbered_by_bin(written: Path) -> None:
    """Another generation of files names the maps by bin, in any order of processing."""
    with h5py.File(written, "r+") as file:
        maps = file["/xpcs/twotime/correlation_map"]
        maps.move("c2_00002", "c2_00003")
        del file["/xpcs/twotime/processed_bins"]
        file["/xpcs/twotime/processed_bins"] = [3, 1]
    maps = read_result(written).twotime
    assert maps is not None
    assert maps.bins.tolist() == [1, 3]


def damage(path: Path, rng: np.random.Generator) -> str:
    """Spoil one thing in the file and say what."""
    how = rng.choice(
        ["delete", "retype", "reshape", "bytes", "truncate"], p=[0.2, 0.4, 0.2, 0.1, 0.1]
    )
    if how in ("bytes", "truncate"):
        content = bytearray(path.read_bytes())
        at = int(rng.integers(8, len(content)))
        if how == "truncate":
            del content[at:]
        else:
            content[at : at + 64] = rng.bytes(min(64, len(content) - at))
        path.write_bytes(bytes(content))
        return f"{how} {at}"
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = str(rng.choice(names))
        old = file[name][()] if isinstance(file[name], h5py.Dataset) else np.zeros(3)
        del file[name]
        if how == "retype":
            values = [b"text", 3, np.nan, -1.5, np.array([]), np.array([b"a", b"b"]), True, None]
            value = values[rng.integers(len(values))]
            if value is None:
                file.create_group(name)
            else:
                file[name] = value
        elif how == "reshape":
            file[name] = np.resize(
                np.atleast_1d(old), tuple(rng.integers(0, 5, rng.integers(1, 5)))
            )
    return f"{how} {name}"


def sentence_of(act: Callable[[], object]) -> str:
    """Return the sentence with which ``act`` refuses, or an empty one; no other fault passes."""
    try:
        act()
    except FileFormatError as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_opens_or_says_why_not(written: Path, seed: int) -> None:
    what = damage(written, np.random.default_rng(seed))
    sniff(written)
    refusal = sentence_of(lambda: open_path(written))
    assert refusal == "" or refusal.endswith("."), what
    if refusal:
        return
    maps = getattr(open_path(written), "twotime", None)
    for position in range(0 if maps is None else len(maps)):
        sentence_of(partial(maps.read, position))
