"""The ``*_metadata.hdf`` file that 8-ID writes beside the frames of a run."""

from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import open_hdf5
from napari_xpcs.io.known_geometry import GeometryReport, read_known_geometry
from napari_xpcs.io.physical_units import Places


def read_metadata(
    path: Path, file: h5py.File | None, places: Places | None = None
) -> tuple[Path | None, GeometryReport, tuple[str, ...], tuple[str, ...]]:
    """Read the geometry of frames from their own file and the metadata file beside it.

    Parameters
    ----------
    path
        The frames file; the metadata file has its name up to the ending.
    file
        The frames file opened, where it is HDF5.
    places
        Places of other facilities that are looked up in ``file`` too.

    Returns
    -------
    Path or None, GeometryReport, tuple of str, tuple of str
        The metadata file that was read, what is known, problems, what is missing.
    """
    own = path.with_name(path.stem + layouts.METADATA_SUFFIX)
    if own.is_file():
        chosen: Path | None = own
        problems: tuple[str, ...] = ()
    else:
        # 8-ID keeps one run per folder, sometimes with frames renamed.
        neighbours = sorted(path.parent.glob(f"*{layouts.METADATA_SUFFIX}"))
        chosen = neighbours[0] if len(neighbours) == 1 else None
        problems = (
            (
                f"There is no {own.name}; the geometry is read from {chosen.name}, the only "
                "metadata file in the folder, which may belong to another run.",
            )
            if chosen
            else ()
        )
    if chosen is not None:
        try:
            with open_hdf5(chosen) as metadata:
                report = read_known_geometry(file, metadata=metadata, places=places)
                return chosen, report, problems, ()
        except FileFormatError as fault:
            problems = (f"The metadata file is not used. {fault}",)
    report = read_known_geometry(file, places=places)
    return None, report, problems, (f"metadata file {own.name}",)
