"""A form for the parameters of one step of a mask, built from what the step says of them."""

import dataclasses
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.kernels.mask_parameters import Parameter
from napari_xpcs.kernels.mask_steps import THRESHOLD_PRESETS, MaskStep, ThresholdStep
from napari_xpcs.plugin.controls import NarrowComboBox
from napari_xpcs.plugin.step_fields import FIELDS, LayersNow


class StepForm(QGroupBox):
    """Fields for one kind of step, a button that takes them and one that closes the form."""

    accepted = Signal()
    """The user wants the step as the fields say."""
    closed = Signal()
    """The user wants no step."""
    shapes_wanted = Signal(object)
    """The user wants regions that were taken earlier as a layer, to edit them."""

    def __init__(self, layers: LayersNow, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="step_form")
        self._layers = layers
        self._kind: type[MaskStep] = MaskStep
        self._fields: dict[str, Any] = {}
        self._build()
        self._connect()

    def _build(self) -> None:
        self._rows = QFormLayout()
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        self._take = QPushButton(objectName="take")
        self._take.setToolTip("Do the step; it can be undone.")
        self._close = QPushButton("Close", objectName="close")
        self._close.setToolTip("Leave the step as it was.")
        buttons = QHBoxLayout()
        buttons.addWidget(self._take, stretch=1)
        buttons.addWidget(self._close)
        column = QVBoxLayout(self)
        column.addLayout(self._rows)
        column.addLayout(buttons)

    def _connect(self) -> None:
        self._take.clicked.connect(self.accepted)
        self._close.clicked.connect(self.closed)

    def show_kind(self, kind: type[MaskStep], step: MaskStep | None = None) -> None:
        """Show the fields of ``kind``, filled from ``step`` or with defaults."""
        while self._rows.rowCount():
            self._rows.removeRow(0)
        self._kind = kind
        self._fields = {}
        self.setTitle(kind.title)
        self._take.setText("Add this step" if step is None else "Change the step")
        if kind is ThresholdStep:
            self._rows.addRow("Preset", self._presets())
        for name, parameter in kind.parameters().items():
            if parameter.type in FIELDS:
                self._add_row(name, parameter)
        self._take.setVisible(bool(self._fields))
        defaults = {entry.name: entry.default for entry in dataclasses.fields(kind)}
        for name, field in self._fields.items():
            value = defaults[name] if step is None else getattr(step, name)
            if value != ():
                field.set_value(value)
        self._show_what_applies()
        self.setVisible(True)

    def _show_what_applies(self) -> None:
        """Hide the fields that mean nothing beside the choices of others."""
        for name, parameter in self._kind.parameters().items():
            if parameter.only_with is not None:
                other, value = parameter.only_with
                applies = self._fields[other].value() == value
                self._fields[name].setVisible(applies)
                self._rows.labelForField(self._fields[name]).setVisible(applies)

    def _add_row(self, name: str, parameter: Parameter) -> None:
        field = FIELDS[parameter.type](parameter, self._layers)
        field.setObjectName(name)
        field.setToolTip(parameter.help)
        self._fields[name] = field
        if parameter.type in ("conditions", "shapes"):
            self._rows.addRow(field)
        elif parameter.type == "flag":
            self._rows.addRow("", field)
        else:
            unit = f" ({parameter.unit})" if parameter.unit else ""
            self._rows.addRow(f"{parameter.label}{unit}", field)
        if parameter.type == "shapes":
            field.layer_wanted.connect(self.shapes_wanted)
        elif parameter.type == "choice":
            field.currentTextChanged.connect(self._show_what_applies)

    def refresh(self) -> None:
        """Offer the layers that are there now."""
        for name, parameter in self._kind.parameters().items():
            if parameter.type == "shapes":
                self._fields[name].refresh()

    def fill(self, step: MaskStep) -> None:
        """Show the values of ``step``."""
        for name, field in self._fields.items():
            field.set_value(getattr(step, name))

    def step(self, *, enabled: bool = True) -> MaskStep:
        """Return the step that the fields describe.

        Raises
        ------
        MaskError
            They describe none.
        """
        values = {name: field.value() for name, field in self._fields.items()}
        return self._kind(enabled=enabled, **values)

    def _presets(self) -> QComboBox:
        box = NarrowComboBox(12, objectName="preset")
        box.addItem("choose ...")
        box.addItems(list(THRESHOLD_PRESETS))
        box.setToolTip("Fills in the fields below.")
        box.textActivated.connect(self._on_preset_activated)
        return box

    def _on_preset_activated(self, name: str) -> None:
        if name in THRESHOLD_PRESETS:
            self.fill(THRESHOLD_PRESETS[name])
