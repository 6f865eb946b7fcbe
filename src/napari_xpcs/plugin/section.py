"""A part of a dock that folds away under its title."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget


class Section(QWidget):
    """A title with an arrow; a click shows or hides what is in :attr:`column`."""

    def __init__(self, title: str, *, opened: bool = False, name: str = "") -> None:
        super().__init__()
        self.header = QToolButton(objectName=name or title.lower().replace(" ", "_"))
        self.header.setText(title)
        self.header.setCheckable(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.header.setStyleSheet(
            "QToolButton, QToolButton:checked { border: none; background: transparent; "
            "font-weight: bold; padding: 2px; }"
        )
        self.content = QWidget()
        self.column = QVBoxLayout(self.content)
        self.column.setContentsMargins(4, 0, 0, 4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addWidget(self.content)
        self.header.toggled.connect(self._on_toggled)
        self.header.setChecked(opened)
        self._on_toggled(opened)

    def _on_toggled(self, opened: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        self.header.setArrowType(arrow)
        self.content.setVisible(opened)
