"""Writing the ``/entry`` group in which APS 8-ID keeps the metadata of a run."""

from pathlib import Path

import h5py
import numpy as np

from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import open_hdf5, reading
from napari_xpcs.kernels.geometry import FIELD_UNITS, KnownGeometry

_REQUIRED_NUMBERS = ("energy_kev", "frame_time_s", "count_time_s")
"""Without these the viewer of the beamline does not open a file; NaN where they are unknown."""

_NEXUS_UNITS = {"m": "m", "s": "s", "keV": "keV", "px": "pixel", "deg": "degree"}


def copy_entry(metadata: Path, file: h5py.File) -> None:
    """Copy the metadata of a run into ``file``, which has none yet.

    Raises
    ------
    FileFormatError
        The metadata file cannot be read.
    """
    with open_hdf5(metadata) as source, reading(metadata, layouts.ENTRY):
        if layouts.ENTRY in source:
            source.copy(source[layouts.ENTRY], file, name=layouts.ENTRY)


def write_entry(file: h5py.File, known: KnownGeometry, *, identifier: str) -> None:
    """Write what is known where ``/entry`` lacks it; values that are there stay.

    An unknown value that other programs insist on is written as NaN (text: "unknown"), which
    says so and is read back as unknown.
    """
    for name, path in layouts.ENTRY_GEOMETRY.items():
        sourced = known.get(name)
        value = None if sourced is None else sourced.value
        if path in file or (value is None and name not in _REQUIRED_NUMBERS):
            continue
        dataset = file.create_dataset(path, data=np.float64(np.nan if value is None else value))
        dataset.attrs["units"] = _NEXUS_UNITS[FIELD_UNITS[name]]
    # Readers of 8-ID correct the beam centre by the travel of the stage and stumble where the
    # positions are absent.  Equal positions say that the centre is right as it stands.
    for axis in ("x", "y"):
        stage = ("position", "beam_center_position")
        places = [f"{layouts.DETECTOR}/{name}_{axis}" for name in stage]
        if not any(place in file for place in places):
            for place in places:
                file.create_dataset(place, data=0.0).attrs["units"] = "m"
    for path, text in (
        (layouts.START_TIME, "unknown"),
        (f"{layouts.ENTRY}/entry_identifier", identifier),
        (f"{layouts.ENTRY}/definition", "NXxpcs"),
        (f"{layouts.ENTRY}/schema_version", "0.1.0"),
    ):
        if path not in file:
            file[path] = text
