"""What a file format is to :func:`napari_xpcs.io.open.open_path`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import h5py

from napari_xpcs.io.files import XpcsFile
from napari_xpcs.io.run_header import RunHeader

Kind: TypeAlias = Literal["frames", "events", "results", "partition", "mask", "geometry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One row of the table of formats.

    Parameters
    ----------
    name
        Name of the layout, as ``info`` prints it.
    kind
        What such a file usually holds; opening it may show otherwise.
    looked_for
        Sign of the format in words, for the sentence on a file that shows none; empty where
        the ending of the name is the sign.
    matches
        Says from the path and, for HDF5, the open file whether it is of this format.  Cheap:
        it looks at names and reads no pixel.
    open
        Opens what matches; the HDF5 file is closed when it returns.
    header
        Of results: reads the line of a list of runs, no array.
    """

    name: str
    kind: Kind
    looked_for: str = ""
    matches: Callable[[Path, h5py.File | None], bool]
    open: Callable[[Path, h5py.File | None], XpcsFile]
    header: Callable[[Path, h5py.File | None], RunHeader] | None = None


def holding(*places: str) -> Callable[[Path, h5py.File | None], bool]:
    """Return a ``matches`` for HDF5 files that hold something at one of ``places``."""

    def matches(_: Path, file: h5py.File | None) -> bool:
        return file is not None and any(place in file for place in places)

    return matches


def ending(*suffixes: str) -> Callable[[Path, h5py.File | None], bool]:
    """Return a ``matches`` for files, other than HDF5, whose name ends on one of ``suffixes``."""

    def matches(path: Path, file: h5py.File | None) -> bool:
        return file is None and path.name.lower().endswith(suffixes)

    return matches


def first_match(formats: tuple[Format, ...], path: Path, file: h5py.File | None) -> Format | None:
    """Return the first of ``formats`` that ``path`` shows a sign of."""
    return next((format_ for format_ in formats if format_.matches(path, file)), None)
