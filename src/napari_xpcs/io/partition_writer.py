"""Partitions written as the ``/qmap`` group that the tools of the field share."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np

from napari_xpcs import __version__
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.layouts import OWN_EXTRAS, PARTITION_FILE_GROUP
from napari_xpcs.io.mask_steps_file import write_mask_steps
from napari_xpcs.io.new_hdf5 import new_hdf5
from napari_xpcs.io.regions_text import regions_to_plain
from napari_xpcs.kernels.geometry import FIELD_UNITS, Geometry, beam_on_detector
from napari_xpcs.kernels.partition import Partition

_COMPRESS_ABOVE = 1024
"""Elements from which pySimpleMask compresses a dataset."""


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
    with atomic_path(path, force) as unfinished, new_hdf5(unfinished) as file:
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


def _axes() -> Iterator[tuple[str, int]]:
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


def _smallest(values: np.ndarray) -> np.ndarray:
    """Return non-negative integers in the smallest unsigned type that holds them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))
