"""Priors: their texts, their densities, and what they are on the scale of a measurement."""

import numpy as np
import pytest
from scipy import stats

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.priors import (
    Prior,
    choose_priors,
    coordinates_of,
    default_priors,
    prior_numbers,
    read_prior,
)

DELAYS = np.geomspace(1e-6, 1e-2, 40)
Q = np.array([1e-3, 4e-3])


@pytest.mark.parametrize("model", list(G2_MODELS))
def test_the_density_is_that_of_the_draws(model):
    """Draws of each prior, as coordinates, have the density that a sampler would see."""
    priors = default_priors(G2_MODELS[model], DELAYS, Q)
    chosen = G2_MODELS[model]
    coordinates, numbers = coordinates_of(chosen, priors), prior_numbers(chosen, priors)
    xp = NumPyBackend()
    for i, parameter in enumerate(chosen.parameters):
        drawn = priors[parameter.name].draw(np.random.default_rng(i), 4000, parameter.domain)
        values = np.ones((len(drawn), len(chosen.parameters)))
        values[:, i] = drawn
        u = coordinates.of_values(values, numbers)[:, i]
        grid = np.linspace(u.min() - 2, u.max() + 2, 4000)
        points = np.zeros((len(grid), len(chosen.parameters)))
        points[:, i] = grid
        density = np.exp(coordinates.log_prior(points, numbers, xp=xp))
        cumulative = np.cumsum(density) / np.sum(density)
        inner = (u > np.quantile(u, 0.02)) & (u < np.quantile(u, 0.98))
        # Draws at the very limits of an interval are moved inside, hence the middle alone.
        expected = np.interp(np.quantile(u[inner], [0.25, 0.5, 0.75]), grid, cumulative)
        np.testing.assert_allclose(expected, [0.26, 0.5, 0.74], atol=0.03)


@pytest.mark.parametrize("model", list(G2_MODELS))
def test_coordinates_lead_back_to_the_values(model):
    chosen = G2_MODELS[model]
    priors = default_priors(chosen, DELAYS, Q)
    coordinates, numbers = coordinates_of(chosen, priors), prior_numbers(chosen, priors)
    u = np.random.default_rng(1).normal(size=(20, len(chosen.parameters)))
    values = np.stack(coordinates.values(u, numbers, xp=NumPyBackend()), axis=1)
    np.testing.assert_allclose(coordinates.of_values(values, numbers), u, atol=1e-7)


def test_times_follow_the_delays():
    slow = default_priors(G2_MODELS["single"], DELAYS * 1e6, Q)["tau_s"]
    fast = default_priors(G2_MODELS["single"], DELAYS, Q)["tau_s"]
    assert fast.first == pytest.approx(1e-4)
    assert slow.first == pytest.approx(1e6 * fast.first)
    assert slow.second == pytest.approx(fast.second)


def test_the_second_time_is_always_the_longer():
    model = G2_MODELS["double"]
    priors = default_priors(model, DELAYS, Q)
    u = np.random.default_rng(0).normal(0, 3, size=(500, 5))
    coordinates, numbers = coordinates_of(model, priors), prior_numbers(model, priors)
    values = coordinates.values(u, numbers, xp=NumPyBackend())
    assert np.all(values[3] > values[2])
    free = choose_priors(model, {}, ["tau_s"], DELAYS, Q)
    assert free["tau2_s"].family == "lognormal"
    assert "tau_s" not in free


def test_a_normal_prior_of_a_positive_parameter_is_cut_at_zero():
    model = G2_MODELS["single"]
    priors = choose_priors(model, {"contrast": "normal(0.05, 0.1)"}, [], DELAYS, Q)
    drawn = priors["contrast"].draw(np.random.default_rng(0), 4000, (0.0, np.inf))
    cut = stats.truncnorm(-0.5, np.inf, loc=0.05, scale=0.1)
    assert stats.kstest(drawn, cut.cdf).pvalue > 0.001
    assert coordinates_of(model, priors).forms[1] == ("normal", "positive")


def test_text_and_prior_are_one():
    for text in ("lognormal(0.001, 3)", "normal(1, 0.1)", "halfnormal(0.5)", "uniform(0, 1)"):
        assert str(read_prior(text)) == text
    assert read_prior(" lognormal( 1e-3 ,3 ) ") == Prior("lognormal", 1e-3, 3.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tau": "normal(1, 1)"}, "its parameters are baseline, contrast, tau_s"),
        ({"tau_s": "gamma(1, 1)"}, "is no prior; write one of normal, halfnormal"),
        ({"tau_s": "lognormal(1)"}, "lognormal has 2 numbers"),
        ({"tau_s": "lognormal(1, 0.5)"}, "its factor above 1"),
        ({"baseline": "lognormal(1, 2)"}, "only a parameter that is positive"),
        ({"contrast": "uniform(-1, 1)"}, "contrast lies between 0 and inf"),
        ({"contrast": "uniform(1, 0)"}, "the lower limit comes first"),
        ({"tau_s": "ratio(20, 2)"}, "only the second time of a double model"),
    ],
)
def test_what_cannot_be_is_said(given, message):
    with pytest.raises(FitError, match=message):
        choose_priors(G2_MODELS["single"], given, [], DELAYS, Q)
