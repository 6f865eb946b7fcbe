"""Draws against numerical integration, bands against new data, and verdicts against damage."""

from dataclasses import replace

import arviz_stats.base
import numpy as np
import pytest

from napari_xpcs.backends import JAXBackend, NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting.diagnostics import judge
from napari_xpcs.fitting.laplace import sample_laplace
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.nuts import sample_nuts
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.progress import run

XP = NumPyBackend()
STATED = FitOptions(errors="stated")


@pytest.fixture(scope="module")
def noisy(simulate):
    """Curves whose posterior is skewed: contrast twice the error of a point."""
    curves, truth = simulate("single", 4, seed=12, noise=0.08)
    fit = run(fit_g2(curves, options=STATED, xp=XP))
    return curves, truth, fit, run(sample_nuts(curves, fit, xp=JAXBackend()))


def integrated(curves, column, posterior):
    """Return mean and deviation of (baseline, contrast, tau) by summing over a fine grid."""
    wide = posterior.priors["tau_s"]
    mean, sd = posterior.mean()[column], posterior.sd()[column]
    baseline = np.linspace(mean[0] - 7 * sd[0], mean[0] + 7 * sd[0], 61)
    contrast = np.linspace(1e-4, mean[1] + 8 * sd[1], 161)
    draws = posterior.row_draws(column)[..., 2]
    log_tau = np.linspace(np.log(draws.min()) - 1, np.log(draws.max()) + 1, 201)
    decay = np.exp(-2 * curves.delay_s / np.exp(log_tau)[:, None])
    y, weight = curves.g2[:, column], 1 / curves.error[:, column] ** 2
    # Sums over the delays of every product that the square of the deviation has.
    b, c, k = np.meshgrid(baseline, contrast, np.arange(len(log_tau)), indexing="ij")
    sums = [np.sum(weight), decay @ weight, decay**2 @ weight, weight @ y, decay @ (weight * y)]
    chi2 = b**2 * sums[0] + 2 * b * c * sums[1][k] + c**2 * sums[2][k]
    chi2 -= 2 * b * sums[3] + 2 * c * sums[4][k]
    log = -0.5 * chi2 - 0.5 * ((b - 1) / 0.1) ** 2 - 0.5 * (c / 0.5) ** 2
    log -= 0.5 * ((log_tau[k] - np.log(wide.first)) / np.log(wide.second)) ** 2
    density = np.exp(log - log.max())
    density /= density.sum()
    values = b, c, np.exp(log_tau)[k]
    means = np.array([np.sum(density * v) for v in values])
    squares = np.array([np.sum(density * v**2) for v in values])
    return means, np.sqrt(squares - means**2)


def test_draws_have_the_moments_of_the_exact_posterior(noisy):
    curves, _, _, posterior = noisy
    for row in np.flatnonzero(posterior.ok):
        mean, sd = integrated(curves, row, posterior)
        draws = np.moveaxis(posterior.row_draws(row), -1, 0)
        error = arviz_stats.base.array_stats.mcse(draws)
        assert np.all(np.abs(posterior.mean()[row] - mean) < 4 * error)
        np.testing.assert_allclose(posterior.sd()[row], sd, rtol=0.08)
    assert posterior.ok.sum() >= 2


def test_new_points_fall_into_their_band_as_often_as_it_says(simulate):
    curves, truth = simulate("single", 30, seed=13)
    fit = run(fit_g2(curves, options=STATED, xp=XP))
    posterior = run(sample_laplace(curves, fit, xp=XP))
    rng, inside, curve_inside = np.random.default_rng(0), [], []
    for row in range(30):
        baseline, contrast, tau = truth[row]
        true = baseline + contrast * np.exp(-2 * curves.delay_s / tau)
        error = curves.error[:, row]
        again = true + error * rng.standard_normal(len(true))
        low, high = posterior.predictive_band(row, curves.delay_s, error)
        inside.append((low < again) & (again < high))
        low, high = posterior.curve_band(row, curves.delay_s)
        curve_inside.append((low < true) & (true < high))
    assert np.mean(inside) == pytest.approx(0.683, abs=0.04)
    assert np.mean(curve_inside) == pytest.approx(0.683, abs=0.12)


