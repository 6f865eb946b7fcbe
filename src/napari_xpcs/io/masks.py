"""Masks from files, whichever way round their writer meant them."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from napari_xpcs._typing import Mask
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import MaskFile, Polarity
from napari_xpcs.io.hdf5 import open_hdf5, read_array
from napari_xpcs.io.layouts import PARTITION_FILE_GROUP, RESULT_PARTITION_GROUP
from napari_xpcs.kernels.mask import check_mask_shape, pixel_mask_to_mask

_GOOD_IS_ONE = (f"{PARTITION_FILE_GROUP}/mask", f"{RESULT_PARTITION_GROUP}/mask")
_BIT_FIELDS = (
    "/entry/instrument/detector/pixel_mask",
    "/entry/instrument/detector/detectorSpecific/pixel_mask",
    "/pixel_mask",
)


def read_mask(
    path: str | Path,
    shape: tuple[int, int],
    *,
    ones: Polarity | None = None,
    dataset: str | None = None,
) -> MaskFile:
    """Return the mask in a ``.npy``, TIFF (also pyFAI's and Dioptas' ``.mask``) or HDF5 file.

    Parameters
    ----------
    path
        The file.
    shape
        Rows and columns of the detector.
    ones
        What pixels that are not 0 mean; ``None`` for what the format fixes (Q-map files:
        good, NeXus ``pixel_mask``: bad) and a guess for the others.
    dataset
        Dataset of an HDF5 file that lies at none of the usual places.

    Raises
    ------
    FileFormatError
        The file cannot be read or holds no image of numbers.
    PartitionError
        The mask has another shape than the detector; it is never transposed.
    """
    path = Path(path)
    values, known = _read(path, dataset)
    # DECTRIS and NeXus writers keep the axis of channels or modules.
    if values.size == np.prod(values.shape[-2:]):
        values = values.reshape(values.shape[-2:])
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        msg = (
            f"{path.name} holds no mask: an image of numbers is needed, "
            f"it has the shape {values.shape} and the type {values.dtype}."
        )
        raise FileFormatError(msg)
    check_mask_shape(values, shape)
    bits = known == "bits" and ones is None
    marked = ~pixel_mask_to_mask(values) if bits else values > 0
    meaning: Polarity | None = ones or _FIXED_MEANING.get(known)
    return MaskFile(
        path=path,
        layout="mask",
        mask=marked if (meaning or _rarer(marked)) == "good" else ~marked,
        ones=meaning or _rarer(marked),
        guessed=meaning is None,
    )


_FIXED_MEANING: dict[str, Polarity] = {"good": "good", "bits": "bad"}


def _rarer(marked: Mask) -> Polarity:
    """Return what ``marked`` pixels mean if bad pixels are the rarer ones."""
    return "good" if 2 * np.count_nonzero(marked) > marked.size else "bad"


_Image = Shaped[np.ndarray, "..."]


def _read(path: Path, dataset: str | None) -> tuple[_Image, str]:
    """Return the numbers, and "good", "bits" or "" for what is known of their meaning."""
    if not path.is_file():
        msg = f"There is no file {path}."
        raise FileFormatError(msg)
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"\x93NUMPY"):
        return _read_image(path, _load_npy), ""
    if start[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return _read_image(path, _load_tiff), ""
    if start == b"\x89HDF\r\n\x1a\n":
        return _read_hdf5(path, dataset)
    msg = f"{path.name} is neither .npy, TIFF nor HDF5; save the mask in one of these."
    raise FileFormatError(msg)


def _read_image(path: Path, load: Callable[[Path], _Image]) -> _Image:
    try:
        return load(path)
    except (ValueError, OSError, EOFError, LookupError, TypeError, struct.error) as fault:
        msg = f"The mask {path.name} cannot be read: {fault}"
        raise FileFormatError(msg) from fault


def _load_npy(path: Path) -> _Image:
    values: _Image = np.load(path, allow_pickle=False)
    return values


def _load_tiff(path: Path) -> _Image:
    import tifffile

    try:
        return np.asarray(tifffile.imread(path))
    except tifffile.TiffFileError as fault:
        raise ValueError(fault) from fault


def _read_hdf5(path: Path, dataset: str | None) -> tuple[_Image, str]:
    places = (dataset,) if dataset is not None else (*_GOOD_IS_ONE, *_BIT_FIELDS)
    with open_hdf5(path) as file:
        for place in places:
            values = read_array(file, place)
            if values is not None:
                known = "bits" if place in _BIT_FIELDS else "good" if place in _GOOD_IS_ONE else ""
                return values, known
    msg = f"{path.name} holds no mask at {' or '.join(places)}; name the dataset."
    raise FileFormatError(msg)
