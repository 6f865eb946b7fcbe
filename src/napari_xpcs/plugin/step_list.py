"""The steps of a mask as a list to tick, each with what it did."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from napari_xpcs.kernels.mask_of_steps import StepOutcome
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.plugin.step_text import outcome_text, step_text


class StepList(QListWidget):
    """One line a step: ticked where it is on, its text, and below how many pixels it took."""

    ticked = Signal(int, bool)
    """The user switched the step of a row on or off."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="steps")
        self.setWordWrap(True)
        self.setSpacing(1)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip("Done from the top down. Tick or untick a step; click it to change it.")
        self.itemChanged.connect(self._on_item_changed)

    def show_steps(
        self,
        steps: Sequence[MaskStep],
        outcomes: Sequence[StepOutcome | None],
        *,
        working: bool = False,
    ) -> None:
        """Show ``steps``; ``None`` stands for one that is being done, or of which nothing is told.

        Items are changed in place: the one that was just ticked must outlive its signal.
        """
        self.blockSignals(True)
        while self.count() > len(steps):
            self.takeItem(self.count() - 1)
        while self.count() < len(steps):
            self.addItem(QListWidgetItem())
        for row, (step, outcome) in enumerate(zip(steps, outcomes, strict=True)):
            item = self.item(row)
            told = outcome_text(step, outcome, working=working)
            item.setText("\n".join(filter(None, (step_text(step), told))))
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if step.enabled else Qt.CheckState.Unchecked)
            item.setToolTip(item.text())
        self.blockSignals(False)

    def _on_item_changed(self, item: QListWidgetItem) -> None:
        self.ticked.emit(self.row(item), item.checkState() == Qt.CheckState.Checked)
