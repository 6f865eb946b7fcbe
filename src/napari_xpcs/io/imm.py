"""IMM, the frames of APS 8-ID until about 2022: a header of 1024 bytes before every frame."""

from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.events import EventFrames, EventRun, last_frame_cut
from napari_xpcs.io.listed_frames import (
    MOST_PIXELS,
    ListedFrames,
    entry_size,
    reader_of_places,
)

_HEADER_BYTES = 1024
_HEADER = Struct("<4xi100xiii32xI")
"""compression at byte 4; rows, columns and bytes of a count at 108; number of entries at 152."""

_SPARSE = 6
_COUNT = np.dtype("<u2")


@dataclass(frozen=True, slots=True)
class _Header:
    compression: int
    rows: int
    cols: int
    count_bytes: int
    entries: int

    @property
    def dense(self) -> bool:
        return self.compression != _SPARSE

    @property
    def plausible(self) -> bool:
        pixels = self.rows * self.cols
        fits = self.entries == pixels if self.dense else self.entries <= pixels
        return (
            0 <= self.compression <= _SPARSE
            and self.count_bytes == _COUNT.itemsize
            and min(self.rows, self.cols) > 0
            and pixels <= MOST_PIXELS
            and fits
        )


def is_imm(path: Path) -> bool:
    """Say whether ``path`` starts with the header of an IMM frame; may raise OSError."""
    with path.open("rb") as file:
        header = _header(file.read(_HEADER_BYTES))
    return header is not None and header.plausible


def read_imm(path: Path) -> EventRun:
    """Open the frames of ``path``, dense or sparse (compression 6).

    Raises
    ------
    FileFormatError
        It is no IMM file, a header is damaged, or frames differ in shape.
    """
    size = path.stat().st_size
    offsets: list[int] = []
    lengths: list[int] = []
    dense: list[bool] = []
    first: _Header | None = None
    problems: tuple[str, ...] = ()
    at = 0
    with path.open("rb", buffering=0) as file:
        read = reader_of_places(file)
        while at < size:
            header = _header(read(at, _HEADER_BYTES))
            if header is not None:
                first = first or header
                if not header.plausible or (header.rows, header.cols) != (first.rows, first.cols):
                    raise FileFormatError(_damaged(path, len(offsets), header))
            start = at + _HEADER_BYTES
            end = size + 1
            if header is not None:
                end = start + header.entries * entry_size(_COUNT, dense=header.dense)
            if header is None or end > size:
                problems = (last_frame_cut(path),)
                break
            offsets.append(start)
            lengths.append(header.entries)
            dense.append(header.dense)
            at = end
    if first is None or not offsets:
        msg = f"{path.name} holds no whole IMM frame: it has {size} bytes."
        raise FileFormatError(msg)
    blocks = ListedFrames(
        path=path,
        shape=(len(offsets), first.rows, first.cols),
        dtype=np.dtype(np.uint16),
        stored=_COUNT,
        offsets=np.array(offsets),
        lengths=np.array(lengths),
        dense=np.array(dense),
        starts=np.concatenate(([0], np.cumsum(lengths))),
    )
    return EventRun(frames=EventFrames.of(path, blocks), problems=problems)


def _header(raw: bytes) -> _Header | None:
    return _Header(*_HEADER.unpack_from(raw)) if len(raw) == _HEADER_BYTES else None


def _damaged(path: Path, frame: int, header: _Header) -> str:
    return (
        f"The header of frame {frame} of {path.name} is damaged or not IMM: it tells "
        f"{header.entries} counts of {header.count_bytes} bytes on {header.rows} x {header.cols} "
        f"pixels, compression {header.compression}."
    )
