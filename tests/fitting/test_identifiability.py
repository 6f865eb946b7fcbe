"""Curves that determine little, and curves that only look as if."""

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import run

XP = NumPyBackend()
DELAY = np.geomspace(1e-3, 10, 48)


def fit_of(g2, error=0.002, *, seed=0, model="single", q=3e-3, **options):
    """Fit 50 noisy copies of one curve."""
    rng = np.random.default_rng(seed)
    noisy = (g2 + error * rng.standard_normal((50, len(g2)))).T
    bins = BinTable(
        label=np.arange(1, 51),
        q=np.full(50, q),
        phi_deg=np.zeros(50),
        pixels=np.zeros(50, dtype=int),
    )
    curves = G2Curves(
        delay_s=DELAY[: len(g2)], g2=noisy, error=np.full(noisy.shape, error), bins=bins
    )
    return run(fit_g2(curves, model, xp=XP, **options))


def decay(tau, contrast=0.2):
    return 1 + contrast * np.exp(-2 * DELAY / tau)


@pytest.mark.parametrize("model", ["single", "stretched", "double", "cumulant"])
def test_a_constant_has_no_relaxation_time(model):
    fit = fit_of(np.ones(48), model=model)
    assert not fit.ok.any()
    assert np.isnan(fit.value).all()
    words = {status.split(":")[0] for status in fit.status}
    assert words <= {"not_identifiable", "at_bound"}
    assert any("a constant describes the curve as well" in status for status in fit.status)


def test_a_decay_beyond_the_longest_delay_is_called_that():
    fit = fit_of(decay(tau=100.0))
    expected = "not_identifiable: the decay is slower than the longest delay 10 s"
    assert set(fit.status) == {expected}


def test_a_decay_before_the_shortest_delay_is_not_ok():
    assert not fit_of(decay(tau=3e-4)).ok.any()


def test_frozen_speckle_is_not_ok():
    assert not fit_of(np.full(48, 1.2)).ok.any()


def test_a_single_decay_does_not_hold_two_modes():
    assert fit_of(decay(tau=0.1), model="double").ok.mean() < 0.05


def test_clear_decays_are_ok():
    for tau in (0.01, 0.1, 1.0):
        assert fit_of(decay(tau)).ok.all()
        assert fit_of(decay(tau), model="stretched").ok.mean() > 0.95


def test_a_weak_decay_is_ok_where_the_truth_is_near():
    fit = fit_of(decay(0.1, contrast=0.004))
    off = np.abs(fit.value[fit.ok, 2] - 0.1) / fit.error[fit.ok, 2]
    assert 0.2 < fit.ok.mean() < 0.9
    assert np.mean(off < 3) > 0.9


def test_part_of_a_decay_needs_the_contrast():
    part = decay(tau=40.0)
    assert not fit_of(part, error=0.004).ok.any()
    helped = fit_of(part, error=0.004, fixed={"contrast": 0.2})
    assert helped.ok.all()
    assert np.mean(np.abs(helped.value[:, 2] - 40) < helped.error[:, 2]) > 0.5


def test_a_contrast_at_its_bound_is_said_and_left_empty():
    fit = fit_of(decay(tau=0.1, contrast=0.5), bounds={"contrast": (0.0, 0.3)})
    assert set(fit.status) == {"at_bound: contrast is at its upper bound 0.3"}
    assert np.isnan(fit.value[:, 1]).all()
    assert np.isnan(fit.error[:, 1]).all()


def test_few_points_and_none():
    few = fit_of(decay(0.01)[:7])
    assert set(few.status) == {"no_data: only 7 usable delays, this fit needs 8"}
    none = fit_of(np.full(48, np.nan))
    assert set(none.status) == {"no_data: no delay has both a g2 value and an error above 0"}
    assert list(none.n_points) == [0] * 50


def test_a_velocity_needs_a_q():
    fit = fit_of(decay(0.1), model="flow", q=np.nan)
    assert all(status.startswith("no_data: q of this bin is unknown") for status in fit.status)


def test_one_bad_point_does_not_spoil_the_curve():
    g2 = decay(0.1)
    g2[5] = np.nan
    fit = fit_of(g2)
    assert fit.ok.all()
    assert set(fit.n_points) == {47}


def test_noiseless_curves_converge():
    bins = BinTable(
        label=np.array([1]), q=np.array([3e-3]), phi_deg=np.zeros(1), pixels=np.zeros(1, dtype=int)
    )
    for error in (1e-3, np.nan):
        curves = G2Curves(
            delay_s=DELAY, g2=decay(0.1)[:, None], error=np.full((48, 1), error), bins=bins
        )
        fit = run(fit_g2(curves, xp=XP))
        assert fit.status == ("ok",)
        np.testing.assert_allclose(fit.value[0], [1, 0.2, 0.1], rtol=1e-4)


@pytest.mark.parametrize("model", ["single", "stretched", "damped"])
def test_the_start_of_a_slow_decay_is_not_taken_for_a_small_one_that_is_over(model):
    fits = [fit_of(decay(300.0), 0.003, seed=seed, model=model) for seed in range(4)]
    assert np.mean([fit.ok.mean() for fit in fits]) <= 0.03
