"""The result files of a folder, with their headers; files that are cut short stay in the list."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.format import first_match
from napari_xpcs.io.hdf5 import HDF5_SUFFIXES, open_hdf5, reading
from napari_xpcs.io.open import FORMATS
from napari_xpcs.io.run_header import RunHeader
from napari_xpcs.progress import Progress, Steps

TELL_S = 0.2
"""Time between two lists so far."""

_RESULTS = tuple(format_ for format_ in FORMATS if format_.header is not None)
_SUFFIXES = HDF5_SUFFIXES | {".csv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRun:
    """A file that was looked at.

    Parameters
    ----------
    header
        ``None`` for a file in good order that holds no results.
    changed_s
        When the file was written last, s since 1970.
    size
        Bytes.
    began_s
        When the run began, in the same way, where the file tells it.
    """

    path: Path
    header: RunHeader | None
    changed_s: float
    size: int
    began_s: float | None = None

    @property
    def time_s(self) -> float:
        """When the run was, as well as it is known: s since 1970."""
        return self.changed_s if self.began_s is None else self.began_s


Listed = Mapping[Path, ListedRun]


def read_header(path: Path) -> RunHeader | None:
    """Return the header of a result file, ``None`` for a file that clearly is none.

    A file that cannot be read gives a header with the reason; nothing is raised.
    """
    try:
        if not h5py.is_hdf5(path):
            return _header_without_hdf5(path)
        with open_hdf5(path) as file, reading(path, "The header"):
            found = first_match(_RESULTS, path, file)
            return None if found is None or found.header is None else found.header(path, file)
    except FileFormatError as fault:
        return RunHeader(path=path, problem=str(fault))
    except OSError as fault:
        return RunHeader(path=path, problem=f"{path.name} cannot be opened: {fault.strerror}.")


def _header_without_hdf5(path: Path) -> RunHeader | None:
    found = first_match(_RESULTS, path, None)
    if found is not None and found.header is not None:
        return found.header(path, None)
    if path.suffix.lower() in HDF5_SUFFIXES:
        with open_hdf5(path):  # says what is wrong with it
            pass
    return None


def list_runs(places: Sequence[Path], before: Listed | None = None) -> Steps[Listed]:
    """Read the headers of all files in folders, or of single files.

    Parameters
    ----------
    places
        Folders, in which files with an ending of HDF5 or .csv are looked at, and files.
    before
        What was read earlier: a file of the same size and date is not read again.

    Yields
    ------
    Progress
        With the :data:`Listed` so far as ``partial``, a few times a second.

    Raises
    ------
    FileFormatError
        A folder is not there or may not be read.
    """
    before = before or {}
    yield Progress(0, 0, "files")
    found = _files(places)
    listed: dict[Path, ListedRun] = {}
    told = time.monotonic()
    for number, path in enumerate(found):
        listed[path] = _look_at(path, before.get(path))
        now = time.monotonic()
        if now - told > TELL_S:
            told = now
            yield Progress(number + 1, len(found), "files", partial=dict(listed))
        else:
            yield Progress(number + 1, len(found), "files")
    return listed


def _look_at(path: Path, before: ListedRun | None) -> ListedRun:
    try:
        state = path.stat()
    except OSError as fault:
        lost = RunHeader(path=path, problem=f"{path.name} cannot be opened: {fault.strerror}.")
        return ListedRun(path=path, header=lost, changed_s=float("nan"), size=0)
    if before is not None and (before.changed_s, before.size) == (state.st_mtime, state.st_size):
        return before
    header = read_header(path)
    return ListedRun(
        path=path,
        header=header,
        changed_s=state.st_mtime,
        size=state.st_size,
        began_s=None if header is None else _seconds(header.started),
    )


def _seconds(text: str) -> float | None:
    """Return a time that a file tells, local where it has no zone, s since 1970."""
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _files(places: Iterable[Path]) -> list[Path]:
    """Return the files, once each, those named after results first."""
    found: dict[Path, None] = {}
    for place in places:
        if not place.is_dir():
            found[place] = None
            continue
        try:
            with os.scandir(place) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    if Path(entry.name).suffix.lower() in _SUFFIXES and entry.name[0] != "."
                )
        except OSError as fault:
            msg = f"The folder {place} cannot be read: {fault.strerror}."
            raise FileFormatError(msg) from fault
        found |= dict.fromkeys(place / name for name in names)
    return sorted(found, key=lambda path: "result" not in path.name.lower())
