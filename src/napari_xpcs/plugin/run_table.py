"""The runs of a folder as a table: one line a file, sorted and filtered, thousands of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QItemSelection, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QTableView, QWidget

from napari_xpcs.io.run_header import RunHeader
from napari_xpcs.io.run_list import ListedRun

UNREADABLE = QColor(220, 90, 80)
TALLEST_ROW_PX = 22
_MOST_MEASURED = 60
_WIDEST_PX = 190
_NAME_WIDTH_PX = 170

Key = tuple[bool, float, str]


@dataclass(frozen=True, slots=True)
class _Column:
    """Title, what it means, and text and order of a run in it."""

    title: str
    tip: str
    text: Callable[["_Line"], str]
    number: Callable[["_Line"], float | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class _Line:
    """A file with results, in words."""

    run: ListedRun
    header: RunHeader

    @property
    def path(self) -> Path:
        return self.header.path

    @property
    def time_text(self) -> str:
        """Local time as people write it, empty where nothing tells it."""
        if self.run.time_s != self.run.time_s:
            return ""
        return datetime.fromtimestamp(self.run.time_s).strftime("%Y-%m-%d %H:%M:%S")

    @property
    def holds(self) -> str:
        """In a word or two, what can be looked at."""
        header = self.header
        if header.problem:
            return "cannot be read"
        parts = [f"average of {header.averaged}"] if header.averaged else []
        parts += ["g2"] if header.bins else []
        parts += [f"{header.maps} two-time maps"] if header.maps else []
        return ", ".join(parts)

    @property
    def tip(self) -> str:
        """All of the line, for the tooltip."""
        if self.header.problem:
            return self.header.problem
        when = "file written" if self.run.began_s is None else "began"
        return f"{self.path}\n{when} {self.time_text}\n{self.holds}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


COLUMNS = (
    _Column("name", "File name", lambda line: line.path.name),
    _Column(
        "time",
        "When the run began, as the file tells it; else when the file was written",
        lambda line: line.time_text,
        lambda line: line.run.time_s,
    ),
    _Column(
        "frames",
        "Frames that were correlated",
        lambda line: _number(line.header.frames),
        lambda line: line.header.frames,
    ),
    _Column(
        "frame time (s)",
        "Time from one raw frame to the next",
        lambda line: _number(line.header.frame_time_s),
        lambda line: line.header.frame_time_s,
    ),
    _Column(
        "exposure (s)",
        "Counting time of one frame",
        lambda line: _number(line.header.count_time_s),
        lambda line: line.header.count_time_s,
    ),
    _Column(
        "energy (keV)",
        "Photon energy",
        lambda line: _number(line.header.energy_kev),
        lambda line: line.header.energy_kev,
    ),
    _Column(
        "bins",
        "Dynamic bins that g2 was computed for",
        lambda line: _number(line.header.bins),
        lambda line: line.header.bins,
    ),
    _Column(
        "delays",
        "Delays of multi-tau g2",
        lambda line: _number(line.header.delays),
        lambda line: line.header.delays,
    ),
    _Column("holds", "What can be looked at", lambda line: line.holds),
)
NAME = 0


class RunsModel(QAbstractTableModel):
    """Lines in the order that is asked for; texts are made when they are looked at."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._all: list[_Line] = []
        self._shown: list[_Line] = []
        self._words: list[str] = []
        self._by, self._order = NAME, Qt.SortOrder.AscendingOrder

    def show(self, runs: Iterable[ListedRun]) -> None:
        """Show the files among ``runs`` that hold results, sorted and filtered as before."""
        self._all = [_Line(run, run.header) for run in runs if run.header is not None]
        self._arrange()

    def filter(self, text: str) -> None:
        """Show the runs alone whose name holds every word of ``text``, in any case."""
        self._words = text.casefold().split()
        self._arrange()

    def run_at(self, row: int) -> ListedRun:
        """Return the run in a row."""
        return self._shown[row].run

    def table(self) -> tuple[list[str], list[dict[str, str]]]:
        """Return the titles and the texts of all that is shown, with the whole path as "file"."""
        titles = [*(column.title for column in COLUMNS), "file"]
        rows = [[*(one.text(line) for one in COLUMNS), str(line.path)] for line in self._shown]
        return titles, [dict(zip(titles, row, strict=True)) for row in rows]

    def rows_of(self, paths: Iterable[Path]) -> list[int]:
        """Return in which rows files are shown."""
        wanted = set(paths)
        return [row for row, line in enumerate(self._shown) if line.path in wanted]

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - the name is Qt's
        """Return the number of rows."""
        return len(self._shown)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of columns."""
        return len(COLUMNS)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the titles, and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section].title
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{COLUMNS[section].tip}. A click sorts by it."
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell; its tooltip tells the whole line, or why the file cannot be read."""
        line = self._shown[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[index.column()].text(line)
        if role == Qt.ItemDataRole.ToolTipRole:
            return line.tip
        if role == Qt.ItemDataRole.ForegroundRole and line.header.problem:
            return UNREADABLE
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what has no number stays last."""
        if 0 <= column < len(COLUMNS):
            self._by, self._order = column, order
            self._arrange()

    def _arrange(self) -> None:
        self.beginResetModel()
        column, falling = COLUMNS[self._by], self._order == Qt.SortOrder.DescendingOrder
        found = [
            line
            for line in self._all
            if all(word in line.path.name.casefold() for word in self._words)
        ]

        def key(line: _Line) -> Key:
            number = column.number(line)
            if number is None or number != number:
                return not falling, 0.0, column.text(line)
            # Without its text: formatting thousands of dates takes longer than sorting them.
            return falling, number, ""

        found.sort(key=key, reverse=falling)
        self._shown = found
        self.endResetModel()


class RunsView(QTableView):
    """Shows a :class:`RunsModel`; several rows can be selected, and stay so when lines come."""

    chosen = Signal()
    """Another selection."""
    opened = Signal(object)
    """A double click on the run of this path."""

    def __init__(self, parent: QWidget | None = None, **properties: Any) -> None:
        super().__init__(parent, **properties)
        self.runs = RunsModel(self)
        self.setModel(self.runs)
        self._keeping = False
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(TALLEST_ROW_PX)
        self.horizontalHeader().setResizeContentsPrecision(_MOST_MEASURED)
        self.horizontalHeader().setSortIndicator(NAME, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setHighlightSections(False)
        self.setStyleSheet("QTableView, QHeaderView { font-size: 11px; }")
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setSortingEnabled(True)
        self.setMinimumHeight(180)
        self.selectionModel().selectionChanged.connect(self._on_selection_changed)
        self.doubleClicked.connect(self._on_double_clicked)
        self.horizontalHeader().sortIndicatorChanged.disconnect()
        self.horizontalHeader().sortIndicatorChanged.connect(self._on_sort_asked)

    def show_runs(self, runs: Iterable[ListedRun]) -> None:
        """Show other runs; what is selected stays so where it still is."""
        first = not self.runs.rowCount()
        with_selection = self.paths()
        self._keeping = True
        self.runs.show(runs)
        self.select_paths(with_selection)
        self._keeping = False
        if first and self.runs.rowCount():
            self.resizeColumnsToContents()
            for column in range(len(COLUMNS)):
                self.setColumnWidth(column, min(self.columnWidth(column), _WIDEST_PX))
            self.setColumnWidth(NAME, min(self.columnWidth(NAME), _NAME_WIDTH_PX))
        if self.paths() != with_selection:
            self.chosen.emit()

    def filter(self, text: str) -> None:
        """Show the runs alone whose name holds every word of ``text``."""
        self._rearrange(lambda: self.runs.filter(text))

    def paths(self) -> list[Path]:
        """Return the selected files, as the table has them from top to bottom."""
        return [run.path for run in self.selected()]

    def selected(self) -> list[ListedRun]:
        """Return the selected runs, as the table has them from top to bottom."""
        areas = self.selectionModel().selection()
        rows = {row for area in areas for row in range(area.top(), area.bottom() + 1)}
        return [self.runs.run_at(row) for row in sorted(rows)]

    def select_paths(self, paths: Iterable[Path]) -> None:
        """Select files, those alone."""
        chosen = QItemSelection()
        last = len(COLUMNS) - 1
        rows = self.runs.rows_of(paths)
        for together in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if rows else ():
            first, end = int(together[0]), int(together[-1])
            chosen.select(self.runs.index(first, 0), self.runs.index(end, last))
        model = self.selectionModel()
        model.select(chosen, model.SelectionFlag.ClearAndSelect)

    def _rearrange(self, change: Callable[[], None]) -> None:
        before = self.paths()
        self._keeping = True
        change()
        self.select_paths(before)
        self._keeping = False
        if set(self.paths()) != set(before):
            self.chosen.emit()

    def _on_sort_asked(self, column: int, order: Qt.SortOrder) -> None:
        self._rearrange(lambda: self.runs.sort(column, order))

    def _on_selection_changed(self) -> None:
        if not self._keeping:
            self.chosen.emit()

    def _on_double_clicked(self, index: QModelIndex) -> None:
        self.opened.emit(self.runs.run_at(index.row()).path)
