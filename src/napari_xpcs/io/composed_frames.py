"""Runs whose frames lie in several files: one after the other, or side by side."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from napari_xpcs.errors import CorruptFramesError, FileFormatError
from napari_xpcs.io.frames import LazyFrames, Stored
from napari_xpcs.io.hdf5_frames import corrupt_frames


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcatenatedFrames(LazyFrames):
    """The frames of several parts, one after the other; only the parts asked for are opened.

    Parameters
    ----------
    path
        File that stands for the run.
    parts
        Frames of one shape of pixels and one type.
    """

    path: Path
    parts: tuple[LazyFrames, ...]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    starts: tuple[int, ...]

    @classmethod
    def join(cls, path: Path, parts: Sequence[LazyFrames]) -> "ConcatenatedFrames":
        """Put ``parts`` in a row.

        Raises
        ------
        FileFormatError
            The parts differ in the shape or the type of their frames.
        """
        first = parts[0]
        for part in parts[1:]:
            if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
                msg = (
                    f"{first.path.name} holds frames of {_frame(first)}, {part.path.name} of "
                    f"{_frame(part)}: they are no parts of one run."
                )
                raise FileFormatError(msg)
        ends = list(accumulate(len(part) for part in parts))
        return cls(
            path=path,
            parts=tuple(parts),
            shape=(ends[-1], *first.shape[1:]),
            dtype=first.dtype,
            starts=(0, *ends[:-1]),
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is amiss with the parts."""
        return tuple(remark for part in self.parts for remark in part.remarks)

    def read(self, frames: Stored, rows: Stored, cols: Stored) -> np.ndarray:
        """Return a block of three axes."""
        blocks = []
        for number, inside in self._split(frames):
            with self._naming(number):
                blocks.append(self.parts[number].read(inside, rows, cols))
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def read_whole(self, frames: Stored, room: np.ndarray) -> np.ndarray:
        """Return whole frames, in ``room`` where they lie in several parts or a part can."""
        split = self._split(frames)
        filled = 0
        for number, inside in split:
            with self._naming(number):
                block = self.parts[number].read_whole(inside, room[filled:])
            if len(split) == 1:
                return block
            here = room[filled : filled + len(block)]
            if not np.may_share_memory(block, here):
                here[:] = block
            filled += len(block)
        return room[:filled]

    @contextmanager
    def _naming(self, number: int) -> Iterator[None]:
        """Give corrupt frames of a part the numbers that they have in the run."""
        try:
            yield
        except CorruptFramesError as fault:
            start, part = self.starts[number], self.parts[number].path.name
            numbers = tuple(start + frame for frame in fault.frames)
            where = f"{self.path.name} (stored in {part} as number {fault.frames[0]})"
            raise corrupt_frames(where, numbers) from fault

    def _split(self, frames: Stored) -> list[tuple[int, Stored]]:
        """Return which parts hold ``frames``, and where inside them."""
        first = int(frames.start if isinstance(frames, slice) else frames[0])
        last = int(frames.stop - 1 if isinstance(frames, slice) else frames[-1])
        chosen: list[tuple[int, Stored]] = []
        for number in range(self._part_of(first), self._part_of(last) + 1):
            start, length = self.starts[number], len(self.parts[number])
            if isinstance(frames, slice):
                step = frames.step or 1
                ahead = max(0, -(-(start - frames.start) // step))
                begin = frames.start + ahead * step - start
                end = min(frames.stop - start, length)
                if begin < end:
                    chosen.append((number, slice(begin, end, step)))
            else:
                inside = frames[(frames >= start) & (frames < start + length)] - start
                if len(inside):
                    chosen.append((number, inside))
        return chosen

    def _part_of(self, frame: int) -> int:
        return bisect_right(self.starts, frame) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StitchedFrames(LazyFrames):
    """Modules of one detector on a common canvas; between them stands ``fill``.

    Parameters
    ----------
    path
        File that stands for the run.
    modules
        Frames of the modules, of one type.
    corners
        Row and column of the first pixel of each module on the canvas.
    fill
        What pixels outside every module hold: the "no value" of the detector.
    """

    path: Path
    modules: tuple[LazyFrames, ...]
    corners: tuple[tuple[int, int], ...]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    fill: int

    @classmethod
    def stitch(
        cls,
        path: Path,
        modules: Sequence[LazyFrames],
        corners: Sequence[tuple[int, int]],
        fill: int,
    ) -> "StitchedFrames":
        """Lay ``modules`` at ``corners``, moved so that the canvas begins at (0, 0).

        Raises
        ------
        FileFormatError
            The modules differ in type or overlap.
        """
        types = {module.dtype for module in modules}
        if len(types) > 1:
            names = " and ".join(sorted(str(dtype) for dtype in types))
            msg = f"The modules of {path.name} hold different types, {names}."
            raise FileFormatError(msg)
        top, left = (min(corner[axis] for corner in corners) for axis in (0, 1))
        moved = [(row - top, col - left) for row, col in corners]
        size = tuple(
            max(
                corner[axis] + module.shape[axis + 1]
                for corner, module in zip(moved, modules, strict=True)
            )
            for axis in (0, 1)
        )
        cls._refuse_overlap(path, modules, moved)
        return cls(
            path=path,
            modules=tuple(modules),
            corners=tuple(moved),
            shape=(min(len(module) for module in modules), *size),  # type: ignore[arg-type]
            dtype=modules[0].dtype,
            fill=fill,
        )

    @staticmethod
    def _refuse_overlap(
        path: Path, modules: Sequence[LazyFrames], corners: Sequence[tuple[int, int]]
    ) -> None:
        boxes = [
            (row, col, row + module.shape[1], col + module.shape[2])
            for (row, col), module in zip(corners, modules, strict=True)
        ]
        for number, one in enumerate(boxes):
            for other in boxes[:number]:
                apart = (
                    one[0] >= other[2]
                    or other[0] >= one[2]
                    or one[1] >= other[3]
                    or other[1] >= one[3]
                )
                if not apart:
                    msg = (
                        f"Two modules of {path.name} overlap on the canvas, at rows and columns "
                        f"{other[:2]} and {one[:2]}: their translation/distance is wrong."
                    )
                    raise FileFormatError(msg)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is amiss with the modules."""
        found = [remark for module in self.modules for remark in module.remarks]
        longest = max(len(module) for module in self.modules)
        if longest > len(self):
            found.append(
                f"The modules of {self.path.name} hold {len(self)} to {longest} frames; the "
                f"{len(self)} that all of them have are used."
            )
        return tuple(found)

    def place(self, images: Sequence[np.ndarray], fill: Any) -> np.ndarray:
        """Return one image (row, col) per module laid on the canvas."""
        canvas = np.full(self.shape[1:], fill, dtype=images[0].dtype)
        for (row, col), image in zip(self.corners, images, strict=True):
            canvas[row : row + image.shape[0], col : col + image.shape[1]] = image
        return canvas

    def read(self, frames: Stored, rows: Stored, cols: Stored) -> np.ndarray:
        """Return a block of three axes."""
        count = len(range(frames.stop)[frames]) if isinstance(frames, slice) else len(frames)
        canvas = np.full((count, *self.shape[1:]), self.fill, dtype=self.dtype)
        for (row, col), module in zip(self.corners, self.modules, strict=True):
            _, height, width = module.shape
            canvas[:, row : row + height, col : col + width] = module.read(
                frames, slice(0, height), slice(0, width)
            )
        return canvas[:, rows][:, :, cols]


def _frame(frames: LazyFrames) -> str:
    return f"{frames.shape[1]} x {frames.shape[2]} {frames.dtype}"
