"""Two-time correlation maps that stay in their result file until one is looked at."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.hdf5 import open_hdf5, read_array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoTimeMaps:
    """C2(t1, t2) of some bins, with the curves that were made from them.

    Parameters
    ----------
    path, datasets
        Where the maps are; entry k belongs to entry k of ``bins``.
    bins
        Labels of the dynamic bins.
    frame_time_s
        Time between two rows of a map, s; ``None`` where it is unknown.
    g2
        (frame, map): mean along each diagonal; entry 0 is the shot-noise diagonal.
    segments
        (frame of a segment, segment, map): the same for blocks along the diagonal.
    """

    path: Path
    datasets: tuple[str, ...]
    bins: np.ndarray
    frame_time_s: float | None = None
    g2: np.ndarray | None = None
    segments: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.datasets)

    def read(self, position: int) -> np.ndarray:
        """Return the full symmetric map at ``position``, float32 (frame, frame).

        The files keep the upper triangle with its diagonal; the lower one is its mirror image.

        Raises
        ------
        FileFormatError
            The map cannot be read or is not square.
        """
        name = self.datasets[position]
        with open_hdf5(self.path) as file:
            half = read_array(file, name)
        if half is None or half.ndim != 2 or half.shape[0] != half.shape[1]:
            shape = None if half is None else half.shape
            msg = f"{name} in {self.path.name} has the shape {shape}; a two-time map is square."
            raise FileFormatError(msg)
        upper = np.triu(half).astype(np.float32, copy=False)
        return np.asarray(upper + np.triu(upper, 1).T)
