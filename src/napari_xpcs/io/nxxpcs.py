"""Results in the application definition NXxpcs, written by whichever facility."""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.hdf5 import reading
from napari_xpcs.io.known_geometry import Collector, GeometryReport, look_up
from napari_xpcs.io.physical_units import Place
from napari_xpcs.io.result_parts import LabelledBins, PartReader, labelled_bins
from napari_xpcs.io.twotime_maps import TwoTimeMaps

_SIGNS = ("data/g2", "twotime/two_time_corr_func", "instrument/masks/dynamic_roi_map")

_LAST_NUMBER = re.compile(r"(\d+)$")


def is_nxxpcs(file: h5py.File) -> bool:
    """Say whether an entry of ``file`` holds a sign of these results."""
    return nxxpcs_entry(file) is not None


def nxxpcs_entry(file: h5py.File) -> str | None:
    """Return the name of the first entry that holds a sign of these results."""
    return next((name for name in file if any(f"{name}/{sign}" in file for sign in _SIGNS)), None)


def read_nxxpcs(path: Path, file: h5py.File) -> ResultFile:
    """Read what the first entry with results holds and name what it lacks."""
    parts = PartReader(path, file)
    entry = f"/{nxxpcs_entry(file)}"
    report = nxxpcs_geometry(parts, entry)
    known = report.known
    bins = _bins(parts, f"{entry}/instrument/masks")
    frame_time_s = known["frame_time_s"].value
    curves = None
    labels, g2 = _columns(parts, f"{entry}/data/g2")
    if g2 is not None:
        _, error = _columns(parts, f"{entry}/data/g2_derr")
        lags = parts.flat(f"{entry}/data/delay_difference")
        delay_s = None if lags is None or frame_time_s is None else lags * frame_time_s
        if lags is not None and g2.shape[0] != len(lags) and g2.shape[1] == len(lags):
            parts.problems.append("g2 is stored as (bin, delay) and was turned.")
            g2, error = g2.T, None if error is None else error.T
        curves = parts.curves(g2, error, delay_s, bins, labels)
    return ResultFile(
        path=path,
        layout="nxxpcs",
        scattering=parts.image(f"{entry}/data/frame_average", bins.partition),
        partition=bins.partition,
        curves=curves,
        twotime=_twotime(parts, entry, bins, frame_time_s),
        known=known,
        problems=(*parts.problems, *report.problems),
        missing=(*parts.missing, *report.missing),
    )


def _detector(parts: PartReader, instrument: str) -> str:
    """Return the path of the detector: the group that says so, or that has a frame time."""
    names = parts.members(instrument)
    with reading(parts.path, instrument):
        groups = [n for n in names if isinstance(parts.file.get(f"{instrument}/{n}"), h5py.Group)]
        timed = [name for name in groups if "frame_time" in parts.file[f"{instrument}/{name}"]]
    said = [
        name
        for name in groups
        if parts.attribute(f"{instrument}/{name}", "NX_class") == "NXdetector"
    ]
    return f"{instrument}/{next(iter(timed + said), 'detector_1')}"


def nxxpcs_geometry(parts: PartReader, entry: str) -> GeometryReport:
    """Read the geometry; the units are those that writers mean who do not say them."""
    detector = _detector(parts, f"{entry}/instrument")
    collector = Collector()
    beam = f"{entry}/instrument/incident_beam"
    look_up(
        collector,
        parts.file,
        {
            "energy_kev": (Place(f"{beam}/incident_energy", "keV"),),
            "distance_m": (Place(f"{detector}/distance", "m"),),
            "pixel_row_m": (Place(f"{detector}/y_pixel_size", "m"),),
            "pixel_col_m": (Place(f"{detector}/x_pixel_size", "m"),),
            "center_row_px": (Place(f"{detector}/beam_center_y", "pixel"),),
            "center_col_px": (Place(f"{detector}/beam_center_x", "pixel"),),
            "frame_time_s": (Place(f"{detector}/frame_time", "s"),),
            "count_time_s": (Place(f"{detector}/count_time", "s"),),
        },
    )
    return collector.report()


def _bins(parts: PartReader, masks: str) -> LabelledBins:
    dynamic = parts.labels(f"{masks}/dynamic_roi_map")
    static_name = f"{masks}/static_roi_map"
    static = parts.labels(static_name) if static_name in parts.file else None
    lists: dict[str, np.ndarray | None] = {}
    for kind, name in (("dynamic", ""), ("static", "static_")):
        q, phi = _centers(parts, f"{masks}/{kind}_q_list")
        listed = f"{masks}/{kind}_phi_list"
        lists[f"{name}q"] = q
        lists[f"{name}phi"] = parts.flat(listed) if listed in parts.file else phi
    return labelled_bins(dynamic, static, None, lists, parts.problems)


