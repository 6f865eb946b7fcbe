"""Counts on the screen are the counts of the detector, or transparent."""

import numpy as np
import pytest

from napari_xpcs.plugin.display import DisplayFrames, contrast_limits

FRAMES = np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6)


def test_counts_are_unchanged_and_masked_pixels_not_a_number():
    mask = np.ones((4, 6), dtype=bool)
    mask[1, 2] = False
    shown = DisplayFrames(FRAMES, mask)
    assert shown.shape == FRAMES.shape
    frame = shown[3]
    assert np.isnan(frame[1, 2])
    np.testing.assert_array_equal(frame[mask], FRAMES[3][mask])


@pytest.mark.parametrize(
    "key",
    [
        2,
        slice(1, 4),
        (2, slice(None), slice(None)),
        (slice(0, 2), 1),
        (np.int64(2), slice(1, 3), 5),
    ],
)
def test_indexing_is_that_of_numpy(key):
    np.testing.assert_array_equal(DisplayFrames(FRAMES)[key], FRAMES[key])


def test_contrast_ignores_masked_values_and_stays_at_least_one_count():
    frames = np.zeros((3, 100, 100), np.uint32)
    frames[:, 0, 0] = 2**32 - 1
    assert contrast_limits(frames) == (0.0, 1.0)
    frames[:, 10:] = 40
    assert contrast_limits(frames) == (0.0, 40.0)
