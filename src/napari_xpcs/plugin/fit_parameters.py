"""The parameters of a model as a table: where to start, bounds, held, in common."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_xpcs.fitting.g2_model import G2Model, Parameter
from napari_xpcs.kernels.curves import G2Curves

NAME, START, LOWER, UPPER, HOLD, SHARE = range(6)
TITLES = ("parameter", "start", "lower", "upper", "hold", "share")
TOOLTIPS = (
    "Name and unit. Hover for what it means.",
    "Where the fit sets out; empty: from a grid. The value itself where it is held.",
    "Lower bound; gray: what the delays suggest.",
    "Upper bound; gray: what the delays suggest.",
    "Tick to hold the parameter at its start value.",
    "Tick to give all bins one value in common.",
)
_NUMBERS, _TICKS = (START, LOWER, UPPER), (HOLD, SHARE)


class ParameterModel(QAbstractTableModel):
    """What was typed and ticked, by parameter; it stays when the model changes."""

    edited = Signal()
    """The user typed or ticked something."""
    refused = Signal(str)
    """What was typed cannot be; the reason in a sentence."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parameters: tuple[Parameter, ...] = ()
        self._curves: G2Curves | None = None
        self._typed: dict[tuple[str, int], float] = {}
        self._ticked: set[tuple[str, int]] = set()

    def show(self, model: G2Model, curves: G2Curves | None) -> None:
        """Show the parameters of ``model``, with the bounds that ``curves`` suggest."""
        self.beginResetModel()
        self._parameters, self._curves = model.parameters, curves
        self.endResetModel()

    def start(self) -> dict[str, float]:
        """Return the typed start values of what is not held."""
        return {
            name: value for name, value in self._column(START).items() if not self._is(name, HOLD)
        }

    def fixed(self) -> dict[str, float]:
        """Return what is held, and at which value."""
        return {name: value for name, value in self._column(START).items() if self._is(name, HOLD)}

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return the bounds of parameters where one was typed, the other as suggested."""
        lower, upper = self._column(LOWER), self._column(UPPER)
        found = {}
        for parameter in self._parameters:
            name = parameter.name
            if name in lower or name in upper:
                low, high = default_bounds(parameter, self._curves)
                found[name] = (lower.get(name, low), upper.get(name, high))
        return found

    def shared(self) -> tuple[str, ...]:
        """Return the parameters that all bins have in common."""
        return tuple(each.name for each in self._parameters if self._is(each.name, SHARE))

    def _column(self, column: int) -> Mapping[str, float]:
        return {
            each.name: self._typed[each.name, column]
            for each in self._parameters
            if (each.name, column) in self._typed
        }

    def _is(self, name: str, tick: int) -> bool:
        return (name, tick) in self._ticked

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - the name is Qt's
        """Return the number of parameters."""
        return len(self._parameters)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of columns."""
        return len(TITLES)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the titles, and what the columns are for."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        return {Qt.ItemDataRole.DisplayRole: TITLES, Qt.ItemDataRole.ToolTipRole: TOOLTIPS}.get(
            Qt.ItemDataRole(role), (None,) * len(TITLES)
        )[section]

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Say which cells are typed into and which are ticked."""
        enabled = Qt.ItemFlag.ItemIsEnabled
        if index.column() in _NUMBERS:
            return enabled | Qt.ItemFlag.ItemIsEditable
        return enabled | Qt.ItemFlag.ItemIsUserCheckable if index.column() in _TICKS else enabled

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell: what was typed, or in gray what holds without it."""
        parameter, column = self._parameters[index.row()], index.column()
        typed = self._typed.get((parameter.name, column))
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{parameter.name}: {parameter.meaning or 'your own'}, {_unit(parameter)}"
        if column in _TICKS and role == Qt.ItemDataRole.CheckStateRole:
            on = self._is(parameter.name, column)
            return Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.EditRole and column in _NUMBERS:
            return "" if typed is None else f"{typed:.10g}"
        if role == Qt.ItemDataRole.DisplayRole and column == NAME:
            return parameter.name
        if role == Qt.ItemDataRole.DisplayRole and column in _NUMBERS:
            return f"{typed:.4g}" if typed is not None else self._default(parameter, column)
        if role == Qt.ItemDataRole.ForegroundRole and column in _NUMBERS and typed is None:
            return QColor(Qt.GlobalColor.gray)
        return None

    def _default(self, parameter: Parameter, column: int) -> str:
        if column == START:
            return "auto"
        value = default_bounds(parameter, self._curves)[column - LOWER]
        return f"{value:.3g}" if np.isfinite(value) else "auto"

    def setData(  # noqa: N802
        self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        """Take what was typed or ticked; an empty cell goes back to the suggestion."""
        parameter, column = self._parameters[index.row()], index.column()
        key = (parameter.name, column)
        if role == Qt.ItemDataRole.CheckStateRole and column in _TICKS:
            if not self._tick(parameter, column, Qt.CheckState(value) == Qt.CheckState.Checked):
                return False
        elif role == Qt.ItemDataRole.EditRole and column in _NUMBERS:
            text = str(value).strip()
            if text:
                number = _number(text)
                if number is None:
                    self.refused.emit(f"{parameter.name}: {text!r} is not a number.")
                    return False
                self._typed[key] = number
            else:
                self._typed.pop(key, None)
                if column == START:
                    self._ticked.discard((parameter.name, HOLD))
        else:
            return False
        row = index.row()
        self.dataChanged.emit(self.index(row, 0), self.index(row, len(TITLES) - 1))
        self.edited.emit()
        return True

    def _tick(self, parameter: Parameter, column: int, on: bool) -> bool:
        name = parameter.name
        if not on:
            self._ticked.discard((name, column))
            return True
        if column == HOLD and (name, START) not in self._typed:
            usual = _usual(parameter)
            if usual is None:
                self.refused.emit(f"Type the value to hold {name} at into the column start first.")
                return False
            self._typed[name, START] = usual
        self._ticked.discard((name, SHARE if column == HOLD else HOLD))
        self._ticked.add((name, column))
        return True


class ParameterTable(QTableView):
    """Shows a :class:`ParameterModel`, all of it, in 300 pixels."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="parameters")
        self.parameters = ParameterModel(self)
        self.setModel(self.parameters)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(24)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.AllEditTriggers)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet("QTableView { font-size: 11px; } QHeaderView { font-size: 11px; }")
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column in (NAME, *_TICKS):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)

    def show_model(self, model: G2Model, curves: G2Curves | None) -> None:
        """Show the parameters of ``model`` in as many lines as it has."""
        self.parameters.show(model, curves)
        height = self.horizontalHeader().sizeHint().height() + 24 * len(model.parameters) + 4
        self.setFixedHeight(height)


def default_bounds(parameter: Parameter, curves: G2Curves | None) -> tuple[float, float]:
    """Return the bounds that hold where none is typed; NaN where they differ from bin to bin."""
    if parameter.scale == "none":
        return parameter.lower, parameter.upper
    delay = np.zeros(0) if curves is None else curves.delay_s[curves.delay_s > 0]
    if parameter.scale == "velocity" or not delay.size:
        return np.nan, np.nan
    first, last = float(delay.min()), float(delay.max())
    if parameter.scale == "time":
        return parameter.lower * first, parameter.upper * last
    return parameter.lower / last, parameter.upper / first


def _usual(parameter: Parameter) -> float | None:
    """Return the value that a parameter is usually held at, if there is such."""
    prior = parameter.prior
    if prior.family == "normal":
        return prior.centre
    # An exponent is believed to be about 1.
    return 1.0 if prior.family == "lognormal" and prior.centre == 0 else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unit(parameter: Parameter) -> str:
    return parameter.unit or "no unit"
