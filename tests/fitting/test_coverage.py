"""One standard error covers the truth as often as it should, for every model.

``benchmarks/bench_coverage.py`` does the same with 2000 curves a model.
"""

import numpy as np
import pytest
from scipy.stats import chi2

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.progress import run

XP = NumPyBackend()
COUNT = 500
NOMINAL = 0.6827


def covered(fit, truth):
    """Return the part of the bins whose error covers the truth, per parameter."""
    inside = np.abs(fit.value - truth) < fit.error
    return inside[fit.ok].mean(axis=0)


@pytest.mark.parametrize("model", list(G2_MODELS))
def test_every_model(model, simulate):
    curves, truth = simulate(model, COUNT, seed=21, noise=0.002)
    fit = run(fit_g2(curves, model, xp=XP))
    assert fit.ok.mean() > 0.97
    chance = 3.3 * np.sqrt(NOMINAL * (1 - NOMINAL) / COUNT)
    assert np.all(np.abs(covered(fit, truth) - NOMINAL) < chance), covered(fit, truth)


def with_outliers(curves, seed=3):
    """Return the curves with 3 points of each off by 8 to 25 errors."""
    rng = np.random.default_rng(seed)
    g2 = curves.g2.copy()
    for column in range(g2.shape[1]):
        at = rng.choice(len(g2), 3, replace=False)
        sign = rng.choice([-1.0, 1.0], 3)
        g2[at, column] += sign * rng.uniform(8, 25, 3) * curves.error[at, column]
    return G2Curves(delay_s=curves.delay_s, g2=g2, error=curves.error, bins=curves.bins)


@pytest.mark.parametrize("model", ["single", "stretched"])
def test_outliers_count_less_where_that_is_asked_for(model, simulate):
    clean, truth = simulate(model, COUNT, seed=22)
    spoiled = with_outliers(clean)
    robust = FitOptions(robust=True)
    fit = run(fit_g2(spoiled, model, options=robust, xp=XP))
    plain = run(fit_g2(spoiled, model, xp=XP))
    off = [np.nanstd(np.log(each.value[:, 2] / truth[:, 2])) for each in (fit, plain)]
    assert off[0] < 0.6 * off[1]
    assert set(fit.error_kind) == {"robust"}
    # The reduced chi2 is that of the errors as they are given, outliers and all.
    residual = (fit.curve(7, spoiled.delay_s) - spoiled.g2[:, 7]) / spoiled.error[:, 7]
    freedom = len(residual) - len(fit.names)
    assert fit.reduced_chi2[7] == pytest.approx(np.sum(residual**2) / freedom)
    coverage = covered(fit, truth)
    assert np.all((coverage > 0.6) & (coverage < 0.76)), coverage
    # Without outliers little is lost.
    both = [run(fit_g2(clean, model, options=each, xp=XP)) for each in (robust, FitOptions())]
    ratio = np.nanmedian(both[0].error[:, 2] / both[1].error[:, 2])
    assert 0.9 < ratio < 1.2
    coverage = covered(both[0], truth)
    assert np.all((coverage > 0.6) & (coverage < 0.76)), coverage


def test_an_automatic_floor_brings_chi2_to_one(simulate):
    curves, truth = simulate("single", COUNT, seed=23)
    rng = np.random.default_rng(1)
    extra = 0.003
    noisy = G2Curves(
        delay_s=curves.delay_s,
        g2=curves.g2 + extra * rng.standard_normal(curves.g2.shape),
        error=curves.error,
        bins=curves.bins,
    )
    fit = run(fit_g2(noisy, options=FitOptions(error_floor="auto"), xp=XP))
    np.testing.assert_allclose(fit.reduced_chi2, 1.0, atol=2e-2)
    assert np.median(fit.error_floor) == pytest.approx(extra, rel=0.1)
    coverage = covered(fit, truth)
    assert np.all((coverage > 0.62) & (coverage < 0.75)), coverage


def test_ranges_starts_and_ties(simulate):
    curves, _ = simulate("double", 20, seed=24, noise=0.001)
    options = FitOptions(
        start={"tau_s": 0.015, "tau2_s": 0.5},
        starts=1,
        fit_range={1: (5e-3, 5.0)},
    )
    fit = run(fit_g2(curves, "double", options=options, xp=XP))
    assert fit.n_points[0] < fit.n_points[1] == 48
    assert fit.ok.all()
    usual = run(fit_g2(curves, "double", xp=XP))
    np.testing.assert_allclose(fit.value[1:], usual.value[1:], rtol=1e-2)

    tied = run(fit_g2(curves, "double", options=FitOptions(tied={"tau2_s": "30*tau_s"}), xp=XP))
    np.testing.assert_allclose(tied.value[:, 3], 30 * tied.value[:, 2])
    np.testing.assert_allclose(tied.error[:, 3], 30 * tied.error[:, 2])
    assert np.all(tied.reduced_chi2 >= usual.reduced_chi2 * (1 - 1e-3) * 43 / 44)


def test_errors_that_are_not_scaled_or_always(simulate):
    curves, _ = simulate("single", 100, seed=25)
    fits = {
        kind: run(fit_g2(curves, options=FitOptions(errors=kind), xp=XP))
        for kind in ("auto", "stated", "scaled")
    }
    stretch = np.sqrt(fits["stated"].reduced_chi2)[:, None]
    np.testing.assert_allclose(fits["scaled"].error, fits["stated"].error * stretch)
    beyond_chance = fits["stated"].reduced_chi2 > chi2.ppf(0.95, 45) / 45
    assert 0 < np.count_nonzero(beyond_chance) < 10
    stretch[~beyond_chance] = 1.0
    np.testing.assert_allclose(fits["auto"].error, fits["stated"].error * stretch)
    assert set(fits["stated"].error_kind) == {"stated"}
    assert set(fits["scaled"].error_kind) == {"scaled"}
