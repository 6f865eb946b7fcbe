"""Two-time correlation maps that stay in their result file until one is looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import open_dataset, open_hdf5, reading
from napari_xpcs.io.new_hdf5 import NewFile

STRIPE_FRAMES = 512
"""Rows of a map that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoTimeMaps:
    """C2(t1, t2) of some bins, with the curves that were made from them.

    Parameters
    ----------
    path, datasets
        Where the maps are: one dataset per entry of ``bins``, or a single one for all.
    bins
        Labels of the dynamic bins.
    bin_axis
        Axis along which a single dataset holds the bins, ``None`` where each has its own.
    lower
        The half that is stored lies below the diagonal.
    upward
        The first time of the first axis is in its last row.
    missing_baseline
        What the stored numbers lack: 1 where C2 - 1 is stored.
    frame_time_s
        Time between two rows of a map, s; ``None`` where it is unknown.
    g2
        (frame, map): mean along each diagonal; entry 0 is the shot-noise diagonal.
    g2_err
        (frame, map): its standard error over time; only files of this program hold it.
    segments
        (frame of a segment, segment, map): the same for blocks along the diagonal.
    """

    path: Path
    datasets: tuple[str, ...]
    bins: np.ndarray
    bin_axis: int | None = None
    lower: bool = False
    upward: bool = False
    missing_baseline: float = 0.0
    frame_time_s: float | None = None
    g2: np.ndarray | None = None
    g2_err: np.ndarray | None = None
    segments: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.bins)

    def frames(self, position: int = 0) -> int:
        """Return the number of rows of a map, without reading it.

        Raises
        ------
        FileFormatError
            The map cannot be opened or is not square.
        """
        with open_hdf5(self.path) as file:
            return self._side(self._dataset(file, position))

    def stripes(self, position: int, length: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the stored half of a map in stripes of ``length`` frames, from the first on.

        Each is the number of its first row and (row, frame) numbers; what lies on the other side
        of the diagonal means nothing.  With :attr:`lower` the rows are those of the later frame.

        Raises
        ------
        FileFormatError
            As :meth:`read`.
        """
        with open_hdf5(self.path) as file:
            dataset = self._dataset(file, position)
            side = self._side(dataset)
            for first in range(0, side, length):
                last = min(first + length, side)
                rows = slice(side - last, side - first) if self.upward else slice(first, last)
                key: tuple[Any, ...] = (rows, slice(None))
                if self.bin_axis is not None:
                    key = (*key[: self.bin_axis], position, *key[self.bin_axis :])
                with reading(self.path, dataset.name):
                    stripe = np.asarray(dataset[key], dtype=np.float32)
                yield first, (stripe[::-1] if self.upward else stripe) + self.missing_baseline

    def upper(self, position: int) -> np.ndarray:
        """Return the half of a map above its diagonal, float32 (frame, frame), 0 below it.

        Raises
        ------
        FileFormatError
            The map cannot be read or is not square.
        """
        half = np.zeros((self.frames(position),) * 2, np.float32)
        for first, stripe in self.stripes(position, STRIPE_FRAMES):
            last = first + len(stripe)
            if self.lower:
                half[:last, first:last] = stripe[:, :last].T
            else:
                half[first:last, first:] = stripe[:, first:]
            corner = half[first:last, first:last]
            corner[:] = np.triu(corner)
        return half

    def read(self, position: int) -> np.ndarray:
        """Return the full symmetric map at ``position``, float32 (frame, frame).

        Of files that keep one triangle with its diagonal, the other is its mirror image.

        Raises
        ------
        FileFormatError
            The map cannot be read or is not square.
        """
        upper = self.upper(position)
        return np.asarray(upper + np.triu(upper, 1).T)

    def _dataset(self, file: h5py.File, position: int) -> h5py.Dataset:
        return open_dataset(file, self.datasets[0 if self.bin_axis is not None else position])

    def _side(self, dataset: h5py.Dataset) -> int:
        shape = list(dataset.shape)
        if self.bin_axis is not None and self.bin_axis < len(shape):
            del shape[self.bin_axis]
        if len(shape) != 2 or shape[0] != shape[1]:
            msg = (
                f"{dataset.name} in {self.path.name} has the shape {tuple(shape)}; a two-time map "
                "is square."
            )
            raise FileFormatError(msg)
        if dataset.dtype.kind not in "biuf":
            msg = f"{dataset.name} in {self.path.name} holds {dataset.dtype}, not numbers."
            raise FileFormatError(msg)
        return int(shape[0])


class StreamedMaps:
    """Writes tiles of maps into a result file; what is below the diagonal takes no room.

    Parameters
    ----------
    file
        The file, open for writing.
    """

    def __init__(self, file: NewFile) -> None:
        self._file = file

    def start(self, maps: int, frames: int, tile: int) -> None:
        """Make a dataset for each of ``maps`` of ``frames`` x ``frames`` entries."""
        side = min(tile, frames)
        for number in range(1, maps + 1):
            self._file.create_dataset(
                f"{layouts.TWOTIME_MAPS}/c2_{number:05d}",
                (frames, frames),
                np.float32,
                chunks=(side, side),
                compression="lzf",
            )

    def room(self, position: int, shape: tuple[int, int]) -> None:
        """Leave open where a tile is made."""

    def put(self, position: int, row: int, col: int, tile: np.ndarray) -> None:
        """Write a tile of the upper half of map ``position`` with its first row and column."""
        dataset = self._file[f"{layouts.TWOTIME_MAPS}/c2_{position + 1:05d}"]
        dataset[row : row + tile.shape[0], col : col + tile.shape[1]] = tile
        self._file.check()
