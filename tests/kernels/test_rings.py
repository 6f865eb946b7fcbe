"""Places on the detector: the way from q and phi to a pixel is the inverse of the Q-map."""

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.kernels.rings import detector_position, place_values

GEOMETRY = Geometry(
    shape=(40, 50),
    energy_kev=12.0,
    distance_m=0.4,
    pixel_row_m=172e-6,
    pixel_col_m=75e-6,
    center_row_px=-12.5,
    center_col_px=20.25,
    swing_horizontal_deg=12.0,
    swing_vertical_deg=-5.0,
    roll_deg=7.0,
)


def test_position_is_the_inverse_of_the_map(xp):
    maps = q_maps(GEOMETRY, xp=xp)
    q, phi = (np.asarray(one).ravel() for one in (maps.q, maps.phi_deg))
    place = detector_position(GEOMETRY, q, phi, xp=xp)
    rows, cols = np.indices(GEOMETRY.shape).reshape(2, -1)
    np.testing.assert_allclose(place, np.stack([rows, cols], axis=1), atol=1e-6)


def test_values_of_a_place_are_those_of_its_pixel(xp):
    maps = q_maps(GEOMETRY, xp=xp)
    values = place_values(GEOMETRY, 7.0, 31.0, xp=xp)
    assert values.q == pytest.approx(float(maps.q[7, 31]))
    assert values.phi_deg == pytest.approx(float(maps.phi_deg[7, 31]))
    assert values.two_theta_deg == pytest.approx(float(maps.two_theta_deg[7, 31]))


def test_what_never_hits_the_detector_has_no_place():
    q = np.array([8.0, 13.0])  # 2 theta = 82 degrees beside the swing; beyond backscattering
    place = detector_position(GEOMETRY, q, np.array([0.0, 0.0]), xp=NumPyBackend())
    assert np.isnan(place).all(axis=1).tolist() == [True, True]
