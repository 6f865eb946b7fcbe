"""Lima files and BLISS masters of the ESRF; their detectors tell times and little else."""

import re
from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.frames_file import frames_file
from napari_xpcs.io.hdf5 import holds, reading
from napari_xpcs.io.hdf5_frames import HDF5Frames, SeveralFramesError
from napari_xpcs.io.known_geometry import Collector, look_up, look_up_sum
from napari_xpcs.io.physical_units import Place
from napari_xpcs.io.stacks import find_stacks, split_channel

_LIMA_ENTRY = re.compile(r"entry_\d{4}")
_BLISS_SCAN = re.compile(r"\d+\.\d+")

_TIMES = (
    ("acquisition", "exposure_time", "latency_time"),
    ("acq_parameters", "acq_expo_time", "latency_time"),
)
"""Group beside the frames, exposure and dead time in it, in s: Lima, BLISS."""


def is_esrf(_: Path, file: h5py.File | None) -> bool:
    """Say whether the top groups are named as Lima or BLISS do."""
    return file is not None and any(
        _LIMA_ENTRY.fullmatch(name) or _BLISS_SCAN.fullmatch(name) for name in map(str, file)
    )


def open_esrf(path: Path, file: h5py.File, dataset: str | None = None) -> FramesFile:
    """Open the frames of the one detector and scan whose files are there.

    Raises
    ------
    SeveralFramesError
        There are several; one must be named.
    FileFormatError
        Files of Lima that a master points to are missing.
    """
    if dataset is None:
        with reading(path, "The list of datasets"):
            stacks = find_stacks(file)
        if not stacks:
            msg = f"{path.name} is of the ESRF but holds no images."
            raise FileFormatError(msg)
    else:
        stacks = [dataset]
    opened, faults = {}, []
    for place in stacks:
        name, channel = split_channel(place)
        try:
            opened[place] = HDF5Frames.open(path, name, channel)
        except FileFormatError as fault:
            faults.append(fault)
    if not opened:
        raise faults[0]
    if len(opened) > 1:
        described = tuple(f"{place} {frames.shape}" for place, frames in opened.items())
        raise SeveralFramesError(path, tuple(opened), described)
    place, frames = next(iter(opened.items()))
    collector = Collector()
    for group, exposure, latency in _TIMES:
        parent = f"{place.rpartition('/')[0]}/{group}"
        if holds(file, parent):
            exposed = Place(f"{parent}/{exposure}", "s")
            look_up(collector, file, {"count_time_s": (exposed,)})
            look_up_sum(collector, file, "frame_time_s", exposed, Place(f"{parent}/{latency}", "s"))
    layout = "esrf-lima" if _LIMA_ENTRY.fullmatch(place.split("/")[1]) else "esrf-bliss"
    return frames_file(
        path,
        layout,
        frames,
        collector.report(),
        file=file,
        problems=[str(fault) for fault in faults],
    )
