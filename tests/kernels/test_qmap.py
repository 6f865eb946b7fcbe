"""q and angles against closed forms, the formulas of the field, and finite differences."""

import math
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import ensure_numpy, get_backend, reset_backend, set_backend
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.qmap import QMaps, map_arrays, q_maps
from napari_xpcs.units import HC_KEV_ANGSTROM

GEOMETRY = Geometry(
    shape=(40, 60),
    energy_kev=10.9,
    distance_m=0.8,
    pixel_row_m=55e-6,
    pixel_col_m=172e-6,
    center_row_px=12.3,
    center_col_px=31.6,
)
SWUNG = replace(GEOMETRY, swing_horizontal_deg=12.0, swing_vertical_deg=-4.0)
GRAZING = replace(GEOMETRY, center_row_px=38.2, incident_angle_deg=0.4)


def wavenumber(geometry):
    return 2 * math.pi * geometry.energy_kev / HC_KEV_ANGSTROM


def offsets(geometry):
    """Distance of every pixel from the beam along rows (down) and columns, m."""
    rows, cols = np.indices(geometry.shape)
    down = (rows - geometry.center_row_px) * geometry.pixel_row_m
    return down, (cols - geometry.center_col_px) * geometry.pixel_col_m


def test_transmission_of_pixels_that_are_not_square(xp):
    maps = q_maps(GEOMETRY, xp=xp)
    down, across = offsets(GEOMETRY)
    two_theta = np.arctan2(np.hypot(down, across), GEOMETRY.distance_m)
    k = wavenumber(GEOMETRY)
    np.testing.assert_allclose(maps.q, 2 * k * np.sin(two_theta / 2), rtol=1e-12)
    np.testing.assert_allclose(maps.two_theta_deg, np.degrees(two_theta), rtol=1e-12)
    np.testing.assert_allclose(maps.phi_deg, -np.degrees(np.arctan2(down, across)), rtol=1e-12)
    np.testing.assert_allclose(np.hypot(maps.qx, maps.qy), k * np.sin(two_theta), rtol=1e-12)
    assert maps.qz is None
    assert maps.qr is None


def test_phi_runs_counter_clockwise_on_screen(xp):
    centred = replace(GEOMETRY, center_row_px=20.0, center_col_px=30.0)
    phi = ensure_numpy(q_maps(centred, xp=xp).phi_deg)
    assert phi[20, 50] == 0
    assert phi[5, 30] == pytest.approx(90)
    assert phi[35, 30] == pytest.approx(-90)
    assert abs(phi[20, 10]) == pytest.approx(180)


@pytest.mark.parametrize("geometry", [GEOMETRY, SWUNG])
def test_a_roll_takes_phi_back_and_leaves_q(xp, geometry):
    maps, rolled = (q_maps(each, xp=xp) for each in (geometry, replace(geometry, roll_deg=25.0)))
    np.testing.assert_allclose(rolled.q, maps.q, rtol=1e-12)
    turn = (ensure_numpy(maps.phi_deg) - ensure_numpy(rolled.phi_deg)) % 360.0
    np.testing.assert_allclose(turn, 25.0, rtol=1e-9)


def test_q_keeps_its_digits_next_to_the_beam(xp):
    near = replace(GEOMETRY, center_row_px=12 + 1e-5, center_col_px=31.0, distance_m=30.0)
    q = ensure_numpy(q_maps(near, xp=xp).q)[12, 31]
    angle = 1e-5 * near.pixel_row_m / near.distance_m
    assert q == pytest.approx(wavenumber(near) * angle, rel=1e-9)


def test_old_convention_is_short_of_q_by_the_cosine_of_theta(xp):
    exact = q_maps(SWUNG, xp=xp)
    old = q_maps(SWUNG, xp=xp, convention="sin2theta")
    theta = np.radians(ensure_numpy(exact.two_theta_deg)) / 2
    np.testing.assert_allclose(old.q, ensure_numpy(exact.q) * np.cos(theta), rtol=1e-12)
    np.testing.assert_array_equal(old.phi_deg, exact.phi_deg)


