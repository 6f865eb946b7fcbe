"""Curves that were compared, as a table for other programs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_xpcs.backends import ensure_numpy
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.csv_table import write_csv
from napari_xpcs.pipeline.comparison import Comparison

Row = dict[str, str | float | None]


def write_comparison(path: Path, comparison: Comparison, force: bool = False) -> None:
    """Write a row for each point of each line, in the units of the axes.

    The columns are ``file`` and ``line`` (its name in the legend), ``shown`` (the title of the
    plot, which names the bin of g2), the two axes by their labels, and ``error``, one standard
    deviation.  What is not known is an empty cell.

    Raises
    ------
    FileFormatError
        The file is there already and ``force`` is not set, it is one of the compared runs, or it
        cannot be written.
    """
    refuse_input_as_output(path, *(line.path for line in comparison.lines))
    columns = ("file", "line", "shown", comparison.x_label, comparison.y_label, "error")
    rows = (dict(zip(columns, cells, strict=True)) for cells in _cells(comparison))
    write_csv(path, columns, rows, force)


def _cells(comparison: Comparison) -> Iterator[tuple[str | float | None, ...]]:
    for line in comparison.lines:
        x, y = ensure_numpy(line.x), ensure_numpy(line.y)
        error = np.full(len(y), np.nan) if line.error is None else ensure_numpy(line.error)
        for numbers in zip(x, y, error, strict=True):
            known = (float(one) if np.isfinite(one) else None for one in numbers)
            yield (str(line.path), line.name, comparison.title, *known)
