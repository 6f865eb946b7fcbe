"""Results of NSLS-II CHX: flat names in one HDF5 file, as the analysis notebooks save them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.chx_units import lengths_in_m
from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.hdf5 import reading
from napari_xpcs.io.known_geometry import known_values, unknown_values
from napari_xpcs.io.result_parts import LabelledBins, PartReader, labelled_bins
from napari_xpcs.io.twotime_maps import TwoTimeMaps
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.units import HC_KEV_ANGSTROM

_ATTRIBUTES = {
    "center_col_px": ("beam_center_x",),
    "center_row_px": ("beam_center_y",),
    "distance_m": ("det_distance", "detector_distance"),
    "frame_time_s": ("frame_time", "cam_acquire_period"),
    "count_time_s": ("count_time", "cam_acquire_time"),
    "pixel_col_m": ("x_pixel_size",),
    "pixel_row_m": ("y_pixel_size",),
    "energy_kev": ("incident_wavelength", "wavelength"),
}
"""Attributes of ``md``; the energy is told as a wavelength in angstrom."""

_MOST_BINS = 100_000


def is_chx_result(file: h5py.File) -> bool:
    """Say whether the names at the top are those of a CHX result."""
    names = set(file)
    return {"g2", "taus"} <= names or ("roi_mask" in names and bool(names & {"g12b", "iq_saxs"}))


def read_chx_result(path: Path, file: h5py.File) -> ResultFile:
    """Read what a result file of CHX holds and name what it lacks."""
    parts = PartReader(path, file)
    known = chx_geometry(parts)
    dynamic = parts.labels("roi_mask")
    mask = None if dynamic is None else parts.mask("mask", dynamic.shape)
    q, phi = _bin_positions(parts)
    bins = labelled_bins(dynamic, None, mask, {"q": q, "phi": phi}, parts.problems)
    g2 = parts.array("g2", axes=2)
    curves = None
    if g2 is not None:
        error = parts.array("g2_stderr", axes=2)
        curves = parts.curves(g2, error, parts.flat("taus"), bins)
    return ResultFile(
        path=path,
        layout="chx-results",
        scattering=parts.image("avg_img", bins.partition),
        partition=bins.partition,
        curves=curves,
        twotime=_twotime(parts, bins, known["frame_time_s"].value),
        intensity_vs_time=_intensity(parts, mask),
        scattering_1d=parts.flat("iq_saxs"),
        known=known,
        problems=tuple(parts.problems),
        missing=(
            *parts.missing,
            *unknown_values(
                known, {name: f"md.attrs[{names[0]!r}]" for name, names in _ATTRIBUTES.items()}
            ),
        ),
    )


def _attributes(parts: PartReader, name: str) -> Mapping[str, Any]:
    with reading(parts.path, name):
        found = parts.file.get(name)
        if found is None:
            parts.missing.append(name)
            return {}
        return {str(key): found.attrs[key] for key in found.attrs}


def chx_geometry(parts: PartReader) -> KnownGeometry:
    """Return what the attributes of ``md`` tell."""
    found: dict[str, tuple[float, str]] = {}
    attributes = _attributes(parts, "md")
    for name, keys in _ATTRIBUTES.items():
        for key in keys:
            value = _number(attributes.get(key))
            if value is not None and value > 0 and name not in found:
                found[name] = (value, f"md.attrs[{key!r}]")
    if "energy_kev" in found:
        wavelength, origin = found["energy_kev"]
        found["energy_kev"] = (HC_KEV_ANGSTROM / wavelength, origin)
    found, doubts = lengths_in_m(found)
    parts.problems.extend(doubts)
    return known_values(found)


def _number(value: Any) -> float | None:
    if isinstance(value, bytes | np.bytes_):
        value = value.decode(errors="replace")
    if np.size(value) != 1 or value is None:
        return None
    try:
        number = float(np.asarray(value).reshape(-1)[0])
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _bin_positions(parts: PartReader) -> tuple[np.ndarray, np.ndarray]:
    """Return q and phi by bin; attribute "0" belongs to bin 1."""
    attributes = _attributes(parts, "qval_dict")
    numbered = {int(key): value for key, value in attributes.items() if key.isdigit()}
    places = {place: value for place, value in numbered.items() if place < _MOST_BINS}
    count = max(places, default=-1) + 1
    positions = np.full((2, count), np.nan)
    for place, value in places.items():
        numbers = np.asarray(value).reshape(-1)
        if numbers.dtype.kind in "iuf":
            positions[: min(len(numbers), 2), place] = numbers[:2]
    return positions[0], positions[1]


def _intensity(parts: PartReader, mask: np.ndarray | None) -> np.ndarray | None:
    """Return frame number and mean counts; the file holds sums over the good pixels."""
    total = parts.flat("imgsum")
    if total is None or mask is None or not mask.any():
        return None
    return np.stack([np.arange(len(total), dtype=np.float64), total / np.count_nonzero(mask)])


def _twotime(
    parts: PartReader, bins: LabelledBins, frame_time_s: float | None
) -> TwoTimeMaps | None:
    name = "g12b"
    try:
        with reading(parts.path, name):
            found = parts.file.get(name)
            shape = found.shape if isinstance(found, h5py.Dataset) else None
    except FileFormatError as fault:
        parts.problems.append(str(fault))
        return None
    if shape is None:
        return None
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] == 0:
        parts.problems.append(f"{name} has the shape {shape}; (time, time, bin) was expected.")
        return None
    numbers = bins.used if len(bins.used) == shape[2] else np.arange(1, shape[2] + 1)
    return TwoTimeMaps(
        path=parts.path,
        datasets=(name,),
        bins=bins.own_labels(numbers),
        bin_axis=2,
        frame_time_s=frame_time_s,
    )
