"""Means over rings and blocks of frames, by hand."""

import numpy as np
import pytest

from napari_xpcs.kernels.radial_profile import block_means, ring_means


def test_bins_of_a_ring_count_by_their_pixels():
    q = np.array([0.02, 0.01, 0.02, 0.01])
    pixels = np.array([1, 2, 3, 2])
    rings, mean, number = ring_means(np.array([4.0, 1.0, 8.0, 3.0]), q, pixels)
    np.testing.assert_array_equal(rings, [0.01, 0.02])
    np.testing.assert_allclose(mean, [2.0, 7.0])
    np.testing.assert_array_equal(number, [4, 4])


def test_what_is_unknown_does_not_count():
    q = np.array([0.01, 0.01, np.nan, 0.03])
    values = np.array([[1.0, np.nan, 9.0, np.nan], [1.0, 3.0, 9.0, 5.0]])
    rings, mean, _ = ring_means(values, q, np.array([1, 1, 1, 1]))
    np.testing.assert_array_equal(rings, [0.01, 0.03])
    np.testing.assert_allclose(mean, [[1.0, np.nan], [2.0, 5.0]])


def test_blocks_of_frames_with_the_scatter_in_them():
    time, counts = np.arange(11.0), np.arange(11.0) % 2
    found = block_means(time, counts, 3)
    np.testing.assert_allclose(found.time_s, [1.5, 5.5])  # four frames a block, three left over
    np.testing.assert_allclose(found.mean, [0.5, 0.5])
    np.testing.assert_allclose(found.error, counts[:4].std(ddof=1) / 2)


@pytest.mark.parametrize("frames", [1, 5])
def test_few_frames_stay_as_they_are(frames):
    found = block_means(np.arange(frames) * 0.1, np.full(frames, 2.0), 5)
    assert len(found.mean) == frames
    assert np.isnan(found.error).all()
