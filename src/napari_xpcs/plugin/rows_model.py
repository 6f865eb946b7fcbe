"""A table of texts that sorts by numbers, as fast for thousands of rows as for ten."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QTableView, QWidget

_MOST_MEASURED = 60
"""Columns become as wide as these rows need."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: its title, its texts, and numbers or texts to sort by."""

    title: str
    texts: Sequence[str]
    keys: np.ndarray


class RowsModel(QAbstractTableModel):
    """Columns of texts; a row keeps its number of before sorting."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: Sequence[Column] = ()
        self._faint: np.ndarray = np.zeros(0, dtype=bool)
        self._order: np.ndarray = np.zeros(0, dtype=int)

    def show(self, columns: Sequence[Column], faint: np.ndarray) -> None:
        """Show ``columns``; rows that are ``faint`` are gray."""
        self.beginResetModel()
        self._columns, self._faint = columns, faint
        self._order = np.arange(len(faint))
        self.endResetModel()

    def row_at(self, shown: int) -> int:
        """Return which row is shown at the place ``shown``."""
        return int(self._order[shown])

    def place_of(self, row: int) -> int:
        """Return at which place ``row`` is shown."""
        return int(np.flatnonzero(self._order == row)[0])

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - the name is Qt's
        """Return the number of rows."""
        return len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of columns."""
        return len(self._columns)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the titles."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return self._columns[section].title

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell, whole in its tooltip."""
        row = int(self._order[index.row()])
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._columns[index.column()].texts[row]
        if role == Qt.ItemDataRole.ForegroundRole and self._faint[row]:
            return QColor(Qt.GlobalColor.gray)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what has no number stays last."""
        if not 0 <= column < len(self._columns):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = [int(self._order[index.row()]) for index in before]
        keys = self._columns[column].keys
        ascending = np.argsort(keys, kind="stable")
        if order == Qt.SortOrder.DescendingOrder:
            ascending = ascending[::-1]
        if keys.dtype.kind == "f":
            known = np.isfinite(keys[ascending])
            ascending = np.concatenate([ascending[known], ascending[~known]])
        self._order = ascending
        places = [
            self.index(self.place_of(row), index.column())
            for row, index in zip(rows, before, strict=True)
        ]
        self.changePersistentIndexList(before, places)
        self.layoutChanged.emit()


class RowsView(QTableView):
    """Shows a :class:`RowsModel`; one row can be selected, a click on a title sorts."""

    def __init__(self, parent: QWidget | None = None, **properties: Any) -> None:
        super().__init__(parent, **properties)
        self.rows = RowsModel(self)
        self.setModel(self.rows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(22)
        self.setWordWrap(False)
        self.setStyleSheet("QTableView, QHeaderView { font-size: 11px; }")
        self.horizontalHeader().setResizeContentsPrecision(_MOST_MEASURED)
        self.setSortingEnabled(True)

    def show_rows(self, columns: Sequence[Column], faint: np.ndarray, widest: int = 130) -> None:
        """Show ``columns``, none wider than ``widest`` pixels, in the order they come in."""
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.rows.show(columns, faint)
        self.resizeColumnsToContents()
        for column in range(len(columns)):
            self.setColumnWidth(column, min(self.columnWidth(column), widest))

    def current_row(self) -> int | None:
        """Return the row that is selected, numbered as before sorting."""
        index = self.currentIndex()
        return self.rows.row_at(index.row()) if index.isValid() else None

    def select_row(self, row: int) -> None:
        """Select a row, numbered as before sorting."""
        if self.current_row() != row:
            self.selectRow(self.rows.place_of(row))
