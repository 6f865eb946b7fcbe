"""Means over bins against a loop."""

import numpy as np

from napari_xpcs.backends import ensure_numpy
from napari_xpcs.kernels.saxs import bin_mean


def test_mean_of_every_label(xp):
    generator = np.random.default_rng(4)
    image = generator.poisson(3.0, (20, 30)).astype(np.uint16)
    labels = generator.integers(0, 6, (20, 30)).astype(np.int32)
    expected = [image[labels == label].mean() for label in range(1, 6)]
    np.testing.assert_allclose(bin_mean(image, labels, 5, xp=xp), expected, rtol=1e-12)


def test_masked_pixels_do_not_count_and_empty_labels_are_nan(xp):
    image = np.array([[1.0, 2.0, np.nan, 4.0]])
    labels = np.array([[1, 1, 0, 3]])
    mean = ensure_numpy(bin_mean(image, labels, 3, xp=xp))
    np.testing.assert_array_equal(mean, [1.5, np.nan, 4.0])
