"""What a detector behind a sample can be, and what is refused."""

import pytest

from napari_xpcs.errors import GeometryError
from napari_xpcs.kernels.geometry import POSSIBLE, Geometry

VALUES = {
    "shape": (40, 60),
    "energy_kev": 10.0,
    "distance_m": 5.0,
    "pixel_row_m": 75e-6,
    "pixel_col_m": 75e-6,
    "center_row_px": 20.0,
    "center_col_px": 30.0,
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shape": (0, 3)}, "rows and columns"),
        ({"distance_m": float("nan")}, "distance_m must be a finite number"),
        ({"distance_m": -1.0}, "between 0.001 and 1000 m, got -1"),
        ({"distance_m": 5000.0}, "distance_m must lie between 0.001 and 1000 m, got 5000"),
        ({"energy_kev": 8000.0}, "energy_kev must lie between 0.001 and 1000 keV, got 8000"),
        ({"pixel_row_m": 75.0}, "pixel_row_m must lie between 1e-07 and 0.01 m, got 75"),
        # Squares of such numbers are infinite: q was NaN, and all pixels fell into one bin.
        ({"center_row_px": 1e200}, "center_row_px must lie between"),
        # Straight back q has no digits left; with one more degree of it, no value.
        ({"swing_vertical_deg": 180.0}, "swing_vertical_deg must lie between -179 and 179 deg"),
        ({"incident_angle_deg": 90.0}, "incident_angle_deg must lie between 0 and 89 deg"),
    ],
)
def test_what_cannot_be_is_refused(values, words):
    with pytest.raises(GeometryError, match=words):
        Geometry(**{**VALUES, **values})


@pytest.mark.parametrize("name", sorted(POSSIBLE))
def test_the_ends_belong_to_what_is_possible(name):
    for end in POSSIBLE[name]:
        assert getattr(Geometry(**{**VALUES, name: end}), name) == end
