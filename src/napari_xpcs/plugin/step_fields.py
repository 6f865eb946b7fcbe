"""Fields of the form of a step of a mask, one class for each type of parameter.

Each has ``value()`` and ``set_value()``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.layers import Layer, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.kernels.axis_request import AXIS_UNITS
from napari_xpcs.kernels.mask_parameters import AXES, JOINS, Condition, Parameter
from napari_xpcs.kernels.regions import Region
from napari_xpcs.plugin.controls import NarrowComboBox, NumberEdit, OpenButton, WrappedLabel
from napari_xpcs.plugin.dock import LayerComboBox
from napari_xpcs.plugin.layers import layer_role
from napari_xpcs.plugin.sectors import regions_of

MOST = 1_000_000
NARROW_PX = 56
"""Least width of a field, so that a row fits into a dock of 300 px."""

LayersNow = Callable[[], list[Layer]]


class _Number(NumberEdit):
    def __init__(self, parameter: Parameter, _: LayersNow) -> None:
        super().__init__()
        self._optional = parameter.optional
        self.setPlaceholderText("none" if parameter.optional else "")
        self.setMinimumWidth(NARROW_PX)
        if not parameter.optional:
            self.set_value(0.0)


class _Whole(QSpinBox):
    def __init__(self, parameter: Parameter, _: LayersNow) -> None:
        super().__init__()
        self.setRange(int(parameter.low or 0), MOST)

    def set_value(self, value: int) -> None:
        self.setValue(value)


class _Flag(QCheckBox):
    def __init__(self, parameter: Parameter, _: LayersNow) -> None:
        super().__init__(parameter.label)

    def value(self) -> bool:
        return bool(self.isChecked())

    def set_value(self, value: bool) -> None:
        self.setChecked(value)


class _Choice(QComboBox):
    def __init__(self, parameter: Parameter, _: LayersNow) -> None:
        super().__init__()
        self.addItems(list(parameter.choices))

    def value(self) -> str:
        return str(self.currentText())

    def set_value(self, value: str) -> None:
        self.setCurrentText(value)


class _Text(QLineEdit):
    def __init__(self, parameter: Parameter, _: LayersNow) -> None:
        super().__init__()
        self._optional = parameter.optional
        self.setMinimumWidth(NARROW_PX)

    def value(self) -> str | None:
        text = str(self.text()).strip()
        return None if self._optional and not text else text

    def set_value(self, value: str | None) -> None:
        self.setText(value or "")


class _File(QWidget):
    def __init__(self, parameter: Parameter, layers: LayersNow) -> None:
        super().__init__()
        self._path = _Text(parameter, layers)
        browse = OpenButton("...", "Mask file", objectName="browse")
        browse.setToolTip("Choose the file.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._path, stretch=1)
        row.addWidget(browse)
        browse.chosen.connect(self._on_file_chosen)

    def _on_file_chosen(self, path: Path) -> None:
        self.set_value(str(path))

    def value(self) -> str | None:
        return self._path.value()

    def set_value(self, value: str) -> None:
        self._path.set_value(value)
        self._path.setToolTip(value)


class _Shapes(QWidget):
    """Shapes that were taken from a layer, kept when the layer goes."""

    layer_wanted = Signal(object)

    def __init__(self, _: Parameter, layers: LayersNow) -> None:
        super().__init__()
        self._regions: tuple[Region, ...] = ()
        self._layers = layers
        self._source = LayerComboBox("no layer", _is_shapes, optional=True)
        self._source.setObjectName("shapes_layer")
        self._state = WrappedLabel(objectName="shapes_state")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._source)
        column.addWidget(self._state)
        self._edit = QPushButton("Edit them in a layer", objectName="edit_shapes")
        self._edit.setToolTip("Shows the shapes with handles; then press Change the step.")
        column.addWidget(self._edit)
        self._edit.clicked.connect(self._on_edit_clicked)
        self._source.show_layers(layers())
        self._source.activated.connect(self._say)
        self._say()

    def refresh(self) -> None:
        """Offer the Shapes layers that are there now."""
        self._source.show_layers(self._layers())
        self._say()

    def _on_edit_clicked(self) -> None:
        self.layer_wanted.emit(self._regions)
        self._source.setCurrentIndex(0)
        self._say()

    def _say(self) -> None:
        self._edit.setVisible(bool(self._regions) and self._source.layer() is None)
        if self._source.layer() is not None:
            self._state.setText("The shapes of this layer are taken as they are now.")
        elif self._regions:
            self._state.setText(f"{len(self._regions)} shapes, taken earlier.")
        else:
            self._state.setText(
                "Add a step > Draw shapes makes a layer; draw rectangles, ellipses, polygons, or "
                "lines, whose edge width is theirs in pixels."
            )

    def value(self) -> tuple[Region, ...]:
        layer = self._source.layer()
        return self._regions if layer is None else regions_of(layer)

    def set_value(self, value: tuple[Region, ...]) -> None:
        self._regions = value
        self._source.setCurrentIndex(self._source.count() - 1)
        self._say()


def _is_shapes(layer: Layer) -> bool:
    """Say whether ``layer`` holds shapes that a person drew, not a ruler of ours."""
    return isinstance(layer, Shapes) and layer_role(layer) in ("", "regions", "mask shapes")


class _Conditions(QWidget):
    """Rows of conditions, at least one."""

    def __init__(self, _: Parameter, __: LayersNow) -> None:
        super().__init__()
        self._rows: list[_ConditionRow] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._more = QPushButton("One more condition", objectName="more")
        self._more.setToolTip("Joined to those above it by and or or, from the first on.")
        self._column.addWidget(self._more)
        self._more.clicked.connect(self._on_more_clicked)
        self._add(Condition(axis="q"))

    def _add(self, condition: Condition) -> None:
        row = _ConditionRow(condition, first=not self._rows)
        row.removed.connect(self._on_row_removed)
        self._column.insertWidget(len(self._rows), row)
        self._rows.append(row)

    def _on_more_clicked(self) -> None:
        self._add(Condition(axis="phi"))

    def _on_row_removed(self, row: "QWidget") -> None:
        self._rows.remove(row)
        self._column.removeWidget(row)
        row.setVisible(False)
        row.deleteLater()

    def value(self) -> tuple[Condition, ...]:
        return tuple(row.value() for row in self._rows)

    def set_value(self, value: tuple[Condition, ...]) -> None:
        for row in list(self._rows):
            self._on_row_removed(row)
        for condition in value:
            self._add(condition)


class _ConditionRow(QWidget):
    """``and/or  not  axis`` above ``from .. to``."""

    removed = Signal(object)

    def __init__(self, condition: Condition, *, first: bool) -> None:
        super().__init__()
        self._join = QComboBox(objectName="join")
        self._join.addItems(list(JOINS))
        self._join.setCurrentText(condition.join)
        self._join.setToolTip("How this is joined to all conditions above it.")
        self._not = QCheckBox("not", objectName="negate")
        self._not.setChecked(condition.negate)
        self._not.setToolTip("Keep what lies outside.")
        self._axis = NarrowComboBox(5, objectName="axis")
        for axis in AXES:
            self._axis.addItem(f"{axis} ({AXIS_UNITS[axis]})", axis)
        self._axis.setCurrentIndex(AXES.index(condition.axis))
        self._axis.setToolTip("x counts columns, y rows; tth is the scattering angle.")
        self._low, self._high = NumberEdit(objectName="low"), NumberEdit(objectName="high")
        for field, hint, value in (
            (self._low, "from", condition.low),
            (self._high, "to", condition.high),
        ):
            field.setPlaceholderText(hint)
            field.setMinimumWidth(NARROW_PX)
            field.set_value(value)
            field.setToolTip("Empty: no limit. Along phi, 150 to -150 runs through 180.")
        self._remove = QToolButton(text="✕", objectName="remove_condition")
        self._remove.setToolTip("Take this condition away.")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 4)
        grid.setHorizontalSpacing(4)
        grid.addWidget(self._join, 0, 0)
        grid.addWidget(self._not, 0, 1)
        grid.addWidget(self._axis, 0, 2, 1, 2)
        grid.addWidget(self._low, 1, 0, 1, 2)
        grid.addWidget(self._high, 1, 2)
        grid.addWidget(self._remove, 1, 3)
        grid.setColumnStretch(2, 1)
        self._join.setVisible(not first)
        self._remove.setVisible(not first)
        self._remove.clicked.connect(self._on_remove_clicked)

    def _on_remove_clicked(self) -> None:
        self.removed.emit(self)

    def value(self) -> Condition:
        return Condition(
            axis=self._axis.currentData(),
            low=self._low.value(),
            high=self._high.value(),
            negate=bool(self._not.isChecked()),
            join=str(self._join.currentText()),
        )


FIELDS: dict[str, Callable[[Parameter, LayersNow], Any]] = {
    "number": _Number,
    "whole": _Whole,
    "flag": _Flag,
    "choice": _Choice,
    "text": _Text,
    "file": _File,
    "shapes": _Shapes,
    "conditions": _Conditions,
}
"""What makes the field of a parameter, by its type."""
