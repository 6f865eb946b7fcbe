"""Pixels that stand out from the others of their ring or tile.

The rules are those of the common mask editor of the field (pySimpleMask 0.4.5).
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from napari_xpcs._typing import Image, Mask
from napari_xpcs.progress import Progress, Steps

Regions = Int[np.ndarray, "row col"]
"""0 = in no region, regions 1..N."""

NEGLIGIBLE = 1e-16
"""A spread below this is none: the region is constant and has no outliers."""

REGIONS_AT_ONCE = 16
"""Regions between two moments at which the work can be cancelled."""

PERCENTILES = (5.0, 95.0)

Values = Shaped[np.ndarray, " pixel"]
Rule = Callable[[Values, float], Bool[np.ndarray, " pixel"]]


def ring_regions(q: Float[np.ndarray, "row col"], used: Mask, count: int) -> Regions:
    """Return rings of equal width over the range of ``q`` of the used pixels, 0 outside.

    Parameters
    ----------
    q
        Momentum transfer, 1/angstrom, or any other map.
    count
        Number of rings; a ring holds its lower edge, the last one both.
    """
    regions = np.zeros(q.shape, dtype=np.int32)
    if not used.any():
        return regions
    inside = q[used]
    edges = np.linspace(inside.min(), inside.max(), count + 1)
    found = np.digitize(np.round(inside, 12), np.round(edges, 12))
    regions[used] = np.clip(found, 1, count)
    return regions


def tile_regions(shape: tuple[int, int], side_px: int) -> Regions:
    """Return square tiles from the first pixel on; what is left over at the edges is in none."""
    down, across = (length // side_px for length in shape)
    rows, cols = (np.arange(length) // side_px for length in shape)
    regions = (rows[:, None] * across + cols[None, :] + 1).astype(np.int32)
    regions[down * side_px :] = 0
    regions[:, across * side_px :] = 0
    return regions


def each_region(regions: Regions, used: Mask) -> Iterator[Int[np.ndarray, " pixel"]]:
    """Yield the flat positions of the used pixels of every region that has some."""
    positions = np.flatnonzero(used & (regions > 0))
    # Labels of 16 bits are sorted several times as fast.
    labels = regions.ravel()[positions].astype(np.min_scalar_type(int(regions.max(initial=0))))
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=0))
    if positions.size:
        yield from np.split(positions[order], starts[1:])


def outlier_pixels(
    image: Image, regions: Regions, used: Mask, rule: str, cutoff: float
) -> Steps[Mask]:
    """Return the used pixels of ``image`` that ``rule`` finds outlying in their region.

    Parameters
    ----------
    image
        Counts.
    rule
        ``"mad"``: at least ``cutoff`` times the median absolute deviation (not multiplied with
        1.4826) from the median.  ``"percentile"``: at least ``cutoff`` standard deviations from
        the mean, both taken of the values within the 5 and 95 % percentiles.
    """
    values = image.ravel()
    found = np.zeros(image.size, dtype=bool)
    stands_out = RULES[rule]
    count = int(regions.max(initial=0))
    for done, pixels in enumerate(each_region(regions, used & np.isfinite(image))):
        if done % REGIONS_AT_ONCE == 0:
            yield Progress(done, count, "regions")
        found[pixels] = stands_out(values[pixels], cutoff)
    return found.reshape(image.shape)


def _by_deviation(values: Values, cutoff: float) -> Bool[np.ndarray, " pixel"]:
    distance = np.abs(values - np.median(values))
    spread = np.median(distance)
    if spread < NEGLIGIBLE:
        return np.zeros(values.shape, dtype=bool)
    return np.asarray(distance >= cutoff * spread)


def _by_percentiles(values: Values, cutoff: float) -> Bool[np.ndarray, " pixel"]:
    low, high = np.percentile(values, PERCENTILES)
    core = values[(values >= low) & (values <= high)] if low < high else values
    if not core.size:  # of two values neither lies within their percentiles
        return np.zeros(values.shape, dtype=bool)
    mean, spread = core.mean(), core.std()
    if spread < NEGLIGIBLE:
        return np.zeros(values.shape, dtype=bool)
    return np.asarray(np.abs(values - mean) >= cutoff * spread)


RULES: Mapping[str, Rule] = {"mad": _by_deviation, "percentile": _by_percentiles}
