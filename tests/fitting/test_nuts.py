"""NUTS against least squares, against NumPyro's own MCMC, and how it stops."""

import numpy as np
import pytest

from napari_xpcs.backends import JAXBackend, NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting.diagnostics import judge
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.nuts import sample_nuts
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.progress import run

XP = JAXBackend()


def sampled(curves, fit, **options):
    return run(sample_nuts(curves, fit, xp=XP, **{"draws": 500, **options}))


@pytest.fixture(scope="module")
def single(simulate):
    curves, _ = simulate("single", 4, seed=1)
    # The last bin is damaged: nothing decays in it.
    g2 = curves.g2.copy()
    g2[:, 3] = 1 + curves.error[:, 3] * np.random.default_rng(0).standard_normal(len(g2))
    curves = G2Curves(delay_s=curves.delay_s, g2=g2, error=curves.error, bins=curves.bins)
    fit = run(fit_g2(curves, "single", xp=NumPyBackend()))
    return curves, fit, sampled(curves, fit)


def test_the_posterior_is_that_of_least_squares_where_curves_are_good(single):
    _, fit, posterior = single
    good = slice(0, 3)
    assert posterior.status[good] == ("ok",) * 3
    assert np.all(np.abs(posterior.mean() - fit.value)[good] < 0.15 * fit.error[good])
    np.testing.assert_allclose(posterior.sd()[good], fit.error[good], rtol=0.08)
    assert np.all(posterior.diagnostics.r_hat[good] < 1.01)
    assert np.all(posterior.diagnostics.ess_bulk[good] > 1000)
    assert np.mean(posterior.trace.tree_size) < 12


def test_a_bad_curve_spoils_no_other(single):
    curves, fit, posterior = single
    assert posterior.status[3].startswith(("not_identifiable: ", "failed: "))
    assert np.isnan(posterior.as_fit().value[3, 2])
    alone = sampled(curves, fit, bins=[2])
    # The draws of a bin follow from its label and the seed.
    np.testing.assert_allclose(alone.draws[0], posterior.draws[1], rtol=1e-6)


def test_a_cancelled_sampling_keeps_what_was_drawn(single):
    curves, fit, _ = single
    steps = sample_nuts(curves, fit, draws=20_000, xp=XP)
    partial, drawn = None, [0]
    while drawn[-1] < 200:
        partial = next(steps).partial
        drawn.append(int(partial.drawn.max()))
    # Cancel comes between two of them, so none may hold many draws.
    assert np.diff(drawn).max() <= 50
    steps.close()
    assert partial.status[0].startswith("running: ")
    result = judge(partial)
    assert result.drawn[0] == drawn[-1]
    assert result.status[0] == "ok"
    np.testing.assert_allclose(result.mean()[0], fit.value[0], atol=fit.error[0].max())


def test_numpy_refuses_in_one_sentence(single):
    curves, fit, _ = single
    with pytest.raises(FitError, match="XPCS_USE_JAX"):
        next(sample_nuts(curves, fit, xp=NumPyBackend()))
