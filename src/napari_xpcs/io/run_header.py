"""What a result file is about, from its small numbers and the shapes of the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xpcs.io import layouts
from napari_xpcs.io.chx_result import chx_geometry
from napari_xpcs.io.curves_csv import read_curves_csv
from napari_xpcs.io.hdf5 import reading
from napari_xpcs.io.known_geometry import Collector
from napari_xpcs.io.legacy_result import legacy_geometry
from napari_xpcs.io.nxxpcs import nxxpcs_entry, nxxpcs_geometry
from napari_xpcs.io.result_parts import PartReader
from napari_xpcs.kernels.geometry import KnownGeometry

_TIMES = ("frame_time_s", "count_time_s", "energy_kev")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """A line of a list of runs; what the file does not tell is ``None`` or empty.

    Parameters
    ----------
    started
        When the run began, as the file writes it.
    frames
        Used frames.
    frame_time_s, count_time_s, energy_kev
        Time between raw frames and exposure, s; photon energy, keV.
    bins, delays
        Of multi-tau g2.
    maps
        Two-time maps.
    averaged
        Runs that the file is the average of, 0 for a single run.
    problem
        Why the file cannot be read, in a sentence.
    """

    path: Path
    layout: str = ""
    started: str = ""
    frames: int | None = None
    frame_time_s: float | None = None
    count_time_s: float | None = None
    energy_kev: float | None = None
    bins: int | None = None
    delays: int | None = None
    maps: int = 0
    averaged: int = 0
    problem: str = ""


def aps_header(path: Path, file: h5py.File) -> RunHeader:
    """Return the header of a result in the layout of 8-ID."""
    parts = PartReader(path, file)
    return RunHeader(
        layout="aps-results",
        started=next(iter(parts.texts(layouts.START_TIME)), ""),
        maps=_members(parts, layouts.TWOTIME_MAPS),
        averaged=(_shape(parts, layouts.AVERAGED_FILES) or (0,))[0],
        **_by_shapes(parts, layouts.MULTITAU_G2, layouts.INTENSITY_VS_TIME),
        **_aps_times(file),
    )


def legacy_header(path: Path, file: h5py.File) -> RunHeader:
    """Return the header of a result as 8-ID wrote it until early 2025."""
    parts = PartReader(path, file)
    return RunHeader(
        layout="aps-legacy-results",
        maps=_members(parts, "/exchange/C2T_all"),
        **_by_shapes(parts, "/exchange/norm-0-g2", "/exchange/frameSum"),
        **_times(legacy_geometry(parts)),
    )


def nxxpcs_header(path: Path, file: h5py.File) -> RunHeader:
    """Return the header of a result in the definition NXxpcs."""
    parts = PartReader(path, file)
    entry = f"/{nxxpcs_entry(file)}"
    lags = _shape(parts, f"{entry}/data/delay_difference")
    g2 = _shape(parts, f"{entry}/data/g2")
    delays = int(np.prod(lags)) if lags else None
    bins = _members(parts, f"{entry}/data/g2") or None
    if g2 is not None and len(g2) == 2:
        bins = g2[0] if g2[0] != delays and g2[1] == delays else g2[1]
    maps = _shape(parts, f"{entry}/twotime/two_time_corr_func")
    return RunHeader(
        path=path,
        layout="nxxpcs",
        started=next(iter(parts.texts(f"{entry}/start_time")), ""),
        bins=bins,
        delays=delays,
        maps=min(maps) if maps else _members(parts, f"{entry}/twotime/two_time_corr_func"),
        **_times(nxxpcs_geometry(parts, entry).known),
    )


def chx_header(path: Path, file: h5py.File) -> RunHeader:
    """Return the header of a result of NSLS-II CHX."""
    parts = PartReader(path, file)
    return RunHeader(
        layout="chx-results",
        maps=(_shape(parts, "g12b") or (0,))[-1],
        **_by_shapes(parts, "g2", "imgsum"),
        **_times(chx_geometry(parts)),
    )


def csv_header(path: Path, _: h5py.File | None) -> RunHeader:
    """Return the header of a table of curves."""
    curves = read_curves_csv(path)
    return RunHeader(
        path=path, layout="curves-csv", bins=len(curves.bins), delays=len(curves.delay_s)
    )


def _aps_times(file: h5py.File) -> Mapping[str, Any]:
    """Return the same as :func:`_times`, of which the whole geometry is seven times the work."""
    collector = Collector()
    qmap = f"{layouts.RESULT_PARTITION_GROUP}/{layouts.QMAP_GEOMETRY['energy_kev']}"
    collector.look(file, "energy_kev", qmap, "")
    for name in _TIMES:
        collector.look(file, name, layouts.ENTRY_GEOMETRY[name], "")
    return {name: collector.best(name) for name in _TIMES}


def _times(known: KnownGeometry) -> Mapping[str, Any]:
    return {name: known[name].value for name in _TIMES}


def _by_shapes(parts: PartReader, g2: str, intensity: str) -> Mapping[str, Any]:
    """Return path, bins, delays and frames, as the datasets of g2 and I(t) are long."""
    delays, bins = _last_two(_shape(parts, g2))
    frames = _last_two(_shape(parts, intensity))[1]
    return {"path": parts.path, "bins": bins, "delays": delays, "frames": frames}


def _shape(parts: PartReader, name: str) -> tuple[int, ...] | None:
    """Return the shape of the dataset ``name``, ``None`` where there is none."""
    with reading(parts.path, name):
        found = parts.file.get(name)
    return found.shape if isinstance(found, h5py.Dataset) else None


def _last_two(shape: tuple[int, ...] | None) -> tuple[int | None, int | None]:
    """Return the last two numbers of a shape, ``None`` for those that it has not."""
    known = (None, None, *(shape or ()))
    return known[-2], known[-1]


def _members(parts: PartReader, name: str) -> int:
    """Return how many things the group ``name`` holds, 0 where there is none."""
    with reading(parts.path, name):
        found = parts.file.get(name)
        return len(found) if isinstance(found, h5py.Group) else 0
