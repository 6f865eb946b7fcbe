"""The buttons above the list of steps of a mask: add, move, remove, undo."""

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QWidget

from napari_xpcs.kernels.mask_steps import STEP_KINDS, PaintedStep

BY_HAND, DRAW = "paint by hand", "draw shapes"
"""What the menu asks for beside a kind of step."""


class StepButtons(QWidget):
    """One row: a menu of what can be added, and what can be done with the chosen step."""

    wanted = Signal(str)
    """A key of STEP_KINDS, :data:`BY_HAND` or :data:`DRAW` was chosen from the menu."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.add = QPushButton("Add a step", objectName="add")
        self.add.setToolTip("Add a step at the end of the list, or paint by hand.")
        menu = QMenu(self.add)
        for name, kind in STEP_KINDS.items():
            # Strokes become steps by themselves.
            if kind is not PaintedStep:
                menu.addAction(f"{kind.title} ...").setData(name)
        menu.addSeparator()
        for name in (BY_HAND, DRAW):
            menu.addAction(name.capitalize()).setData(name)
        self.add.setMenu(menu)
        self.up = _button(
            "▲", "up", "Do the chosen step earlier: growing and copying depend on it."
        )
        self.down = _button("▼", "down", "Do the chosen step later.")
        self.remove = _button("✕", "remove", "Take the chosen step out of the list.")
        self.undo = _button(
            "↶", "undo", "Undo the last change of the list; a stroke of the brush is one, too."
        )
        self.redo = _button("↷", "redo", "Redo what was undone.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.add)
        row.addStretch()
        for button in (self.up, self.down, self.remove, self.undo, self.redo):
            row.addWidget(button)
        menu.triggered.connect(self._on_menu_triggered)

    def _on_menu_triggered(self, action: Any) -> None:
        self.wanted.emit(str(action.data()))


def _button(text: str, name: str, tip: str) -> QToolButton:
    button = QToolButton(text=text, objectName=name)
    button.setToolTip(tip)
    return button
