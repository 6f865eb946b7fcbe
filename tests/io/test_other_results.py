"""Results of other facilities and times: what is there is shown, what is not is named."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.describe import describe
from napari_xpcs.io.files import PartitionFile, ResultFile
from napari_xpcs.io.open import open_path, sniff
from napari_xpcs.io.run_list import read_header
from napari_xpcs.io.run_summary import read_summary
from napari_xpcs.units import HC_KEV_ANGSTROM

LABELS = np.array([[1, 1, 3, 0], [1, 4, 3, 3], [4, 4, 0, 3]], np.int32)
"""Bin 2 has no pixel, as happens where a mask covers a bin."""
STATIC = np.array([[1, 2, 5, 0], [1, 7, 6, 5], [8, 7, 0, 6]], np.int32)
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]], bool)
IMAGE = np.arange(12.0).reshape(3, 4)

rng = np.random.default_rng(0)
DELAYS = np.array([1, 2, 3, 4, 6, 8])
G2 = 1.0 + rng.random((6, 4))
ERROR = 0.01 + rng.random((6, 4)) / 100
G2[4, 2] = ERROR[4, 2] = 0.0
Q = np.array([0.01, np.nan, 0.03, 0.04])
HALVES = [np.triu(1 + rng.random((5, 5))) for _ in range(3)]
FULL = [half + np.triu(half, 1).T for half in HALVES]
USED = [0, 2, 3]


def write_legacy(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["/exchange/norm-0-g2"] = G2
        file["/exchange/norm-0-stderr"] = ERROR
        file["/exchange/tau"] = DELAYS[None].astype(float)
        file["/exchange/pixelSum"] = IMAGE.T
        file["/exchange/frameSum"] = np.stack([np.arange(9.0), np.full(9, 0.5)])
        file["/exchange/partition-mean-total"] = np.arange(8.0)[None]
        file["/exchange/partition-mean-partial"] = np.ones((10, 8))
        for bin_, half in zip((1, 3, 4), HALVES, strict=True):
            file[f"/exchange/C2T_all/g2_{bin_:05d}"] = half
        file["/exchange/g2full"] = np.arange(20.0).reshape(5, 4)
        file["/exchange/g2partials"] = np.ones((1, 5, 4))
        file["/xpcs/Version"] = "1.0"
        file["/xpcs/dqmap"], file["/xpcs/sqmap"] = LABELS, STATIC
        file["/xpcs/mask"] = MASK.astype(np.uint8)
        file["/xpcs/dqlist"], file["/xpcs/dphilist"] = Q[None], np.full((1, 4), 30.0)
        file["/xpcs/sqlist"], file["/xpcs/sphilist"] = np.arange(8.0)[None], np.ones((1, 8))
        file["/xpcs/stride_frames"] = np.array([[2]], np.uint64)
        file["/xpcs/avg_frames"] = np.array([[3]], np.uint64)
        detector = file.create_group("/measurement/instrument/detector")
        detector["exposure_period"], detector["exposure_time"] = 0.01, 0.009
        detector["distance"] = 4000.0
        detector["x_pixel_size"], detector["y_pixel_size"] = 0.055, 0.075
        file["/measurement/instrument/acquisition/beam_center_x"] = 2.5
        file["/measurement/instrument/acquisition/beam_center_y"] = 1.5
        file["/measurement/instrument/source_begin/energy"] = 7.35
    return path


def write_chx(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["g2"] = np.concatenate([np.full((1, 4), 5.0), G2])[:, USED]
        file["g2_stderr"] = np.concatenate([np.full((1, 4), 0.1), ERROR])[:, USED]
        file["taus"] = np.concatenate([[0], DELAYS]) * 0.06
        file["roi_mask"], file["mask"] = LABELS.astype(float), MASK.astype(float)
        file["avg_img"], file["imgsum"] = IMAGE, np.full(9, 5.5)
        file["iq_saxs"], file["q_saxs"] = np.arange(8.0), np.linspace(0, 1, 8)
        file["g12b"] = np.stack(FULL, axis=-1)
        md = file.create_dataset("md", data=0)
        md.attrs["beam_center_x"], md.attrs["beam_center_y"] = 2.5, 1.5
        md.attrs["det_distance"], md.attrs["frame_time"] = 4.0, 0.01
        md.attrs["incident_wavelength"] = HC_KEV_ANGSTROM / 7.35
        md.attrs["x_pixel_size"], md.attrs["y_pixel_size"] = 55e-6, 75e-6
        md.attrs["count_time"], md.attrs["sample"] = "0.009", "silica"
        values = file.create_dataset("qval_dict", data=0)
        for number, q in enumerate(Q):
            values.attrs[str(number)] = [q, 30.0]
    return path


def write_nxxpcs(path: Path, *, keys: bool = False, q_last: bool = False) -> Path:
    with h5py.File(path, "w") as file:
        entry = file.create_group("scan_7")
        entry.attrs["NX_class"] = "NXentry"
        if keys:
            for number in (1, 3, 4):
                entry[f"data/g2/g2_{number:05d}"] = G2[:, number - 1]
                entry[f"data/g2_derr/err_{number:05d}"] = ERROR[:, number - 1]
            for number, half in zip((1, 3, 4), HALVES, strict=True):
                entry[f"twotime/two_time_corr_func/c2_{number:05d}"] = half
            entry["twotime/two_time_corr_func"].attrs["storage_mode"] = "data_exchange_keys"
        else:
            entry["data/g2"], entry["data/g2_derr"] = G2, ERROR
            entry["data/g2"].attrs["storage_mode"] = "one_array"
            maps = np.stack([half.T for half in HALVES], axis=2 if q_last else 0)
            entry["twotime/two_time_corr_func"] = maps
            attributes = entry["twotime/two_time_corr_func"].attrs
            attributes["storage_mode"] = "one_array_q_last" if q_last else "one_array_q_first"
            attributes["populated_elements"] = "lower_half"
        entry["data/delay_difference"] = DELAYS * 6
        entry["data/frame_average"] = IMAGE
        entry["instrument/masks/dynamic_roi_map"] = np.where(MASK, LABELS, 0)
        entry["instrument/masks/static_roi_map"] = np.where(MASK, STATIC, 0)
        entry["instrument/masks/dynamic_q_list"] = np.stack([Q, np.full(4, 30.0)], axis=1)
        detector = entry.create_group("instrument/eiger")
        detector.attrs["NX_class"] = "NXdetector"
        for name, value, unit in (
            ("frame_time", 10.0, "ms"),
            ("count_time", 0.009, "s"),
            ("distance", 4000.0, "mm"),
            ("x_pixel_size", 55.0, "um"),
            ("y_pixel_size", 75.0, "um"),
            ("beam_center_x", 2.5, "pixel"),
            ("beam_center_y", 1.5 * 75e-6, "m"),
        ):
            detector[name] = value
            detector[name].attrs["units"] = unit
        entry["instrument/incident_beam/incident_energy"] = 7350.0
        entry["instrument/incident_beam/incident_energy"].attrs["units"] = "eV"
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "aps-legacy-results": write_legacy,
    "chx-results": write_chx,
    "nxxpcs": write_nxxpcs,
    "nxxpcs by keys": lambda path: write_nxxpcs(path, keys=True),
    "nxxpcs, q last": lambda path: write_nxxpcs(path, q_last=True),
}


@pytest.fixture(params=WRITERS)
def result(request: pytest.FixtureRequest, tmp_path: Path) -> ResultFile:
    path = WRITERS[request.param](tmp_path / "results.h5")
    assert sniff(path) == "results"
    opened = open_path(path)
    assert isinstance(opened, ResultFile)
    assert opened.layout == request.param.split()[0].rstrip(",")
    return opened


def test_curves_of_the_bins_that_have_pixels(result: ResultFile) -> None:
    curves = result.curves
    assert curves is not None
    np.testing.assert_allclose(curves.delay_s, DELAYS * 0.06)
    expected = G2[:, USED].copy()
    expected[4, 1] = np.nan
    np.testing.assert_allclose(curves.g2, expected)
    assert np.isnan(curves.error[4, 1])
    np.testing.assert_allclose(curves.error[:4], ERROR[:4, USED])
    assert curves.bins.label.tolist() == [1, 2, 3]
    np.testing.assert_allclose(curves.bins.q, Q[USED])
    np.testing.assert_allclose(curves.bins.phi_deg, 30.0)
    assert curves.bins.pixels.tolist() == [3, 3, 3]


def test_bins_are_numbered_without_holes(result: ResultFile) -> None:
    partition = result.partition
    assert partition is not None
    expected = np.where(MASK, np.array([0, 1, 0, 2, 3])[LABELS], 0)
    np.testing.assert_array_equal(partition.dynamic.labels, expected)
    np.testing.assert_array_equal(partition.mask, expected > 0)
    np.testing.assert_allclose(partition.table().q, Q[USED])
    np.testing.assert_allclose(partition.table().phi_deg, 30.0)
    if result.layout != "chx-results":
        assert len(partition.static) == len(np.unique(np.where(MASK, STATIC, 0))) - 1
    assert result.scattering is not None
    np.testing.assert_array_equal(result.scattering, IMAGE)


def test_two_time_maps_belong_to_their_bins(result: ResultFile) -> None:
    maps = result.twotime
    assert maps is not None
    assert maps.bins.tolist() == [1, 2, 3]
    assert len(maps) == 3
    for position, full in enumerate(FULL):
        np.testing.assert_allclose(maps.read(position), full, rtol=1e-6)


@pytest.mark.parametrize("half", ["all", "upper_half", "lower_half"])
@pytest.mark.parametrize("origin", ["upper_left", "lower_left"])
def test_nxxpcs_tells_where_time_begins_and_what_the_baseline_is(
    tmp_path: Path, origin: str, half: str
) -> None:
    path = write_nxxpcs(tmp_path / "results.h5")
    keep = {"all": lambda full: full, "upper_half": np.triu, "lower_half": np.tril}[half]
    stored = np.stack([keep(full - 1.0) for full in FULL])
    if origin == "lower_left":
        # Seen from below, the half under the diagonal comes to lie over it.
        other = {"all": lambda full: full, "upper_half": np.tril, "lower_half": np.triu}[half]
        stored = np.stack([other(full - 1.0)[::-1] for full in FULL])
    with h5py.File(path, "r+") as file:
        group = file["scan_7/twotime"]
        del group["two_time_corr_func"]
        group["two_time_corr_func"] = stored
        group["two_time_corr_func"].attrs.update(
            storage_mode="one_array_q_first",
            baseline_reference=0,
            time_origin_location=origin,
            populated_elements=half,
        )
        group["g2_from_two_time_corr_func"] = np.full((5, 3), 0.2)
        group["g2_from_two_time_corr_func"].attrs["baseline_reference"] = 0
        group["g2_from_two_time_corr_func_partials"] = np.arange(24.0).reshape(2, 3, 4)
    maps = open_path(path).twotime
    for position, full in enumerate(FULL):
        np.testing.assert_allclose(maps.read(position), full, rtol=1e-6)
    np.testing.assert_allclose(maps.g2, 1.2)
    assert maps.segments[1, 3, 2] == np.arange(24.0).reshape(2, 3, 4)[1, 2, 3]


def test_geometry_in_our_units(result: ResultFile) -> None:
    known = {name: sourced.value for name, sourced in result.known.items()}
    assert known["energy_kev"] == pytest.approx(7.35)
    assert known["distance_m"] == pytest.approx(4.0)
    assert known["pixel_col_m"] == pytest.approx(55e-6)
    assert known["pixel_row_m"] == pytest.approx(75e-6)
    assert known["center_col_px"] == pytest.approx(2.5)
    assert known["center_row_px"] == pytest.approx(1.5)
    assert known["frame_time_s"] == pytest.approx(0.01)
    assert known["count_time_s"] == pytest.approx(0.009)
    assert result.known["energy_kev"].origin


def test_the_header_of_a_list_tells_what_the_whole_file_tells(result: ResultFile) -> None:
    header = read_header(result.path)
    assert header.layout == result.layout
    assert header.delays == len(DELAYS) + (result.layout == "chx-results")  # with the delay 0
    assert header.bins in (len(USED), len(Q))  # a column of a bin without pixels is one
    assert header.maps == len(HALVES)
    assert header.frames in (None, 9)
    for name in ("frame_time_s", "count_time_s", "energy_kev"):
        assert getattr(header, name) == result.known[name].value
    assert header.problem == ""


def test_legacy_extras(tmp_path: Path) -> None:
    result = open_path(write_legacy(tmp_path / "results.hdf"))
    assert isinstance(result, ResultFile)
    assert result.intensity_vs_time.shape == (2, 9)
    assert result.scattering_1d.tolist() == list(range(8))
    assert result.scattering_1d_segments.shape == (10, 8)
    assert result.twotime.g2[1].tolist() == [4.0, 6.0, 7.0]
    assert result.twotime.segments.shape == (1, 5, 3)
    assert result.twotime.frame_time_s == pytest.approx(0.06)
    assert sorted(result.problems) == [
        "/exchange/pixelSum is stored with rows and columns exchanged and was turned.",
        "1 of 4 columns of g2 belong to bins without pixels and are left out.",
    ]


def test_a_legacy_period_shorter_than_the_exposure_is_not_used(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "results.hdf")
    with h5py.File(path, "r+") as file:
        file["/measurement/instrument/detector/exposure_period"][()] = 0.0
    result = open_path(path)
    assert result.known["frame_time_s"].value == 0.009
    assert any("exposure_period is absent or 0" in text for text in result.problems)


def test_intensity_of_chx_is_per_good_pixel(tmp_path: Path) -> None:
    result = open_path(write_chx(tmp_path / "results.h5"))
    assert isinstance(result, ResultFile)
    np.testing.assert_allclose(result.intensity_vs_time[1], 5.5 / 11)


@pytest.mark.parametrize(
    ("writer", "name", "attribute", "named"),
    [
        ("aps-legacy-results", "/exchange/tau", "curves", "/exchange/tau"),
        ("aps-legacy-results", "/exchange/norm-0-g2", "curves", "/exchange/norm-0-g2"),
        ("aps-legacy-results", "/xpcs/dqmap", "partition", "/xpcs/dqmap"),
        ("aps-legacy-results", "/exchange/pixelSum", "scattering", "/exchange/pixelSum"),
        ("aps-legacy-results", "/exchange/frameSum", "intensity_vs_time", "/exchange/frameSum"),
        ("chx-results", "roi_mask", "partition", "roi_mask"),
        ("chx-results", "avg_img", "scattering", "avg_img"),
        ("nxxpcs", "/scan_7/data/g2", "curves", "/scan_7/data/g2"),
        ("nxxpcs", "/scan_7/data/frame_average", "scattering", "frame_average"),
        ("nxxpcs", "/scan_7/instrument/masks/dynamic_roi_map", "partition", "dynamic_roi_map"),
    ],
)
def test_what_is_absent_is_named(
    tmp_path: Path, writer: str, name: str, attribute: str, named: str
) -> None:
    path = WRITERS[writer](tmp_path / "results.h5")
    with h5py.File(path, "r+") as file:
        del file[name]
    result = open_path(path)
    assert getattr(result, attribute) is None
    assert any(named in text for text in result.missing)
    others = {"curves", "partition", "scattering"} - {attribute}
    assert all(getattr(result, other) is not None for other in others)


def test_without_the_image_of_bins_the_lists_place_the_curves(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "results.hdf")
    with h5py.File(path, "r+") as file:
        del file["/xpcs/dqmap"]
    curves = open_path(path).curves
    assert curves.g2.shape == (6, 4)
    np.testing.assert_allclose(curves.bins.q, Q)
    assert curves.bins.label.tolist() == [1, 2, 3, 4]


def test_a_legacy_qmap_is_a_partition(tmp_path: Path) -> None:
    path = tmp_path / "qmap.h5"
    with h5py.File(path, "w") as file:
        file["/data/dynamicMap"], file["/data/staticMap"] = LABELS, STATIC
        file["/data/mask"] = MASK
        file["/data/dqval"], file["/data/sqval"] = Q[None], np.arange(8.0)[None]
        file["/data/dphival"], file["/data/sphival"] = np.zeros((1, 4)), np.zeros((1, 8))
    assert sniff(path) == "partition"
    opened = open_path(path)
    assert isinstance(opened, PartitionFile)
    assert opened.layout == "aps-legacy-qmap"
    np.testing.assert_allclose(opened.partition.table().q, Q[USED])
    assert describe(path)["shape"] == [None, 3, 4]


def test_nothing_that_can_be_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "empty.hdf"
    with h5py.File(path, "w") as file:
        file["/xpcs/Version"] = "1.0"
    with pytest.raises(FileFormatError, match="nothing in it can be read"):
        open_path(path)


def _dataset_names(path: Path) -> list[str]:
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name))
    return names


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), writer=st.sampled_from(sorted(WRITERS)))
def test_retyped_and_missing_parts_never_crash(
    tmp_path: Path, data: st.DataObject, writer: str
) -> None:
    path = WRITERS[writer](tmp_path / "results.h5")
    replacements = {
        "gone": None,
        "text": "what",
        "number": np.float32(np.nan),
        "empty": np.zeros(0),
        "image": -np.ones((2, 3)),
        "cube": np.full((2, 2, 2), 1e30),
        "large": np.full((3, 4), 2**60),
    }
    with h5py.File(path, "r+") as file:
        for name in data.draw(st.lists(st.sampled_from(_dataset_names(path)), max_size=3)):
            if name not in file:
                continue
            del file[name]
            value = replacements[data.draw(st.sampled_from(sorted(replacements)))]
            if value is not None:
                file[name] = value
    read_header(path)
    try:
        opened = open_path(path)
    except FileFormatError:
        return
    assert isinstance(opened, ResultFile)
    assert read_summary(path, xp=NumPyBackend()).path == path
    if opened.twotime is not None:
        assert len(opened.twotime) == len(opened.twotime.bins)
