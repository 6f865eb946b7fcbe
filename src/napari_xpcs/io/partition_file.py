"""Partitions in files: the ``/qmap`` group that the tools of the field share.

boost_corr, pySimpleMask and pyXpcsViewer read the datasets at the top of the group.  What
they have no place for (swing, incident angle, edges, the bins that were asked for) lies beside
these in a group of our own, which they leave alone.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from jaxtyping import Int

from napari_xpcs._typing import LabelImage, Mask
from napari_xpcs.errors import FileFormatError, GeometryError, PartitionError
from napari_xpcs.io.hdf5 import open_hdf5, read_array, read_number, read_texts
from napari_xpcs.io.layouts import OWN_EXTRAS, PARTITION_FILE_GROUP, QMAP_GEOMETRY, ROI_MAP
from napari_xpcs.io.mask_steps_file import read_mask_steps
from napari_xpcs.io.regions_text import regions_from_plain
from napari_xpcs.io.typed_values import typed
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec

_Kind = Literal["dynamic", "static"]


def read_partition(path: str | Path, group: str = PARTITION_FILE_GROUP) -> Partition:
    """Return the partition in ``group`` of the HDF5 file ``path``.

    Only ``dynamic_roi_map`` must be there.  What else is absent becomes what is known
    without it: NaN centres, dynamic bins in the place of static ones, no geometry.  What
    contradicts itself is left out and told in ``notes``.

    Parameters
    ----------
    path
        A Q-map file, or a result file.
    group
        ``"/qmap"`` in the former, ``"/xpcs/qmap"`` in the latter.

    Raises
    ------
    FileFormatError
        The file cannot be read, or a dataset is absent or is not what its name says.
    """
    with open_hdf5(Path(path)) as file:
        return _GroupReader(file, group).partition()


@dataclass(frozen=True, slots=True)
class _GroupReader:
    file: h5py.File
    group: str

    def partition(self) -> Partition:
        notes: list[str] = []
        labels = self._labels("dynamic")
        if labels is None:
            msg = f"{self._file_name} holds no {self._name(ROI_MAP)}, so it has no partition."
            raise FileFormatError(msg)
        dynamic = self._bins("dynamic", labels, notes)
        static_labels = self._labels("static")
        if static_labels is None:
            static = dynamic
            notes.append(
                f"{self._file_name} holds no static bins; the dynamic ones stand for them."
            )
        else:
            self._require_shape("static_roi_map", static_labels, labels.shape)
            static = self._bins("static", static_labels, notes)
            if not _nested(static_labels, labels):
                notes.append(
                    f"In {self._file_name} static bins reach over several dynamic bins. "
                    "Make the partition anew before correlating with it."
                )
        mask = self._mask("mask", labels.shape)
        names = self._pair("map_names", ("q", "phi"))
        return Partition(
            mask=labels > 0 if mask is None else mask,
            dynamic=dynamic,
            static=static,
            names=names,
            units=self._pair("map_units", ("", "") if names != ("q", "phi") else ("Å⁻¹", "deg")),
            geometry=self._geometry((labels.shape[0], labels.shape[1]), notes),
            spec=self._spec(),
            mask_steps=read_mask_steps(self.file, self._name(OWN_EXTRAS), notes),
            **self._regions(dynamic, notes),
            blemish=self._mask("blemish", labels.shape),
            notes=tuple(notes),
        )

    @property
    def _file_name(self) -> str:
        return Path(self.file.filename).name

    def _name(self, name: str) -> str:
        return f"{self.group.rstrip('/')}/{name}"

    def _require_shape(self, name: str, image: np.ndarray, shape: tuple[int, ...]) -> None:
        if image.shape != shape:
            msg = (
                f"{self._name(name)} in {self._file_name} has the shape {image.shape}, "
                f"{ROI_MAP} beside it {shape}; they must agree."
            )
            raise FileFormatError(msg)

    def _labels(self, kind: _Kind) -> LabelImage | None:
        name = self._name(f"{kind}_roi_map")
        labels = read_array(self.file, name)
        if labels is None:
            return None
        if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "iu":
            msg = (
                f"{name} in {self._file_name} is not an image of bin numbers: "
                f"it has the shape {labels.shape} and the type {labels.dtype}."
            )
            raise FileFormatError(msg)
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > labels.size:
            msg = (
                f"Bin numbers run from 1 to at most the number of pixels, {name} in "
                f"{self._file_name} holds {low} to {high}."
            )
            raise FileFormatError(msg)
        return labels.astype(np.int32)

    def _mask(self, name: str, shape: tuple[int, ...]) -> Mask | None:
        values = read_array(self.file, self._name(name))
        if values is None:
            return None
        self._require_shape(name, values, shape)
        return values > 0

    def _pair(self, name: str, default: tuple[str, str]) -> tuple[str, str]:
        texts = read_texts(self.file, self._name(name))
        return (texts[0], texts[1]) if len(texts) == 2 else default

    def _vector(self, name: str) -> np.ndarray | None:
        values = read_array(self.file, self._name(name))
        return None if values is None else values.reshape(-1)

    def _bins(self, kind: _Kind, labels: LabelImage, notes: list[str]) -> Bins:
        table = self._table(kind, int(labels.max()))
        if isinstance(table, str):
            notes.append(f"In {self._file_name} {table}; the positions of its bins are left out.")
            count = int(labels.max())
            table = (count, 1), np.arange(count), (np.full(count, np.nan), np.full(1, np.nan))
        grid, index, centers = table
        return Bins(
            labels=labels,
            grid=grid,
            index=index,
            centers=centers,
            edges=self._edges(kind, grid),
            pixels=np.bincount(labels.ravel(), minlength=len(index) + 1)[1:],
            label_centers=self._label_centers(kind, len(index)),
        )

    def _table(
        self, kind: _Kind, count: int
    ) -> tuple[tuple[int, int], Int[np.ndarray, " bin"], tuple[np.ndarray, np.ndarray]] | str:
        """Return grid, natural positions and centres, or in words why they contradict."""
        centers = [self._vector(f"{kind}_v_list_dim{axis}") for axis in (0, 1)]
        numbers = self._vector(f"{kind}_num_pts")
        index = self._vector(f"{kind}_index_mapping")
        for name, values in ((f"{kind}_num_pts", numbers), (f"{kind}_index_mapping", index)):
            if values is not None and not _are_counts(values):
                return f"{name} holds other things than bin numbers"
        if numbers is not None and numbers.size == 2:
            grid = int(numbers[0]), int(numbers[1])
        elif centers[0] is not None and centers[1] is not None:
            grid = centers[0].size, centers[1].size
        else:
            grid = (count if index is None else index.size), 1
        if index is None:
            index = np.arange(count)
        index = index.astype(np.int64)
        if index.size < count:
            return f"{kind}_index_mapping has {index.size} entries for {count} bins"
        if index.size and not 0 <= index.min() <= index.max() < grid[0] * grid[1]:
            return f"{kind}_index_mapping points outside the {grid[0]} x {grid[1]} bins"
        positions = [
            np.full(length, np.nan) if center is None else center.astype(np.float64)
            for center, length in zip(centers, grid, strict=True)
        ]
        if any(value.size != length for value, length in zip(positions, grid, strict=True)):
            return f"{kind}_v_list_dim0 and 1 have other lengths than {kind}_num_pts"
        return grid, index, (positions[0], positions[1])

    def _edges(self, kind: _Kind, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
        edges = [
            read_array(self.file, self._name(f"{OWN_EXTRAS}/{kind}_edges_dim{axis}"))
            for axis in (0, 1)
        ]
        first, second = edges
        if first is None or second is None:
            return None
        fits = all(
            edge.shape in {(length + 1,), (length, 2)}
            for edge, length in zip((first, second), grid, strict=True)
        )
        return (first, second) if fits else None

    def _geometry(self, shape: tuple[int, int], notes: list[str]) -> Geometry | None:
        own = self._name(f"{OWN_EXTRAS}/geometry")
        if own in self.file:
            names = {field.name: f"{own}/{field.name}" for field in fields(Geometry)}
        else:
            names = {field: self._name(name) for field, name in QMAP_GEOMETRY.items()}
        found = {field: read_number(self.file, name) for field, name in names.items()}
        if any(found.get(field) is None for field in QMAP_GEOMETRY):
            return None
        values: dict[str, Any] = {key: value for key, value in found.items() if value is not None}
        try:
            return Geometry(shape=shape, **values)
        except GeometryError as fault:
            notes.append(f"The geometry in {self._file_name} is left out. {fault}")
            return None

    def _spec(self) -> PartitionSpec | None:
        texts = read_texts(self.file, self._name(f"{OWN_EXTRAS}/spec"))
        try:
            return typed(PartitionSpec, json.loads(texts[0]), OWN_EXTRAS) if texts else None
        except (json.JSONDecodeError, PartitionError, FileFormatError):
            # Written by another version: the bins are whole without what was asked for.
            return None

    def _label_centers(self, kind: _Kind, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        centers = read_array(self.file, self._name(f"{OWN_EXTRAS}/{kind}_label_centers"))
        return None if centers is None or centers.shape != (2, count) else (centers[0], centers[1])

    def _regions(self, dynamic: Bins, notes: list[str]) -> dict[str, Any]:
        texts = read_texts(self.file, self._name(f"{OWN_EXTRAS}/regions"))
        if not texts:
            return {}
        try:
            made = regions_from_plain(json.loads(texts[0]), f"regions in {self._file_name}")
        except (json.JSONDecodeError, FileFormatError) as fault:
            notes.append(f"The drawn regions are left out, their bins are there: {fault}")
            return {}
        owner = self._vector(f"{OWN_EXTRAS}/region_of_bin")
        fits = owner is not None and owner.size == len(dynamic) and _are_counts(owner)
        return {
            "regions": made.shapes,
            "region_bins": made.bins,
            "region_of_bin": owner.astype(np.int64) if owner is not None and fits else None,
        }


def _nested(static: LabelImage, dynamic: LabelImage) -> bool:
    owner = np.zeros(int(static.max()) + 1, dtype=dynamic.dtype)
    owner[static] = dynamic
    used = static > 0
    return bool(np.all(owner[static[used]] == dynamic[used]))


def _are_counts(values: np.ndarray) -> bool:
    """Say whether ``values`` can number bins; some writers store them as real numbers."""
    numbers = values.astype(np.float64)
    within = (numbers >= 0) & (numbers <= _MOST_BINS)
    return bool(within.all()) and bool((numbers == np.floor(numbers)).all())


_MOST_BINS = 10_000_000
