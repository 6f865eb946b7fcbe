"""Parameters that follow others, against the linear map that a tie is."""

import numpy as np
import pytest

from napari_xpcs.errors import FitError
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.ties import tie


def test_values_and_covariance_of_all_parameters_follow_from_the_fitted_ones():
    ties = tie(G2_MODELS["double"], {"tau2_s": "10*tau_s"})
    assert ties.model.names == ("baseline", "contrast", "tau_s", "fraction")
    linear = np.zeros((5, 4))
    linear[[0, 1, 2, 3, 4], [0, 1, 2, 2, 3]] = [1.0, 1.0, 1.0, 10.0, 1.0]
    root = np.random.default_rng(1).normal(size=(3, 4, 4))
    fitted, covariance = root[:, 0], root @ np.swapaxes(root, 1, 2)
    np.testing.assert_allclose(ties.values(fitted), fitted @ linear.T)
    np.testing.assert_allclose(ties.covariance(covariance), linear @ covariance @ linear.T)


def test_the_shape_that_is_fitted_is_that_of_the_whole_model(xp):
    whole = G2_MODELS["double"]
    ties = tie(whole, {"tau2_s": "10*tau_s"})
    fitted = np.array([1.0, 0.2, 2e-3, 0.3])
    assert list(ties.values(fitted)) == [1.0, 0.2, 2e-3, 2e-2, 0.3]
    t = np.geomspace(1e-4, 1.0, 9)
    np.testing.assert_array_equal(
        ties.model.shape(t, *fitted[2:], xp=xp), whole.shape(t, 2e-3, 2e-2, 0.3, xp=xp)
    )


@pytest.mark.parametrize(
    "tied",
    [
        {"tau2_s": "baseline"},
        {"tau2_s": "2*exponent2"},
        {"tau2_s": "-2*tau_s"},
        {"tau2_s": "tau2_s"},
        {"tau2_s": "tau_s", "tau_s": "tau2_s"},
    ],
)
def test_what_is_no_tie_is_refused(tied):
    with pytest.raises(FitError):
        tie(G2_MODELS["double-stretched"], tied)
