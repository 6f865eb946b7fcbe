"""The mask as a layer to paint on, and its shapes as one to draw on."""

from collections.abc import Sequence

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_xpcs._typing import Mask
from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.regions import Region
from napari_xpcs.plugin.drawn_layers import regions_layer
from napari_xpcs.plugin.layers import LayerData, layer_metadata


def mask_layer(mask: Mask, *, source: str = "", steps: tuple[MaskStep, ...] = ()) -> LayerData:
    """Return the masked-out pixels as label 1 of a Labels layer, so that they can be painted.

    ``steps`` are what the mask was made by, empty where that is not known.
    """
    arguments = {
        "name": "mask",
        "opacity": 0.3,
        "axis_labels": ("y", "x"),
        "colormap": DirectLabelColormap(
            color_dict={None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: (0.9, 0.2, 0.2, 1.0)}
        ),
        "metadata": layer_metadata("mask", source=source, steps=steps, made=mask.copy()),
    }
    return napari_adapter.to_numpy((~mask).astype(np.uint8)), arguments, "labels"


def mask_of_partition(partition: Partition, source: str) -> LayerData:
    """Return the mask that the steps of ``partition`` make, else that of its bins."""
    good = partition.blemish if partition.mask_steps else None
    return mask_layer(
        partition.mask if good is None else good, source=source, steps=partition.mask_steps
    )


def mask_shapes_layer(regions: Sequence[Region], geometry: Geometry | None) -> LayerData:
    """Return the shapes of a mask with handles, to be edited."""
    data, arguments, kind = regions_layer(regions, geometry)
    arguments |= {
        "name": "mask shapes",
        "edge_color": "red",
        "metadata": layer_metadata("mask shapes"),
    }
    return data, arguments, kind
