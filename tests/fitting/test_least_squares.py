import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import least_squares

from napari_xpcs.backends import JAXBackend, NumPyBackend
from napari_xpcs.errors import ChoiceError, FitError
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.progress import run

XP = NumPyBackend()


def with_points(curves, *, g2=None, error=None):
    return G2Curves(
        delay_s=curves.delay_s,
        g2=curves.g2 if g2 is None else g2,
        error=curves.error if error is None else error,
        bins=curves.bins,
    )


@pytest.mark.parametrize("model", ["single", "stretched"])
def test_errors_cover_the_truth_as_often_as_one_sigma_should(model, simulate):
    curves, truth = simulate(model, 2000, seed=1)
    fit = run(fit_g2(curves, model, xp=XP))
    pull = (fit.value - truth) / fit.error
    assert np.mean(fit.ok) > 0.99
    coverage = np.mean(np.abs(pull[fit.ok]) < 1, axis=0)
    assert np.all((coverage > 0.64) & (coverage < 0.72)), coverage
    assert np.all(np.abs(np.median(pull[fit.ok], axis=0)) < 0.1)
    assert np.mean(fit.reduced_chi2) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("model", list(G2_MODELS))
def test_both_solvers_recover_the_truth_and_agree(model, simulate):
    curves, truth = simulate(model, 40, seed=2, noise=0.002)
    ours = run(fit_g2(curves, model, xp=XP))
    optimistix = run(fit_g2(curves, model, xp=JAXBackend()))
    assert ours.ok.mean() >= 0.9
    pull = (ours.value - truth)[ours.ok] / ours.error[ours.ok]
    assert np.sqrt(np.mean(pull**2)) < 1.3
    assert ours.status == optimistix.status
    apart = np.abs(ours.value - optimistix.value)[ours.ok] / ours.error[ours.ok]
    assert apart.max() < 1e-2


@pytest.mark.parametrize("model", ["single", "stretched", "double"])
def test_scipy_finds_no_lower_minimum(model, simulate):
    curves, truth = simulate(model, 12, seed=3)
    fit = run(fit_g2(curves, model, options=FitOptions(errors="stated"), xp=XP))
    for i, start in enumerate(truth):

        def residual(x, i=i):
            baseline, contrast, *theta = x
            shape = G2_MODELS[model].shape(curves.delay_s, *theta, xp=XP)
            return (baseline + contrast * shape - curves.g2[:, i]) / curves.error[:, i]

        scipy = least_squares(residual, start, x_scale=start, xtol=1e-12, ftol=1e-12)
        assert np.all(np.abs(fit.value[i] - scipy.x) < 0.01 * fit.error[i])
        covariance = np.linalg.inv(scipy.jac.T @ scipy.jac)
        np.testing.assert_allclose(fit.error[i], np.sqrt(np.diag(covariance)), rtol=1e-3)


def test_a_time_unit_of_microseconds_changes_nothing(simulate):
    curves, _ = simulate("stretched", 5)
    fast = G2Curves(
        delay_s=curves.delay_s * 1e-6, g2=curves.g2, error=curves.error, bins=curves.bins
    )
    slow_fit, fast_fit = (run(fit_g2(each, "stretched", xp=XP)) for each in (curves, fast))
    np.testing.assert_allclose(fast_fit.value[:, 2] * 1e6, slow_fit.value[:, 2], rtol=1e-6)


def test_points_without_value_or_error_take_no_part(simulate):
    curves, _ = simulate("single", 3)
    keep = np.ones(48, dtype=bool)
    keep[[3, 17, 20, 30]] = False
    expected = run(
        fit_g2(
            G2Curves(
                delay_s=curves.delay_s[keep],
                g2=curves.g2[keep],
                error=curves.error[keep],
                bins=curves.bins,
            ),
            xp=XP,
        )
    )
    g2, error = curves.g2.copy(), curves.error.copy()
    g2[3], error[17], error[20], error[30] = np.nan, 0.0, np.nan, -1.0
    g2[17] = 1e6
    fit = run(fit_g2(with_points(curves, g2=g2, error=error), xp=XP))
    assert list(fit.n_points) == [44] * 3
    np.testing.assert_allclose(fit.value, expected.value, rtol=1e-6)
    np.testing.assert_allclose(fit.error, expected.error, rtol=1e-5)


def test_without_errors_the_scatter_is_the_error(simulate):
    curves, truth = simulate("single", 500, seed=4)
    rng = np.random.default_rng(5)
    clean = np.stack([b + c * np.exp(-2 * curves.delay_s / tau) for b, c, tau in truth], axis=1)
    noisy = clean + 0.003 * rng.standard_normal(clean.shape)
    fit = run(fit_g2(with_points(curves, g2=noisy, error=np.full_like(noisy, np.nan)), xp=XP))
    assert set(fit.error_kind) == {"scatter"}
    assert np.all(np.isnan(fit.reduced_chi2))
    coverage = np.mean(np.abs(fit.value - truth)[fit.ok] < fit.error[fit.ok], axis=0)
    assert np.all((coverage > 0.62) & (coverage < 0.74)), coverage


