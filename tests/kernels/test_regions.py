"""Shapes become pixels by the rule that a pixel is where its centre is."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_xpcs.backends import NumPyBackend, ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.kernels.regions import Region, region_mask

XP = NumPyBackend()
SHAPE = (40, 50)
GEOMETRY = Geometry(
    shape=SHAPE,
    energy_kev=10.0,
    distance_m=5.0,
    pixel_row_m=75e-6,
    pixel_col_m=75e-6,
    center_row_px=20.0,
    center_col_px=25.0,
)
ROWS, COLS = np.indices(SHAPE)


def box(low_row, low_col, high_row, high_col):
    return ((low_row, low_col), (low_row, high_col), (high_row, high_col), (high_row, low_col))


def region(kind, vertices=(), **options):
    floats = tuple((float(row), float(col)) for row, col in vertices)
    return Region(kind=kind, vertices=floats, **options)


def drawn(kind, vertices, **options):
    return region_mask(region(kind, vertices, **options), SHAPE, None, xp=XP)


def test_a_rectangle_holds_its_near_edges_and_not_its_far_ones():
    expected = (ROWS >= 3) & (ROWS < 9) & (COLS >= 5) & (COLS < 17)
    np.testing.assert_array_equal(drawn("rectangle", box(3, 5, 9, 17)), expected)
    np.testing.assert_array_equal(drawn("rectangle", box(2.5, 4.5, 8.5, 16.5)), expected)


def test_shapes_over_the_edge_are_cut_and_beyond_it_empty():
    expected = (ROWS < 5) & (COLS >= 45)
    np.testing.assert_array_equal(drawn("rectangle", box(-7, 45, 5, 90)), expected)
    assert not drawn("polygon", ((60, 60), (60, 90), (90, 60))).any()


@example(inner=(4.357153433759875e-257, 0.0), corners=[(0, 0), (0, 0), (-1, 1)])
@settings(max_examples=30, deadline=None)
@given(
    inner=st.tuples(st.floats(-5, 45), st.floats(-5, 55)),
    corners=st.lists(
        st.tuples(st.integers(-80, 160), st.integers(-80, 160)), min_size=3, max_size=6
    ),
)
def test_triangles_about_a_point_tile_their_polygon(inner, corners):
    """Every pixel of a polygon lies in an odd number of its triangles: no gap, no double."""
    corners = tuple((row / 4, col / 4) for row, col in corners)
    parity = np.zeros(SHAPE, dtype=bool)
    for start, stop in zip(corners, corners[1:] + corners[:1], strict=True):
        parity ^= drawn("polygon", (inner, start, stop))
    np.testing.assert_array_equal(parity, drawn("polygon", corners))


def test_an_ellipse_turned_by_a_quarter_is_the_transposed_one():
    ellipse = drawn("ellipse", box(10, 10, 21, 31))
    expected = ((ROWS - 15.5) / 5.5) ** 2 + ((COLS - 20.5) / 10.5) ** 2 < 1
    np.testing.assert_array_equal(ellipse, expected)
    corners = box(10, 10, 21, 31)
    np.testing.assert_array_equal(drawn("ellipse", corners[1:] + corners[:1]), expected)


def test_an_ellipse_that_is_turned_leans_with_its_box():
    turn, center, halves = np.radians(30.0), np.array([20.2, 25.4]), (6.0, 15.0)
    across, along = (
        halves[0] * np.array([np.cos(turn), -np.sin(turn)]),
        halves[1] * np.array([np.sin(turn), np.cos(turn)]),
    )
    corners = [center + i * across + k * along for i, k in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    offset = np.stack([ROWS - center[0], COLS - center[1]], axis=-1)
    expected = (offset @ across / halves[0] ** 2) ** 2 + (offset @ along / halves[1] ** 2) ** 2 < 1
    np.testing.assert_array_equal(drawn("ellipse", corners), expected)


def test_sectors_that_share_an_edge_share_no_pixel(xp):
    maps = q_maps(GEOMETRY, xp=xp)
    q, phi = ensure_numpy(maps.q), ensure_numpy(maps.phi_deg)
    edge, turn = float(q[20, 30]), float(phi[10, 25])
    near, far = (
        region_mask(Region(kind="sector", q_range=limits), SHAPE, maps, xp=xp)
        for limits in ((0.0, edge), (edge, 1.0))
    )
    assert far[20, 30]
    np.testing.assert_array_equal(near, ~far)
    first, second = (
        region_mask(Region(kind="sector", phi_range_deg=limits), SHAPE, maps, xp=xp)
        for limits in ((0.0, turn), (turn, 0.0))
    )
    assert second[10, 25]
    np.testing.assert_array_equal(first, ~second)


def test_a_line_is_as_wide_as_it_says():
    line = drawn("line", ((20, 10), (20, 30)), width_px=4.0)
    assert line[:, 20].sum() == 5
    assert line[20].sum() == 25
    assert drawn("path", ((5, 5), (5, 20), (20, 20)), width_px=0.5).sum() == 31


def test_a_sector_runs_through_180_degrees(xp):
    maps = q_maps(GEOMETRY, xp=xp)
    q, phi = ensure_numpy(maps.q), ensure_numpy(maps.phi_deg)
    sector = Region(kind="sector", q_range=(2e-4, 1e-3), phi_range_deg=(150.0, -150.0))
    expected = (q >= 2e-4) & (q < 1e-3) & ((phi >= 150) | (phi < -150))
    np.testing.assert_array_equal(region_mask(sector, SHAPE, maps, xp=xp), expected)
    ring = Region(kind="sector", q_range=(2e-4, 1e-3))
    np.testing.assert_array_equal(region_mask(ring, SHAPE, maps, xp=xp), (q >= 2e-4) & (q < 1e-3))
    with pytest.raises(PartitionError, match="geometry is unknown"):
        region_mask(sector, SHAPE, None, xp=xp)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "rectangle", "vertices": ((0, 0), (1, 1))}, "4 vertices, got 2"),
        ({"kind": "polygon", "vertices": ((0, 0), (1, 1))}, "3 or more"),
        ({"kind": "line", "vertices": ((0, 0), (1, float("nan")))}, "finite"),
        ({"kind": "line", "vertices": ((0, 0), (1, 1)), "width_px": 0.0}, "positive"),
        ({"kind": "sector"}, "needs q_range"),
        ({"kind": "sector", "q_range": (0.2, 0.1)}, "increase"),
        (
            {"kind": "line", "vertices": ((0, 0), (1, 1)), "q_range": (0.0, 1.0)},
            "belong to a sector",
        ),
    ],
)
def test_impossible_regions_are_refused(options, words):
    with pytest.raises(PartitionError, match=words):
        region(**options)
