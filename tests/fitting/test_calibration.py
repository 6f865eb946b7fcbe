"""Simulation-based calibration, reduced: the whole run is in benchmarks/sbc.py."""

import runpy
from pathlib import Path

import pytest

SBC = Path(__file__).resolve().parents[2] / "benchmarks" / "sbc.py"


@pytest.mark.parametrize("model", ["single", "stretched"])
def test_ranks_of_the_truth_are_uniform(model):
    p_values = runpy.run_path(str(SBC))["p_values"]
    found = p_values(model, 60, bins=6)
    assert all(p > 1e-3 for p in found.values()), found


def test_ranks_of_the_instant_posterior_are_uniform():
    p_values = runpy.run_path(str(SBC))["p_values"]
    found = p_values("single", 300, "laplace")
    assert all(p > 1e-3 for p in found.values()), found
