"""A two-time map of a result file as an array that is read when it is looked at."""

from functools import lru_cache
from typing import Any

import numpy as np

from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.io.twotime_maps import TwoTimeMaps

KEPT_MAPS = 2
"""Maps in memory at a time: one of 20 000 frames takes 1.6 GB."""


class TwoTimeImage:
    """C2(t1, t2) of one bin, NaN on the diagonal, which holds shot noise and no correlation.

    An array-like for ``napari.layers.Image``.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, maps: TwoTimeMaps, position: int, frames: int) -> None:
        self._maps = maps
        self._position = position
        self.shape = (frames, frames)
        self.size = frames * frames

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        return napari_adapter.to_numpy(_read(self._maps, self._position)[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return np.asarray(self[:], dtype=dtype)


@lru_cache(maxsize=KEPT_MAPS)
def _read(maps: TwoTimeMaps, position: int) -> np.ndarray:
    values = maps.read(position)
    np.fill_diagonal(values, np.nan)
    return values
