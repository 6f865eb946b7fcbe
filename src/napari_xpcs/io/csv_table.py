"""Tables as CSV files that are whole or not there."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_xpcs.io.atomic import atomic_path


def write_csv(
    path: str | Path,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    force: bool = False,
) -> None:
    """Write ``rows`` under the titles ``columns``; ``None`` is an empty cell.

    Raises
    ------
    FileFormatError
        The file is there already and ``force`` is not set, or it cannot be written.
    """
    with (
        atomic_path(path, force) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
