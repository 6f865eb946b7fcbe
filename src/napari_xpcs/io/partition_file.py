"""Partitions in files: the ``/qmap`` group that the tools of the field share.

boost_corr, pySimpleMask and pyXpcsViewer read the datasets at the top of the group.  What
they have no place for (swing, incident angle, edges, the bins that were asked for) lies beside
these in a group of our own, which they leave alone.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from jaxtyping import Int

from napari_xpcs import __version__
from napari_xpcs._typing import LabelImage, Mask
from napari_xpcs.errors import FileFormatError, GeometryError, PartitionError
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.hdf5 import open_hdf5, read_array, read_number, read_texts
from napari_xpcs.io.layouts import PARTITION_FILE_GROUP, QMAP_GEOMETRY, ROI_MAP
from napari_xpcs.io.mask_steps_file import read_mask_steps, write_mask_steps
from napari_xpcs.io.regions_text import regions_from_plain, regions_to_plain
from napari_xpcs.io.typed_values import typed
from napari_xpcs.kernels.geometry import FIELD_UNITS, Geometry, beam_on_detector
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec

OWN_EXTRAS = "napari_xpcs"
"""Group inside the Q-map group that holds what the shared layout has no place for."""

_COMPRESS_ABOVE = 1024
"""Elements from which pySimpleMask compresses a dataset."""

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


def write_partition(
    path: str | Path, partition: Partition, *, source: str = "", force: bool = False
) -> None:
    """Write ``partition`` as a Q-map file.

    Parameters
    ----------
    path
        The file to be; written under another name and renamed when it is whole.
    partition
        Bins to write.
    source
        The frames file that the bins were made for, told in ``source_file``.
    force
        Replace a file that is there.

    Raises
    ------
    FileFormatError
        The file is there already, or cannot be written.
    """
    with atomic_path(path, force) as unfinished, h5py.File(unfinished, "w") as file:
        write_qmap_group(file.create_group(PARTITION_FILE_GROUP), partition, source=source)


def write_qmap_group(group: h5py.Group, partition: Partition, *, source: str = "") -> None:
    """Fill an empty HDF5 group with ``partition``, as ``/qmap`` or ``/xpcs/qmap``.

    The attribute ``hash`` tells bins from other bins: SHA-256 over all content but ``source``
    and the steps of the mask, the same after reading and writing again.
    """
    digest = sha256()
    for name, value in sorted(_content(partition).items()):
        digest.update(name.encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(json.dumps(value).encode())
        _write(group, name, value)
    _write(group, "source_file", source)
    if partition.mask_steps:
        write_mask_steps(group.require_group(OWN_EXTRAS), partition.mask_steps)
    for kind, axis in _axes():
        centers = group[f"{kind}_v_list_dim{axis}"]
        centers.attrs["name"] = partition.names[axis]
        centers.attrs["unit"] = partition.units[axis]
        centers.attrs["size"] = np.int64(centers.size)
    group.attrs["hash"] = digest.hexdigest()
    group.attrs["version"] = f"napari-xpcs {__version__}"
    if partition.geometry is not None:
        for name, dataset in group[f"{OWN_EXTRAS}/geometry"].items():
            dataset.attrs["units"] = FIELD_UNITS[name]


def _write(group: h5py.Group, name: str, value: np.ndarray | str | list[str]) -> None:
    if isinstance(value, np.ndarray):
        compression = "lzf" if value.size > _COMPRESS_ABOVE else None
        group.create_dataset(name, data=value, compression=compression)
    else:
        group.create_dataset(name, data=value, dtype=h5py.string_dtype())


def _axes() -> Iterator[tuple[_Kind, int]]:
    for axis in (0, 1):
        yield "dynamic", axis
        yield "static", axis


def _content(partition: Partition) -> Mapping[str, np.ndarray | str | list[str]]:
    """Return every dataset but ``source_file``, by its name relative to the group."""
    blemish = partition.mask if partition.blemish is None else partition.blemish
    content: dict[str, np.ndarray | str | list[str]] = {
        "mask": np.asarray(partition.mask, dtype=bool),
        "blemish": np.asarray(blemish, dtype=bool),
        "map_names": list(partition.names),
        "map_units": list(partition.units),
    }
    for kind, bins in (("dynamic", partition.dynamic), ("static", partition.static)):
        content[f"{kind}_roi_map"] = _smallest(bins.labels)
        content[f"{kind}_index_mapping"] = _smallest(bins.index)
        content[f"{kind}_num_pts"] = np.array(bins.grid, dtype=np.int64)
        for axis in (0, 1):
            content[f"{kind}_v_list_dim{axis}"] = np.asarray(bins.centers[axis], dtype=np.float64)
            if bins.edges is not None:
                content[f"{OWN_EXTRAS}/{kind}_edges_dim{axis}"] = np.asarray(
                    bins.edges[axis], dtype=np.float64
                )
        if bins.label_centers is not None:
            content[f"{OWN_EXTRAS}/{kind}_label_centers"] = np.stack(bins.label_centers)
    if partition.regions:
        regions = regions_to_plain(partition.regions, partition.region_bins or "each")
        content[f"{OWN_EXTRAS}/regions"] = json.dumps(regions, sort_keys=True)
    if partition.region_of_bin is not None:
        content[f"{OWN_EXTRAS}/region_of_bin"] = _smallest(partition.region_of_bin)
    if partition.spec is not None:
        content[f"{OWN_EXTRAS}/spec"] = json.dumps(asdict(partition.spec), sort_keys=True)
    if partition.geometry is not None:
        content |= _geometry_content(partition.geometry)
    return content


def _geometry_content(geometry: Geometry) -> dict[str, np.ndarray]:
    row, col = beam_on_detector(geometry)
    shared = {
        "energy": geometry.energy_kev,
        "detector_distance": geometry.distance_m,
        # One number is all the layout has; pixels are not square on few detectors.
        "pixel_size": geometry.pixel_col_m,
        # The layout wants the centre after the swing; ours beside it is before the swing.
        "beam_center_x": col,
        "beam_center_y": row,
    }
    own = {
        f"{OWN_EXTRAS}/geometry/{field.name}": getattr(geometry, field.name)
        for field in fields(geometry)
        if field.name != "shape" and getattr(geometry, field.name) is not None
    }
    return {name: np.array(value, dtype=np.float64) for name, value in (shared | own).items()}


def _are_counts(values: np.ndarray) -> bool:
    """Say whether ``values`` can number bins; some writers store them as real numbers."""
    numbers = values.astype(np.float64)
    within = (numbers >= 0) & (numbers <= _MOST_BINS)
    return bool(within.all()) and bool((numbers == np.floor(numbers)).all())


_MOST_BINS = 10_000_000


def _smallest(values: np.ndarray) -> np.ndarray:
    """Return non-negative integers in the smallest unsigned type that holds them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))
