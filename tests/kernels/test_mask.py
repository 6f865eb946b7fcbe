"""Which pixels are used."""

import numpy as np
import pytest

from napari_xpcs.backends import ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.mask import (
    check_mask_shape,
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