def rotation(axis, degrees):
    """Rotations as the mask editor of the field writes them."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if axis == "vertical":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def test_swing_turns_the_detector_about_the_sample(xp):
    maps = q_maps(SWUNG, xp=xp)
    down, across = offsets(SWUNG)
    detector = np.stack([across, down, np.full(SWUNG.shape, SWUNG.distance_m)], axis=-1)
    turn = rotation("horizontal", SWUNG.swing_horizontal_deg) @ rotation(
        "vertical", SWUNG.swing_vertical_deg
    )
    x, y, z = np.moveaxis(detector @ turn.T, -1, 0)
    length = np.sqrt(x**2 + y**2 + z**2)
    np.testing.assert_allclose(
        maps.q, 2 * wavenumber(SWUNG) * np.sin(np.arccos(z / length) / 2), rtol=1e-9
    )
    np.testing.assert_allclose(maps.phi_deg, -np.degrees(np.arctan2(y, x)), rtol=1e-12)


def test_grazing_incidence_is_the_exact_form(xp):
    maps = q_maps(GRAZING, xp=xp)
    down, h = offsets(GRAZING)
    v, d = -down, GRAZING.distance_m
    incident, k = math.radians(GRAZING.incident_angle_deg), wavenumber(GRAZING)
    exit_angle = np.arcsin(
        (v * math.cos(incident) - d * math.sin(incident)) / np.sqrt(v**2 + h**2 + d**2)
    )
    azimuth = np.arctan2(h, d * math.cos(incident) + v * math.sin(incident))
    qx = k * (np.cos(exit_angle) * np.cos(azimuth) - math.cos(incident))
    qy = k * np.cos(exit_angle) * np.sin(azimuth)
    qz = k * (math.sin(incident) + np.sin(exit_angle))
    np.testing.assert_allclose(maps.qx, qx, rtol=1e-9, atol=1e-14 * k)
    np.testing.assert_allclose(maps.qy, qy, rtol=1e-12)
    np.testing.assert_allclose(maps.qz, qz, rtol=1e-9, atol=1e-14 * k)
    np.testing.assert_allclose(maps.qr, np.hypot(qx, qy), rtol=1e-9)
    np.testing.assert_allclose(maps.q, np.hypot(np.hypot(qx, qy), qz), rtol=1e-9)
    np.testing.assert_allclose(maps.phi_deg, np.degrees(np.arctan2(v, h)), rtol=1e-12)


def test_specular_beam_lies_straight_up_the_detector(xp):
    up = GRAZING.distance_m * math.tan(math.radians(2 * GRAZING.incident_angle_deg))
    spot = replace(GRAZING, shape=(1, 1), center_row_px=up / GRAZING.pixel_row_m, center_col_px=0.0)
    maps = q_maps(spot, xp=xp)
    expected = 2 * wavenumber(spot) * math.sin(math.radians(spot.incident_angle_deg))
    assert ensure_numpy(maps.qz)[0, 0] == pytest.approx(expected, rel=1e-12)
    assert abs(ensure_numpy(maps.qr)[0, 0]) < 1e-12 * expected


@pytest.mark.parametrize("geometry", [GEOMETRY, SWUNG, GRAZING])
def test_backends_agree(geometry):
    results = {}
    for name in ("numpy", "jax"):
        set_backend(name)
        maps = q_maps(geometry, xp=get_backend())
        results[name] = {
            field.name: ensure_numpy(getattr(maps, field.name))
            for field in fields(QMaps)
            if getattr(maps, field.name) is not None
        }
    reset_backend()
    assert results["numpy"].keys() == results["jax"].keys()
    for name, expected in results["numpy"].items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            results["jax"][name], expected, rtol=1e-12, atol=1e-15 * scale, err_msg=name
        )


@pytest.mark.parametrize("geometry", [GEOMETRY, SWUNG])
@pytest.mark.parametrize(
    "name", ["center_row_px", "center_col_px", "distance_m", "swing_vertical_deg"]
)
def test_gradient_of_q_is_that_of_finite_differences(geometry, name):
    set_backend("jax")
    xp = get_backend()
    values = {
        field.name: getattr(geometry, field.name)
        for field in fields(geometry)
        if field.name not in {"shape", "incident_angle_deg"}
    }

    def total(value):
        arrays = map_arrays(
            values | {name: value}, shape=geometry.shape, convention="exact", names=("q",), xp=xp
        )
        return xp.sum(arrays["q"])

    step = 1e-5 * max(abs(values[name]), 1.0)
    difference = (total(values[name] + step) - total(values[name] - step)) / (2 * step)
    gradient = xp.grad(total)(values[name])
    reset_backend()
    assert float(gradient) == pytest.approx(float(difference), rel=1e-6)


def test_maps_of_the_simulated_run(xp, shared_data):
    truth = np.load(shared_data / "synthetic" / "truth.npz")
    geometry = Geometry(
        shape=(128, 192),
        energy_kev=10.0,
        distance_m=8.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=63.7,
        center_col_px=40.3,
    )
    maps = q_maps(geometry, xp=xp)
    # The file was made with hc rounded to 10 digits and by way of an arccos.
    np.testing.assert_allclose(maps.q, truth["q"], rtol=1e-6)
    np.testing.assert_allclose(np.median(maps.q / truth["q"]), 1, rtol=1e-9)
    np.testing.assert_allclose(maps.phi_deg, truth["phi"], rtol=1e-6)


def test_saved_bins_of_a_real_run_lie_where_the_old_convention_puts_them(xp, shared_data):
    """Pixel centres are integers: labels of a real file move with half a pixel."""
    path = next((shared_data / "aps_8idi").glob("Average_B0147_*"))
    with h5py.File(path) as file:
        labels = file["/xpcs/qmap/dynamic_roi_map"][()]
        geometry = Geometry(
            shape=labels.shape,
            energy_kev=float(file["/xpcs/qmap/energy"][()]),
            distance_m=float(file["/xpcs/qmap/detector_distance"][()]),
            pixel_row_m=float(file["/xpcs/qmap/pixel_size"][()]),
            pixel_col_m=float(file["/xpcs/qmap/pixel_size"][()]),
            center_row_px=float(file["/xpcs/qmap/beam_center_y"][()]),
            center_col_px=float(file["/xpcs/qmap/beam_center_x"][()]),
        )
    q = ensure_numpy(q_maps(geometry, xp=xp, convention="sin2theta").q)
    highest = [q[labels == label].max() for label in range(1, labels.max())]
    lowest = [q[labels == label].min() for label in range(2, labels.max() + 1)]
    assert np.all(np.array(highest) < np.array(lowest))
