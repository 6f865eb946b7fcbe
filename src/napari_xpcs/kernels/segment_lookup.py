"""The bin of every pixel without a search: tables over the edges of one axis."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.axis_request import GRAIN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentLookup:
    """Tables of one axis: ``edges`` in grains, and the bin ``numbers`` of the segments between.

    Segment 0 lies before the first edge.  A value falls into one of many equal cells;
    ``first`` holds the first segment that meets a cell, and ``steps`` edges at most lie in
    one.  The arrays are padded, so that a compiled kernel serves many numbers of bins.
    Pixels of the value ``top`` belong to the segment after the last.
    """

    edges: Float[np.ndarray, " edge"]
    numbers: Int[np.ndarray, " segment"]
    first: Int[np.ndarray, " cell"]
    scale: float
    top: float
    steps: int

    def arrays(self, *, xp: BackendProtocol) -> dict[str, Array]:
        """Return the tables and numbers that are traced, by name, on the backend."""
        return {
            "edges": xp.asarray(self.edges),
            "numbers": xp.asarray(self.numbers),
            "first": xp.asarray(self.first),
            "scale": self.scale,
            "top": self.top,
        }


def bin_axis(
    values: Float[Array, "row col"],
    tables: Mapping[str, Array],
    *,
    steps: int,
    xp: BackendProtocol,
) -> Int[Array, "row col"]:
    """Return the bin of every pixel, 0 in a gap between bins; used or not.

    The same answer as a binary search over the edges, at a tenth of its time on JAX.

    Parameters
    ----------
    values
        Coordinate from :func:`~napari_xpcs.kernels.axis_request.place`.
    tables, steps
        From :class:`SegmentLookup`.
    """
    edges = tables["edges"]
    grains = xp.round(values * GRAIN)
    cell = xp.clip((grains - edges[0]) * tables["scale"], 0, tables["first"].shape[0] - 1)
    segment = xp.take(tables["first"], xp.astype(cell, xp.int32))
    for _ in range(steps):
        segment = segment + (grains >= xp.take(edges, segment))
    return xp.take(tables["numbers"], segment + (values == tables["top"]))
