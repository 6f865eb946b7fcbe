"""Results of any layout, written as result files of 8-ID that the tools of the field open."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xpcs import __version__
from napari_xpcs.backends import get_backend
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.entry_group import write_entry
from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.hdf5 import put_array
from napari_xpcs.io.new_hdf5 import new_hdf5
from napari_xpcs.io.nxxpcs_links import write_nxxpcs_links
from napari_xpcs.io.partition_writer import write_qmap_group
from napari_xpcs.io.twotime_maps import TwoTimeMaps
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.saxs import bin_mean
from napari_xpcs.kernels.twotime import SEGMENTS, diagonal_means
from napari_xpcs.progress import Progress, Steps

_WHOLE_FRAMES = 1e-3
"""A delay may be this fraction of a frame off: files store times as float32."""


def copy_result(path: Path, result: ResultFile, *, force: bool = False) -> Steps[Path]:
    """Write what ``result`` holds; means that its file lacks are NaN, never made up.

    Raises
    ------
    FileFormatError
        The bins, the time between frames or all results are unknown, delays are no whole
        numbers of frames, or the file is there already or cannot be written.
    """
    partition = result.partition
    sourced = result.known.get("frame_time_s")
    frame_time_s = None if sourced is None else sourced.value
    lacking = [
        what
        for what, there in (
            ("the image of the bins", partition is not None),
            ("the time between frames", frame_time_s is not None),
            ("g2", result.curves is not None or result.twotime is not None),
        )
        if not there
    ]
    if partition is None or frame_time_s is None or lacking:
        msg = f"{result.path.name} does not hold {' and '.join(lacking)}, which results need."
        raise FileFormatError(msg)
    with atomic_path(path, force) as unfinished, new_hdf5(unfinished) as file:
        yield from fill_result(file, result, partition, frame_time_s)
        own = file.require_group(layouts.OWN_GROUP)
        own.attrs["copied_from"] = f"{result.path} ({result.layout})"
    yield Progress(1, 1, "result file")
    return path


def fill_result(
    file: h5py.File, result: ResultFile, partition: Partition, frame_time_s: float
) -> Steps[None]:
    """Write what ``result`` holds into a new file, which may have its ``/entry`` already.

    Raises
    ------
    FileFormatError
        Delays are no whole numbers of frames.
    """
    write_entry(file, result.known, identifier=result.path.stem)
    qmap = file.create_group(layouts.RESULT_PARTITION_GROUP)
    write_qmap_group(qmap, partition, source=str(result.path))
    file[layouts.RAW_PATH] = str(result.config.get("raw", result.path))
    _write_means(file, result, partition)
    if result.curves is not None:
        _write_curves(file, result.curves, len(partition.dynamic), frame_time_s)
        _write_config(file, layouts.MULTITAU, "multitau", result.config, step=1)
    if result.twotime is not None:
        yield from _write_maps(file, result.twotime)
        step = _step(result.twotime, frame_time_s)
        _write_config(file, layouts.TWOTIME, "twotime", result.config, step=step)
    write_nxxpcs_links(
        file,
        partition,
        step=1,
        normalization=str(result.config.get("normalization", "unknown")),
    )
    file.require_group(layouts.OWN_GROUP).attrs["version"] = __version__


def _write_means(file: h5py.File, result: ResultFile, partition: Partition) -> None:
    image, mean = result.scattering, result.scattering_1d
    if image is None or image.shape != partition.shape:
        image = np.full(partition.shape, np.nan)
    count = len(partition.static)
    if mean is None or len(mean) != count:
        xp = get_backend()
        labels = partition.static.labels
        mean = xp.to_numpy(bin_mean(image, labels, count, xp=xp))
    segments, intensity = result.scattering_1d_segments, result.intensity_vs_time
    if segments is None or segments.shape[1] != count:
        segments = mean.reshape(1, -1)
    if intensity is None or len(intensity) != 2:
        intensity = np.array([[0.0], [np.nan]])
    put_array(file, layouts.SCATTERING_2D, image[None])
    put_array(file, layouts.SCATTERING_1D, mean.reshape(1, -1))
    put_array(file, layouts.SCATTERING_1D_SEGMENTS, segments)
    put_array(file, layouts.INTENSITY_VS_TIME, intensity)


def _write_curves(file: h5py.File, curves: G2Curves, bins: int, frame_time_s: float) -> None:
    frames = curves.delay_s / frame_time_s
    delays = np.round(frames)
    if (np.abs(frames - delays) > _WHOLE_FRAMES).any() or (delays < 1).any():
        msg = (
            f"The delays of {Path(curves.source).name} are no whole numbers of frames of "
            f"{frame_time_s:g} s, as this layout stores them: the first is {frames[0]:g} frames."
        )
        raise FileFormatError(msg)
    g2, error = np.zeros((2, len(delays), bins))
    columns = curves.bins.label - 1
    measured = np.isfinite(curves.g2)
    g2[:, columns] = np.where(measured, curves.g2, 0.0)
    error[:, columns] = np.where(measured & np.isfinite(curves.error), curves.error, 0.0)
    file[layouts.MULTITAU_DELAYS] = delays.astype(np.int64)
    put_array(file, layouts.MULTITAU_G2, g2)
    put_array(file, layouts.MULTITAU_G2_ERR, error)
    if curves.averaging_s is not None:
        file[layouts.G2_AVERAGING] = curves.averaging_s
    if curves.covariance is not None:
        put_array(file, layouts.G2_COVARIANCE, curves.covariance)


def _write_maps(file: h5py.File, maps: TwoTimeMaps) -> Steps[None]:
    xp = get_backend()
    whole: list[np.ndarray] = []
    blocks: list[np.ndarray] = []
    for position in range(len(maps)):
        half = np.triu(maps.read(position))
        name = f"{layouts.TWOTIME_MAPS}/c2_{position + 1:05d}"
        put_array(file, name, half, chunks=half.shape)
        if maps.g2 is None or maps.segments is None:
            length = len(half) // SEGMENTS
            parts = [slice(k * length, (k + 1) * length) for k in range(SEGMENTS)]
            whole.append(xp.to_numpy(diagonal_means(xp.asarray(half), xp=xp)))
            blocks.append(
                np.stack(
                    [
                        xp.to_numpy(diagonal_means(xp.asarray(half[part, part]), xp=xp))
                        for part in parts
                    ],
                    axis=1,
                )
            )
        yield Progress(position + 1, len(maps), "maps")
    file[layouts.TWOTIME_BINS] = np.asarray(maps.bins, np.int64)
    put_array(file, layouts.TWOTIME_G2, maps.g2 if not whole else np.stack(whole, axis=1))
    segments = maps.segments if not blocks else np.stack(blocks, axis=2)
    put_array(file, layouts.TWOTIME_SEGMENTS, segments)


def _step(maps: TwoTimeMaps, frame_time_s: float) -> int:
    """Return the raw frames from one row of a map to the next."""
    return 1 if maps.frame_time_s is None else max(round(maps.frame_time_s / frame_time_s), 1)


def _write_config(
    file: h5py.File, group: str, analysis: str, config: Mapping[str, Any], *, step: int
) -> None:
    # Delays were turned into raw frames: what was strided or averaged before is told by "step".
    kept = {name: value for name, value in config.items() if isinstance(value, str | int | float)}
    options = kept | {
        "analysis_type": analysis,
        "type": analysis,
        "stride_frame": step,
        "avg_frame": 1,
        "software": "napari-xpcs",
        "version": __version__,
    }
    for name, value in options.items():
        file[f"{group}/config/{name}"] = value
