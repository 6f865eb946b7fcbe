"""One door for every file: look what it is, then open it as that."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import dectris, lambda_desy, layouts
from napari_xpcs.io.composed_frames import ConcatenatedFrames
from napari_xpcs.io.curves_csv import is_curves_csv, read_curves_csv
from napari_xpcs.io.esrf import is_esrf, open_esrf
from napari_xpcs.io.event_files import EVENT_FORMATS
from napari_xpcs.io.files import FramesFile, PartitionFile, ResultFile, XpcsFile
from napari_xpcs.io.format import Format, Kind, ending, first_match, holding
from napari_xpcs.io.frames import LazyFrames
from napari_xpcs.io.hdf5 import HDF5_SUFFIXES, find_broken_links, open_hdf5, reading
from napari_xpcs.io.image_frames_file import is_image, open_image
from napari_xpcs.io.known_geometry import read_known_geometry
from napari_xpcs.io.masks import is_mask_image, is_odin_meta, open_mask, open_odin_meta
from napari_xpcs.io.nexus_places import DETECTOR
from napari_xpcs.io.other_results import OTHER_RESULT_FORMATS
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.io.poni import open_poni
from napari_xpcs.io.result_file import read_result
from napari_xpcs.io.run_header import aps_header, csv_header
from napari_xpcs.io.sources import named
from napari_xpcs.io.stacks import find_stacks, open_any_stack, open_stack

SniffedKind: TypeAlias = Kind | Literal["unknown"]


class UnknownLayoutError(FileFormatError):
    """HDF5 in good order that holds nothing we know."""


def sniff(path: str | Path) -> SniffedKind | None:
    """Say at a glance what ``path`` is.

    Returns
    -------
    str or None
        ``None`` for a file that is clearly something else (or nothing); ``"unknown"`` for one
        that carries the name or the signature of HDF5 but shows no layout we know, for
        which :func:`open_path` has a sentence to say.  Never raises.
    """
    path = Path(path)
    unknown: SniffedKind | None = "unknown" if path.suffix.lower() in HDF5_SUFFIXES else None
    try:
        if not path.is_file():
            return None
        if h5py.is_hdf5(path):
            unknown = "unknown"
            with open_hdf5(path) as file:
                found = first_match(FORMATS, path, file)
        else:
            found = first_match(FORMATS, path, None)
    except (FileFormatError, OSError, RuntimeError, ValueError, KeyError, TypeError):
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
        if path.suffix.lower() not in HDF5_SUFFIXES:
            raise _foreign(path)
    with open_hdf5(path) as file:
        if dataset is not None:
            opener = open_esrf if is_esrf(path, file) else open_stack
            return opener(path, file, dataset)
        with reading(path, "The list of contents"):
            found = first_match(FORMATS, path, file)
        if found is None:
            raise _unknown_layout(path, file)
        return found.open(path, file)


def open_series(paths: Sequence[Path]) -> FramesFile:
    """Open the parts of one run, in this order, as one; geometry and mask are those of the first.

    Raises
    ------
    FileFormatError
        A file holds no frames, or frames that do not fit those of the first.
    """
    files = [open_path(path) for path in paths]
    runs = [file for file in files if isinstance(file, FramesFile)]
    dense = [run.frames for run in runs if isinstance(run.frames, LazyFrames)]
    if len(dense) < len(files):
        msg = f"Not every file from {paths[0].name} to {paths[-1].name} holds frames to be joined."
        raise FileFormatError(msg)
    return replace(
        runs[0],
        frames=ConcatenatedFrames.join(runs[0].path, dense),
        problems=tuple(dict.fromkeys(said for run in runs for said in run.problems)),
    )


def _is_hdf5(path: Path) -> bool:
    with reading(path, "The signature"):
        return bool(h5py.is_hdf5(path))


def _foreign(path: Path) -> FileFormatError:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        return FileFormatError(f"{path.name} is packed with gzip; unpack it first.")
    return FileFormatError(
        f"{path.name} is none of the files that are opened here: HDF5, events (.bin, .imm, .cmp), "
        "images (TIFF, EDF, CBF, .npy), masks (.mask, .msk), calibrations (.poni), curves (.csv)."
    )


def _unknown_layout(path: Path, file: h5py.File) -> UnknownLayoutError:
    looked_for = ", ".join(LOOKED_FOR)
    if broken := find_broken_links(file):
        held = f"it links to {named(tuple(broken))}, which cannot be found beside it"
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


FORMATS: tuple[Format, ...] = (
    Format(
        name="curves-csv",
        kind="results",
        matches=lambda path, file: file is None and is_curves_csv(path),
        open=_open_curves,
        header=csv_header,
    ),
    Format(name="poni", kind="geometry", matches=ending(".poni"), open=open_poni),
    *EVENT_FORMATS,
    Format(name="mask", kind="mask", matches=is_mask_image, open=open_mask),
    Format(name="image", kind="frames", matches=is_image, open=open_image),
    Format(
        name="aps-results",
        kind="results",
        looked_for=f"results at {layouts.MULTITAU_G2}",
        matches=holding(*layouts.RESULTS),
        open=_open_results,
        header=aps_header,
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
        name="mask",
        kind="mask",
        matches=holding(f"{layouts.PARTITION_FILE_GROUP}/mask"),
        open=open_mask,
    ),
    Format(
        name="lambda-desy",
        kind="frames",
        matches=holding(lambda_desy.POSITION),
        open=lambda_desy.open_modules,
    ),
    Format(
        name="hdf5",
        kind="frames",
        looked_for=f"frames at {layouts.FRAMES}",
        matches=holding(layouts.FRAMES),
        open=open_stack,
    ),
    Format(name="dectris", kind="frames", matches=dectris.is_master, open=dectris.open_master),
    Format(name="esrf", kind="frames", matches=is_esrf, open=open_esrf),
    Format(
        name="nexus",
        kind="frames",
        matches=holding(f"{DETECTOR}/data"),
        open=lambda path, file: open_stack(path, file, f"{DETECTOR}/data"),
    ),
    Format(name="odin-meta", kind="mask", matches=is_odin_meta, open=open_odin_meta),
    Format(
        name="stack",
        kind="frames",
        looked_for="an image or a stack of images",
        matches=lambda _, file: file is not None and bool(find_stacks(file)),
        open=open_any_stack,
    ),
)
"""In the order in which they are tried: a result file may hold a copy of other groups."""

LOOKED_FOR = tuple(format_.looked_for for format_ in FORMATS if format_.looked_for)
"""What an HDF5 file of interest holds one of."""
