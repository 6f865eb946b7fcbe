"""From the shapes of a napari layer to regions of the detector."""

import numpy as np
from napari.layers import Shapes

from napari_xpcs.kernels.regions import Region, RegionKind

_KINDS: dict[str, RegionKind] = {
    "rectangle": "rectangle",
    "ellipse": "ellipse",
    "polygon": "polygon",
    "line": "line",
    "path": "path",
}


def drawn_regions(layer: Shapes) -> tuple[Region, ...]:
    """Return what is drawn in ``layer``; the edge width of a line is its width in pixels."""
    return tuple(
        Region(
            kind=_KINDS[str(kind)],
            vertices=tuple((float(row), float(col)) for row, col in np.asarray(vertices)[:, -2:]),
            width_px=max(float(width), 1.0),
        )
        for kind, vertices, width in zip(
            layer.shape_type, layer.data, layer.edge_width, strict=True
        )
    )
