"""What ``napari-xpcs info --json`` prints."""

from pathlib import Path
from typing import Any

from napari_xpcs.io.events import EventFrames
from napari_xpcs.io.files import (
    FramesFile,
    GeometryFile,
    MaskFile,
    PartitionFile,
    ResultFile,
    XpcsFile,
)
from napari_xpcs.io.hdf5_frames import SeveralFramesError
from napari_xpcs.io.open import LOOKED_FOR, UnknownLayoutError, open_path
from napari_xpcs.kernels.geometry import KnownGeometry


def describe(path: str | Path, dataset: str | None = None) -> dict[str, Any]:
    """Return what the file is, with plain Python values only.

    Keys: ``kind`` (frames, results, partition, unknown), ``layout``, ``shape`` ([frames, rows,
    cols], an entry is ``None`` where it is unknown), ``dtype``, ``geometry`` (per name ``value``,
    ``unit``, ``origin`` and, where other places differ, ``others``), ``missing``, ``problems``;
    for frames with pixels that never hold a count also ``masked_pixels``.  ``dataset`` chooses
    between several stacks of frames; without a choice the problem lists them.

    Raises
    ------
    FileFormatError
        The file is absent, damaged or not HDF5.
    """
    try:
        opened = open_path(path, dataset)
    except SeveralFramesError as choice:
        return _description("frames", None, None, None, {}, (), (str(choice),))
    except UnknownLayoutError as fault:
        return _description("unknown", None, None, None, {}, LOOKED_FOR, (str(fault),))
    kind, shape, dtype = _shape(opened)
    guess = (str(opened),) if isinstance(opened, MaskFile) and opened.guessed else ()
    description = _description(
        kind, opened.layout, shape, dtype, opened.known, opened.missing, (*opened.problems, *guess)
    )
    mask = opened.mask if isinstance(opened, FramesFile | MaskFile) else None
    return description if mask is None else description | {"masked_pixels": int((~mask).sum())}


def _description(
    kind: str,
    layout: str | None,
    shape: list[int | None] | None,
    dtype: str | None,
    known: KnownGeometry,
    missing: tuple[str, ...],
    problems: tuple[str, ...],
) -> dict[str, Any]:
    return {
        "kind": kind,
        "layout": layout,
        "shape": shape,
        "dtype": dtype,
        "geometry": _geometry(known),
        "missing": list(missing),
        "problems": list(problems),
    }


def _geometry(known: KnownGeometry) -> dict[str, dict[str, Any]]:
    table = {}
    for name, sourced in known.items():
        row: dict[str, Any] = {
            "value": sourced.value,
            "unit": sourced.unit,
            "origin": sourced.origin,
        }
        if sourced.others:
            row["others"] = [{"value": value, "origin": origin} for value, origin in sourced.others]
        table[name] = row
    return table


def _shape(opened: XpcsFile) -> tuple[str, list[int | None] | None, str | None]:
    """Return the kind, [frames, rows, cols] and the type of the pixels."""
    if isinstance(opened, FramesFile):
        kind = "events" if isinstance(opened.frames, EventFrames) else "frames"
        return kind, list(opened.frames.shape), str(opened.frames.dtype)
    if isinstance(opened, PartitionFile):
        return (
            "partition",
            [None, *opened.partition.shape],
            str(opened.partition.dynamic.labels.dtype),
        )
    if isinstance(opened, GeometryFile):
        return "geometry", None if opened.shape is None else [None, *opened.shape], None
    if isinstance(opened, MaskFile):
        return "mask", [None, *opened.mask.shape], str(opened.mask.dtype)
    return "results", _result_shape(opened), _result_dtype(opened)


def _result_shape(result: ResultFile) -> list[int | None] | None:
    frames = None if result.intensity_vs_time is None else result.intensity_vs_time.shape[-1]
    if result.scattering is not None:
        rows, cols = result.scattering.shape
    elif result.partition is not None:
        rows, cols = result.partition.shape
    else:
        return None
    return [frames, rows, cols]


def _result_dtype(result: ResultFile) -> str | None:
    return None if result.scattering is None else str(result.scattering.dtype)
