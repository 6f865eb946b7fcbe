"""npe2 writers: a partition layer becomes a Q-map file, a mask layer a mask file."""

from pathlib import Path
from typing import Any

import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.mask_writer import write_mask
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.plugin.layers import values_of


def write_labels_layer(path: str, data: Any, arguments: dict[str, Any]) -> list[str]:
    """Write a partition layer as a ``/qmap`` file, a mask layer as its mask; return the path.

    The file dialogue of napari has asked before an existing file is overwritten.

    Raises
    ------
    FileFormatError
        The layer is neither.
    """
    ours = values_of(arguments)
    if ours.get("role") == "mask":
        return write_mask_layer(path, data, arguments)
    if ours.get("role") != "partition":
        msg = (
            f"The layer {arguments.get('name', '')!r} holds no q/phi bins to save as a Q-map. "
            "Make bins with XPCS: Geometry & partition and save the layer 'partition'."
        )
        raise FileFormatError(msg)
    write_partition(Path(path), ours["partition"], source=ours["source"], force=True)
    return [path]


def write_mask_layer(path: str, data: Any, arguments: dict[str, Any]) -> list[str]:
    """Write what a Labels layer marks as bad, any label but 0, as a mask file.

    Raises
    ------
    FileFormatError
        The layer holds bins, not bad pixels, or is no single image.
    """
    ours = values_of(arguments)
    marked = np.asarray(data) != 0
    if ours.get("role") == "partition" or marked.ndim != 2:
        msg = (
            f"The layer {arguments.get('name', '')!r} is no mask. Save the layer 'mask', or a "
            "Labels layer of one image in which bad pixels are painted."
        )
        raise FileFormatError(msg)
    write_mask(Path(path), ~marked, force=True)
    return [path]
