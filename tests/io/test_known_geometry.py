"""Every value has an origin, contradictions are kept, nothing is invented."""

from math import radians, tan
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.io.known_geometry import GeometryReport, read_known_geometry
from napari_xpcs.kernels.geometry import complete_geometry

DETECTOR = "entry/instrument/detector_1"
ENERGY = "entry/instrument/incident_beam/incident_energy"


def report_of(path: Path, values: dict[str, object], **options: object) -> GeometryReport:
    with h5py.File(path / "run.h5", "w") as file:
        for name, value in values.items():
            file[name] = value
    with h5py.File(path / "run.h5") as file:
        return read_known_geometry(file, **options)


@pytest.mark.parametrize(
    "stored",
    [0.25, np.array([0.25]), np.array([[0.25]], np.float32), b"0.25", "0.25", np.array([b"0.25"])],
    ids=repr,
)
def test_scalars_of_every_shape(tmp_path: Path, stored: object) -> None:
    known = report_of(tmp_path, {f"{DETECTOR}/frame_time": stored}).known
    assert known["frame_time_s"].value == 0.25
    assert known["frame_time_s"].origin == f"/{DETECTOR}/frame_time"


@pytest.mark.parametrize("stored", ["soon", np.array([1.0, 2.0]), np.array([])], ids=repr)
def test_what_is_no_number_is_unknown(tmp_path: Path, stored: object) -> None:
    report = report_of(tmp_path, {f"{DETECTOR}/frame_time": stored})
    assert report.known["frame_time_s"].value is None
    assert f"frame_time_s (looked for /{DETECTOR}/frame_time)" in report.missing


@pytest.mark.parametrize(
    ("name", "value", "field", "reason"),
    [
        (ENERGY, 1.0, "energy_kev", "placeholder"),
        (ENERGY, -8.0, "energy_kev", "positive"),
        (f"{DETECTOR}/frame_time", 0.0, "frame_time_s", "positive"),
        (f"{DETECTOR}/distance", np.inf, "distance_m", "finite"),
        (f"{DETECTOR}/x_pixel_size", 0.0, "pixel_col_m", "positive"),
    ],
)
def test_placeholders_are_not_taken(
    tmp_path: Path, name: str, value: float, field: str, reason: str
) -> None:
    report = report_of(tmp_path, {name: value})
    assert report.known[field].value is None
    assert any(field in problem and reason in problem for problem in report.problems)


def test_a_centre_outside_the_detector_is_no_fault(tmp_path: Path) -> None:
    report = report_of(tmp_path, {f"{DETECTOR}/beam_center_y": -5.65})
    assert report.known["center_row_px"].value == -5.65


def test_qmap_comes_first_and_the_other_value_is_kept(shared_data: Path) -> None:
    name = "aps_8idi/Average_B0147_S3_7_300C10p_att00_Rq0_00001_00200_results.hdf"
    with h5py.File(shared_data / name) as file:
        report = read_known_geometry(file, qmap_group="/xpcs/qmap")
    known = report.known
    assert known["energy_kev"].value == 10.945
    assert known["energy_kev"].others == (
        (12.339109324708671, "/entry/instrument/incident_beam/incident_energy"),
    )
    assert (known["center_row_px"].value, known["center_col_px"].value) == (235.5, 581.5)
    assert known["center_col_px"].others[0][0] == 1677.5
    assert known["distance_m"].value == 7.8
    assert known["frame_time_s"].value == pytest.approx(2e-5, rel=1e-6)
    assert known["frame_time_s"].others == ()
    assert report.missing == ()
    assert complete_geometry(known, (512, 1024)).energy_kev == 10.945


def test_pixel_of_the_wrong_detector_is_pointed_out(shared_data: Path) -> None:
    name = "aps_8idi/E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf"
    with h5py.File(shared_data / name) as file:
        problems = read_known_geometry(file, qmap_group="/xpcs/qmap").problems
    assert any("75 um" in problem and "rigaku3M" in problem for problem in problems)


def test_stage_travel_moves_the_centre(tmp_path: Path) -> None:
    values = {
        f"{DETECTOR}/beam_center_x": 100.0,
        f"{DETECTOR}/position_x": 0.0150,
        f"{DETECTOR}/beam_center_position_x": 0.0075,
        f"{DETECTOR}/x_pixel_size": 75e-6,
    }
    report = report_of(tmp_path, values)
    assert report.known["center_col_px"].value == pytest.approx(200.0)
    assert "moved by the stage" in report.known["center_col_px"].origin
    assert report.problems == ()


def test_stage_positions_in_foreign_units_are_left_alone(tmp_path: Path) -> None:
    values = {
        f"{DETECTOR}/beam_center_x": 1677.5,
        f"{DETECTOR}/position_x": -230.0,
        f"{DETECTOR}/beam_center_position_x": 1677.5,
        f"{DETECTOR}/x_pixel_size": 75e-6,
    }
    report = report_of(tmp_path, values)
    assert report.known["center_col_px"].value == 1677.5
    assert any("cannot both be in m" in problem for problem in report.problems)


def test_swing_is_taken_out_of_the_centre_of_a_qmap(tmp_path: Path) -> None:
    values = {
        "qmap/beam_center_x": 1000.0,
        "qmap/detector_distance": 4.0,
        "qmap/pixel_size": 50e-6,
        f"{DETECTOR}/flightpath_swing": 0.5,
    }
    known = report_of(tmp_path, values, qmap_group="/qmap").known
    assert known["center_col_px"].value == pytest.approx(1000 - 4.0 * tan(radians(0.5)) / 50e-6)
    assert "swing" in known["center_col_px"].origin


def test_nan_says_unknown_without_a_complaint(tmp_path: Path) -> None:
    report = report_of(tmp_path, {"entry/instrument/detector_1/count_time": np.nan})
    assert report.known["count_time_s"].value is None
    assert not any("count_time_s" in problem for problem in report.problems)
