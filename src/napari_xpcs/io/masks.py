"""Masks from files, whichever way round their writer meant them."""

from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Shaped

from napari_xpcs._typing import Mask
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import MaskFile, Polarity
from napari_xpcs.io.hdf5 import holds, open_hdf5, read_array
from napari_xpcs.io.images import image_kind, load_image
from napari_xpcs.io.known_geometry import Collector, look_up
from napari_xpcs.io.layouts import PARTITION_FILE_GROUP, RESULT_PARTITION_GROUP
from napari_xpcs.io.nexus_places import ODIN_META, PIXEL_MASKS
from napari_xpcs.kernels.mask import check_mask_shape, pixel_mask_to_mask
from napari_xpcs.kernels.mask_steps import FileStep

_GOOD_IS_ONE = (f"{PARTITION_FILE_GROUP}/mask", f"{RESULT_PARTITION_GROUP}/mask")
_BIT_FIELDS = (*PIXEL_MASKS, "/pixel_mask")
_ODIN_MASK = "/mask"
_ODIN_SIGN = "/_dectris"

_FIXED_MEANING: dict[str, Polarity] = {"good": "good", "bad": "bad", "bits": "bad"}
_MASK_SUFFIXES = (".mask", ".msk")
"""pyFAI, Dioptas and Fit2D: what is not 0 is bad."""


_POLARITIES: dict[str, Polarity] = {"good": "good", "bad": "bad"}


def read_mask(
    path: str | Path,
    shape: tuple[int, int] | None = None,
    *,
    ones: Polarity | None = None,
    dataset: str | None = None,
) -> MaskFile:
    """Return the mask in an image file (see :mod:`napari_xpcs.io.images`) or in HDF5.

    Parameters
    ----------
    path
        The file.
    shape
        Rows and columns of the detector, where they are known.
    ones
        What pixels that are not 0 mean; ``None`` for what the format fixes (Q-map files:
        good; NeXus ``pixel_mask``, ``.mask`` of Dioptas and pyFAI, ``.msk`` of Fit2D: bad) and
        a guess for the others.
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
    values, known, layout = _read(path, dataset)
    # DECTRIS and NeXus writers keep the axis of channels or modules.
    if values.ndim > 2 and values.size == np.prod(values.shape[-2:]):
        values = values.reshape(values.shape[-2:])
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        msg = (
            f"{path.name} holds no mask: an image of numbers is needed, "
            f"it has the shape {values.shape} and the type {values.dtype}."
        )
        raise FileFormatError(msg)
    if shape is not None:
        check_mask_shape(values, shape)
    bits = known == "bits" and ones is None and values.dtype.kind in "iu"
    marked = ~pixel_mask_to_mask(values) if bits else values != 0
    number = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, dtype=bool)
    marked &= number
    meaning: Polarity | None = ones or _FIXED_MEANING.get(known)
    return MaskFile(
        path=path,
        layout=layout,
        mask=(marked if (meaning or _rarer(marked)) == "good" else ~marked) & number,
        ones=meaning or _rarer(marked),
        guessed=meaning is None,
    )


def read_mask_step(step: FileStep, *, shape: tuple[int, int]) -> Mask:
    """Return the mask (True = used) that a step of a mask names, as :func:`read_mask` does."""
    found = read_mask(step.path, shape, ones=_POLARITIES.get(step.ones), dataset=step.dataset)
    return found.mask


def _rarer(marked: Mask) -> Polarity:
    """Return what ``marked`` pixels mean if bad pixels are the rarer ones."""
    return "good" if 2 * np.count_nonzero(marked) > marked.size else "bad"


_Image = Shaped[np.ndarray, "..."]


def _read(path: Path, dataset: str | None) -> tuple[_Image, str, str]:
    """Return the numbers, what is known of their meaning, and the format."""
    if not path.is_file():
        msg = f"There is no file {path}."
        raise FileFormatError(msg)
    kind = image_kind(path)
    if kind is not None:
        known = "bad" if path.suffix.lower() in _MASK_SUFFIXES else ""
        return load_image(path, kind), known, kind
    if h5py.is_hdf5(path):
        values, known = _read_hdf5(path, dataset)
        return values, known, "hdf5-mask"
    msg = (
        f"{path.name} is neither .npy, TIFF, EDF, CBF, a mask of Fit2D nor HDF5; save the mask "
        "in one of these."
    )
    raise FileFormatError(msg)


def _read_hdf5(path: Path, dataset: str | None) -> tuple[_Image, str]:
    places = (dataset,) if dataset is not None else (*_GOOD_IS_ONE, *_BIT_FIELDS, _ODIN_MASK)
    with open_hdf5(path) as file:
        for place in places:
            values = read_array(file, place)
            if values is None:
                continue
            if place in _BIT_FIELDS or (place == _ODIN_MASK and holds(file, _ODIN_SIGN)):
                return values, "bits"
            return values, "good" if place in _GOOD_IS_ONE else ""
    msg = f"{path.name} holds no mask at {' or '.join(places)}; name the dataset."
    raise FileFormatError(msg)


def is_odin_meta(_: Path, file: h5py.File | None) -> bool:
    """Say whether ``file`` is the ``*_meta.h5`` that Diamond's writer leaves beside frames."""
    return file is not None and _ODIN_SIGN in file and _ODIN_MASK in file


def open_odin_meta(path: Path, file: h5py.File) -> MaskFile:
    """Open the pixel mask of a ``*_meta.h5`` with the geometry that the detector was told."""
    collector = Collector()
    look_up(collector, file, ODIN_META)
    report = collector.report()
    found = read_mask(path)
    return MaskFile(
        path=path,
        layout="odin-meta",
        mask=found.mask,
        ones=found.ones,
        guessed=found.guessed,
        known=report.known,
        problems=report.problems,
    )


def is_mask_image(path: Path, file: h5py.File | None) -> bool:
    """Say whether the name of an image tells that it is a mask."""
    named = path.suffix.lower() in _MASK_SUFFIXES or "mask" in path.stem.lower()
    return file is None and named and image_kind(path) is not None


def open_mask(path: Path, _: None) -> MaskFile:
    """Open a mask whose detector is not known."""
    return read_mask(path)
