"""Grow, shrink, open, close and clean marked areas; mirror them through a point."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool

Marked = Bool[np.ndarray, "row col"]
"""True = in the area; for a mask these are the masked pixels."""


def grown(marked: Marked, distance_px: int) -> Marked:
    """Return the pixels at most ``distance_px`` (between centres) from a marked one."""
    from scipy.ndimage import distance_transform_edt

    if not marked.any():
        return marked
    return np.asarray(distance_transform_edt(~marked) <= distance_px)


def shrunk(marked: Marked, distance_px: int) -> Marked:
    """Return the marked pixels that are farther than that from every unmarked one.

    Nothing is beyond the edge of the detector: an area shrinks from within only.
    """
    return ~grown(~marked, distance_px)


def opened(marked: Marked, distance_px: int) -> Marked:
    """Shrink, then grow: what is thinner than twice the distance goes."""
    return grown(shrunk(marked, distance_px), distance_px)


def closed(marked: Marked, distance_px: int) -> Marked:
    """Grow, then shrink: holes narrower than twice the distance are filled."""
    return shrunk(grown(marked, distance_px), distance_px)


def without_specks(marked: Marked, least: int) -> Marked:
    """Return ``marked`` without groups of fewer than ``least`` pixels.

    Pixels that share a side or a corner belong to one group.
    """
    from scipy.ndimage import label

    groups, _ = label(marked, structure=np.ones((3, 3), dtype=bool))
    large = np.bincount(groups.ravel()) >= least
    large[0] = False
    return np.asarray(large[groups])


def without_islands(marked: Marked, least: int) -> Marked:
    """Mark also the unmarked groups of fewer than ``least`` pixels."""
    return ~without_specks(~marked, least)


def mirrored(marked: Marked, center_px: tuple[float, float]) -> Marked:
    """Return ``marked`` turned by 180 degrees about (row, column) ``center_px``.

    The centre is taken to the next half pixel, so that pixels fall on pixels and turning twice
    gives back what was there.
    """
    turned = np.zeros_like(marked)
    whole, part = [], []
    for length, center in zip(marked.shape, center_px, strict=True):
        total = round(2 * center)
        # Pixel i goes to total - i; both must lie on the detector.
        first, last = max(0, total - length + 1), min(length - 1, total)
        if first > last:
            return turned
        whole.append(slice(first, last + 1))
        part.append(slice(total - last, total - first + 1))
    turned[tuple(whole)] = marked[tuple(part)][::-1, ::-1]
    return turned


MORPHOLOGY: Mapping[str, Callable[[Marked, int], Marked]] = {
    "grow": grown,
    "shrink": shrunk,
    "open": opened,
    "close": closed,
    "remove specks": without_specks,
    "remove islands": without_islands,
}