def test_errors_too_small_for_the_scatter_are_scaled(simulate):
    curves, _ = simulate("single", 4)
    honest = run(fit_g2(curves, xp=XP))
    small = run(fit_g2(with_points(curves, error=curves.error / 10), xp=XP))
    assert set(small.error_kind) == {"scaled"}
    np.testing.assert_allclose(small.reduced_chi2, 100 * honest.reduced_chi2, rtol=1e-6)
    scaled = run(fit_g2(curves, options=FitOptions(errors="scaled"), xp=XP))
    np.testing.assert_allclose(small.error, scaled.error, rtol=1e-4)


def test_fixed_values_are_held_and_have_no_error(simulate, xp):
    curves, truth = simulate("single", 5)
    fit = run(fit_g2(curves, fixed={"contrast": 0.3}, bounds={"tau_s": (1e-3, 5.0)}, xp=xp))
    assert np.all(fit.value[:, 1] == 0.3)
    assert np.all(fit.error[:, 1] == 0)
    right = run(fit_g2(curves, fixed={"baseline": float(truth[0, 0])}, bins=[1], xp=xp))
    assert abs(right.value[0, 2] - truth[0, 2]) < 4 * right.error[0, 2]


def test_a_fixed_velocity_is_another_rate_in_every_bin(simulate):
    curves, truth = simulate("flow", 3, velocity_m_per_s=3e-6)
    fit = run(fit_g2(curves, "flow", fixed={"velocity_m_per_s": 3e-6}, xp=XP))
    np.testing.assert_allclose(fit.value[:, 3], 3e-6)
    assert np.all(np.abs(fit.value[:, 2] - truth[:, 2]) < 4 * fit.error[:, 2])


def test_bins_keep_the_order_that_was_asked_for(simulate):
    curves, _ = simulate("single", 6)
    fit = run(fit_g2(curves, bins=[5, 2], xp=XP))
    everything = run(fit_g2(curves, xp=XP))
    assert list(fit.bins.label) == [5, 2]
    np.testing.assert_allclose(fit.value, everything.value[[4, 1]], rtol=1e-6)


def test_the_faster_mode_comes_first(simulate):
    curves, _ = simulate("double", 20, seed=6)
    fit = run(fit_g2(curves, "double", xp=XP))
    assert np.all(fit.value[fit.ok, 2] < fit.value[fit.ok, 3])


def test_curve_draws_what_was_fitted(simulate):
    curves, _ = simulate("flow", 2)
    fit = run(fit_g2(curves, "flow", xp=XP))
    pull = (fit.curve(1, curves.delay_s) - curves.g2[:, 1]) / curves.error[:, 1]
    assert np.sum(pull**2) / (48 - 4) == pytest.approx(fit.reduced_chi2[1])


def test_progress_counts_the_curves_and_shows_those_that_are_done(simulate):
    curves, _ = simulate("single", 300)
    seen = []
    fit = run(fit_g2(curves, xp=XP), seen.append)
    done = [each.done for each in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 300)
    assert {each.total for each in seen} == {300}
    first, last = (each.partial for each in seen if each.partial is not None)
    assert list(first.bins.label) == list(range(1, 257))
    np.testing.assert_array_equal(first.value, fit.value[:256])
    assert last is fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": {"tau": 1.0}}, "its parameters are baseline, contrast, tau_s"),
        ({"bounds": {"exponent": (0.0, 1.0)}}, "no parameter 'exponent'"),
        ({"fixed": {"contrast": 1.7}}, "outside its bounds 0 to 1"),
        ({"fixed": {"tau_s": -1.0}}, "tau_s cannot be -1"),
        ({"fixed": {"tau_s": float("nan")}}, "tau_s cannot be nan"),
        ({"bounds": {"tau_s": (2.0, 1.0)}}, "the lower one first"),
        ({"bounds": {"contrast": (-1.0, 1.0)}}, "lies between 0 and inf"),
        ({"bins": [1, 9]}, "No bin 9 among the curves; the bins are 1 to 3"),
    ],
)
def test_what_cannot_be_is_said(options, message, simulate):
    curves, _ = simulate("single", 3)
    with pytest.raises(FitError, match=message):
        run(fit_g2(curves, **{"model": "single", "xp": XP, **options}))


def test_a_model_that_there_is_not_is_said(simulate):
    with pytest.raises(ChoiceError, match="no model 'kww'; choose single, stretched, double"):
        run(fit_g2(simulate("single", 3)[0], model="kww", xp=XP))


def test_importing_the_fit_does_not_import_jax():
    code = (
        "import sys, napari_xpcs.fitting.least_squares, napari_xpcs.fitting.dispersion;"
        "sys.exit('jax' in sys.modules or 'optimistix' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
