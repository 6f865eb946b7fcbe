"""Results written in the layout of APS 8-ID, so that the viewer of the beamline opens them.

Every dataset that it insists on is written; see ``layouts`` for the paths.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from napari_xpcs import __version__
from napari_xpcs.backends.io_adapter import hdf5_adapter
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.ages_group import write_ages
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.entry_group import copy_entry, write_entry
from napari_xpcs.io.hdf5 import put_array, read_number
from napari_xpcs.io.known_geometry import geometry_as_known
from napari_xpcs.io.multitau_parts import multitau_options, write_multitau
from napari_xpcs.io.new_hdf5 import NewFile, new_hdf5
from napari_xpcs.io.nxxpcs_links import write_nxxpcs_links
from napari_xpcs.io.partition_writer import write_qmap_group
from napari_xpcs.io.twotime_maps import StreamedMaps
from napari_xpcs.kernels.geometry import FIELD_UNITS, KnownGeometry
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTimeResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.twotime import TwoTimeResult

AnyResult: TypeAlias = MultiTauResult | TwoTimeResult | MultiTauTwoTimeResult


def write_result(
    path: str | Path,
    *,
    source: str | Path,
    partition: Partition,
    multitau: MultiTauResult | None = None,
    twotime: TwoTimeResult | None = None,
    ages: MultiTauTwoTimeResult | None = None,
    metadata_path: str | Path | None = None,
    known: KnownGeometry | None = None,
    config: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write results so that the programs of APS 8-ID open them.

    Parameters
    ----------
    source
        The frames file.
    partition
        The bins that the results belong to.
    multitau, twotime, ages
        At least one of them.
    metadata_path
        Metadata of the run, copied into the file; by default the ``*_metadata.hdf`` beside
        ``source`` where there is one.
    known
        Geometry and times that the metadata lack; by default those of ``partition``.
    config
        Further options of the run to note, such as the engine; ``None`` values are left out.
    force
        Replace a file that is there.

    Raises
    ------
    FileFormatError
        The file is there already or cannot be written, or there is nothing to write.
    """
    with unfinished_result(path, force) as result:
        result.write(
            source=source,
            partition=partition,
            multitau=multitau,
            twotime=twotime,
            ages=ages,
            metadata_path=metadata_path,
            known=known,
            config=config,
        )


@contextmanager
def unfinished_result(path: str | Path, force: bool = False) -> "Iterator[UnfinishedResult]":
    """Give a result file that two-time maps can be written into while they are made.

    It is at ``path`` when the block ends well, see :func:`~napari_xpcs.io.atomic.atomic_path`.
    """
    with atomic_path(path, force) as unfinished, new_hdf5(unfinished) as file:
        yield UnfinishedResult(file)


