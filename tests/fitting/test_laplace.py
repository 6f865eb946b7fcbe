"""The instant posterior against least squares, and where it says that it cannot be trusted."""

import numpy as np
import pytest

from napari_xpcs.backends import JAXBackend, NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting.laplace import sample_laplace
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.nuts import sample_nuts
from napari_xpcs.progress import run


@pytest.fixture(scope="module")
def stretched(simulate):
    curves, _ = simulate("stretched", 20, seed=5)
    return curves, run(fit_g2(curves, "stretched", xp=NumPyBackend()))


def test_good_curves_have_the_posterior_of_least_squares(stretched, xp):
    curves, fit = stretched
    posterior = run(sample_laplace(curves, fit, xp=xp))
    assert np.mean(posterior.ok) >= 0.95
    assert np.all(posterior.diagnostics.k_hat[posterior.ok] < 0.7)
    off = np.abs(posterior.mean() - fit.value) / fit.error
    assert np.median(off) < 0.1
    np.testing.assert_allclose(np.median(posterior.sd() / fit.error, axis=0), 1, atol=0.06)


def test_both_backends_weigh_alike(stretched):
    curves, fit = stretched
    numpy, jax = (
        run(sample_laplace(curves, fit, xp=each)) for each in (NumPyBackend(), JAXBackend())
    )
    np.testing.assert_allclose(jax.diagnostics.k_hat, numpy.diagnostics.k_hat, rtol=1e-6)
    np.testing.assert_allclose(jax.mean(), numpy.mean(), rtol=1e-6)


def test_a_curve_far_from_normal_is_sent_to_nuts(simulate):
    curves, _ = simulate("stretched", 30, seed=7, noise=0.08)
    fit = run(fit_g2(curves, "stretched", xp=NumPyBackend()))
    posterior = run(sample_laplace(curves, fit, xp=NumPyBackend()))
    poor = posterior.diagnostics.k_hat >= 0.7
    assert poor.any()
    assert all("NUTS" in posterior.status[row] for row in np.flatnonzero(poor))
    assert np.isnan(posterior.as_fit().value[poor]).all()


def test_nuts_agrees_where_k_hat_is_small(simulate):
    curves, _ = simulate("single", 4, seed=8)
    fit = run(fit_g2(curves, xp=NumPyBackend()))
    instant = run(sample_laplace(curves, fit, xp=NumPyBackend()))
    walked = run(sample_nuts(curves, fit, xp=JAXBackend()))
    assert np.all(instant.diagnostics.k_hat < 0.7)
    assert np.all(np.abs(instant.mean() - walked.mean()) < 0.1 * walked.sd())
    np.testing.assert_allclose(instant.sd(), walked.sd(), rtol=0.1)


def test_held_parameters_stay_so(simulate, xp):
    curves, _ = simulate("single", 3)
    fit = run(fit_g2(curves, fixed={"baseline": 1.0}, xp=NumPyBackend()))
    posterior = run(sample_laplace(curves, fit, xp=xp))
    assert np.all(posterior.mean()[:, 0] == 1.0)
    assert np.all(posterior.sd()[:, 0] == 0)
    assert set(posterior.priors) == {"contrast", "tau_s"}
    np.testing.assert_allclose(posterior.as_fit().error[:, 1:], fit.error[:, 1:], rtol=0.15)


def test_too_few_draws_are_refused(simulate):
    curves, _ = simulate("single", 1)
    fit = run(fit_g2(curves, xp=NumPyBackend()))
    with pytest.raises(FitError, match="at least 100"):
        run(sample_laplace(curves, fit, draws=10, xp=NumPyBackend()))
