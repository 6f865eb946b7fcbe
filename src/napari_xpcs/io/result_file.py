"""Results in the layout of APS 8-ID: multi-tau g2, two-time maps, averages."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xpcs.errors import FileFormatError, PartitionError
from napari_xpcs.io import layouts
from napari_xpcs.io.ages_group import read_ages
from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.hdf5 import holds, open_hdf5, read_array, read_plain, reading
from napari_xpcs.io.known_geometry import read_known_geometry
from napari_xpcs.io.multitau_parts import BROKEN_OFF
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.io.result_parts import PartReader
from napari_xpcs.io.twotime_maps import TwoTimeMaps
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.partition import Partition


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
        self.config = {group: self._config(group) for group in (layouts.TWOTIME, layouts.MULTITAU)}
        broken_off = self.config[layouts.MULTITAU].get(BROKEN_OFF)
        if isinstance(broken_off, str):
            self.problems.append(broken_off)
        geometry = read_known_geometry(self.file, qmap_group=layouts.RESULT_PARTITION_GROUP)
        self.problems.extend(geometry.problems)
        partition = self._partition()
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
        for name in self.members(path):
            try:
                with reading(self.path, f"{path}/{name}"):
                    item = self.file[f"{path}/{name}"]
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

    def _step_of(self, group: str) -> float:
        """Return how many raw frames one step of the delays stands for."""
        config = self.config[group]
        names = ("stride_frame", "avg_frame")
        return self.frame_step({f"{group}/config/{name}": config.get(name) for name in names})

    def _curves(self, partition: Partition | None, frame_time_s: float | None) -> G2Curves | None:
        if not holds(self.file, layouts.MULTITAU):
            return None
        delays = self.flat(layouts.MULTITAU_DELAYS)
        g2 = self.array(layouts.MULTITAU_G2, axes=2)
        error = self.array(layouts.MULTITAU_G2_ERR, axes=2)
        if g2 is None or delays is None:
            return None
        measured = self.measured(g2, error, None if frame_time_s is None else delays)
        if measured is None or frame_time_s is None:
            return None
        g2, error = measured
        delay_s = delays.astype(np.float64) * frame_time_s * self._step_of(layouts.MULTITAU)
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
        datasets, numbers = self.numbered(layouts.TWOTIME_MAPS, "c2_")
        if not datasets:
            return None
        return TwoTimeMaps(
            path=self.path,
            datasets=datasets,
            bins=self._bins_of_maps(numbers),
            frame_time_s=None
            if frame_time_s is None
            else frame_time_s * self._step_of(layouts.TWOTIME),
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
