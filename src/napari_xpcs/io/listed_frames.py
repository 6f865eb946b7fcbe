"""Files that hold one record per frame: pixels, then their counts, or all counts."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Bool, Int, UInt8

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.events import Events, check_pixels, read_stored

MOST_PIXELS = 1 << 28
"""A header that tells more is damaged."""

_PIXEL = np.dtype("<i4")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ListedFrames:
    """Where the records of a file are.

    Parameters
    ----------
    shape, dtype
        As presented: frames, rows, columns and the type of a count.
    stored
        Type of a count in the file.
    offsets, lengths
        First byte and number of entries of each frame.
    dense
        The frames that hold the counts of all pixels and no pixel numbers.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    offsets: Int[np.ndarray, " frame"]
    lengths: Int[np.ndarray, " frame"]
    dense: Bool[np.ndarray, " frame"]
    starts: Int[np.ndarray, " frame+1"]

    def read(self, begin: int, end: int) -> Events:
        """Return the events of the frames from ``begin`` up to before ``end``."""
        if begin == end:
            none = np.zeros(0, np.int32)
            return Events(begin, np.zeros(1, np.int64), none, none.astype(self.dtype))
        raw = self._bytes(begin, end)
        pixels: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        for frame in range(begin, end):
            at, length = int(self.offsets[frame] - self.offsets[begin]), int(self.lengths[frame])
            if self.dense[frame]:
                image = np.frombuffer(raw, self.stored, length, at)
                pixel = np.flatnonzero(image)
                count = image[pixel]
            else:
                pixel = np.frombuffer(raw, _PIXEL, length, at)
                count = np.frombuffer(raw, self.stored, length, at + _PIXEL.itemsize * length)
            pixels.append(pixel)
            counts.append(count)
        count = np.concatenate(counts)
        if count.dtype.kind != "u" and not (count >= 0).all():
            wrong = count[~(count >= 0)][0]
            msg = (
                f"{self.path.name} holds the count {wrong} in the frames {begin} to {end - 1}; "
                "a count cannot be negative, so the file is damaged."
            )
            raise FileFormatError(msg)
        pixel = np.concatenate(pixels)
        check_pixels(pixel, self.shape[1:], self.path.name)
        starts = np.cumsum([0, *(len(part) for part in pixels)])
        return Events(begin, starts, pixel, count.astype(self.dtype, copy=False))

    def _bytes(self, begin: int, end: int) -> UInt8[np.ndarray, " byte"]:
        first = int(self.offsets[begin])
        count = int(self.offsets[end - 1]) + self._size(end - 1) - first
        return read_stored(self.path, np.dtype(np.uint8), count, first)

    def _size(self, frame: int) -> int:
        return int(self.lengths[frame]) * entry_size(self.stored, dense=bool(self.dense[frame]))


def reader_of_places(file: BinaryIO) -> Callable[[int, int], bytes]:
    """Return ``read(at, count)``, the quickest way to bytes of an unbuffered ``file``."""
    if hasattr(os, "pread"):
        return partial(_read_at, file.fileno())

    def read(at: int, count: int) -> bytes:
        file.seek(at)
        return file.read(count)

    return read


def _read_at(descriptor: int, at: int, count: int) -> bytes:
    return os.pread(descriptor, count, at)


def entry_size(stored: np.dtype[Any], *, dense: bool) -> int:
    """Return the bytes of one entry: a count, and its pixel number where that is stored."""
    return stored.itemsize + (0 if dense else _PIXEL.itemsize)
