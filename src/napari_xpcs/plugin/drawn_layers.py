"""What is drawn over the detector with handles or as lines: beam, rings, regions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.regions import Region
from napari_xpcs.plugin.layers import LayerData, layer_metadata
from napari_xpcs.plugin.sectors import features_of, shape_of

CORNERS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
"""A box about the origin, in the order of napari's ellipses."""


def beam_layer(at: tuple[float, float], size: float) -> LayerData:
    """Return the beam at (row, column) as a cross of ``size`` pixels that can be dragged."""
    arguments = {
        "name": "beam",
        "symbol": "cross",
        "size": max(size, 5.0),
        "face_color": "red",
        "border_width": 0.0,
        "axis_labels": ("y", "x"),
        "metadata": layer_metadata("beam"),
    }
    return np.array([at], dtype=float), arguments, "points"


def ring_points_layer(name: str, size: float) -> LayerData:
    """Return an empty Points layer to pick points of a powder ring on."""
    arguments = {
        "name": f"{name} points",
        "ndim": 2,
        "symbol": "ring",
        "size": max(size, 5.0),
        "face_color": "transparent",
        "border_color": "orange",
        "axis_labels": ("y", "x"),
        "metadata": layer_metadata("ring"),
    }
    return np.empty((0, 2)), arguments, "points"


def ring_layer(name: str, at: tuple[float, float], radius: float, width: float) -> LayerData:
    """Return a circle to be laid along a powder ring by its handles."""
    row, col = at
    box = [[row + down, col + across] for down, across in CORNERS * radius]
    arguments = {
        "name": name,
        "shape_type": "ellipse",
        "edge_color": "orange",
        "edge_width": max(width, 1.0),
        "face_color": "transparent",
        "axis_labels": ("y", "x"),
        "metadata": layer_metadata("ring"),
    }
    return [np.array(box)], arguments, "shapes"


def regions_layer(regions: Sequence[Region], geometry: Geometry | None) -> LayerData:
    """Return regions as shapes with handles, to be edited."""
    shapes = [shape_of(region, geometry) for region in regions]
    extent = max((float(np.nanmax(vertices)) for vertices, _ in shapes), default=0.0)
    widths = [
        region.width_px if region.kind in ("line", "path") else max(extent / 400, 0.5)
        for region in regions
    ]
    arguments = {
        "name": "regions",
        "ndim": 2,
        "shape_type": [kind for _, kind in shapes],
        "edge_width": widths,
        "edge_color": "yellow",
        "face_color": "transparent",
        "features": pd.DataFrame([features_of(region) for region in regions]),
        "axis_labels": ("y", "x"),
        "metadata": layer_metadata("regions"),
    }
    return [vertices for vertices, _ in shapes], arguments, "shapes"


def lines_layer(
    name: str,
    role: str,
    paths: list[np.ndarray],
    *,
    texts: list[str],
    color: str,
    width: float,
    kind: str = "path",
) -> LayerData:
    """Return labelled lines over the detector, (row, column) points each."""
    arguments = {
        "name": name,
        "ndim": 2,
        "shape_type": [kind] * len(paths),
        "edge_color": color,
        "edge_width": width,
        "face_color": "transparent",
        "features": pd.DataFrame({"text": texts}),
        "text": {"string": "{text}", "color": color, "size": 9, "anchor": "upper_left"},
        "axis_labels": ("y", "x"),
        "metadata": layer_metadata(role),
    }
    return paths, arguments, "shapes"
