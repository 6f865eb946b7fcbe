"""Compressed frames of NSLS-II CHX (``.cmp``): a header, then pixels and counts per frame."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from jaxtyping import Int

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.chx_units import lengths_in_m
from napari_xpcs.io.events import EventFrames, EventRun, Events, last_frame_cut
from napari_xpcs.io.known_geometry import known_values
from napari_xpcs.io.listed_frames import (
    MOST_PIXELS,
    ListedFrames,
    entry_size,
    reader_of_places,
)
from napari_xpcs.kernels.geometry import KnownGeometry, Sourced
from napari_xpcs.progress import Progress, Steps
from napari_xpcs.units import HC_KEV_ANGSTROM

_MAGIC = b"Version-COMP0001"
_HEADER = Struct("<16s8d7I916x")
_LENGTH = Struct("<I")
_STORED: dict[int, np.dtype[Any]] = {
    2: np.dtype("<i2"),
    4: np.dtype("<i4"),
    8: np.dtype("<f8"),
}
_PRESENTED: dict[int, np.dtype[Any]] = {
    2: np.dtype(np.uint16),
    4: np.dtype(np.uint32),
    8: np.dtype(np.float64),
}

_FIELDS = (
    "center_col_px",
    "center_row_px",
    "count_time_s",
    "distance_m",
    "frame_time_s",
    "wavelength",
    "pixel_col_m",
    "pixel_row_m",
)
"""The numbers of the header, in their order; the wavelength in angstrom."""


def is_cmp(path: Path) -> bool:
    """Say whether ``path`` starts as these files do; may raise OSError."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_cmp(path: Path) -> EventRun:
    """Open the frames of ``path``; the file has no table of frames and is walked through once.

    Raises
    ------
    FileFormatError
        The header is damaged, a frame holds more pixels than the detector, or there is none.
    """
    with path.open("rb") as file:
        raw = file.read(_HEADER.size)
        if len(raw) < _HEADER.size or not raw.startswith(_MAGIC):
            msg = f"{path.name} does not begin with {_MAGIC.decode()} and the header after it."
            raise FileFormatError(msg)
        header = _HEADER.unpack(raw)
        # The names in the header are swapped: "nrows" counts the columns of the image.
        count_bytes, cols, rows = header[9:12]
        if count_bytes not in _STORED or not 0 < rows * cols <= MOST_PIXELS:
            msg = (
                f"The header of {path.name} is damaged: {count_bytes} bytes per count and "
                f"{rows} x {cols} pixels; 2, 4 or 8 bytes were expected."
            )
            raise FileFormatError(msg)
    stored = _STORED[count_bytes]
    found = path.stat()
    entry = entry_size(stored, dense=False)
    offsets, lengths, end = _walk(path, found.st_size, found.st_mtime_ns, rows * cols, entry)
    if not len(offsets):
        msg = f"{path.name} holds a header and no whole frame."
        raise FileFormatError(msg)
    whole = end == found.st_size
    problems = [] if whole else [last_frame_cut(path)]
    if empty := int((lengths == 0).sum()):
        problems.append(
            f"{empty} of {len(lengths)} frames hold no count; frames that were rejected when "
            "the file was written look the same."
        )
    known, doubts = _known(header[1:9], path)
    blocks = ListedFrames(
        path=path,
        shape=(len(offsets), rows, cols),
        dtype=_PRESENTED[count_bytes],
        stored=stored,
        offsets=offsets,
        lengths=lengths,
        dense=np.zeros(len(offsets), dtype=bool),
        starts=np.concatenate(([0], np.cumsum(lengths))),
    )
    return EventRun(frames=EventFrames.of(path, blocks), known=known, problems=(*problems, *doubts))


