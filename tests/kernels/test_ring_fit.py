"""Rings of known beams, simulated and measured, give these beams back with honest errors."""

from dataclasses import replace
from math import asin, degrees, hypot, radians, tan

import numpy as np
import pytest
import tifffile

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import GeometryError
from napari_xpcs.io.poni import poni_to_known, read_poni
from napari_xpcs.kernels.beam_centre import find_beam_centre
from napari_xpcs.kernels.geometry import Geometry, complete_geometry
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.kernels.ring_fit import fit_ring, ridge_points
from napari_xpcs.progress import run

NUMPY = NumPyBackend()
LEVEL = Geometry(
    shape=(300, 320),
    energy_kev=30.0,
    distance_m=0.2,
    pixel_row_m=172e-6,
    pixel_col_m=172e-6,
    center_row_px=140.4,
    center_col_px=171.8,
)


def powder(geometry, two_theta_deg=5.0, counts=500.0):
    """One ring of 0.1 degrees (half width 2 px) on a flat ground, Poisson counts."""
    off = (q_maps(geometry, xp=NUMPY).two_theta_deg - two_theta_deg) / 0.1
    mean = 20.0 + counts * np.exp(-0.5 * off**2)
    return np.random.default_rng(5).poisson(mean)


def drawn(geometry, two_theta_deg=5.0, error_px=3.0):
    """The ring as a person draws it: a circle a few pixels off."""
    maps = q_maps(geometry, xp=NUMPY)
    row, col = np.unravel_index(maps.two_theta_deg.argmin(), geometry.shape)
    radius = geometry.distance_m * tan(radians(two_theta_deg)) / geometry.pixel_col_m
    return (row + error_px, col - error_px, radius + error_px, radius, 0.0)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"swing_horizontal_deg": 4.0, "swing_vertical_deg": -2.0, "roll_deg": 10.0},
        {"center_row_px": 20.3, "center_col_px": 300.6},
    ],
    ids=["level", "swung", "arc"],
)
def test_ridge_of_a_ring_tells_the_beam(values):
    geometry = replace(LEVEL, **values)
    if "swing_horizontal_deg" in values:  # keep the rings on the detector
        shift = [
            0.2 * tan(radians(values[f"swing_{name}_deg"])) / 172e-6
            for name in ("vertical", "horizontal")
        ]
        geometry = replace(geometry, center_row_px=140.4 - shift[0], center_col_px=171.8 - shift[1])
    image = powder(geometry)
    mask = np.ones(geometry.shape, dtype=bool)
    mask[100:110] = False
    points = ridge_points(np.where(mask, image, 0), mask, drawn(geometry), width_px=12.0)
    result = fit_ring(points, replace(geometry, center_row_px=0.0, center_col_px=0.0))
    off = (result.row_px - geometry.center_row_px, result.col_px - geometry.center_col_px)
    assert max(result.row_err_px, result.col_err_px) < 0.15
    assert abs(off[0]) < 4 * result.row_err_px
    assert abs(off[1]) < 4 * result.col_err_px


def test_tilt_that_the_geometry_lacks_is_told_and_covered_by_the_error():
    tilted = replace(
        LEVEL, swing_horizontal_deg=6.0, center_col_px=171.8 - 0.2 * tan(radians(6.0)) / 172e-6
    )
    points = ridge_points(powder(tilted), np.ones(LEVEL.shape, bool), drawn(tilted), width_px=12.0)
    result = fit_ring(points, LEVEL)
    assert "tilted by" in result.how
    stated = float(result.how.split("tilted by ")[1].split(" deg")[0])
    assert stated == pytest.approx(6.0, abs=1.0)
    # The rays of the direct beam meet this detector at column 171.8.
    assert abs(result.col_px - 171.8) < 1.5 * result.col_err_px
    assert abs(result.row_px - 140.4) < 0.1


def test_few_picked_points_make_a_circle():
    angles = np.radians([10.0, 100.0, 200.0, 300.0])
    points = np.stack([140.4 + 80 * np.sin(angles), 171.8 + 80 * np.cos(angles)], axis=1)
    points += np.random.default_rng(2).normal(0, 0.3, points.shape)
    result = fit_ring(points, LEVEL)
    assert hypot(result.row_px - 140.4, result.col_px - 171.8) < 0.6
    exact = fit_ring(points[:3], LEVEL)
    assert 0.1 < exact.row_err_px < 0.5


def test_one_point_off_the_ring_does_no_harm():
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    points = np.stack([140.4 + 80 * np.sin(angles), 171.8 + 80 * np.cos(angles)], axis=1)
    points += np.random.default_rng(2).normal(0, 0.2, points.shape)
    points[3] += 15.0
    result = fit_ring(points, LEVEL)
    assert hypot(result.row_px - 140.4, result.col_px - 171.8) < 0.3
    assert "of 20 points" not in result.how


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], "three points or more, got 2"),
        ([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], "on one line"),
        ([[140.0, 250.0], [145.0, 250.2], [150.0, 249.3], [155.0, 249.1]], "uncertain by"),
    ],
)
def test_points_that_tell_no_centre_are_refused(points, message):
    with pytest.raises(GeometryError, match=message):
        fit_ring(np.array(points), LEVEL)


def test_where_no_ring_is_none_is_found():
    noise = np.random.default_rng(0).poisson(20.0, LEVEL.shape)
    with pytest.raises(GeometryError, match="No ring stands out"):
        ridge_points(noise, np.ones(LEVEL.shape, bool), drawn(LEVEL), width_px=12.0)


@pytest.fixture
def cerium_oxide(shared_data):
    folder = shared_data / "geometry"
    image = tifffile.imread(folder / "CeO2_Pilatus1M.tif")
    poni = replace(read_poni(folder / "CeO2_Pilatus1M.poni"), orientation=2)
    return image, complete_geometry(poni_to_known(poni, image.shape), image.shape)


def test_rings_of_a_calibrant_agree_with_its_calibration_and_each_other(cerium_oxide):
    image, geometry = cerium_oxide
    beams = []
    for indices in ((1, 1, 1), (2, 2, 0), (3, 1, 1)):
        spacing = 5.41165 / hypot(*indices)
        ring = degrees(2 * asin(0.4066 / 2 / spacing))
        points = ridge_points(image, image >= 0, drawn(geometry, ring), width_px=14.0)
        beams.append(fit_ring(points, geometry))
    rows, cols = [beam.row_px for beam in beams], [beam.col_px for beam in beams]
    assert np.ptp(rows) < 0.05
    assert np.ptp(cols) < 0.05
    assert abs(np.mean(rows) - geometry.center_row_px) < 0.15
    assert abs(np.mean(cols) - geometry.center_col_px) < 0.15


def test_symmetry_of_a_calibrant_agrees_with_its_rings(cerium_oxide):
    image, geometry = cerium_oxide
    start = replace(
        geometry,
        center_row_px=geometry.center_row_px + 12,
        center_col_px=geometry.center_col_px - 9,
    )
    beam = run(find_beam_centre(image, image >= 0, start, reach_px=25.0, xp=NUMPY))
    assert beam.row_px == pytest.approx(534.90, abs=0.05)
    assert beam.col_px == pytest.approx(464.50, abs=0.05)
