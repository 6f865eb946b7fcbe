"""Fitted parameters as a table: for the screen, as CSV, and inside a result file."""

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import h5py
import numpy as np

from napari_xpcs.io import layouts
from napari_xpcs.io.appended_group import appended_group
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.csv_table import write_csv

if TYPE_CHECKING:
    from napari_xpcs.fitting.results import G2Fit

Cell: TypeAlias = int | float | str | None
"""``None`` = not determined."""


def fit_columns(fit: "G2Fit") -> list[str]:
    """Return the names of the columns in their order; units stand in the names.

    Several files have a first column ``file``; the parameters of a law of q come last.
    """
    columns = ["file"] if fit.sources else []
    columns += ["bin", "q_inv_angstrom", "phi_deg", "model", "status", "reduced_chi2", "n_points"]
    for name in (*fit.names, *_of_law(fit)):
        columns += [name, f"{name}_err"]
    return columns


def fit_rows(fit: "G2Fit") -> list[dict[str, Cell]]:
    """Return one row per fitted bin, plain Python values only.

    A number that was not determined is ``None``, never a made-up one.
    """
    rows: list[dict[str, Cell]] = []
    for k in range(len(fit.bins)):
        row: dict[str, Cell] = {"file": fit.sources[k]} if fit.sources else {}
        row |= {
            "bin": int(fit.bins.label[k]),
            "q_inv_angstrom": _known(fit.bins.q[k]),
            "phi_deg": _known(fit.bins.phi_deg[k]),
            "model": fit.model,
            "status": str(fit.status[k]),
            "reduced_chi2": _known(fit.reduced_chi2[k]),
            "n_points": int(fit.n_points[k]),
        }
        for p, name in enumerate(fit.names):
            row[name] = _known(fit.value[k, p])
            row[f"{name}_err"] = _known(fit.error[k, p])
        for name in _of_law(fit):
            # No bin has it of its own: of a file, or of all.
            one = next(
                one
                for one in fit.shared
                if one.name == name and one.source in ("", row.get("file", ""))
            )
            row[name], row[f"{name}_err"] = _known(one.value), _known(one.error)
        rows.append(row)
    return rows


def _of_law(fit: "G2Fit") -> list[str]:
    """Return the common parameters that are no parameter of the model."""
    return list(dict.fromkeys(one.name for one in fit.shared if one.name not in fit.names))


def write_fit_csv(path: str | Path, fit: "G2Fit", force: bool = False) -> None:
    """Write the table of ``fit`` as CSV; what was not determined is an empty cell.

    Raises
    ------
    FileFormatError
        The file is there already and ``force`` is not set, or it cannot be written.
    """
    write_csv(path, fit_columns(fit), fit_rows(fit), force)


def write_text(path: str | Path, text: str, force: bool = False) -> None:
    """Write a script or another text, whole or not at all.

    Raises
    ------
    FileFormatError
        The file is there already and ``force`` is not set, or it cannot be written.
    """
    with atomic_path(path, force) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def append_fit(path: str | Path, fit: "G2Fit", force: bool = False) -> None:
    """Store the table of ``fit`` in the result file ``path``, under its model's name.

    Every column is a dataset of ``/xpcs/napari_xpcs/fits/<model>``; numbers that were not
    determined are NaN.  Attributes hold the formula and, as JSON, everything that is needed to do
    the fit again; ``covariance`` is that of the parameters.  The file is copied, the copy extended
    and renamed: a fault half-way leaves the results as they were.

    Raises
    ------
    FileFormatError
        Not a result file, or it holds a fit with this model and ``force`` is not set.
    """
    with appended_group(path, *place_of_fit(fit.model), force) as group:
        _write_table(group, fit)


def place_of_fit(model: str) -> tuple[str, str]:
    """Return the group of a result file for fits with ``model``, and its content in words."""
    return f"{layouts.FITS}/{model}", f"a fit with the model {model}"


def _write_table(group: h5py.Group, fit: "G2Fit") -> None:
    columns, rows = fit_columns(fit), fit_rows(fit)
    for name in columns:
        cells = [row[name] for row in rows]
        if name in ("file", "model", "status"):
            group.create_dataset(name, data=cells, dtype=h5py.string_dtype())
        elif name in ("bin", "n_points"):
            group.create_dataset(name, data=np.array(cells, dtype=np.int64))
        else:
            numbers = [np.nan if cell is None else cell for cell in cells]
            group.create_dataset(name, data=np.array(numbers, dtype=np.float64))
    group.attrs["columns"] = columns
    group.attrs["formula"] = fit.g2_model.formula
    group.create_dataset("covariance", data=fit.covariance)
    group.create_dataset("error_kind", data=list(fit.error_kind), dtype=h5py.string_dtype())
    if fit.error_floor is not None:
        group.create_dataset("error_floor", data=fit.error_floor)
    if fit.record is not None:
        group.attrs["record"] = json.dumps(fit.record.facts())
        group.attrs["model_made_from"] = list(fit.g2_model.made_from)


def _known(value: float) -> float | None:
    return float(value) if isfinite(value) else None
