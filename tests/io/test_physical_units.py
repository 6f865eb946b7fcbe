"""Units as files write them."""

import pytest

from napari_xpcs.io.physical_units import to_house_unit


@pytest.mark.parametrize(
    ("name", "value", "unit", "expected"),
    [
        ("frame_time_s", 2.5, "s", 2.5),
        ("frame_time_s", 2.5, "ms", 2.5e-3),
        ("count_time_s", 2.5, "microseconds", 2.5e-6),
        ("count_time_s", 2.5, "ns", 2.5e-9),
        ("frame_time_s", 2.5, "mm", None),
        ("distance_m", 4.9, "metre", 4.9),
        ("distance_m", 4.9, "cm", 4.9e-2),
        ("distance_m", 4900.0, "mm", 4.9),
        ("pixel_row_m", 55.0, "um", 55e-6),
        ("pixel_row_m", 55.0, "µm", 55e-6),
        ("pixel_row_m", 550.0, "nm", 550e-9),
        ("energy_kev", 8.0, "keV", 8.0),
        ("energy_kev", 8000.0, "eV", 8.0),
        ("energy_kev", 0.02, "MeV", 20.0),
        ("energy_kev", 1.0, "angstrom", 12.398419843),
        ("energy_kev", 0.1, "nm", 12.398419843),
        ("energy_kev", 1e-10, "m", 12.398419843),
        ("center_row_px", 256.5, "pixels", 256.5),
        ("center_row_px", 11.0, "mm", 200.0),
        ("swing_vertical_deg", 3.0, "degrees", 3.0),
        ("swing_vertical_deg", 3.0, "rad", None),
    ],
)
def test_values_in_the_unit_of_their_name(name, value, unit, expected):
    found = to_house_unit(name, value, unit, pixel_m=55e-6)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-9))
