"""Which pixels are used."""

import numpy as np
import pytest

from napari_xpcs.backends import ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.mask import (
    check_mask_shape,
    disc_pixels,
    not_counted,
    pixel_mask_to_mask,
    threshold_mask,
)


def test_threshold_holds_its_lower_limit_only(xp):
    image = np.array([[0.0, 1.0, 2.0], [3.0, np.nan, -1.0]])
    used = ensure_numpy(threshold_mask(image, 1.0, 3.0, xp=xp))
    np.testing.assert_array_equal(used, [[False, True, True], [False, False, False]])


def test_a_transposed_mask_is_named_as_such():
    check_mask_shape(np.ones((2, 3)), (2, 3))
    with pytest.raises(PartitionError, match="fits when transposed"):
        check_mask_shape(np.ones((2, 3)), (3, 2))


def test_bit_31_alone_is_a_good_pixel():
    flags = np.array([[0, 1, 8, 1 << 31, (1 << 31) | 2, 1 << 16]], dtype=np.uint32)
    np.testing.assert_array_equal(
        pixel_mask_to_mask(flags), [[True, False, False, True, False, True]]
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 255], np.uint8), [False, False]),
        (np.array([0, 255, 65535], np.uint16), [False, False, True]),
        (np.array([7, 2**32 - 1], np.uint32), [False, True]),
        (np.array([-1, 0, 4095], np.int16), [True, False, False]),
        (np.array([np.nan, 0.0, 1.5], np.float32), [True, False, False]),
    ],
)
def test_values_that_mean_no_value(values, expected):
    assert not_counted(values).tolist() == expected


def test_disc_holds_the_pixels_up_to_its_radius():
    inside = disc_pixels((5, 6), (2.0, 2.0), 1.0)
    assert sorted(zip(*np.nonzero(inside), strict=True)) == [(1, 2), (2, 1), (2, 2), (2, 3), (3, 2)]
    assert disc_pixels((5, 6), (-1.0, 7.0), 1.0).sum() == 0
