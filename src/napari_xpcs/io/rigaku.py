"""Events of the Rigaku detectors of the APS: one 64-bit word per hit pixel.

Bits 40-63 hold the frame, 16-36 the pixel, 0-11 the count; the others are 0.  The 500k detector
writes one ``.bin``; the 3M writes six, ``.bin.000`` to ``.bin.005``, one per module.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Int32, UInt64

from napari_xpcs._typing import Mask
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.events import (
    EventFrames,
    EventRun,
    Events,
    check_ascending,
    check_pixels,
    falling_frames,
    read_stored,
)

MODULE_SHAPE = (512, 1024)
MODULE_ORDER = ((5, 0), (4, 1), (3, 2))
"""Number of the file of each module, as the modules stand in rows and columns."""

_GAP = (70, 52)
_OFFSET = 1 << 20
"""The modules of a 3M may number their pixels from here on."""

_UNUSED_BITS = np.uint64(0b111 << 37 | 0b1111 << 12)
_WORD = np.dtype("<u8")
_WORDS_AT_ONCE = 1 << 17
_MODULE_NAME = re.compile(r"\.bin\.00[0-5]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RigakuModule:
    """The file of one module and where the module stands on the detector."""

    path: Path
    row: int
    col: int
    starts: Int[np.ndarray, " frame+1"]
    first_pixel: int
    left_over: int

    @property
    def frames(self) -> int:
        """Frames up to the last that holds an event."""
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RigakuEvents:
    """The events of one or six modules as those of one detector."""

    modules: tuple[RigakuModule, ...]
    shape: tuple[int, int, int]
    starts: Int[np.ndarray, " frame+1"]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Counts go to 4095."""
        return np.dtype(np.uint16)

    def read(self, begin: int, end: int) -> Events:
        """Return the events of the frames from ``begin`` up to before ``end``."""
        parts = [self._read_module(module, begin, end) for module in self.modules]
        if len(parts) == 1:
            return parts[0]
        starts = np.sum([part.starts for part in parts], axis=0)
        pixel, count = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.uint16)
        before = starts[:-1].copy()
        for part in parts:
            number = np.diff(part.starts)
            place = np.arange(len(part.pixel)) + np.repeat(before - part.starts[:-1], number)
            pixel[place], count[place] = part.pixel, part.count
            before += number
        return Events(begin, starts, pixel, count)

    def _read_module(self, module: RigakuModule, begin: int, end: int) -> Events:
        starts = module.starts[np.minimum(np.arange(begin, end + 1), module.frames)]
        words = _read_words(module.path, int(starts[0]), int(starts[-1] - starts[0]))
        pixel, count = np.empty(len(words), np.int32), np.empty(len(words), np.uint16)
        for first in range(0, len(words), _WORDS_AT_ONCE):
            # Some at a time stay in a cache through all these steps.
            here = slice(first, first + _WORDS_AT_ONCE)
            of_module = _pixels(words[here]) - module.first_pixel
            check_pixels(of_module, MODULE_SHAPE, module.path.name)
            if len(self.modules) > 1:
                row, col = np.divmod(of_module, MODULE_SHAPE[1])
                of_module = (row + module.row) * self.shape[2] + col + module.col
            pixel[here] = of_module
            count[here] = words[here] & np.uint64(0xFFF)
        return Events(begin, starts - starts[0], pixel, count)


def is_rigaku(path: Path) -> bool:
    """Say whether a file is named and filled like the events of a Rigaku; may raise OSError."""
    if not (path.suffix.lower() == ".bin" or _MODULE_NAME.search(path.name)):
        return False
    if path.stat().st_size < _WORD.itemsize:
        return bool(_MODULE_NAME.search(path.name))
    words = np.fromfile(path, _WORD, count=1024)
    pixel = _pixels(words)
    return not (words & _UNUSED_BITS).any() and bool(
        (pixel < _OFFSET + MODULE_SHAPE[0] * MODULE_SHAPE[1]).all()
    )


