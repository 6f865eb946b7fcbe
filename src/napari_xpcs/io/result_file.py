"""Results in the layout of APS 8-ID: multi-tau g2, two-time maps, averages.

Every dataset that the viewer of the beamline insists on is written; see ``layouts`` for the paths.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_xpcs import __version__
from napari_xpcs.backends.io_adapter import hdf5_adapter
from napari_xpcs.errors import FileFormatError, PartitionError
from napari_xpcs.io import layouts
from napari_xpcs.io.ages_group import read_ages, write_ages
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.entry_group import copy_entry, write_entry
from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.hdf5 import (
    holds,
    open_hdf5,
    put_array,
    read_array,
    read_number,
    read_plain,
    reading,
)
from napari_xpcs.io.known_geometry import geometry_as_known, read_known_geometry
from napari_xpcs.io.multitau_parts import multitau_options, write_multitau
from napari_xpcs.io.not_measured import not_measured_to_nan
from napari_xpcs.io.nxxpcs_links import write_nxxpcs_links
from napari_xpcs.io.partition_file import read_partition, write_qmap_group
from napari_xpcs.io.result_parts import PartReader
from napari_xpcs.io.twotime_maps import StreamedMaps, TwoTimeMaps
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.geometry import FIELD_UNITS, KnownGeometry
from napari_xpcs.kernels.partition import Partition

if TYPE_CHECKING:
    from napari_xpcs.kernels.multitau_result import MultiTauResult
    from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTimeResult
    from napari_xpcs.kernels.twotime import TwoTimeResult

    AnyResult = MultiTauResult | TwoTimeResult | MultiTauTwoTimeResult


def read_result(path: Path) -> ResultFile:
    """Read what the result file at ``path`` holds and name what it lacks.

    A part that is absent or damaged becomes ``None`` with a sentence in ``missing`` or
    ``problems``; the rest is read all the same.

    Raises
    ------
    FileFormatError
        The file cannot be opened, or nothing in it could be read.
    """
    with open_hdf5(path) as file:
        reader = _ResultReader(path, file)
        result = reader.read()
    held = (result.curves, result.twotime, result.ages, result.scattering, result.partition)
    if all(part is None for part in held):
        msg = (
            f"{path.name} has the layout of a result file but nothing in it can be read: "
            f"{' '.join((*result.problems, *result.missing))}"
        )
        raise FileFormatError(msg)
    return result


class _ResultReader(PartReader):
    """One pass over an open file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        super().__init__(path, file)
        self.config: dict[str, dict[str, Any]] = {}

    def read(self) -> ResultFile:
        geometry = read_known_geometry(self.file, qmap_group=layouts.RESULT_PARTITION_GROUP)
        self.problems.extend(geometry.problems)
        partition = self._partition()
        self.config = {group: self._config(group) for group in (layouts.TWOTIME, layouts.MULTITAU)}
        frame_time_s = geometry.known["frame_time_s"].value
        curves = self._curves(partition, frame_time_s)
        twotime = self._twotime(frame_time_s)
        ages = read_ages(self)
        if curves is None and twotime is None and ages is None:
            self.missing.append(f"g2 (looked for {layouts.MULTITAU_G2} and {layouts.TWOTIME_MAPS})")
        return ResultFile(
            path=self.path,
            layout="aps-results",
            scattering=self.image(layouts.SCATTERING_2D, partition),
            partition=partition,
            curves=curves,
            twotime=twotime,
            ages=ages,
            intensity_vs_time=self.array(layouts.INTENSITY_VS_TIME, axes=2),
            scattering_1d=self.flat(layouts.SCATTERING_1D),
            scattering_1d_segments=self.array(layouts.SCATTERING_1D_SEGMENTS, axes=2),
            known=geometry.known,
            config=self.config[layouts.TWOTIME] | self.config[layouts.MULTITAU],
            averaged_files=self.texts(layouts.AVERAGED_FILES),
            problems=tuple(self.problems),
            missing=(*self.missing, *geometry.missing),
        )

    def _config(self, group: str) -> dict[str, Any]:
        """Return the options of a run; those that cannot be read are named in ``problems``."""
        path = f"{group}/config"
        options: dict[str, Any] = {}
        try:
            with reading(self.path, path):
                found = self.file.get(path)
                names = list(found) if isinstance(found, h5py.Group) else []
        except FileFormatError as fault:
            self.problems.append(str(fault))
            return {}
        for name in names:
            try:
                with reading(self.path, f"{path}/{name}"):
                    item = found[name]
                    if isinstance(item, h5py.Dataset):
                        options[name] = read_plain(item)
            except FileFormatError as fault:
                self.problems.append(str(fault))
        return options

    def _partition(self) -> Partition | None:
        group = layouts.RESULT_PARTITION_GROUP
        if not holds(self.file, group):
            self.missing.append(group)
            return None
        try:
            with reading(self.path, group):
                partition = read_partition(self.path, group=group)
        except (FileFormatError, PartitionError) as fault:
            self.problems.append(f"The partition is left out. {fault}")
            return None
        self.problems.extend(partition.notes)
        return partition

    def _frame_step(self, group: str) -> float:
        """Return how many raw frames one step of the delays stands for."""
        step = 1.0
        config = self.config[group]
        for name in ("stride_frame", "avg_frame"):
            value = config.get(name)
            if isinstance(value, int | float) and np.isfinite(value) and value > 0:
                step *= value
            else:
                self.problems.append(
                    f"{group}/config/{name} is {'absent' if value is None else value}; "
                    "delays are given as if it were 1."
                )
        return step

    def _curves(self, partition: Partition | None, frame_time_s: float | None) -> G2Curves | None:
        if not holds(self.file, layouts.MULTITAU):
            return None
        delays = self.flat(layouts.MULTITAU_DELAYS)
        g2 = self.array(layouts.MULTITAU_G2, axes=2)
        error = self.array(layouts.MULTITAU_G2_ERR, axes=2)
        if g2 is None or delays is None:
            return None
        if frame_time_s is None:
            self.problems.append(
                "The g2 curves are left out: without frame_time no delay in s is known."
            )
            return None
        if error is not None and error.shape != g2.shape:
            self.problems.append(
                f"{layouts.MULTITAU_G2_ERR} has the shape {error.shape} and g2 {g2.shape}: "
                "the errors are left out."
            )
            error = None
        if len(delays) != len(g2):
            self.problems.append(
                f"The g2 curves are left out: {len(g2)} rows of g2 for {len(delays)} delays."
            )
            return None
        if error is None:
            error = np.full(g2.shape, np.nan)
        g2, error = not_measured_to_nan(g2, error)
        delay_s = delays.astype(np.float64) * frame_time_s * self._frame_step(layouts.MULTITAU)
        return G2Curves(
            delay_s=delay_s,
            g2=g2,
            error=error,
            bins=self._bins(partition, g2.shape[1]),
            source=str(self.path),
            covariance=self._ours(layouts.G2_COVARIANCE, (g2.shape[1], len(g2), len(g2))),
            averaging_s=self._averaging(delay_s),
        )

    def _averaging(self, delay_s: np.ndarray) -> Any:
        """Return the half-widths of averaging where they can be those of the delays."""
        name = layouts.G2_AVERAGING
        width = self._ours(name, delay_s.shape)
        if width is None or np.all((width >= 0) & (width <= delay_s)):
            return width
        self.problems.append(f"{name} holds widths that no delay can have: it is left out.")
        return None

    def _ours(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return numbers about g2 that only files of this program hold, else ``None``."""
        try:
            stored = read_array(self.file, name)
        except FileFormatError as fault:
            self.problems.append(str(fault))
            return None
        if stored is None or stored.shape == shape:
            return None if stored is None else stored.astype(np.float64)
        self.problems.append(
            f"{name} has the shape {stored.shape}, by g2 {shape} was expected: it is left out."
        )
        return None

    def _bins(self, partition: Partition | None, count: int) -> BinTable:
        if partition is not None and len(partition.dynamic) == count:
            return partition.table()
        if partition is not None:
            self.problems.append(
                f"g2 has {count} columns and the partition {len(partition.dynamic)} bins: "
                "q of the curves is unknown."
            )
        unknown = np.full(count, np.nan)
        return BinTable(
            label=np.arange(1, count + 1),
            q=unknown,
            phi_deg=unknown.copy(),
            pixels=np.zeros(count, np.int64),
        )

    def _twotime(self, frame_time_s: float | None) -> TwoTimeMaps | None:
        group = layouts.TWOTIME_MAPS
        with reading(self.path, group):
            found = self.file.get(group)
            names = sorted(found) if isinstance(found, h5py.Group) else []
        maps = [name for name in names if name.startswith("c2_") and name[3:].isdigit()]
        if not maps:
            return None
        return TwoTimeMaps(
            path=self.path,
            datasets=tuple(f"{group}/{name}" for name in maps),
            bins=self._bins_of_maps([int(name[3:]) for name in maps]),
            frame_time_s=None
            if frame_time_s is None
            else frame_time_s * self._frame_step(layouts.TWOTIME),
            g2=(g2 := self.array(layouts.TWOTIME_G2, axes=2)),
            g2_err=None if g2 is None else self._ours(layouts.TWOTIME_G2_ERR, g2.shape),
            segments=self.array(layouts.TWOTIME_SEGMENTS, axes=3),
        )

    def _bins_of_maps(self, numbers: list[int]) -> np.ndarray:
        """Return the label of each map.

        The map numbers count the maps in one generation of files and the bins in another;
        ``processed_bins`` tells which.
        """
        processed = self.flat(layouts.TWOTIME_BINS)
        stored = [] if processed is None else processed.tolist()
        whole = [int(label) for label in stored if np.isfinite(label)]
        if len(whole) == len(numbers) and numbers == list(range(1, len(numbers) + 1)):
            return np.array(whole, dtype=np.int64)
        if not set(numbers) <= set(whole):
            self.problems.append(
                f"The two-time maps are numbered {numbers}, {layouts.TWOTIME_BINS} holds "
                f"{stored}: the maps are taken to be numbered by bin."
            )
        return np.array(numbers, dtype=np.int64)


def write_result(
    path: str | Path,
    *,
    source: str | Path,
    partition: Partition,
    multitau: "MultiTauResult | None" = None,
    twotime: "TwoTimeResult | None" = None,
    ages: "MultiTauTwoTimeResult | None" = None,
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
    with atomic_path(path, force) as unfinished, h5py.File(unfinished, "w") as file:
        yield UnfinishedResult(file)


class UnfinishedResult:
    """A result file that is being written."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self.maps = StreamedMaps(file)
        """Where the correlator can put its maps."""

    def write(
        self,
        *,
        source: str | Path,
        partition: Partition,
        multitau: "MultiTauResult | None" = None,
        twotime: "TwoTimeResult | None" = None,
        ages: "MultiTauTwoTimeResult | None" = None,
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


def _write_means(file: h5py.File, means: "AnyResult") -> None:
    image = hdf5_adapter.to_numpy(means.mean_frame)[None]
    put_array(file, layouts.SCATTERING_2D, image, chunks=image.shape)
    total, segments = (
        np.nan_to_num(hdf5_adapter.to_numpy(values))
        for values in (means.scattering_1d, means.scattering_1d_segments)
    )
    put_array(file, layouts.SCATTERING_1D, total.reshape(1, -1))
    put_array(file, layouts.SCATTERING_1D_SEGMENTS, segments)
    put_array(file, layouts.INTENSITY_VS_TIME, means.intensity_vs_time)


def _write_twotime(file: h5py.File, result: "TwoTimeResult") -> None:
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


_SMOOTHING = {"no-static": "none", "none": "none", "dynamic": "dqmap"}
"""What boost_corr calls a normalization; the others divide by the mean of the static bin."""


def _write_config(
    file: h5py.File,
    group: str,
    analysis: str,
    result: "AnyResult",
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
