"""What all frames have in common, whatever wrote them: geometry, bad pixels, truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xpcs._typing import Mask
from napari_xpcs.errors import FileFormatError, GeometryError
from napari_xpcs.io import layouts
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.frames import LazyFrames
from napari_xpcs.io.hdf5 import holds, read_array, read_plain, reading
from napari_xpcs.io.known_geometry import GeometryReport, known_values
from napari_xpcs.io.poni import poni_to_known, read_poni
from napari_xpcs.kernels.geometry import KnownGeometry, Sourced
from napari_xpcs.kernels.mask import not_counted, pixel_mask_to_mask

_UNKNOWN = Sourced(value=None, unit="", origin="")


def frames_file(
    path: Path,
    layout: str,
    frames: LazyFrames,
    report: GeometryReport,
    *,
    file: h5py.File | None = None,
    pixel_masks: Sequence[str] = (),
    marked: Mask | None = None,
    metadata_path: Path | None = None,
    problems: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> FramesFile:
    """Put together what was found of a run.

    Parameters
    ----------
    file
        The file of the frames where it is HDF5, for its truth and its pixel masks.
    pixel_masks
        Where NeXus ``pixel_mask`` bit fields may stand in ``file``.
    marked
        False for pixels that are known to be bad from elsewhere.
    """
    doubts: list[str] = [*problems]
    masks = [] if marked is None else [marked]
    if file is not None:
        for place in pixel_masks:
            mask = _read_pixel_mask(file, place, frames.shape[1:], doubts)
            if mask is not None:
                masks.append(mask)
    unused = never_counting(frames)
    if unused is not None:
        masks.append(~unused)
    known, calibration_problems = _calibrated(path, frames.shape[1:], report.known)
    needed = tuple(
        gap for gap in report.missing if known.get(gap.split(" ")[0], _UNKNOWN).value is None
    )
    mask = np.logical_and.reduce(masks) if masks else None
    return FramesFile(
        path=path,
        layout=layout,
        frames=frames,
        known=known,
        mask=None if mask is None or mask.all() else mask,
        truth={} if file is None else _read_truth(path, file),
        metadata_path=metadata_path,
        problems=(*frames.remarks, *doubts, *calibration_problems, *report.problems),
        missing=(*missing, *needed),
    )


def never_counting(frames: LazyFrames) -> Mask | None:
    """Return True for pixels that hold no counts in the first and in the last frame.

    There a pixel is a gap, dead or saturated; single saturated events differ between frames.
    Floating-point frames are not looked at.
    """
    if frames.dtype.kind not in "iu" or frames.dtype == np.uint8:
        return None
    always: Mask = np.ones(frames.shape[1:], dtype=bool)
    for number in sorted({0, len(frames) - 1}):  # a list of indices is read more slowly
        always &= not_counted(frames[number])
    return always if always.any() else None


def _read_pixel_mask(
    file: h5py.File,
    place: str,
    shape: tuple[int, int],
    problems: list[str],
) -> Mask | None:
    """Return the usable pixels, or say why a mask that is there is not used."""
    try:
        flags = read_array(file, place)
    except FileFormatError as fault:
        problems.append(f"The pixel mask is not used. {fault}")
        return None
    if flags is None:
        return None
    if flags.size == shape[0] * shape[1]:
        flags = flags.reshape(flags.shape[-2:])
    if flags.shape != shape or flags.dtype.kind not in "biu":
        problems.append(
            f"The pixel mask {place} of {flags.shape} {flags.dtype} is not used: the frames have "
            f"{shape[0]} x {shape[1]} pixels."
        )
        return None
    return pixel_mask_to_mask(flags)


def _calibrated(
    path: Path, shape: tuple[int, int], known: KnownGeometry
) -> tuple[KnownGeometry, tuple[str, ...]]:
    """Put the calibration of the same name, which somebody made on purpose, before the header."""
    place = path.with_suffix(".poni")
    if place == path or not place.is_file():
        return known, ()
    try:
        poni = read_poni(place)
        calibrated = poni_to_known(poni, shape)
    except (FileFormatError, GeometryError) as fault:
        return known, (f"The calibration {place.name} is not used. {fault}",)
    problems = list(poni.problems)
    if poni.orientation is None:
        problems.append(
            f"{place.name} names no orientation; it is read as made for these frames as they "
            "stand. For one of Dioptas, which flips images, add the line "
            'Detector_config: {"orientation": 2} to it.'
        )
    merged = dict(known or known_values({}))
    for name, value in calibrated.items():
        before = known.get(name, _UNKNOWN)
        others = before.others
        if before.value is not None and before.value != value.value:
            others = ((before.value, before.origin), *others)
        merged[name] = Sourced(
            value=value.value, unit=value.unit, origin=value.origin, others=others
        )
    return merged, tuple(problems)


def _read_truth(path: Path, file: h5py.File) -> dict[str, Any]:
    """Return the inputs of a simulation by name, empty for a measured run."""
    truth: dict[str, Any] = {}
    if not holds(file, layouts.SIMULATION):
        return truth
    with reading(path, layouts.SIMULATION):
        group = file.get(layouts.SIMULATION)
        if isinstance(group, h5py.Group):
            for name, item in group.items():
                if isinstance(item, h5py.Dataset):
                    truth[name] = read_plain(item)
    return truth