def test_outliers_count_little_under_student_t(simulate):
    curves, truth = simulate("single", 20, seed=5)
    g2 = curves.g2.copy()
    g2[[5, 15, 25]] += 15 * curves.error[[5, 15, 25]]
    curves = replace(curves, g2=g2)
    fit = run(fit_g2(curves, xp=XP))
    off = {}
    for likelihood in ("gaussian", "student-t"):
        posterior = run(sample_laplace(curves, fit, likelihood=likelihood, xp=XP))
        off[likelihood] = np.median(np.abs(posterior.mean() - truth)[:, 2] / truth[:, 2])
        pull = (posterior.mean() - truth)[:, 2] / posterior.sd()[:, 2]
        assert np.sqrt(np.mean(pull**2)) < 1.3
    assert off["student-t"] < 0.5 * off["gaussian"]


def test_a_chain_that_walks_elsewhere_is_found(noisy):
    posterior = noisy[3]
    row = int(np.flatnonzero(posterior.ok)[0])
    draws = posterior.draws.copy()
    draws[row, 0, :, 2] *= 1.5
    judged = judge(replace(posterior, draws=draws))
    assert judged.status[row].startswith("failed: the chains disagree on tau_s")
    assert np.isnan(judged.as_fit().value[row, 2])
    assert np.isfinite(judged.as_fit().value[row, 0])


def test_divergences_and_few_draws_are_told(noisy):
    posterior = noisy[3]
    row = int(np.flatnonzero(posterior.ok)[0])
    diverged = posterior.trace.diverged.copy()
    diverged[row, 0, :12] = True
    trace = replace(posterior.trace, diverged=diverged)
    assert "12 of 4000 trajectories diverged" in judge(replace(posterior, trace=trace)).status[row]
    few = judge(replace(posterior, drawn=np.full_like(posterior.drawn, 60)))
    assert "400 are wanted: draw more" in few.status[row]


def test_errors_too_small_are_widened_as_in_the_fit(simulate):
    curves, _ = simulate("single", 4)
    small = replace(curves, error=curves.error / 10)
    fit = run(fit_g2(small, xp=XP))
    posterior = run(sample_laplace(small, fit, xp=XP))
    np.testing.assert_allclose(posterior.noise, np.sqrt(fit.reduced_chi2), rtol=1e-6)
    np.testing.assert_allclose(posterior.sd(), fit.error, rtol=0.12)


def test_a_measured_covariance_widens_the_posterior_as_it_does_the_fit(simulate):
    curves, _ = simulate("single", 3)
    gap = np.abs(np.subtract.outer(np.arange(48), np.arange(48)))
    covariance = np.stack([np.outer(e, e) * 0.7**gap for e in curves.error.T])
    joint = replace(curves, covariance=covariance)
    fit = run(fit_g2(joint, xp=XP))
    assert set(fit.error_kind) == {"covariance"}
    posterior = run(sample_laplace(joint, fit, xp=XP))
    ratio = np.prod(posterior.sd() / fit.error, axis=1) ** (1 / 3)
    np.testing.assert_allclose(ratio, 1, atol=0.12)
    np.testing.assert_array_equal(posterior.new_data_noise, 1)


def test_bins_that_share_a_parameter_are_refused(simulate):
    from napari_xpcs.fitting.global_fit import fit_global

    curves, _ = simulate("single", 3)
    fit = run(fit_global([curves], "single", share=["contrast"], xp=XP))
    with pytest.raises(FitError, match="share contrast"):
        run(sample_laplace(curves, fit, xp=XP))
