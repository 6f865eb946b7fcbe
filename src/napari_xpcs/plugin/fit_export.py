"""Section of the fit dock: what goes to files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.errors import XpcsError
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.fitting.script import fit_script
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.fit_table import append_fit, write_fit_csv, write_text
from napari_xpcs.plugin.controls import SaveButton, WrappedLabel
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs.plugin.plots import Plot

WIDTHS_MM = {"one column, 86 mm": 86.0, "two columns, 178 mm": 178.0}
NOTHING = "Fit first; then the table, the figure and the script can be saved."


class ExportPanel(QWidget):
    """Saves the fit as a table, in its result file, as a script; and the shown plot as a figure."""

    def __init__(
        self, shown_plot: "Callable[[], Plot | None]", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._shown_plot = shown_plot
        self._fit: G2Fit | None = None
        self._writing = Runner(self)
        self._table = SaveButton("Table (CSV) ...", "g2_fit.csv", "CSV (*.csv)", objectName="save")
        self._table.setToolTip("A row a bin: parameters, errors, status.")
        self._append = QPushButton("Into the result file", objectName="append")
        self._append.setToolTip("Beside the g2 it belongs to, with all that is needed to redo it.")
        self._script = SaveButton(
            "Python script ...", "fit_again.py", "Python (*.py)", objectName="script"
        )
        self._script.setToolTip("Repeats the fit without a window.")
        self._figure = SaveButton(
            "Figure ...", "g2.pdf", "Figures (*.pdf *.svg *.png)", objectName="figure"
        )
        self._figure.setToolTip("The plot that is shown: PDF, SVG or PNG, black on white.")
        self._width = QComboBox(objectName="figure_width")
        self._width.setToolTip("Width of the figure on paper.")
        for text, width in WIDTHS_MM.items():
            self._width.addItem(text, width)
        self._message = WrappedLabel(NOTHING, objectName="export_message")
        grid = QGridLayout()
        for place, button in enumerate((self._table, self._append, self._script, self._figure)):
            grid.addWidget(button, place // 2, place % 2)
        line = QHBoxLayout()
        line.addWidget(QLabel("Figure"))
        line.addWidget(self._width, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(grid)
        column.addLayout(line)
        column.addWidget(self._message)
        self._table.chosen.connect(self.save)
        self._append.clicked.connect(self.append)
        self._script.chosen.connect(self.save_script)
        self._figure.chosen.connect(self.save_figure)
        self._writing.finished.connect(self._on_written)
        self._writing.failed.connect(self._message.setText)
        self.show_fit(None)

    def show_fit(self, fit: G2Fit | None) -> None:
        """Save another fit from now on."""
        self._fit = fit
        for button in (self._table, self._append, self._script):
            button.setEnabled(fit is not None)
        self._message.setText(NOTHING if fit is None else "")

    def save(self, path: Path) -> None:
        """Write the table as CSV; the dialogue asked before overwriting."""
        if self._fit is not None:
            self._write(path, partial(write_fit_csv, path, self._fit, force=True))

    def append(self) -> None:
        """Store the fit in the result file that the curves came from."""
        if self._fit is None or self._fit.record is None:
            return
        sources = self._fit.record.sources
        if len(sources) > 1:
            self._message.setText(
                "The fit of several runs goes into a table, not into one of them."
            )
            return
        path = Path(sources[0])
        if not path.is_file():
            self._message.setText(
                f"{path.name or 'What was fitted'} is no file yet: save g2 in XPCS: Correlate."
            )
            return
        self._write(path, partial(append_fit, path, self._fit, force=True), reads_it=False)

    def save_script(self, path: Path) -> None:
        """Write the script; the dialogue asked before overwriting."""
        if self._fit is not None:
            self._write(path, partial(write_text, path, fit_script(self._fit), force=True))

    def save_figure(self, path: Path) -> None:
        """Write the plot that is shown as a figure; the ending of the name says which kind."""
        plot = self._shown_plot()
        if plot is not None:
            self._writing.start(partial(plot.save_steps, path, self._width.currentData()))

    def _write(self, path: Path, write: Callable[[], None], *, reads_it: bool = True) -> None:
        sources = () if self._fit is None or self._fit.record is None else self._fit.record.sources
        if reads_it:
            try:
                refuse_input_as_output(path, *(Path(source) for source in sources if source))
            except XpcsError as error:
                self._message.setText(str(error))
                return
        self._writing.start(partial(write_steps, path, write))

    def _on_written(self, path: Path) -> None:
        self._message.setText(f"Saved {path.name}.")
        show_info(f"Saved {path}")


def write_steps(path: Path, write: Callable[[], None]) -> Steps[Path]:
    """Write a file; runs in the thread."""
    yield Progress(0, 1, "files")
    write()
    return path
