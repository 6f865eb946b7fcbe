import numpy as np
import pytest
from scipy.stats import poisson

from napari_xpcs.kernels.counting import poisson_counts


@pytest.mark.parametrize("mean", [0.001, 0.2, 0.9, 7.0, 30.0, 900.0])
def test_counts_follow_the_distribution_of_poisson(mean: float) -> None:
    counts = poisson_counts(np.random.default_rng(1), np.full((100, 4001), mean, np.float32))
    assert counts.dtype == np.uint16
    assert counts.shape == (100, 4001)
    found = np.bincount(counts.ravel())
    expected = poisson.pmf(np.arange(len(found)), mean) * counts.size
    many = expected > 10
    assert many.any()
    pulls = (found - expected)[many] / np.sqrt(expected[many])
    assert np.abs(pulls).max() < 4.5
    assert found[~many].sum() < 10 * (~many).sum() + 20


def test_every_pixel_has_its_own_mean() -> None:
    rng = np.random.default_rng(2)
    mean = np.tile(np.array([0.0, 1e-4, 0.05, 2.0, 40.0], np.float32), (200_000, 1))
    for factor in (0.01, 0.1, 1.0):  # each of the three ways
        counts = poisson_counts(rng, mean * np.float32(factor))
        assert (counts[:, 0] == 0).all()
        expected = mean[0] * factor
        error = np.sqrt(np.maximum(expected, 1e-6) / len(mean))
        assert (np.abs(counts.mean(axis=0) - expected) < 4.5 * error).all()


def test_nothing_is_nothing() -> None:
    rng = np.random.default_rng(3)
    assert poisson_counts(rng, np.zeros((3, 5), np.float32)).sum() == 0
