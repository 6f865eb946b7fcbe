"""Bins that follow an ellipse: the ellipse is found again, its own frame is exact."""

import numpy as np
import pytest

from napari_xpcs.backends import ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.ellipse import ellipse_axis, ellipse_of_mask
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.partition_spec import PartitionSpec

ELLIPSE = (110.3, 140.7, 80.0, 30.0, 25.0)
SHAPE = (230, 290)


def test_a_filled_ellipse_is_found_again(xp):
    filled = ensure_numpy(ellipse_axis(ELLIPSE, SHAPE, angle=False, xp=xp)) <= 1
    np.testing.assert_allclose(ellipse_of_mask(filled), ELLIPSE, atol=0.1)


def test_radius_and_angle_of_points_on_the_axes(xp):
    ellipse = (10.0, 20.0, 8.0, 4.0, 90.0)
    radius = ensure_numpy(ellipse_axis(ellipse, (30, 40), angle=False, xp=xp))
    angle = ensure_numpy(ellipse_axis(ellipse, (30, 40), angle=True, xp=xp))
    assert radius[18, 20] == pytest.approx(1)
    assert radius[10, 24] == pytest.approx(1)
    assert angle[18, 20] == pytest.approx(0, abs=1e-12)
    assert angle[10, 16] == pytest.approx(90)


def test_elliptic_bins_are_told_in_degrees_and_without_a_unit(xp):
    geometry = Geometry(
        shape=SHAPE,
        energy_kev=10.0,
        distance_m=5.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=110.0,
        center_col_px=140.0,
    )
    spec = PartitionSpec(
        dq=4, sq=8, dp=6, sp=6, mode="eq-ephi", ellipse=ELLIPSE, phi_range_deg=(-180.0, 180.0)
    )
    partition = make_partition(geometry, np.ones(SHAPE, dtype=bool), spec, xp=xp)
    assert partition.units == ("1", "deg")
    np.testing.assert_allclose(partition.dynamic.centers[1], [-150, -90, -30, 30, 90, 150])
    of_mask = make_partition(
        geometry,
        ensure_numpy(ellipse_axis(ELLIPSE, SHAPE, angle=False, xp=xp)) <= 1,
        PartitionSpec(dq=4, sq=8, mode="eq-ephi"),
        xp=xp,
    )
    np.testing.assert_allclose(of_mask.dynamic.edges[0][[0, -1]], [0, 1], atol=0.02)
    np.testing.assert_allclose(of_mask.spec.ellipse, ELLIPSE, atol=0.1)


def test_pixels_on_a_line_make_no_ellipse():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[7] = True
    with pytest.raises(PartitionError, match="on one line"):
        ellipse_of_mask(mask)
