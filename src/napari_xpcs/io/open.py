"""One door for every file: look what it is, then open it as that."""

from pathlib import Path
from typing import Any, Literal, TypeAlias

import h5py
import numpy as np

from napari_xpcs._typing import Mask
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.curves_csv import is_curves_csv, read_curves_csv
from napari_xpcs.io.event_files import EVENT_FORMATS
from napari_xpcs.io.files import FramesFile, PartitionFile, ResultFile, XpcsFile
from napari_xpcs.io.format import Format, Kind, first_match, holding
from napari_xpcs.io.frames import HDF5Frames
from napari_xpcs.io.hdf5 import (
    HDF5_SUFFIXES,
    find_broken_links,
    find_images,
    holds,
    open_hdf5,
    read_plain,
    reading,
)
from napari_xpcs.io.known_geometry import read_known_geometry
from napari_xpcs.io.metadata_file import read_metadata
from napari_xpcs.io.other_results import OTHER_RESULT_FORMATS
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.io.result_file import read_result

SniffedKind: TypeAlias = Kind | Literal["unknown"]


class UnknownLayoutError(FileFormatError):
    """HDF5 in good order that holds none of the things this house knows."""


def sniff(path: str | Path) -> SniffedKind | None:
    """Say at a glance what ``path`` is.

    Returns
    -------
    str or None
        ``None`` for a file that is clearly something else (or nothing); ``"unknown"`` for one
        that carries the name or the signature of HDF5 but shows no layout of this house, for
        which :func:`open_path` has a sentence to say.  Never raises.
    """
    path = Path(path)
    unknown: SniffedKind | None = "unknown" if path.suffix.lower() in HDF5_SUFFIXES else None
    try:
        if not path.is_file():
            return None
        if h5py.is_hdf5(path):
            unknown = "unknown"
            with h5py.File(path, "r") as file:
                found = first_match(FORMATS, path, file)
        else:
            found = first_match(FORMATS, path, None)
    except (OSError, RuntimeError, ValueError, KeyError):
        return unknown
    return unknown if found is None else found.kind


def open_path(path: str | Path, dataset: str | None = None) -> XpcsFile:
    """Open whatever :data:`FORMATS` knows.

    Parameters
    ----------
    path
        The file.
    dataset
        Frames at this place of the HDF5 file, whatever else it holds.

    Raises
    ------
    FileFormatError
        With one sentence on what is wrong with which file and what to do.
    """
    path = Path(path)
    if dataset is None and path.is_file() and not _is_hdf5(path):
        found = first_match(FORMATS, path, None)
        if found is not None:
            return found.open(path, None)
        if path.suffix.lower() == ".csv":
            return _open_curves(path, None)
    with open_hdf5(path) as file:
        if dataset is not None:
            return _open_frames(path, file, dataset)
        with reading(path, "The list of contents"):
            found = first_match(FORMATS, path, file)
        if found is None:
            raise _unknown_layout(path, file)
        return found.open(path, file)


def _is_hdf5(path: Path) -> bool:
    with reading(path, "The signature"):
        return bool(h5py.is_hdf5(path))


def _unknown_layout(path: Path, file: h5py.File) -> UnknownLayoutError:
    looked_for = ", ".join(LOOKED_FOR)
    images = find_images(file, limit=3)
    if images:
        held = f"it holds the arrays {', '.join(images)}; name one to open it as frames"
    elif broken := find_broken_links(file):
        others = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        held = f"it links to {broken[0]}{others}, which cannot be found beside it"
    else:
        names = [f"/{name}" for name in list(file)[:3]]
        held = f"it holds {', '.join(names)} and no image" if names else "it is empty"
    return UnknownLayoutError(f"{path.name} holds none of {looked_for}; {held}.")


def _open_curves(path: Path, _: None) -> ResultFile:
    return ResultFile(path=path, layout="curves-csv", curves=read_curves_csv(path))


def _open_results(path: Path, _: h5py.File) -> ResultFile:
    return read_result(path)


def _open_partition(path: Path, file: h5py.File) -> PartitionFile:
    report = read_known_geometry(file, qmap_group=layouts.PARTITION_FILE_GROUP)
    with reading(path, layouts.PARTITION_FILE_GROUP):
        partition = read_partition(path)
    return PartitionFile(
        path=path,
        layout="aps-qmap",
        partition=partition,
        known=report.known,
        problems=(*report.problems, *partition.notes),
        missing=tuple(gap for gap in report.missing if not gap.startswith("frame_time_s")),
    )


def _open_standard_frames(path: Path, file: h5py.File) -> FramesFile:
    return _open_frames(path, file, layouts.FRAMES)


def _open_frames(path: Path, file: h5py.File, dataset: str) -> FramesFile:
    frames = HDF5Frames.open(path, dataset)
    metadata_path, report, problems, missing = read_metadata(path, file)
    return FramesFile(
        path=path,
        layout="aps-raw" if metadata_path or holds(file, layouts.DETECTOR) else "hdf5",
        frames=frames,
        known=report.known,
        mask=_usable_pixels(frames),
        truth=_read_truth(path, file),
        metadata_path=metadata_path,
        problems=(*problems, *report.problems),
        missing=(*missing, *report.missing),
    )


def _usable_pixels(frames: HDF5Frames) -> Mask | None:
    """Return False for pixels that hold no counts in the first and in the last frame.

    Detectors write -1 (signed) or the largest number of the type (unsigned, 16 bits or more)
    where a pixel is a gap, dead or saturated; single saturated events differ between frames.
    """
    kind, bits = frames.dtype.kind, frames.dtype.itemsize * 8
    if kind not in "iu" or (kind == "u" and bits < 16):
        return None
    ends = frames[[0, len(frames) - 1]]
    bad = ends < 0 if kind == "i" else ends == np.iinfo(frames.dtype).max
    always = np.asarray(bad.all(axis=0))
    return ~always if always.any() else None


def _read_truth(path: Path, file: h5py.File) -> dict[str, Any]:
    """Return the inputs of a simulation by name, empty for a measured run."""
    truth: dict[str, Any] = {}
    with reading(path, layouts.SIMULATION):
        group = file.get(layouts.SIMULATION)
        if isinstance(group, h5py.Group):
            for name, item in group.items():
                if isinstance(item, h5py.Dataset):
                    truth[name] = read_plain(item)
    return truth


FORMATS: tuple[Format, ...] = (
    Format(
        name="curves-csv",
        kind="results",
        matches=lambda path, file: file is None and is_curves_csv(path),
        open=_open_curves,
    ),
    *EVENT_FORMATS,
    Format(
        name="aps-results",
        kind="results",
        looked_for=f"results at {layouts.MULTITAU_G2}",
        matches=holding(*layouts.RESULTS),
        open=_open_results,
    ),
    *OTHER_RESULT_FORMATS,
    Format(
        name="aps-qmap",
        kind="partition",
        looked_for=f"a partition at {layouts.PARTITION[0]}",
        matches=holding(*layouts.PARTITION),
        open=_open_partition,
    ),
    Format(
        name="hdf5",
        kind="frames",
        looked_for=f"frames at {layouts.FRAMES}",
        matches=holding(layouts.FRAMES),
        open=_open_standard_frames,
    ),
)
"""In the order in which they are tried: a result file may hold a copy of other groups."""

LOOKED_FOR = tuple(format_.looked_for for format_ in FORMATS if format_.looked_for)
"""What an HDF5 file of interest holds one of."""
