"""Legacy master files of DECTRIS detectors: links to data files, numbered from 1."""

import re
from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.composed_frames import ConcatenatedFrames
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.frames_file import frames_file
from napari_xpcs.io.hdf5 import link_fault, read_number, reading
from napari_xpcs.io.hdf5_frames import HDF5Frames
from napari_xpcs.io.known_geometry import Collector, look_up
from napari_xpcs.io.nexus_places import DETECTOR, NEXUS, PIXEL_MASKS
from napari_xpcs.io.sources import locate, named

_PART = re.compile(r"data_\d+")
_GROUPS = ("/entry/data", "/entry")
"""Firmware before 1.3 has no group ``data``."""


def is_master(_: Path, file: h5py.File | None) -> bool:
    """Say whether ``file`` links to numbered parts."""
    return file is not None and bool(_parts(file))


def _parts(file: h5py.File) -> list[str]:
    for place in _GROUPS:
        group = file.get(place)
        if isinstance(group, h5py.Group):
            # h5py gives a damaged name as bytes.
            names = sorted(name for name in map(str, group) if _PART.fullmatch(name))
            if names:
                return [f"{place}/{name}" for name in names]
    return []


def open_master(path: Path, file: h5py.File) -> FramesFile:
    """Open the frames of all data files up to the first that is missing or not complete.

    Raises
    ------
    FileFormatError
        Not even the first data file can be read; names it.
    """
    with reading(path, "The list of data files"):
        places = _parts(file)
    parts: list[HDF5Frames] = []
    problems: list[str] = []
    for number, place in enumerate(places):
        try:
            parts.append(_open_part(path, file, place))
        except FileFormatError as fault:
            if not parts:
                raise
            others = tuple(name.rpartition("/")[2] for name in places[number:])
            problems.append(f"{fault} The run ends before {named(others)} for that reason.")
            break
        if parts[-1].remarks:
            break
    frames = ConcatenatedFrames.join(path, parts)
    problems += _count(file, len(frames))
    collector = Collector()
    look_up(collector, file, NEXUS)
    return frames_file(
        path,
        "dectris",
        frames,
        collector.report(),
        file=file,
        pixel_masks=PIXEL_MASKS,
        problems=problems,
    )


def _open_part(path: Path, file: h5py.File, place: str) -> HDF5Frames:
    with reading(path, place):
        link = file.get(place, getlink=True)
    if not isinstance(link, h5py.ExternalLink):
        return HDF5Frames.open(path, place)
    located = locate(path, str(link.filename))
    if located is None:
        raise link_fault(path, place, link)
    return HDF5Frames.open(located, str(link.path))


def _count(file: h5py.File, there: int) -> list[str]:
    specific = f"{DETECTOR}/detectorSpecific"
    images = read_number(file, f"{specific}/nimages")
    triggers = read_number(file, f"{specific}/ntrigger")
    if images is None or there >= images * (triggers or 1):
        return []
    return [
        f"{specific} announces {images * (triggers or 1):g} frames (nimages x ntrigger), "
        f"{there} are there."
    ]
