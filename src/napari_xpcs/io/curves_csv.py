"""g2 curves as a table that any program can write."""

import csv
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path

import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.not_measured import not_measured_to_nan
from napari_xpcs.kernels.curves import BinTable, G2Curves

COLUMNS = ("bin", "q_inv_angstrom", "delay_s", "g2", "g2_err")
OPTIONAL_COLUMNS = ("phi_deg",)


@dataclass(frozen=True, slots=True)
class _Point:
    label: int
    q: float
    phi_deg: float
    delay_s: float
    g2: float
    error: float


def is_curves_csv(path: Path) -> bool:
    """Say whether the first line of ``path`` names the columns of a table of curves."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = file.readline(4096)
    except OSError:
        return False
    return set(COLUMNS) <= {name.strip() for name in header.split(",")}


def read_curves_csv(path: Path) -> G2Curves:
    """Read the columns ``bin,q_inv_angstrom,delay_s,g2,g2_err`` and, if there, ``phi_deg``.

    Every bin may have delays of its own: the result lists all delays, with NaN where a bin was
    not measured.  Empty cells and "nan" are unknown numbers; g2 = 0 with error 0 is not measured.

    Raises
    ------
    FileFormatError
        Names the line and the column that is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            points = _read_points(path, csv.reader(file))
    except FileNotFoundError as fault:
        msg = f"There is no file {path}."
        raise FileFormatError(msg) from fault
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        msg = f"{path.name} cannot be read as a CSV table: {fault}."
        raise FileFormatError(msg) from fault
    if not points:
        msg = f"{path.name} holds no line of numbers below the column names."
        raise FileFormatError(msg)
    return _curves(points, str(path))


def _read_points(path: Path, rows: "csv._reader") -> dict[tuple[int, float], _Point]:
    header = [name.strip() for name in next(rows, [])]
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        msg = (
            f"{path.name}, line 1: the column {', '.join(absent)} is missing. A table of curves "
            f"has the columns {','.join(COLUMNS)}."
        )
        raise FileFormatError(msg)
    column = {name: header.index(name) for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in header}
    points: dict[tuple[int, float], _Point] = {}
    of_bin: dict[int, _Point] = {}
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        line = rows.line_num
        if len(row) != len(header):
            msg = f"{path.name}, line {line}: {len(row)} cells, {len(header)} columns were named."
            raise FileFormatError(msg)
        point = _read_point(path, line, {name: row[at].strip() for name, at in column.items()})
        first = of_bin.setdefault(point.label, point)
        for name, here, before in (
            ("q_inv_angstrom", point.q, first.q),
            ("phi_deg", point.phi_deg, first.phi_deg),
        ):
            if here != before and isfinite(here + before):
                msg = (
                    f"{path.name}, line {line}, column {name}: bin {point.label} has {here:g} here "
                    f"and {before:g} above."
                )
                raise FileFormatError(msg)
        if (point.label, point.delay_s) in points:
            msg = (
                f"{path.name}, line {line}, column delay_s: bin {point.label} has the delay "
                f"{point.delay_s:g} s twice."
            )
            raise FileFormatError(msg)
        points[point.label, point.delay_s] = point
    return points


def _read_point(path: Path, line: int, cells: dict[str, str]) -> _Point:
    numbers = {}
    for name, cell in cells.items():
        try:
            numbers[name] = float(cell) if cell else nan
        except ValueError as fault:
            msg = f"{path.name}, line {line}, column {name}: {cell!r} is not a number."
            raise FileFormatError(msg) from fault
    label, delay_s = numbers["bin"], numbers["delay_s"]
    if not (isfinite(label) and label >= 1 and label == int(label)):
        msg = (
            f"{path.name}, line {line}, column bin: {cells['bin']!r} is not a whole number from 1."
        )
        raise FileFormatError(msg)
    if not isfinite(delay_s) or delay_s < 0:
        msg = f"{path.name}, line {line}, column delay_s: {cells['delay_s']!r} is no delay in s."
        raise FileFormatError(msg)
    return _Point(
        label=int(label),
        q=numbers["q_inv_angstrom"],
        phi_deg=numbers.get("phi_deg", nan),
        delay_s=delay_s,
        g2=numbers["g2"],
        error=numbers["g2_err"],
    )


def _curves(points: dict[tuple[int, float], _Point], source: str) -> G2Curves:
    labels = sorted({label for label, _ in points})
    delays = sorted({delay for _, delay in points})
    g2 = np.full((len(delays), len(labels)), np.nan)
    error = g2.copy()
    q, phi_deg = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    row_of = {delay: row for row, delay in enumerate(delays)}
    col_of = {label: col for col, label in enumerate(labels)}
    for point in points.values():
        row, col = row_of[point.delay_s], col_of[point.label]
        g2[row, col], error[row, col] = point.g2, point.error
        q[col] = point.q if isfinite(point.q) else q[col]
        phi_deg[col] = point.phi_deg if isfinite(point.phi_deg) else phi_deg[col]
    g2, error = not_measured_to_nan(g2, error)
    return G2Curves(
        delay_s=np.array(delays),
        g2=g2,
        error=error,
        bins=BinTable(
            label=np.array(labels),
            q=q,
            phi_deg=phi_deg,
            pixels=np.zeros(len(labels), np.int64),
        ),
        source=source,
    )
