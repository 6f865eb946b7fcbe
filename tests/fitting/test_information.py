"""Akaike's criterion against its sum written out."""

from dataclasses import replace

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.information import akaike
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.progress import run

XP = NumPyBackend()


@pytest.mark.parametrize("smaller", [1.0, 0.5])
def test_chi2_in_units_of_the_noise_and_two_for_every_free_parameter(simulate, smaller):
    curves, _ = simulate("single", 3)
    curves = replace(curves, error=smaller * curves.error)
    fixed = {"baseline": 1.0}
    fits = [run(fit_g2(curves, model, fixed=fixed, xp=XP)) for model in ("single", "stretched")]
    chi2 = [
        [np.sum(((fit.curve(k, curves.delay_s) - curves.g2[:, k]) / curves.error[:, k]) ** 2)
         for k in range(3)]
        for fit in fits
    ]  # fmt: skip
    free, points = np.array([[2], [3]]), len(curves.delay_s)
    noise = np.maximum(np.min(chi2 / (points - free), axis=0), 1.0)
    np.testing.assert_allclose(akaike(fits), chi2 / noise + 2 * free)
