"""The command that does on a cluster what the dock would do here."""

from functools import partial
from pathlib import Path

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QPushButton

from napari_xpcs.errors import CorrelationError, XpcsError
from napari_xpcs.io.files import PartitionFile, ResultFile
from napari_xpcs.io.open import open_path
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.plugin.controls import SaveButton, WrappedLabel
from napari_xpcs.plugin.correlate_recipe import recipe_steps
from napari_xpcs.plugin.correlation import Request, command_line
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.recipe_bar import FILTER
from napari_xpcs.plugin.section import Section
from napari_xpcs.progress import Progress, Steps


class ClusterPanel(Section):
    """Shows the command line; the bins must be in a file for it, and are saved from here."""

    wanted = Signal()
    """The user wants the command; answer with :meth:`show_command`."""
    recipe_wanted = Signal(object)
    """Emitted with a path for a recipe; answer with :meth:`save_recipe`."""

    def __init__(self) -> None:
        super().__init__("Send the same to a cluster", name="cluster")
        self._request: Request | None = None
        self._saved: tuple[Partition, Path] | None = None
        self._scheduler = QLineEdit("tcp://SCHEDULER:8786", objectName="scheduler")
        self._scheduler.setToolTip(
            "Address of the dask scheduler, or local for all cores of one computer. Its workers "
            "must see the same folders."
        )
        self._ask = QPushButton("Show the command", objectName="show_command")
        self._ask.setToolTip("The command line that does the same, with all that is chosen.")
        self._save = SaveButton(
            "Save bins ...", self._suggested, "HDF5 (*.hdf)", objectName="save_bins"
        )
        self._save.setToolTip("The command reads the bins from this file.")
        self._recipe = SaveButton("Save recipe ...", "recipe.yaml", FILTER, objectName="recipe")
        self._recipe.setToolTip(
            "Options and, where they can be told, geometry, mask and bins: for other runs, with "
            "napari-xpcs correlate RUN --recipe FILE."
        )
        self._text = QPlainTextEdit(objectName="command")
        self._text.setReadOnly(True)
        self._text.setMaximumHeight(110)
        self._text.setVisible(False)
        self._copy = QPushButton("Copy", objectName="copy_command")
        self._copy.setToolTip("Copy the command to the clipboard.")
        self._copy.setVisible(False)
        self._message = WrappedLabel(objectName="cluster_message")
        row = QHBoxLayout()
        row.addWidget(self._ask)
        row.addWidget(self._save)
        address = QHBoxLayout()
        address.addWidget(QLabel("Scheduler"))
        address.addWidget(self._scheduler)
        self.column.addLayout(address)
        self.column.addLayout(row)
        for widget in (self._recipe, self._message, self._text, self._copy):
            self.column.addWidget(widget)
        self._runner = Runner(self)
        self._saver = Runner(self)
        self._recipe_saver = Runner(self)
        self._ask.clicked.connect(self.wanted)
        self._save.chosen.connect(self.save_bins)
        self._copy.clicked.connect(self._on_copy_clicked)
        self._runner.finished.connect(self._on_command_made)
        self._runner.failed.connect(self.say)
        self._saver.finished.connect(self._on_saved)
        self._saver.failed.connect(self.say)
        self._recipe.chosen.connect(self.recipe_wanted)
        self._recipe_saver.finished.connect(self.say)
        self._recipe_saver.failed.connect(self.say)

    def show_command(self, request: Request, bins_path: str) -> None:
        """Show the command for ``request``, whose bins may be in the file ``bins_path``."""
        self._request = request
        path = Path(bins_path) if bins_path else None
        if self._saved is not None and self._saved[0] is request.partition:
            path = self._saved[1]
        scheduler = self._scheduler.text().strip()
        self._runner.start(partial(_command_steps, request, path, scheduler))

    def say(self, text: str) -> None:
        """Show what was saved, or why there is no command."""
        self._message.setText(text)
        self._text.setVisible(False)
        self._copy.setVisible(False)

    def save_bins(self, path: Path) -> None:
        """Write the bins to ``path``; the file dialogue asked before overwriting."""
        if self._request is not None:
            self._saver.start(partial(_bins_steps, path, self._request), "Save bins")

    def save_recipe(self, path: Path, request: Request) -> None:
        """Write what is asked for as a recipe; the file dialogue asked before overwriting."""
        self._recipe_saver.start(partial(recipe_steps, path, request), "Save recipe")

    def _suggested(self) -> Path | None:
        self.wanted.emit()
        if self._request is None:
            return None
        source = Path(self._request.source)
        return source.with_name(f"{source.stem}_qmap.hdf")

    def _on_saved(self, saved: tuple[Partition, Path]) -> None:
        self._saved = saved
        self.wanted.emit()

    def _on_command_made(self, command: str) -> None:
        self._message.setText("The same as a command, for a shell that sees these files:")
        self._text.setPlainText(command)
        self._text.setVisible(True)
        self._copy.setVisible(True)

    def _on_copy_clicked(self) -> None:
        QGuiApplication.clipboard().setText(self._text.toPlainText())
        self._message.setText("Copied.")


def _command_steps(request: Request, bins_path: Path | None, scheduler: str) -> Steps[str]:
    """Make the command, if the bins are in a file; runs in the thread."""
    yield Progress(0, 1, "command")
    request.check()
    if bins_path is None or not _holds(bins_path, request.partition):
        msg = "These bins are in no file yet: press 'Save bins ...' first."
        raise CorrelationError(msg)
    return command_line(request, bins_path, scheduler)


def _holds(path: Path, partition: Partition) -> bool:
    """Return whether a file holds these very bins."""
    try:
        file = open_path(path)
    except (XpcsError, OSError):
        return False
    stored = file.partition if isinstance(file, PartitionFile | ResultFile) else None
    return stored is not None and all(
        np.array_equal(one, other)
        for one, other in (
            (stored.mask, partition.mask),
            (stored.dynamic.labels, partition.dynamic.labels),
            (stored.static.labels, partition.static.labels),
        )
    )


def _bins_steps(path: Path, request: Request) -> Steps[tuple[Partition, Path]]:
    """Write the bins; runs in the thread."""
    yield Progress(0, 1, "bins")
    write_partition(path, request.partition, source=request.source, force=True)
    return request.partition, path