class UnfinishedResult:
    """A result file that is being written."""

    def __init__(self, file: NewFile) -> None:
        self._file = file
        self.maps = StreamedMaps(file)
        """Where the correlator can put its maps."""

    def write(
        self,
        *,
        source: str | Path,
        partition: Partition,
        multitau: MultiTauResult | None = None,
        twotime: TwoTimeResult | None = None,
        ages: MultiTauTwoTimeResult | None = None,
        metadata_path: str | Path | None = None,
        known: KnownGeometry | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Write all the rest; parameters and errors as in :func:`write_result`."""
        file, source = self._file, Path(source)
        means = multitau or twotime or ages
        if means is None:
            msg = "There are no results to write: give multi-tau or two-time results."
            raise FileFormatError(msg)
        metadata = _metadata_beside(source) if metadata_path is None else Path(metadata_path)
        if metadata is not None:
            copy_entry(metadata, file)
        _write_used(file, "frame_time_s", means.frame_time_s)
        if partition.geometry is not None:
            _write_used(file, "energy_kev", partition.geometry.energy_kev)
        write_entry(file, _known_to_write(partition, known), identifier=source.stem)
        qmap = file.create_group(layouts.RESULT_PARTITION_GROUP)
        write_qmap_group(qmap, partition, source=str(source))
        file[layouts.RAW_PATH] = str(source)
        _write_means(file, means)
        if multitau is not None:
            write_multitau(file, multitau)
            options = {**multitau_options(multitau), **(config or {})}
            _write_config(file, layouts.MULTITAU, "multitau", multitau, source, options)
        if twotime is not None:
            _write_twotime(file, twotime)
            options = {"engine": twotime.engine, **(config or {})}
            _write_config(file, layouts.TWOTIME, "twotime", twotime, source, options)
        if ages is not None:
            write_ages(file, ages.ages)
            _write_config(file, layouts.TWOTIME, "twotime", ages, source, config or {})
        write_nxxpcs_links(
            file, partition, step=means.selection.step, normalization=means.normalization
        )
        own = file.require_group(layouts.OWN_GROUP)
        own.attrs["version"] = __version__
        own.attrs["written"] = datetime.now(UTC).isoformat(timespec="seconds")
        own.attrs["normalization"] = means.normalization


def _metadata_beside(source: Path) -> Path | None:
    """Return the metadata file of ``source``; results are worth writing without a damaged one."""
    beside = source.with_name(source.stem + layouts.METADATA_SUFFIX)
    return beside if h5py.is_hdf5(beside) else None


def _write_used(file: h5py.File, name: str, value: float) -> None:
    """Write a value that the results were made with where the viewer of the beamline reads it.

    What the metadata said instead is kept in our own group.
    """
    path = layouts.ENTRY_GEOMETRY[name]
    if path in file:
        if read_number(file, path) == value:
            return
        if isinstance(file[path], h5py.Dataset):
            file.require_group(layouts.OWN_GROUP)[f"{name}_in_metadata"] = file[path][()]
        del file[path]
    file[path] = np.float64(value)
    file[path].attrs["units"] = FIELD_UNITS[name]


def _known_to_write(partition: Partition, known: KnownGeometry | None) -> KnownGeometry:
    """Join what is known of the run with the geometry that the bins were made for."""
    geometry = partition.geometry
    made_for = {} if geometry is None else geometry_as_known(geometry, "partition")
    given = {name: sourced for name, sourced in (known or {}).items() if sourced.value is not None}
    return made_for | given


def _write_means(file: h5py.File, means: AnyResult) -> None:
    image = hdf5_adapter.to_numpy(means.mean_frame)[None]
    put_array(file, layouts.SCATTERING_2D, image, chunks=image.shape)
    total, segments = (
        np.nan_to_num(hdf5_adapter.to_numpy(values))
        for values in (means.scattering_1d, means.scattering_1d_segments)
    )
    put_array(file, layouts.SCATTERING_1D, total.reshape(1, -1))
    put_array(file, layouts.SCATTERING_1D_SEGMENTS, segments)
    put_array(file, layouts.INTENSITY_VS_TIME, means.intensity_vs_time)
    if means.skipped_frames:
        file[layouts.SKIPPED_FRAMES] = np.array(means.skipped_frames, dtype=np.int64)


def _write_twotime(file: h5py.File, result: TwoTimeResult) -> None:
    for number, half in enumerate(result.maps, start=1):
        upper = np.triu(hdf5_adapter.to_numpy(half))
        put_array(file, f"{layouts.TWOTIME_MAPS}/c2_{number:05d}", upper, chunks=upper.shape)
    file[layouts.TWOTIME_BINS] = hdf5_adapter.to_numpy(result.processed_bins).astype(np.int64)
    for name, values in (
        (layouts.TWOTIME_G2, result.g2),
        (layouts.TWOTIME_G2_ERR, result.g2_err),
        (layouts.TWOTIME_G2_RATIO, result.g2_ratio),
        (layouts.TWOTIME_SEGMENTS, result.segments),
    ):
        # Not measured is 0 in this layout.
        put_array(file, name, np.nan_to_num(hdf5_adapter.to_numpy(values)))
    file[layouts.TWOTIME_MAPS].attrs["diagonal"] = "shot noise, not a measured correlation"
    file[layouts.TWOTIME_MAPS].attrs["nan"] = "a frame that was left out, or empty in the bin"
    if result.empty_frames:
        file[layouts.TWOTIME_EMPTY_FRAMES] = np.array(result.empty_frames, dtype=np.int64)


_SMOOTHING = {"no-static": "none", "none": "none", "dynamic": "dqmap"}
"""What boost_corr calls a normalization; the others divide by the mean of the static bin."""


def _write_config(
    file: h5py.File,
    group: str,
    analysis: str,
    result: AnyResult,
    source: Path,
    config: Mapping[str, Any],
) -> None:
    selection = result.selection
    options: dict[str, Any] = {
        "analysis_type": analysis,
        "type": analysis,
        "begin_frame": selection.begin,
        "end_frame": -1 if selection.end is None else selection.end,
        "stride_frame": selection.stride,
        "avg_frame": selection.average,
        "smooth": _SMOOTHING.get(result.normalization, "sqmap"),
        "normalization": result.normalization,
        "raw": str(source),
        "software": "napari-xpcs",
        "version": __version__,
        **config,
    }
    for name, value in options.items():
        if value is not None:
            file[f"{group}/config/{name}"] = value
