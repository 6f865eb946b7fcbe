"""npe2 writer: a partition layer becomes a Q-map file."""

from pathlib import Path
from typing import Any

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.partition_file import write_partition
from napari_xpcs.plugin.layers import LAYER_KEY


def write_partition_layer(path: str, data: Any, arguments: dict[str, Any]) -> list[str]:
    """Write the bins of a partition layer as a ``/qmap`` file and return its path.

    The file dialogue of napari has asked before an existing file is overwritten.

    Raises
    ------
    FileFormatError
        The layer is not a partition of ours.
    """
    del data
    ours = arguments.get("metadata", {}).get(LAYER_KEY, {})
    if ours.get("role") != "partition":
        msg = (
            f"The layer {arguments.get('name', '')!r} holds no q/phi bins to save as a Q-map. "
            "Make bins with XPCS: Geometry & partition and save the layer 'partition'."
        )
        raise FileFormatError(msg)
    write_partition(Path(path), ours["partition"], source=ours["source"], force=True)
    return [path]