def read_rigaku(path: Path) -> EventRun:
    """Open the events in ``path`` or, for one of the six files of a 3M, in all of them.

    Raises
    ------
    FileFormatError
        A module is missing, frames do not ascend, a pixel is not on the detector, or there is
        no event.
    """
    if not _MODULE_NAME.fullmatch("".join(path.suffixes[-2:])):
        modules: tuple[RigakuModule, ...] = (_scan(path, 0, 0),)
        rows, cols = MODULE_SHAPE
    else:
        heights, widths = (size + gap for size, gap in zip(MODULE_SHAPE, _GAP, strict=True))
        rows = len(MODULE_ORDER) * heights - _GAP[0]
        cols = len(MODULE_ORDER[0]) * widths - _GAP[1]
        places = [
            (path.with_suffix(f".{number:03d}"), row * heights, col * widths)
            for row, numbers in enumerate(MODULE_ORDER)
            for col, number in enumerate(numbers)
        ]
        missing = sorted(place.name for place, _, _ in places if not place.is_file())
        if missing:
            msg = (
                f"{path.name} is one of the six modules of a Rigaku 3M, and {', '.join(missing)} "
                "cannot be found beside it."
            )
            raise FileFormatError(msg)
        modules = tuple(_scan(*place) for place in places)
    frames = max(module.frames for module in modules)
    if frames == 0:
        msg = f"{path.name} holds no event: nothing was counted or the run was not written."
        raise FileFormatError(msg)
    starts = np.zeros(frames + 1, np.int64)
    for module in modules:
        starts += np.pad(module.starts, (0, frames - module.frames), mode="edge")
    return EventRun(
        frames=EventFrames.of(
            path, RigakuEvents(modules=modules, shape=(frames, rows, cols), starts=starts)
        ),
        mask=_outside_gaps(modules, (rows, cols)),
        problems=tuple(
            f"{module.path.name} ends in the middle of an event; the last {module.left_over} "
            "bytes are left out."
            for module in modules
            if module.left_over
        ),
    )


def _outside_gaps(modules: tuple[RigakuModule, ...], shape: tuple[int, int]) -> Mask | None:
    if len(modules) == 1:
        return None
    mask = np.zeros(shape, dtype=bool)
    for module in modules:
        mask[module.row :, module.col :][: MODULE_SHAPE[0], : MODULE_SHAPE[1]] = True
    return mask


def _scan(path: Path, row: int, col: int) -> RigakuModule:
    """Look at every word once: find where frames begin and check what can be wrong."""
    size = path.stat().st_size
    words = size // _WORD.itemsize
    starts: list[np.ndarray] = []
    lowest, highest, frames = 2 * _OFFSET, -1, 0
    for first in range(0, words, _WORDS_AT_ONCE):
        part = _read_words(path, first, min(_WORDS_AT_ONCE, words - first))
        frame, pixel = (part >> np.uint64(40)).astype(np.int64), _pixels(part)
        check_ascending(frame, path.name)
        if frame[0] < frames - 1:
            raise falling_frames(path.name, frames - 1, int(frame[0]))
        opened = np.arange(frames, int(frame[-1]) + 1)
        starts.append(first + np.searchsorted(frame, opened))
        frames = int(frame[-1]) + 1
        lowest = min(lowest, int(pixel.min()))
        highest = max(highest, int(pixel.max()))
    first_pixel = _OFFSET if words and lowest >= _OFFSET else 0
    if words:
        check_pixels(np.array([highest - first_pixel]), MODULE_SHAPE, path.name)
    return RigakuModule(
        path=path,
        row=row,
        col=col,
        starts=np.concatenate([*starts, [words]]),
        first_pixel=first_pixel,
        left_over=size % _WORD.itemsize,
    )


def _read_words(path: Path, first: int, count: int) -> UInt64[np.ndarray, " event"]:
    return read_stored(path, _WORD, count, first * _WORD.itemsize)


def _pixels(words: UInt64[np.ndarray, " event"]) -> Int32[np.ndarray, " event"]:
    return ((words >> np.uint64(16)) & np.uint64(2 * _OFFSET - 1)).astype(np.int32)
