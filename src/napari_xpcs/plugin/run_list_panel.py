"""Which runs there are: a folder that is chosen, filtered and looked at again, and its table."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.io.run_list import Listed, list_runs
from napari_xpcs.plugin.collection import collection_paused
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.run_table import RunsView
from napari_xpcs.progress import Progress, Steps

EMPTY = "Choose a folder of result files, or drop a folder or some files here."
WATCH_MS = 10_000
"""Time between two looks at a folder that fills."""


class RunListPanel(QWidget):
    """Lists the result files of folders in a thread; what is selected stays so as files come."""

    relisted = Signal(object)
    """Emitted when the table shows other runs, with the files that were there and changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.places: list[Path] = []
        self.listed: Listed = {}
        self.table = RunsView(objectName="runs")
        self._folder = QPushButton("Folder ...", objectName="folder")
        self._folder.setToolTip("Look at the result files of a folder; or drop one on this dock.")
        self._place = WrappedLabel(EMPTY, objectName="place")
        self.listing = JobButton(
            "Refresh", guarded=False, tip="Look for files that are new or have changed."
        )
        self._watch = QCheckBox("every 10 s", objectName="watch")
        self._watch.setToolTip(
            "Look by itself for files that are new or have changed, while this dock is seen. What "
            "is selected stays so."
        )
        self.watching = Runner(self)
        self._next_look = QTimer(self, interval=WATCH_MS)
        self._filter = QLineEdit(objectName="filter", clearButtonEnabled=True)
        self._filter.setAcceptDrops(False)  # a file that is dropped here is a file for the dock
        self._filter.setPlaceholderText("Filter: words of the name")
        self._filter.setToolTip("Shows the runs whose name holds every word that is typed.")
        top, look = QHBoxLayout(), QHBoxLayout()
        top.addWidget(self._folder)
        top.addWidget(self._filter, 1)
        look.addWidget(self.listing, 1)
        look.addWidget(self._watch, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._place)
        column.addLayout(top)
        column.addLayout(look)
        column.addWidget(self.table)
        self._connect()
        self._show_place()

    def _connect(self) -> None:
        self._folder.clicked.connect(self._on_folder_clicked)
        self.listing.clicked.connect(self.look_again)
        self.listing.runner.progressed.connect(self._on_listing_told)
        self.listing.finished.connect(self._on_listed)
        self._watch.toggled.connect(self._on_watch_toggled)
        self._next_look.timeout.connect(self.look_quietly)
        self.watching.finished.connect(self._on_looked)
        self.watching.failed.connect(self.listing.message.setText)
        self._filter.textChanged.connect(self._on_filter_changed)

    def stop(self) -> None:
        """Let go of the threads."""
        self._next_look.stop()
        self.listing.cancel()
        self.watching.cancel()

    def look_at(self, places: Sequence[Path]) -> None:
        """Show the runs of folders, or single files, in place of what was shown."""
        self.places = list(places)
        gone = list(self.listed)
        self.listed = {}
        self.table.show_runs([])
        self._show_place()
        self.relisted.emit(gone)
        self.look_again()

    def take(self, places: Sequence[Path]) -> None:
        """Show folders; single files are added to what is shown."""
        if any(place.is_dir() for place in places):
            self.look_at(places)
            return
        self.places += [place for place in places if place not in self.places]
        self._show_place()
        self.look_again()

    def look_again(self) -> None:
        """Look for files that are new or have changed."""
        self.watching.cancel()
        if self.places:
            self.listing.start(partial(_list_steps, tuple(self.places), dict(self.listed)))

    def look_quietly(self) -> None:
        """Do the same without a word about its progress, where somebody sees what comes."""
        busy = self.listing.runner.running or self.watching.running
        if self.places and self.isVisible() and not busy:
            self.watching.start(partial(_list_steps, tuple(self.places), dict(self.listed)))

    def _on_watch_toggled(self, on: bool) -> None:
        if on:
            self._next_look.start()
            self.look_quietly()
        else:
            self._next_look.stop()
            self.watching.cancel()

    def _on_folder_clicked(self) -> None:
        before = next((str(place) for place in self.places if place.is_dir()), "")
        chosen = QFileDialog.getExistingDirectory(self, "Folder of result files", before)
        if chosen:
            self.look_at([Path(chosen)])

    def _show_place(self) -> None:
        self.listing.allow("" if self.places else EMPTY)
        self._watch.setEnabled(bool(self.places))
        self.listing.message.setText("")
        folders = [str(place) for place in self.places if place.is_dir()]
        files = len(self.places) - len(folders)
        added = [f"{files} file{'s' * (files > 1)}"] if files else []
        self._place.setText(" and ".join((*folders, *added)) or EMPTY)

    def _on_listing_told(self, progress: Progress) -> None:
        """Show what was read so far beside what was known: a list that is cancelled stays."""
        if progress.partial is not None:
            so_far: Listed = progress.partial  # type: ignore[assignment]  # as list_runs says
            self._take({**self.listed, **so_far})

    def _on_listed(self, listed: Listed) -> None:
        self._take(listed)
        self.listing.message.setText(_count_text(listed))

    def _on_looked(self, listed: Listed) -> None:
        """Take what came, where there is anything new: a table that is filled anew jumps."""
        same = listed.keys() == self.listed.keys()
        if not same or any(one is not self.listed[path] for path, one in listed.items()):
            self._take(listed)
        self.listing.message.setText(_count_text(listed))

    def _take(self, listed: Listed) -> None:
        changed = [path for path, one in self.listed.items() if listed.get(path) is not one]
        self.listed = listed
        self.table.show_runs(listed.values())
        self.relisted.emit(changed)

    def _on_filter_changed(self, text: str) -> None:
        self.table.filter(text)
        self.relisted.emit([])


def _count_text(listed: Listed) -> str:
    """Return how many runs there are, and what else."""
    headers = [one.header for one in listed.values()]
    runs = sum(header is not None for header in headers)
    bad = sum(header is not None and bool(header.problem) for header in headers)
    parts = [f"{runs} result file{'s' * (runs != 1)}"]
    if bad:
        parts.append(f"{bad} of them cannot be read (red: rest the mouse on it)")
    if others := len(headers) - runs:
        parts.append(f"{others} other file{'s' * (others != 1)} not shown")
    return "; ".join(parts) + "."


def _list_steps(places: Sequence[Path], before: Listed) -> Steps[Listed]:
    """List runs; runs in the thread."""
    with collection_paused():
        return (yield from list_runs(places, before))
