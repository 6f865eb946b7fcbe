"""Masks as the files that other programs take them from.

There is no agreement whether 1 is a good or a bad pixel.  Every format gets the meaning that
its readers expect, and says so in the file where it has room for that.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from napari_xpcs._typing import Mask
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.files import Polarity
from napari_xpcs.io.layouts import PARTITION_FILE_GROUP
from napari_xpcs.io.new_hdf5 import new_hdf5

_EDF_HEADER_BYTES = 512

ONES: Mapping[str, Polarity] = {
    ".tif": "good",
    ".tiff": "good",
    ".npy": "good",
    ".hdf": "good",
    ".h5": "good",
    ".edf": "bad",
}
"""What 1 means in a file by its ending: pySimpleMask and the beamlines of the APS take tif, npy
and HDF5; pyFAI, dynamix and the programs of the ESRF take edf."""


def write_mask(path: str | Path, mask: Mask, *, force: bool = False) -> None:
    """Write ``mask`` in the format that the ending of ``path`` names.

    1 means what the readers of the format expect, see :data:`ONES`.

    Parameters
    ----------
    mask
        True = the pixel is used.
    force
        Replace a file that is there.

    Raises
    ------
    FileFormatError
        The ending names no format of masks, or the file cannot be written.
    """
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        msg = f"{path.name} names no format of masks; choose an ending of {', '.join(ONES)}."
        raise FileFormatError(msg)
    meaning = ONES[path.suffix.lower()]
    marked = np.asarray(mask if meaning == "good" else ~mask).astype(np.uint8)
    with atomic_path(path, force) as unfinished:
        write(unfinished, marked, meaning)


def _write_tif(path: Path, marked: UInt8[np.ndarray, "row col"], meaning: Polarity) -> None:
    import tifffile

    tifffile.imwrite(path, marked, description=f"mask, 1 = {meaning} pixel", metadata=None)


def _write_npy(path: Path, marked: UInt8[np.ndarray, "row col"], _: Polarity) -> None:
    with path.open("wb") as file:  # np.save would add its ending to the temporary name
        np.save(file, marked)


def _write_edf(path: Path, marked: UInt8[np.ndarray, "row col"], meaning: Polarity) -> None:
    rows, cols = marked.shape
    entries = {
        "HeaderID": "EH:000001:000000:000000",
        "Image": "1",
        "ByteOrder": "LowByteFirst",
        "DataType": "UnsignedByte",
        "Dim_1": str(cols),
        "Dim_2": str(rows),
        "Size": str(marked.size),
        "Title": f"mask, 1 = {meaning} pixel",
    }
    text = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in entries.items())
    path.write_bytes(text.ljust(_EDF_HEADER_BYTES - 2).encode("ascii") + b"}\n" + marked.tobytes())


def _write_hdf5(path: Path, marked: UInt8[np.ndarray, "row col"], _: Polarity) -> None:
    with new_hdf5(path) as file:
        file.create_dataset(
            f"{PARTITION_FILE_GROUP}/mask", data=marked.astype(bool), compression="lzf"
        )


_WRITERS: Mapping[str, Callable[[Path, UInt8[np.ndarray, "row col"], Polarity], None]] = {
    ".tif": _write_tif,
    ".tiff": _write_tif,
    ".npy": _write_npy,
    ".edf": _write_edf,
    ".hdf": _write_hdf5,
    ".h5": _write_hdf5,
}