def _centers(parts: PartReader, name: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return q and, from tuples (q, phi), phi; other kinds of lists say nothing about q."""
    if name not in parts.file:
        return None, None
    values = parts.array(name)
    if values is None or values.ndim > 2:
        return None, None
    if values.ndim < 2 or values.shape[1] == 1 or values.shape[0] == 1:
        return values.reshape(-1), None
    return (values[:, 0], values[:, 1]) if values.shape[1] == 2 else (None, None)


def _columns(parts: PartReader, name: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return numbers of the bins, if the file tells them, and (delay, bin) values.

    ``one_array`` is one dataset whose column n belongs to bin n; ``data_exchange_keys`` is a
    group with one dataset per bin, named by its number.
    """
    keys = _keys(parts, name)
    if keys is None:
        return None, parts.array(name, axes=2)
    numbers, names = keys
    columns = [parts.flat(key) for key in names]
    if not columns or any(column is None for column in columns):
        return None, None
    if len({len(column) for column in columns}) > 1:
        parts.problems.append(f"{name} is left out: its bins have different numbers of delays.")
        return None, None
    return numbers, np.stack(columns, axis=1)


def _keys(parts: PartReader, name: str) -> tuple[np.ndarray, list[str]] | None:
    """Return numbers and paths of the datasets in the group ``name``; ``None`` if it is none."""
    with reading(parts.path, name):
        found = parts.file.get(name)
        inside = list(found) if isinstance(found, h5py.Group) else None
    if inside is None:
        return None
    numbered = sorted(
        (int(match[1]), f"{name}/{key}") for key in inside if (match := _LAST_NUMBER.search(key))
    )
    return np.array([number for number, _ in numbered], np.int64), [key for _, key in numbered]


def _twotime(
    parts: PartReader, entry: str, bins: LabelledBins, frame_time_s: float | None
) -> TwoTimeMaps | None:
    name = f"{entry}/twotime/two_time_corr_func"
    if name not in parts.file:
        return None
    upward = parts.attribute(name, "time_origin_location").startswith("lower")
    # The halves are named as they are seen: turned upside down, the upper one is the lower.
    lower = parts.attribute(name, "populated_elements").startswith("lower") != upward
    g2_name = f"{entry}/twotime/g2_from_two_time_corr_func"
    g2 = parts.array(g2_name, axes=2) if g2_name in parts.file else None
    common: dict[str, Any] = {
        "path": parts.path,
        "lower": lower,
        "upward": upward,
        "missing_baseline": _missing_baseline(parts, name),
        "frame_time_s": frame_time_s,
        "g2": None if g2 is None else g2 + _missing_baseline(parts, g2_name),
        "segments": _segments(parts, f"{g2_name}_partials"),
    }
    keys = _keys(parts, name)
    if keys is not None:
        numbers, datasets = keys
        if not datasets:
            return None
        return TwoTimeMaps(datasets=tuple(datasets), bins=bins.own_labels(numbers), **common)
    with reading(parts.path, name):
        shape = parts.file[name].shape or ()
    axis = _bin_axis(shape, parts.attribute(name, "storage_mode"))
    if axis is None:
        parts.problems.append(f"{name} has the shape {shape}; (bin, time, time) was expected.")
        return None
    return TwoTimeMaps(
        datasets=(name,),
        bins=bins.own_labels(_bins_of_maps(parts, entry, bins, shape[axis])),
        bin_axis=axis,
        **common,
    )


def _missing_baseline(parts: PartReader, name: str) -> float:
    """Return 1 for numbers that decay to 0, as their ``baseline_reference`` tells."""
    return 1.0 if parts.attribute(name, "baseline_reference") in ("0", "0.0") else 0.0


def _segments(parts: PartReader, name: str) -> np.ndarray | None:
    """Return (delay, partial, bin); the definition has the partials last."""
    stored = parts.array(name, axes=3) if name in parts.file else None
    return None if stored is None else stored.transpose(0, 2, 1) + _missing_baseline(parts, name)


def _bin_axis(shape: tuple[int, ...], mode: str) -> int | None:
    """Return the axis of the bins; ``None`` where the other two are no times."""
    if len(shape) != 3 or 0 in shape:
        return None
    axis = 2 if mode.endswith("last") or (mode == "" and shape[0] == shape[1]) else 0
    times = shape[:2] if axis == 2 else shape[1:]
    return axis if times[0] == times[1] else None


def _bins_of_maps(parts: PartReader, entry: str, bins: LabelledBins, count: int) -> np.ndarray:
    """Return the bin of each map: as the file tells, else all bins in their order."""
    name = f"{entry}/twotime/processed_bins"
    told = parts.flat(name) if name in parts.file else None
    if told is not None and len(told) == count:
        return np.asarray(told, np.int64)
    return bins.used if len(bins.used) == count else np.arange(1, count + 1)
