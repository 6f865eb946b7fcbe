"""A number with its error, as tables and reports tell it."""

from math import floor, inf, isclose, log10, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xpcs.units import value_text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.00042, 0.00019, "1.00042 ± 0.00019"),
        (2.01, 0.0121, "2.010 ± 0.012"),
        (4.97e-14, 1.93e-16, "4.970e-14 ± 1.9e-16"),
        (0.2377, 0.0996, "0.24 ± 0.10"),
        (-3.14159, 0.0999, "-3.14 ± 0.10"),
        (1234.5, 12.0, "1234 ± 12"),
        (0.002, 0.05, "0.002 ± 0.050"),
        (0.15, 0.0, "0.15 ± 0"),
        (0.0, 0.1, "0 ± 0.1"),
        (2.5, nan, "2.5"),
        (2.5, inf, "2.5"),
        (nan, 0.1, ""),
    ],
)
def test_value_and_error_end_at_the_same_digit(value, error, text):
    assert value_text(value, error) == text


@given(
    value=st.floats(1e-20, 1e20),
    relative=st.floats(1e-9, 1.0),
)
def test_what_is_told_is_the_value_within_a_tenth_of_its_error(value, relative):
    error = value * relative
    told, told_error = map(float, value_text(value, error).split(" ± "))
    assert abs(told - value) <= 0.1 * error
    assert isclose(told_error, error, rel_tol=0.051)
    assert floor(log10(told_error)) - floor(log10(error)) in (0, 1)
