"""Section of the fit dock: which delays take part, and how points and errors count."""

from typing import Literal

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QWidget,
)

from napari_xpcs.fitting.options import EVERYWHERE, FitOptions, FitRange, Range
from napari_xpcs.plugin.controls import NarrowComboBox, NumberEdit

ERRORS: dict[Literal["auto", "stated", "scaled"], str] = {
    "auto": "widened where χ²/dof > 1",
    "stated": "as stated",
    "scaled": "always by the scatter",
}
_FLOOR_HINT = "none"


class RangePanel(QWidget):
    """Range of delays of all bins or of one, outliers, error floor, meaning of the errors."""

    edited = Signal()
    """The user changed something."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._all: Range = EVERYWHERE
        self._own: dict[int, Range] = {}
        self._label: int | None = None
        self._low, self._high = NumberEdit(objectName="delay_low"), NumberEdit()
        self._high.setObjectName("delay_high")
        self._low.setPlaceholderText("first")
        self._high.setPlaceholderText("last")
        for field in (self._low, self._high):
            field.setToolTip("Only these are fitted; dragging the dashed lines does the same.")
        self._only = QCheckBox("this range for the shown bin only", objectName="only_this_bin")
        self._only.setToolTip("Off: the range, typed or dragged, is that of all bins.")
        self._reset = QPushButton("All delays again", objectName="all_delays")
        self._reset.setToolTip("Fit from the first delay to the last, in every bin.")
        self._robust = QCheckBox("outliers count less", objectName="robust")
        self._robust.setToolTip("The residuals follow Student's t with 4 degrees of freedom.")
        self._floor = NumberEdit(objectName="error_floor")
        self._floor.setPlaceholderText(_FLOOR_HINT)
        self._floor.setToolTip("Added in square to every error of g2.")
        self._auto = QCheckBox("auto", objectName="auto_floor")
        self._auto.setToolTip("Per bin, what brings χ²/dof down to 1.")
        self._errors = NarrowComboBox(8, objectName="errors")
        for name, words in ERRORS.items():
            self._errors.addItem(words, name)
        self._errors.setToolTip("Errors of the parameters: one standard deviation.")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Delays (s)", _line(self._low, self._high))
        form.addRow(self._only)
        form.addRow(self._reset)
        form.addRow("Error floor", _line(self._floor, self._auto))
        form.addRow("Errors", self._errors)
        form.addRow(self._robust)
        for number in (self._low, self._high, self._floor):
            number.setMinimumWidth(40)
        for field in (self._low, self._high):
            field.editingFinished.connect(self._on_range_typed)
        self._only.toggled.connect(self._on_only_toggled)
        self._reset.clicked.connect(self._on_reset_clicked)
        self._auto.toggled.connect(self._floor.setDisabled)
        self._floor.editingFinished.connect(self.edited)
        for switch in (self._robust, self._auto):
            switch.toggled.connect(self.edited)
        self._errors.currentIndexChanged.connect(self.edited)

    def show_bin(self, label: int | None) -> None:
        """Show the range of a bin."""
        self._label = label
        self._only.setChecked(label in self._own)
        self._show_range()

    def range_of(self, label: int | None) -> Range:
        """Return the delays that take part in the fit of a bin, s."""
        return self._all if label is None else self._own.get(label, self._all)

    def set_range(self, low: float, high: float) -> None:
        """Take a range for the shown bin or for all, as is ticked."""
        if self._only.isChecked() and self._label is not None:
            self._own[self._label] = (low, high)
        else:
            self._all = (low, high)
        self._show_range()

    def options(self, start: dict[str, float], labels: np.ndarray) -> FitOptions:
        """Return how the bins ``labels`` are fitted.

        Raises
        ------
        FitError
            For a range that is none.
        """
        ranges: FitRange = self._all
        if self._own:
            ranges = {int(label): self.range_of(int(label)) for label in labels}
        return FitOptions(
            start=start,
            fit_range=ranges,
            robust=self._robust.isChecked(),
            error_floor="auto" if self._auto.isChecked() else self._floor.value() or 0.0,
            errors=self._errors.currentData(),
        )

    def _show_range(self) -> None:
        low, high = self.range_of(self._label)
        self._low.set_value(float(f"{low:.4g}") if low > 0 else None)
        self._high.set_value(float(f"{high:.4g}") if np.isfinite(high) else None)

    def _on_range_typed(self) -> None:
        before = self.range_of(self._label)
        low, high = self._low.value() or 0.0, self._high.value() or np.inf
        if all(f"{a:.4g}" == f"{b:.4g}" for a, b in zip(before, (low, high), strict=True)):
            return
        self.set_range(low, high)
        self.edited.emit()

    def _on_only_toggled(self, only: bool) -> None:
        if self._label is None or only == (self._label in self._own):
            return
        if only:
            self._own[self._label] = self._all
        else:
            del self._own[self._label]
        self._show_range()
        self.edited.emit()

    def _on_reset_clicked(self) -> None:
        self._own.clear()
        self._all = EVERYWHERE
        self._only.setChecked(False)
        self._show_range()
        self.edited.emit()


def _line(*widgets: QWidget) -> QHBoxLayout:
    line = QHBoxLayout()
    for widget in widgets:
        line.addWidget(widget)
    return line
