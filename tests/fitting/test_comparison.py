"""Leave-one-out comparison of models: against exact sums, and against the truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting.comparison import compare_models
from napari_xpcs.fitting.laplace import sample_laplace
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.progress import run

XP = NumPyBackend()


def posterior_of(curves, model, **options):
    fit = run(fit_g2(curves, model, xp=XP, **options))
    return run(sample_laplace(curves, fit, xp=XP))


def test_the_true_model_predicts_better(simulate):
    curves, _ = simulate("stretched", 4, seed=3, exponent=0.6)
    both = run(compare_models(curves, [posterior_of(curves, m) for m in ("single", "stretched")]))
    assert list(both.best) == [1] * 4
    assert both.total_verdict().startswith("stretched predicts better than single by")
    assert np.all(both.behind[1] == 0)


def test_a_needless_parameter_is_no_better(simulate):
    curves, _ = simulate("single", 4, seed=4)
    both = run(compare_models(curves, [posterior_of(curves, m) for m in ("single", "stretched")]))
    assert "predict alike" in both.total_verdict()
    assert np.all(both.worst_k < 0.7)
    np.testing.assert_allclose(both.effective_parameters[0], 3, atol=1.5)


def test_models_of_correlated_points_are_measured_alike(simulate):
    """Each model widens the errors in its own measure: none may win by that."""
    curves, _ = simulate("single", 6, seed=6)
    step = np.abs(np.subtract.outer(np.log(curves.delay_s), np.log(curves.delay_s)))
    covariance = np.exp(-step / 2) * curves.error.T[:, :, None] * curves.error.T[:, None, :]
    curves = replace(curves, covariance=covariance)
    both = run(compare_models(curves, [posterior_of(curves, m) for m in ("single", "stretched")]))
    assert "predict alike" in both.total_verdict()


def test_elpd_is_that_of_a_linear_model(simulate):
    """With the time held, g2 is linear: leaving a point out is then an exact formula."""
    curves, truth = simulate("single", 1, seed=5)
    posterior = posterior_of(curves, "single", fixed={"tau_s": float(truth[0, 2])})
    found = run(compare_models(curves, [posterior, posterior]))
    design = np.stack(
        [np.ones_like(curves.delay_s), np.exp(-2 * curves.delay_s / truth[0, 2])], axis=1
    )
    y, error = curves.g2[:, 0], curves.error[:, 0] * posterior.noise[0]
    exact = np.zeros(len(y))
    for i in range(len(y)):
        keep = np.arange(len(y)) != i
        weight = 1 / error[keep] ** 2
        covariance = np.linalg.inv(design[keep].T @ (design[keep] * weight[:, None]))
        mean = covariance @ design[keep].T @ (weight * y[keep])
        spread = np.sqrt(error[i] ** 2 + design[i] @ covariance @ design[i])
        exact[i] = norm.logpdf(y[i], design[i] @ mean, spread)
    # Ours lacks the constant of the normal distribution, once a point, in units of the errors.
    ours = found.elpd[0, 0] - 0.5 * len(y) * np.log(2 * np.pi)
    assert ours == pytest.approx(exact.sum(), abs=0.3)
    # The sum of so many points that scatter as much: the error of a mean, times their number.
    assert found.elpd_se[0, 0] == pytest.approx(np.sqrt(len(y)) * exact.std(), rel=0.05)


def test_progress_counts_the_curves_of_every_model(simulate):
    curves, _ = simulate("single", 3)
    posterior = posterior_of(curves, "single")
    steps = list(compare_models(curves, [posterior, posterior]))
    assert [(step.done, step.total) for step in steps] == [(done, 6) for done in range(6)]


def test_what_cannot_be_compared_is_said(simulate):
    curves, _ = simulate("single", 3)
    posterior = posterior_of(curves, "single")
    with pytest.raises(FitError, match="two models or more"):
        run(compare_models(curves, [posterior]))
    other = posterior_of(curves, "stretched", bins=[1, 2])
    with pytest.raises(FitError, match="different bins"):
        run(compare_models(curves, [posterior, other]))
