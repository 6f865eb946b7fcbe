"""The bins of a partition as a Labels layer: colours, features, and new bins in an old layer."""

from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Layer
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap

from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.plugin.layers import LayerData, attach_partition, partition_metadata

LIT = np.array((1.0, 0.1, 0.8, 1.0))
"""Colour of the selected bin: no bin of the perceptual map has it."""


def partition_layer(
    partition: Partition,
    *,
    known: KnownGeometry,
    curves: G2Curves | None = None,
    source: str = "",
) -> LayerData:
    """Return the dynamic bins as Labels whose features napari shows under the cursor."""
    arguments = {
        "name": "partition",
        "opacity": 0.4,
        "axis_labels": ("y", "x"),
        "features": bin_features(partition),
        "colormap": bin_colormap(partition),
        "metadata": partition_metadata(partition, known, curves, source),
    }
    return shown_labels(partition), arguments, "labels"


def show_partition(layer: Layer, partition: Partition, known: KnownGeometry, source: str) -> None:
    """Put a new partition of the same shape into a partition layer; curves of the old one go."""
    attach_partition(layer, partition, known, source)
    layer.colormap = bin_colormap(partition)
    layer.data = shown_labels(partition)
    layer.features = bin_features(partition)
    layer.events.metadata()


def shown_labels(partition: Partition) -> np.ndarray:
    """Return the labels in the smallest type that holds them, which napari draws fastest."""
    labels = partition.dynamic.labels
    return napari_adapter.to_numpy(labels.astype(np.min_scalar_type(len(partition.dynamic))))


def bin_features(partition: Partition) -> pd.DataFrame:
    """Return one row per label: index, the two axes with units, pixels."""
    dynamic = partition.dynamic
    columns: dict[str, np.ndarray] = {"index": np.arange(1, len(dynamic) + 1)}
    for axis, (name, unit) in enumerate(zip(partition.names, partition.units, strict=True)):
        if dynamic.grid[axis] > 1 or axis == 0:
            columns[f"{name} ({unit})"] = np.round(dynamic.center_of_bins(axis), 6)
    columns["pixels"] = dynamic.pixels
    return pd.DataFrame(columns)


def bin_colormap(partition: Partition) -> DirectLabelColormap:
    """Return colours that run along the first axis (q), alternating in lightness.

    A perceptual map: equal steps of rank look equally far apart.
    """
    count = len(partition.dynamic)
    along = partition.dynamic.center_of_bins(0)
    order = np.nan_to_num(along, nan=-np.inf)
    _, rank = np.unique(order, return_inverse=True)
    colors = ensure_colormap("viridis").map(rank / max(rank.max(initial=0), 1))
    colors[1::2, :3] *= 0.75
    transparent = (0.0, 0.0, 0.0, 0.0)
    table: dict[int | None, Any] = {None: transparent, 0: transparent}
    table.update({label: colors[label - 1] for label in range(1, count + 1)})
    return DirectLabelColormap(color_dict=table)


def lit_colormap(colors: DirectLabelColormap, label: int) -> DirectLabelColormap:
    """Return ``colors`` with one bin in the colour that no other bin has."""
    return DirectLabelColormap(color_dict={**colors.color_dict, label: LIT})
