"""npe2 reader: frames, results and partitions become layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.open import open_path, sniff

if TYPE_CHECKING:
    from napari_xpcs.plugin.layers import LayerData

HDF5_ENDINGS = (".h5", ".hdf", ".hdf5", ".nxs")

Path_ = str | Sequence[str]


def get_reader(path: Path_) -> Callable[[Path_], list[LayerData]] | None:
    """Return the reader of ``path``, or ``None`` for what is clearly not ours.

    A file with an ending of HDF5 is taken even when nothing of XPCS is found in it:
    reading it then says what was looked for, where a refusal would say nothing.
    """
    paths = [path] if isinstance(path, str) else list(path)
    if paths and all(sniff(one) or one.lower().endswith(HDF5_ENDINGS) for one in paths):
        return read_layers
    return None


def read_layers(path: Path_) -> list[LayerData]:
    """Return the layers of one or several files.

    Raises
    ------
    FileFormatError
        The file cannot be read or holds nothing of XPCS; the message says what was looked for.
    """
    from napari.utils.notifications import show_warning

    from napari_xpcs.io.files import FramesFile, MaskFile, PartitionFile
    from napari_xpcs.plugin import layers

    found: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        file = open_path(Path(one))
        if isinstance(file, FramesFile):
            found += layers.frames_file_to_layers(file)
        elif isinstance(file, PartitionFile):
            found += layers.partition_file_to_layers(file)
        elif isinstance(file, MaskFile):
            found.append(layers.mask_layer(file.mask, source=str(file.path)))
        else:
            found += layers.result_file_to_layers(file)
        if file.problems:
            show_warning(f"{Path(one).name}: " + " ".join(file.problems))
    if not found:
        msg = f"{path} is an XPCS file, but holds no image, mask or bins that could be shown."
        raise FileFormatError(msg)
    return found
