"""Mean, variance and maximum over frames, with what stands for "no value" left out."""

import numpy as np
import pytest

from napari_xpcs.errors import MaskError
from napari_xpcs.kernels.pixel_statistics import PixelStatistics, hot_pixels, pixel_statistics
from napari_xpcs.progress import run


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_sums_are_those_of_numpy(dtype):
    frames = np.random.default_rng(1).poisson(9.0, (17, 300, 130)).astype(dtype)
    found = run(pixel_statistics(frames, 0))
    np.testing.assert_allclose(found.mean, frames.mean(axis=0, dtype=float), rtol=1e-12)
    np.testing.assert_allclose(found.variance, frames.var(axis=0, ddof=1, dtype=float), rtol=1e-9)
    np.testing.assert_array_equal(found.maximum, frames.max(axis=0))
    assert found.frames == 17


def test_a_sample_is_spread_over_the_run_and_progress_is_told():
    frames = np.arange(101)[:, None, None] * np.ones((1, 2, 2))
    seen = []
    found = run(pixel_statistics(frames, 5), seen.append)
    assert found.mean[0, 0] == 50.0
    assert [(step.done, step.total) for step in seen] == [(done, 5) for done in range(5)]


def test_no_value_is_left_out_and_told_by_the_maximum():
    frames = np.full((4, 2, 2), 7, np.uint16)
    frames[1, 0, 0] = frames[:, 1, 1] = 65535
    found = run(pixel_statistics(frames, 0))
    assert found.mean[0, 0] == 7.0
    assert np.isnan(found.mean[1, 1])
    assert found.maximum[0, 0] == 65535.0
    signed = np.array([[[3.0, np.nan]], [[-1.0, np.nan]]])
    found = run(pixel_statistics(signed, 0))
    assert found.mean[0, 0] == 3.0
    assert np.isnan(found.variance[0, 0])
    assert np.isnan(found.maximum[0, 1])


def test_a_single_image_is_no_run():
    with pytest.raises(MaskError, match="frame, row, col"):
        run(pixel_statistics(np.ones((3, 4)), 0))


def test_photon_noise_is_the_least_spread_of_a_tile():
    """All pixels alike but two: the mean of n frames scatters by 1, variance / mean by 0.142."""
    n, level = 100, 100.0
    mean, ratio = np.full((16, 16), level), np.ones((16, 16))
    mean[3, 3], mean[3, 4] = level + 4.9, level + 5.1
    ratio[8, 8], ratio[8, 9] = 1.0 + 4.9 * np.sqrt(2.01 / n), 1.0 + 5.1 * np.sqrt(2.01 / n)
    statistics = PixelStatistics(frames=n, mean=mean, variance=mean * ratio, maximum=2 * mean)
    hot = hot_pixels(statistics, np.ones((16, 16), dtype=bool), 5.0)
    assert np.argwhere(hot).tolist() == [[3, 4], [8, 9]]
