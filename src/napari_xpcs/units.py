"""Constants and conversions; inside the house: m, s, keV, 1/angstrom."""

HC_KEV_ANGSTROM = 12.398419843320026
"""Planck constant times speed of light, exact from the 2019 SI, keV angstrom."""

ANGSTROM_M = 1e-10
"""One angstrom in m."""

BOLTZMANN_J_PER_K = 1.380649e-23
"""Boltzmann constant, exact from the 2019 SI."""

LARGEST = 1e100
"""A number that a person gives is below: squares and products of such numbers stay real numbers."""
