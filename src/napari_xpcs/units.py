"""Constants, conversions and how numbers are told; inside the house: m, s, keV, 1/angstrom."""

from math import floor, isfinite, log10

HC_KEV_ANGSTROM = 12.398419843320026
"""Planck constant times speed of light, exact from the 2019 SI, keV angstrom."""

ANGSTROM_M = 1e-10
"""One angstrom in m."""

BOLTZMANN_J_PER_K = 1.380649e-23
"""Boltzmann constant, exact from the 2019 SI."""

LARGEST = 1e100
"""A number that a person gives is below: squares and products of such numbers stay real numbers."""


def value_text(value: float, error: float, scale: float = 1.0) -> str:
    """Return a value with its error, both times ``scale`` and to two digits of the error.

    >>> value_text(1.00042, 0.00019), value_text(63.6e-9, 9e-10, scale=1e9)
    ('1.00042 ± 0.00019', '63.60 ± 0.90')

    Nothing where there is no value; four digits where there is no error.

    >>> value_text(float("nan"), 0.1), value_text(2.5, float("nan"))
    ('', '2.5')
    """
    value, error = value * scale, error * scale
    if not isfinite(value):
        return ""
    if not isfinite(error):
        return f"{value:.4g}"
    if value == 0.0 or error <= 0.0:
        return f"{value:.4g} ± {error:.2g}"
    place = _exponent(f"{error:.1e}") - 1
    digits = min(max(floor(log10(abs(value))) - place + 1, 1), 15)
    return f"{_rounded(value, digits)} ± {_rounded(error, 2)}"


def _exponent(scientific: str) -> int:
    return int(scientific.partition("e")[2])


def _rounded(value: float, digits: int) -> str:
    """Return a value to so many digits, zeros at the end included."""
    number, e, exponent = f"{value:#.{digits}g}".partition("e")
    return number.removesuffix(".") + e + exponent
