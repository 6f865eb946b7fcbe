"""Which pixels are used: True = the pixel is used."""

import numpy as np
from jaxtyping import Bool, Shaped

from napari_xpcs._typing import Array, Mask
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import PartitionError

BAD_PIXEL_BITS = 0xFFFF
"""NeXus ``pixel_mask``: any of the low 16 bits marks a bad pixel, bit 31 alone does not."""


def check_mask_shape(mask: Shaped[np.ndarray, "..."], shape: tuple[int, ...]) -> None:
    """Raise :class:`PartitionError` unless ``mask`` covers a detector of ``shape`` pixel by pixel.

    A mask of another shape is refused, never transposed: a transposed mask looks right
    and hides other pixels.
    """
    if mask.shape != tuple(shape):
        hint = " It fits when transposed; turn the file." if mask.shape == shape[::-1] else ""
        msg = f"The mask has {_size(mask.shape)} pixels, the detector {_size(shape)}.{hint}"
        raise PartitionError(msg)


def threshold_mask(
    image: Shaped[Array, "row col"], low: float, high: float, *, xp: BackendProtocol
) -> Bool[Array, "row col"]:
    """Return where ``low <= image < high``, in the units of ``image`` (counts); NaN is not used."""
    values = xp.asarray(image)
    return xp.logical_and(values >= low, values < high)


def pixel_mask_to_mask(flags: Shaped[np.ndarray, "row col"]) -> Mask:
    """Return the usable pixels of a NeXus or DECTRIS ``pixel_mask`` bit field."""
    used: Mask = (flags.astype(np.uint64) & BAD_PIXEL_BITS) == 0
    return used


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape)
