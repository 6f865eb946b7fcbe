"""Averages of repeats: unbiased where pairs are rare, with errors that their scatter confirms."""

import numpy as np
import pytest

from napari_xpcs.kernels.average import average_g2, baseline, counted_zeros

TRUTH = np.array([[1.3, 1.2], [1.1, 1.05], [1.0, 1.0]])


def repeats(files, error, seed=0):
    """Files of one truth; each has its own error."""
    rng = np.random.default_rng(seed)
    errors = np.broadcast_to(np.asarray(error)[:, None, None], (files, *TRUTH.shape))
    return TRUTH + errors * rng.standard_normal(errors.shape), errors


def test_mean_and_error_are_those_of_the_formula():
    g2, error = repeats(5, np.linspace(0.01, 0.05, 5))
    result = average_g2(g2, error)
    np.testing.assert_allclose(result.g2, g2.mean(axis=0))
    np.testing.assert_allclose(result.error, np.sqrt((error**2).sum(axis=0)) / 5)
    np.testing.assert_allclose(result.scatter, g2.std(axis=0, ddof=1) / np.sqrt(5))
    assert (result.files == 5).all()


def test_chi2_of_repeats_with_unequal_errors_is_one():
    errors = np.tile([0.01, 0.1], 200)
    result = average_g2(*repeats(400, errors))
    # (n - 1) degrees of freedom at six points, fewer as half of the files hardly counts.
    assert result.chi2 == pytest.approx(1.0, abs=4 * np.sqrt(2 / (200 * 6)))
    np.testing.assert_allclose(result.chi2_of_bins.mean(), result.chi2)
    np.testing.assert_allclose(result.chi2_of_files.mean(), result.chi2)
    assert result.chi2 < result.chi2_limit


def test_a_file_that_drifted_away_is_told():
    g2, error = repeats(10, np.full(10, 0.01))
    g2[7] += 0.1
    result = average_g2(g2, error)
    assert result.chi2 > result.chi2_limit
    assert result.chi2_of_files.argmax() == 7
    assert result.chi2_of_files[7] > 50


def test_files_without_a_pair_count_as_zero():
    """Half a pair in a file: the mean over the files that counted one would be 2.5 too high."""
    rng = np.random.default_rng(1)
    pairs = rng.poisson(0.5, (4000, 3, 2)).astype(float)
    pairs[:, -1] = rng.poisson(400, (4000, 2)) / 800.0
    g2, error = pairs / 0.5, np.sqrt(pairs) / 0.5
    error[:, -1] = np.sqrt(pairs[:, -1] / 800.0) / 0.5
    g2, error = (np.where(pairs > 0, values, np.nan) for values in (g2, error))
    result = average_g2(g2, error)
    assert np.nanmean(g2[:, :2], axis=0).min() > 2.4
    np.testing.assert_allclose(result.g2, 1.0, atol=4 * result.error.max())
    np.testing.assert_allclose(result.error[:2], np.sqrt(0.5 / 4000) / 0.5, rtol=0.1)
    assert result.chi2 == pytest.approx(1.0, abs=0.05)


def test_what_nobody_measured_stays_unknown():
    g2, error = repeats(3, np.full(3, 0.1))
    g2, error = g2.copy(), error.copy()
    g2[:, 0, 1] = np.nan  # no file counted a pair
    g2[0, :, 0] = np.nan  # the first file counted nothing in this bin
    result = average_g2(g2, error)
    assert np.isnan(result.g2[0, 1])
    assert np.isnan(result.error[0, 1])
    np.testing.assert_array_equal(result.files, [[2, 0], [2, 3], [2, 3]])
    np.testing.assert_allclose(result.g2[0, 0], g2[1:, 0, 0].mean())


def test_a_g2_without_an_error_counts_as_noisy_as_the_others():
    g2, error = repeats(4, np.full(4, 0.1))
    error = error.copy()
    error[2, 1, 1] = np.nan
    np.testing.assert_allclose(average_g2(g2, error).error, 0.1 / np.sqrt(4))


def test_covariance_of_the_mean():
    rng = np.random.default_rng(3)
    g2, error = repeats(3, np.full(3, 0.1))
    g2 = g2.copy()
    g2[0, 0, 0] = np.nan
    covariance = rng.random((3, 2, 3, 3))
    covariance[0, 0, 0] = covariance[0, 0, :, 0] = np.nan
    result = average_g2(g2, error, covariance).covariance
    # No pair is a measurement: the sum goes over three files, the first adds nothing.
    np.testing.assert_allclose(result[0, 0, 1], covariance[1:, 0, 0, 1].sum() / 9)
    np.testing.assert_allclose(result[1], covariance[:, 1].sum(axis=0) / 9)


def test_the_covariance_judges_the_scatter_where_there_is_one():
    g2, error = repeats(50, np.full(50, 0.1))
    covariance = np.broadcast_to(0.01 * np.eye(3), (50, 2, 3, 3))
    too_small = average_g2(g2, error / 4, covariance)
    np.testing.assert_allclose(too_small.chi2, average_g2(g2, error).chi2)
    np.testing.assert_allclose(too_small.error, 0.1 / 4 / np.sqrt(50))


def test_one_file_has_no_scatter():
    g2, error = repeats(1, np.full(1, 0.1))
    result = average_g2(g2, error)
    np.testing.assert_allclose(result.g2, g2[0])
    assert np.isnan(result.chi2)
    assert np.isnan(result.chi2_of_files).all()


def test_baseline_is_the_mean_of_the_longest_delays():
    g2 = np.array([[2.0, 2.0], [1.2, 1.2], [1.1, 1.1], [1.0, 1.0], [1.0, np.nan]])
    # The empty point lies in a bin that counted: it is a 0, as in the average.
    assert baseline(g2) == pytest.approx((1.2 + 1.1 + 1.0 + 0.5) / 4)
    unreached = np.vstack([g2[:4], np.full((1, 2), np.nan)])
    assert baseline(unreached) == pytest.approx((2.0 + 1.2 + 1.1 + 1.0) / 4)
    assert np.isnan(baseline(np.full((5, 2), np.nan)))
    assert np.isnan(counted_zeros(np.full((5, 2), np.nan))).all()
