"""Which pixels are correlated, and the bins that they belong to."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import Image, Mask
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.partition import Partition


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UsedPixels:
    """The pixels inside the mask that have a dynamic and a static bin.

    Parameters
    ----------
    mask
        True for these pixels.
    index
        Their places in the flattened detector, ascending.
    static, dynamic
        Bin of every one, counted from 0.
    dynamic_of_static
        Dynamic bin of every static bin, counted from 0; -1 for one without used pixels.
    bins
        Number of dynamic bins.
    """

    mask: Mask
    index: Int[np.ndarray, " pixel"]
    static: Int[np.ndarray, " pixel"]
    dynamic: Int[np.ndarray, " pixel"]
    dynamic_of_static: Int[np.ndarray, " sbin"]
    bins: int

    def static_mean(self, image: Image) -> Float[np.ndarray, " sbin"]:
        """Return the mean of ``image`` over every static bin, NaN for one without pixels."""
        count = len(self.dynamic_of_static)
        pixels = np.bincount(self.static, minlength=count)
        total = np.bincount(self.static, image.ravel()[self.index], count)
        return np.where(pixels > 0, total / np.maximum(pixels, 1), np.nan)


def used_pixels(partition: Partition, shape: tuple[int, ...]) -> UsedPixels:
    """Return the pixels of ``partition`` to correlate in frames of ``shape``.

    Raises
    ------
    CorrelationError
        The partition is for another detector, has no pixel, or a static bin lies in several
        dynamic bins.
    """
    if tuple(shape) != partition.shape:
        msg = (
            f"The frames have {' x '.join(map(str, shape))} pixels and the partition "
            f"{partition.shape[0]} x {partition.shape[1]}; make the bins for this detector."
        )
        raise CorrelationError(msg)
    static, dynamic = partition.static.labels, partition.dynamic.labels
    # Maps of other programs can reach beyond their mask; those pixels do not count.
    mask = partition.mask & (static > 0) & (dynamic > 0)
    index = np.flatnonzero(mask)
    if index.size == 0:
        msg = "No pixel is both inside the mask and in a bin; draw bins or open up the mask."
        raise CorrelationError(msg)
    static_of = static.ravel()[index].astype(np.int64) - 1
    dynamic_of = dynamic.ravel()[index].astype(np.int64) - 1
    dynamic_of_static = np.full(len(partition.static), -1)
    dynamic_of_static[static_of] = dynamic_of
    split = static_of[dynamic_of_static[static_of] != dynamic_of]
    if split.size:
        several = np.unique(dynamic_of[static_of == split[0]]) + 1
        msg = (
            f"Static bin {split[0] + 1} lies in the dynamic bins {several.tolist()}; static bins "
            "must refine dynamic ones: make the number of static bins a multiple of the dynamic."
        )
        raise CorrelationError(msg)
    return UsedPixels(
        mask=mask,
        index=index,
        static=static_of,
        dynamic=dynamic_of,
        dynamic_of_static=dynamic_of_static,
        bins=len(partition.dynamic),
    )
