"""What stands in the dock of runs, as CSV: the curves that are drawn, and the table."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.csv_table import write_csv
from napari_xpcs.pipeline.comparison import Comparison
from napari_xpcs.pipeline.comparison_csv import write_comparison
from napari_xpcs.plugin.controls import SaveButton, WrappedLabel
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

Table = tuple[Sequence[str], Sequence[Mapping[str, Any]]]
"""Titles of columns, and rows by these."""


class RunExport(QWidget):
    """Two buttons; the files are written in a thread.

    Parameters
    ----------
    table
        Returns the runs that the table shows, with the column ``file``.
    """

    def __init__(self, table: Callable[[], Table], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table = table
        self._comparison: Comparison | None = None
        self._writing = Runner(self)
        self._curves_button = SaveButton(
            "Curves (CSV) ...", self._suggested, "CSV (*.csv)", objectName="save_curves"
        )
        self._curves_button.setToolTip(
            "The points that are drawn, a row each: file, both axes in their units, error."
        )
        self._table_button = SaveButton(
            "Table (CSV) ...", "runs.csv", "CSV (*.csv)", objectName="save_table"
        )
        self._table_button.setToolTip("The runs that the table shows, in its order, all columns.")
        self._message = WrappedLabel(objectName="export_message")
        self._message.hide()
        row = QHBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for button in (self._curves_button, self._table_button):
            row.addWidget(button)
        column.addLayout(row)
        column.addWidget(self._message)
        self._curves_button.chosen.connect(self.save_curves)
        self._table_button.chosen.connect(self.save_table)
        self._writing.finished.connect(self._on_written)
        self._writing.failed.connect(self._say)
        self.show_comparison(None)
        self.show_count(0)

    def show_comparison(self, comparison: Comparison | None) -> None:
        """Save these curves from now on; ``None`` where nothing is drawn."""
        self._comparison = comparison
        self._curves_button.setEnabled(comparison is not None)
        self._say("")

    def show_count(self, runs: int) -> None:
        """Save the table only where it shows runs."""
        self._table_button.setEnabled(runs > 0)

    def save_curves(self, path: Path) -> None:
        """Write the curves that are drawn; the dialogue asked before overwriting."""
        if self._comparison is not None:
            self._writing.start(partial(_curves_steps, path, self._comparison))

    def save_table(self, path: Path) -> None:
        """Write the table; the dialogue asked before overwriting."""
        self._writing.start(partial(_table_steps, path, self._table()))

    def stop(self) -> None:
        """Let go of the thread."""
        self._writing.cancel()

    def _suggested(self) -> Path | None:
        if self._comparison is None:
            return None
        return self._comparison.lines[0].path.with_name("compared.csv")

    def _on_written(self, path: Path) -> None:
        self._say(f"Saved {path}")

    def _say(self, text: str) -> None:
        self._message.setText(text)
        self._message.setVisible(bool(text))


def _curves_steps(path: Path, comparison: Comparison) -> Steps[Path]:
    """Write curves; runs in the thread."""
    yield Progress(0, 1, "files")
    write_comparison(path, comparison, force=True)
    return path


def _table_steps(path: Path, table: Table) -> Steps[Path]:
    """Write a table; runs in the thread."""
    yield Progress(0, 1, "files")
    columns, rows = table
    refuse_input_as_output(path, *(Path(row["file"]) for row in rows))
    write_csv(path, columns, rows, force=True)
    return path
