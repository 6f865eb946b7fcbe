"""Drawn regions as plain values, the same in recipes and in Q-map files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_xpcs.errors import FileFormatError, PartitionError
from napari_xpcs.io.typed_values import plain, typed
from napari_xpcs.kernels.regions import Region, RegionBins


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnRegions:
    """Regions in the order of drawing, and the rule that makes bins of them."""

    bins: RegionBins = "each"
    shapes: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unchecked:
    bins: RegionBins = "each"
    shapes: tuple[Any, ...] = ()


def regions_from_plain(values: Any, where: str) -> DrawnRegions:
    """Return the regions in ``values``; ``where`` names these in messages.

    Raises
    ------
    FileFormatError
        Unknown keys, values of another type, or a shape that is none.
    """
    found = typed(_Unchecked, values, where)
    shapes = []
    for number, shape in enumerate(found.shapes, start=1):
        place = f"{where}, shape {number}"
        try:
            shapes.append(typed(Region, shape, place))
        except PartitionError as fault:
            msg = f"{place}: {fault}"
            raise FileFormatError(msg) from fault
    return DrawnRegions(bins=found.bins, shapes=tuple(shapes))


def regions_to_plain(regions: Sequence[Region], bins: RegionBins) -> dict[str, Any]:
    """Return ``regions`` as values for JSON or YAML."""
    return {"bins": bins, "shapes": [plain(region) for region in regions]}
