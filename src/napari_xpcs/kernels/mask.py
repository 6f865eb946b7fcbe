"""Which pixels are used: True = the pixel is used."""

from typing import Any

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


def disc_pixels(shape: tuple[int, int], center_px: tuple[float, float], radius_px: float) -> Mask:
    """Return the pixels whose centre is at most ``radius_px`` from (row, column) ``center_px``."""
    rows, cols = (np.arange(length) for length in shape)
    down, across = rows[:, None] - center_px[0], cols[None, :] - center_px[1]
    inside: Mask = down**2 + across**2 <= radius_px**2
    return inside


def not_counted(frames: Shaped[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Return True where a detector wrote "no value": the largest unsigned, or a negative number.

    8-bit counts reach 255 in earnest, so no value of theirs is special.
    """
    if frames.dtype.kind == "u" and frames.dtype.itemsize > 1:
        return np.asarray(frames == np.iinfo(frames.dtype).max)
    if frames.dtype.kind in "if":
        return np.asarray(~(frames >= 0))
    return np.zeros(frames.shape, dtype=bool)


def marked_pixels(frames: Any, sample: int = 16) -> Mask:
    """Return True for the pixels that hold "no value" in any of the frames looked at.

    In any, not in all: there are detectors whose dead pixels alternate between 0 and the mark,
    and a pixel that saturates in one frame of a few cannot be correlated either.

    Parameters
    ----------
    frames
        (frame, row, col): an ndarray, or a file that reads the frames it is asked for.
    sample
        Frames to look at, at most, spread evenly over the run.
    """
    marked: Mask = np.zeros(frames.shape[1:], dtype=bool)
    for index in np.unique(np.linspace(0, frames.shape[0] - 1, sample).round().astype(int)):
        marked |= not_counted(np.asarray(frames[int(index)]))
    return marked


def pixel_mask_to_mask(flags: Shaped[np.ndarray, "row col"]) -> Mask:
    """Return the usable pixels of a NeXus or DECTRIS ``pixel_mask`` bit field."""
    used: Mask = (flags.astype(np.uint64) & BAD_PIXEL_BITS) == 0
    return used


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape)
