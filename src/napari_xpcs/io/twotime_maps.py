"""Two-time correlation maps that stay in their result file until one is looked at."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import open_dataset, open_hdf5, read_array, reading


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

    def read(self, position: int) -> np.ndarray:
        """Return the full symmetric map at ``position``, float32 (frame, frame).

        Of files that keep one triangle with its diagonal, the other is its mirror image.

        Raises
        ------
        FileFormatError
            The map cannot be read or is not square.
        """
        name = self.datasets[0 if self.bin_axis is not None else position]
        with open_hdf5(self.path) as file:
            if self.bin_axis is None:
                half = read_array(file, name)
            else:
                dataset = open_dataset(file, name)
                with reading(self.path, name):
                    half = np.asarray(dataset[(slice(None),) * self.bin_axis + (position,)])
        if half is None or half.ndim != 2 or half.shape[0] != half.shape[1]:
            shape = None if half is None else half.shape
            msg = f"{name} in {self.path.name} has the shape {shape}; a two-time map is square."
            raise FileFormatError(msg)
        half = (half[::-1] if self.upward else half) + self.missing_baseline
        upper = np.triu(half.T if self.lower else half).astype(np.float32, copy=False)
        return np.asarray(upper + np.triu(upper, 1).T)


class StreamedMaps:
    """Writes tiles of maps into a result file; what is below the diagonal takes no room.

    Parameters
    ----------
    file
        The file, open for writing.
    """

    def __init__(self, file: h5py.File) -> None:
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

    def put(self, position: int, row: int, col: int, tile: np.ndarray) -> None:
        """Write a tile of the upper half of map ``position`` with its first row and column."""
        dataset = self._file[f"{layouts.TWOTIME_MAPS}/c2_{position + 1:05d}"]
        dataset[row : row + tile.shape[0], col : col + tile.shape[1]] = tile
