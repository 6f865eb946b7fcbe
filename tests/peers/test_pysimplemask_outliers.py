"""Outliers are those of pySimpleMask, pixel for pixel (see test_pysimplemask for its place)."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask_inputs import MaskInputs
from napari_xpcs.kernels.mask_of_steps import mask_of_steps
from napari_xpcs.kernels.mask_painting import painted_difference
from napari_xpcs.kernels.mask_steps import OutliersStep
from napari_xpcs.kernels.qmap import q_maps

FINDER = Path(__file__).with_name("outliers_of_pysimplemask.py")
SHAPE = (330, 410)
CASES = [
    f"{where}:{rule}"
    for where in ("ring", "tile")
    for rule in ("mad:10", "mad:4", "percentile:3", "percentile:5")
]


def test_outliers_are_the_same_pixels(tmp_path):
    python = os.environ.get("XPCS_PYSIMPLEMASK")
    if not python:
        pytest.skip("set XPCS_PYSIMPLEMASK to the Python that pySimpleMask is installed in")
    xp = NumPyBackend()
    geometry = Geometry(
        shape=SHAPE,
        energy_kev=10.0,
        distance_m=5.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=100.3,
        center_col_px=-20.7,
    )
    maps = q_maps(geometry, xp=xp)
    rng = np.random.default_rng(5)
    image = rng.gamma(2.0, 50 * np.exp(-3 * maps.q / maps.q.max()))
    hot = rng.random(SHAPE) < 0.003
    image[hot] *= rng.uniform(3, 30, hot.sum())
    image[50:60, 50:60] = 0.0
    mask = rng.random(SHAPE) > 0.1
    np.savez(tmp_path / "in.npz", image=image, mask=mask, q=maps.q, cases=CASES)
    subprocess.run([python, FINDER, tmp_path / "in.npz", tmp_path / "out.npz"], check=True)
    inputs = MaskInputs(shape=SHAPE, image=image, maps=maps)
    before = painted_difference(np.ones(SHAPE, dtype=bool), mask)
    with np.load(tmp_path / "out.npz") as theirs:
        for case in CASES:
            where, rule, cutoff = case.split(":")
            step = OutliersStep(within=where, rule=rule, cutoff=float(cutoff))
            ours = mask & ~mask_of_steps([before, step], inputs, xp=xp).mask
            assert ours.sum() > 100
            np.testing.assert_array_equal(ours, theirs[case], err_msg=case)
