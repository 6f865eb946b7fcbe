"""The list of steps of a mask with the buttons above it and the form below."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.kernels.mask_of_steps import StepOutcome
from napari_xpcs.kernels.mask_steps import STEP_KINDS, MaskStep
from napari_xpcs.plugin.step_buttons import StepButtons
from napari_xpcs.plugin.step_form import StepForm
from napari_xpcs.plugin.step_list import StepList


class StepEditor(QWidget):
    """Adds, changes, moves, switches and removes steps; it asks for the new list, and keeps none.

    Parameters
    ----------
    steps
        Returns the steps of now, strokes that just ended included.
    layers_now
        Returns the layers that a step can be made from.
    """

    changed = Signal(object)
    """The user wants this tuple of steps."""
    wanted = Signal(str)
    """What was chosen from the menu: see :class:`~napari_xpcs.plugin.step_buttons.StepButtons`."""
    shapes_wanted = Signal(object)
    """The regions of a step shall be drawn, to be edited."""
    refused = Signal(str)
    """Why the form makes no step, in a sentence."""

    def __init__(
        self,
        steps: Callable[[], tuple[MaskStep, ...]],
        layers_now: Callable[[], list[Layer]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._steps_now = steps
        self._shown: tuple[MaskStep, ...] = ()
        self._edited: int | None = None
        self.buttons = StepButtons()
        self._list = StepList()
        self._form = StepForm(layers_now)
        self._form.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.buttons, self._list, self._form):
            column.addWidget(widget)
        self.buttons.wanted.connect(self.wanted)
        self.buttons.up.clicked.connect(self._on_up_clicked)
        self.buttons.down.clicked.connect(self._on_down_clicked)
        self.buttons.remove.clicked.connect(self._on_remove_clicked)
        self._list.ticked.connect(self._on_step_ticked)
        self._list.currentRowChanged.connect(self._on_row_chosen)
        self._form.accepted.connect(self._on_form_accepted)
        self._form.closed.connect(self.close_form)
        self._form.shapes_wanted.connect(self.shapes_wanted)

    def show_steps(
        self,
        steps: tuple[MaskStep, ...],
        outcomes: Sequence[StepOutcome | None],
        *,
        working: bool = False,
    ) -> None:
        """Show ``steps``; ``None`` stands for one that is not done yet, or not known."""
        self._shown = steps
        self._list.show_steps(steps, outcomes, working=working)
        self._list.setVisible(bool(steps))
        self._enable()

    def refresh(self) -> None:
        """Offer the layers of now."""
        self._form.refresh()

    def open_form(self, kind: str, example: MaskStep | None = None) -> None:
        """Show the form for a new step of ``kind``, a key of STEP_KINDS, filled like an example."""
        self._edited = None
        self._list.blockSignals(True)
        self._list.setCurrentRow(-1)
        self._list.blockSignals(False)
        self._form.show_kind(STEP_KINDS[kind])
        if example is not None:
            self._form.fill(example)
        self._enable()

    def close_form(self) -> None:
        """Hide the form; what was typed is dropped."""
        self._edited = None
        self._form.setVisible(False)

    def _enable(self) -> None:
        row = self._list.currentRow()
        self.buttons.remove.setEnabled(row >= 0)
        self.buttons.up.setEnabled(row > 0)
        self.buttons.down.setEnabled(0 <= row < len(self._shown) - 1)

    def _on_row_chosen(self, row: int) -> None:
        self._edited = row if 0 <= row < len(self._shown) else None
        if self._edited is None:
            self._form.setVisible(False)
        else:
            self._form.show_kind(type(self._shown[row]), self._shown[row])
        self._enable()

    def _on_form_accepted(self) -> None:
        edited, steps = self._edited, self._steps_now()
        try:
            if edited is None:
                steps = (*steps, self._form.step())
            else:
                step = self._form.step(enabled=steps[edited].enabled)
                steps = (*steps[:edited], step, *steps[edited + 1 :])
        except XpcsError as error:
            self.refused.emit(str(error))
            return
        self.changed.emit(steps)
        if edited is None:
            self.close_form()

    def _on_step_ticked(self, row: int, on: bool) -> None:
        steps = list(self._steps_now())
        if row < len(steps) and on != steps[row].enabled:
            steps[row] = replace(steps[row], enabled=on)
            self.changed.emit(tuple(steps))

    def _on_up_clicked(self) -> None:
        self._move(-1)

    def _on_down_clicked(self) -> None:
        self._move(1)

    def _move(self, by: int) -> None:
        steps = list(self._steps_now())
        row = self._list.currentRow()
        other = row + by
        if row < 0 or not 0 <= other < len(steps):
            return
        steps[row], steps[other] = steps[other], steps[row]
        self.changed.emit(tuple(steps))
        self._list.setCurrentRow(other)

    def _on_remove_clicked(self) -> None:
        steps, row = self._steps_now(), self._list.currentRow()
        if row >= 0:
            self.close_form()
            self.changed.emit((*steps[:row], *steps[row + 1 :]))
