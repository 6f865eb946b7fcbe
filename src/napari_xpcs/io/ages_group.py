"""Age-resolved g2 of long runs in our own group of a result file.

``/xpcs/napari_xpcs/multitau_twotime`` holds

``processed_bins``
    label of each map;
``level_00``, ``level_01``, ...
    a group for sums of 2^level used frames, with the attribute ``frames_per_sum``, ``lags``
    (in sums) and ``c2`` (map, lag, sum), float32: entry (m, k, j) is C2 of the sums j and
    j + lags[k], NaN where there is none.

The attribute ``frame_time_s`` of the group is the time between used frames.
"""

from typing import Any

import h5py
import numpy as np

from napari_xpcs.backends.io_adapter import hdf5_adapter
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import read_array, reading
from napari_xpcs.io.result_parts import PartReader
from napari_xpcs.kernels.multitau_twotime import AgeLevel, MultiTauTwoTime


def write_ages(file: h5py.File, ages: MultiTauTwoTime) -> None:
    """Write the group."""
    group = file.create_group(layouts.AGES)
    group.attrs["frame_time_s"] = ages.frame_time_s
    group.attrs["description"] = (
        "C2 of the sums j and j + lag of 2^level used frames, for every j: (map, lag, j)"
    )
    group["processed_bins"] = hdf5_adapter.to_numpy(ages.processed_bins).astype(np.int64)
    for number, level in enumerate(ages.levels):
        of_level = group.create_group(f"level_{number:02d}")
        of_level.attrs["frames_per_sum"] = level.frames_per_sum
        of_level["lags"] = hdf5_adapter.to_numpy(level.lags).astype(np.int64)
        of_level.create_dataset("c2", data=hdf5_adapter.to_numpy(level.c2), compression="lzf")


def read_ages(part: PartReader) -> MultiTauTwoTime | None:
    """Return what the group holds; ``None`` where it is absent or, with a problem, damaged."""
    try:
        with reading(part.path, layouts.AGES):
            group = part.file.get(layouts.AGES)
            if not isinstance(group, h5py.Group):
                return None
            names = sorted(name for name in group if name.startswith("level_"))
            frame_time_s = float(group.attrs["frame_time_s"])
        bins = _array(part, f"{layouts.AGES}/processed_bins", 1)
        levels = tuple(_level(part, f"{layouts.AGES}/{name}", len(bins)) for name in names)
    except (FileFormatError, KeyError, TypeError, ValueError) as fault:
        part.problems.append(f"{layouts.AGES} is left out: {fault}")
        return None
    if not levels:
        return None
    return MultiTauTwoTime(
        levels=levels, processed_bins=bins.astype(np.int64), frame_time_s=frame_time_s
    )


def _level(part: PartReader, name: str, maps: int) -> AgeLevel:
    with reading(part.path, name):
        length = int(part.file[name].attrs["frames_per_sum"])
    lags, c2 = _array(part, f"{name}/lags", 1), _array(part, f"{name}/c2", 3)
    if c2.shape[:2] != (maps, len(lags)):
        msg = f"{name}/c2 has the shape {c2.shape} for {maps} maps and {len(lags)} lags."
        raise FileFormatError(msg)
    return AgeLevel(
        frames_per_sum=length, lags=lags.astype(np.int64), c2=c2.astype(np.float32, copy=False)
    )


def _array(part: PartReader, name: str, axes: int) -> Any:
    values = read_array(part.file, name)
    if values is None or values.ndim != axes:
        found = "is absent" if values is None else f"has the shape {values.shape}"
        msg = f"{name} {found}; {axes} axes were expected."
        raise FileFormatError(msg)
    return values