@lru_cache(maxsize=8)
def _walk(
    path: Path, size: int, _written_ns: int, pixels: int, entry: int
) -> tuple[Int[np.ndarray, " frame"], Int[np.ndarray, " frame"], int]:
    """Return where frames begin, how many entries they have, and where the last whole one ends.

    Remembered for a file that has not been written since.
    """
    offsets: list[int] = []
    lengths: list[int] = []
    at, last = _HEADER.size, size - _LENGTH.size
    with path.open("rb", buffering=0) as file:
        read = reader_of_places(file)
        while at <= last:
            (length,) = _LENGTH.unpack(read(at, _LENGTH.size))
            if length > pixels:
                msg = (
                    f"Frame {len(offsets)} of {path.name} lists {length} pixels of a detector "
                    f"with {pixels}; the file is damaged."
                )
                raise FileFormatError(msg)
            end = at + _LENGTH.size + length * entry
            if end > size:
                break
            offsets.append(at + _LENGTH.size)
            lengths.append(length)
            at = end
    return np.array(offsets, np.int64), np.array(lengths, np.int64), at


def _known(numbers: tuple[float, ...], path: Path) -> tuple[KnownGeometry, tuple[str, ...]]:
    """Return the geometry of the header, a value of 0 being unknown, and doubts in words."""
    origin = f"{path.name}:header"
    found = {
        name: (value, origin)
        for name, value in zip(_FIELDS, numbers, strict=True)
        if np.isfinite(value) and (value > 0 or (value < 0 and name.startswith("center")))
    }
    if "wavelength" in found:
        found["energy_kev"] = (HC_KEV_ANGSTROM / found.pop("wavelength")[0], origin)
    found, doubts = lengths_in_m(found)
    return known_values(found), doubts


SUFFIX = ".cmp"


def require_cmp_name(path: Path) -> None:
    """Raise :class:`FileFormatError` where a name does not tell the format of events."""
    if path.suffix.lower() != SUFFIX:
        msg = f"{path.name}: events are written as {SUFFIX}, the format of NSLS-II CHX."
        raise FileFormatError(msg)


def write_cmp(
    path: Path,
    frames: EventFrames,
    *,
    known: Mapping[str, Sourced],
    force: bool = False,
) -> Steps[Path]:
    """Write the events of ``frames`` as a file that the programs of CHX read.

    Raises
    ------
    FileFormatError
        The file is there already, cannot be written, or a count is larger than it can hold.
    """
    blocks = ((end, frames.events(begin, end)) for begin, end in frames.spans(0, len(frames)))
    return (
        yield from write_event_blocks(
            path, blocks, shape=frames.shape, dtype=frames.dtype, known=known, force=force
        )
    )


def write_event_blocks(
    path: Path,
    blocks: Iterable[tuple[int, Events]],
    *,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    known: Mapping[str, Sourced],
    force: bool = False,
) -> Steps[Path]:
    """Do what :func:`write_cmp` does, for events that come block by block.

    Parameters
    ----------
    blocks
        The frame behind the last of a block, and its events; the first block begins at frame 0.
    shape
        Frames, rows, columns.
    dtype
        Type of a count.
    known
        Geometry by name, for the header.
    """
    count, rows, cols = shape
    count_bytes = {1: 2, 2: 2, 4: 4}.get(dtype.itemsize, 8)
    if dtype.kind == "f":
        count_bytes = 8
    stored = _STORED[count_bytes]
    values = {name: sourced.value or 0.0 for name, sourced in known.items()}
    energy = values.get("energy_kev", 0.0)
    values["wavelength"] = HC_KEV_ANGSTROM / energy if energy else 0.0
    numbers = [float(values.get(name, 0.0)) for name in _FIELDS]
    begin = 0
    with atomic_path(path, force) as unfinished, unfinished.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, *numbers, count_bytes, cols, rows, 0, cols, 0, rows))
        for end, events in blocks:
            largest = events.count.max(initial=0)
            if stored.kind == "i" and largest > np.iinfo(stored).max:
                msg = (
                    f"A count of {largest} in the frames {begin} to {end - 1} does not fit "
                    f"{count_bytes} bytes of a .cmp file."
                )
                raise FileFormatError(msg)
            for first, last in pairwise(events.starts.tolist()):
                file.write(_LENGTH.pack(last - first))
                file.write(events.pixel[first:last].astype("<i4").tobytes())
                file.write(events.count[first:last].astype(stored).tobytes())
            begin = end
            yield Progress(end, count, "frames")
    return path
