"""Pixels that are masked or freed by hand, as a step of a mask."""

from dataclasses import replace

import numpy as np

from napari_xpcs._typing import Mask
from napari_xpcs.kernels.mask_steps import PaintedStep
from napari_xpcs.kernels.packed_pixels import pack_bits, pack_pixels, unpack_bits


def painted_difference(before: Mask, now: Mask, *, source: str = "") -> PaintedStep:
    """Return the step that turns the mask ``before`` into ``now`` (True = used)."""
    rows, cols = now.shape
    return PaintedStep(
        shape=(rows, cols),
        masked=pack_pixels(before & ~now),
        used=pack_pixels(now & ~before),
        source=source,
    )


def paint(
    step: PaintedStep, changed: Mask, masked: Mask, *, before: Mask, shape: tuple[int, int]
) -> PaintedStep:
    """Return ``step`` after pixels were painted.

    Parameters
    ----------
    changed
        Pixels that were painted or erased.
    masked
        Which pixels are masked now.
    before
        The mask (True = used) that the steps before leave.
    """
    here, now, earlier = (np.packbits(image) for image in (changed, masked, before))
    add = (unpack_bits(step.masked, shape) & ~here) | (here & now & earlier)
    free = (unpack_bits(step.used, shape) & ~here) | (here & ~(now | earlier))
    return replace(step, shape=shape, masked=pack_bits(add), used=pack_bits(free))
