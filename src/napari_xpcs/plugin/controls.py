"""Small controls that several panels have: for 300 px, for numbers, for files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QLocale, Signal
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QLineEdit, QPushButton, QWidget

_BREAK = "\u200b"
"""A space without width: a line may end there."""


class WrappedLabel(QLabel):
    """Sentences, in as many lines as the width of the panel needs; file names break, too."""

    def __init__(self, text: str = "", **properties: Any) -> None:
        super().__init__(**properties)
        self.setWordWrap(True)
        self.setText(text)

    def setText(self, text: str) -> None:  # noqa: N802 - the name is Qt's
        """Show ``text``."""
        super().setText(text.replace("_", f"_{_BREAK}").replace("/", f"/{_BREAK}"))

    def text(self) -> str:
        """Return what is shown."""
        return str(super().text()).replace(_BREAK, "")


class NarrowComboBox(QComboBox):
    """A choice that is at least ``letters`` wide, however long its entries are."""

    def __init__(self, letters: int, **properties: Any) -> None:
        super().__init__(**properties)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(letters)


class SaveButton(QPushButton):
    """Asks where to save; the dialogue asks again before a file is overwritten.

    Parameters
    ----------
    text
        What the button says; the title of the dialogue is the same without dots.
    suggested
        File name that the dialogue proposes, or a function that returns it; where it returns
        ``None`` there is nothing to save and nobody is asked.
    kinds
        Filter of file names, as Qt writes it.
    """

    chosen = Signal(object)
    """Emitted with the path."""

    def __init__(
        self,
        text: str,
        suggested: str | Callable[[], Path | None],
        kinds: str,
        **properties: Any,
    ) -> None:
        super().__init__(text, **properties)
        self._suggested = suggested
        self._kinds = kinds
        self.clicked.connect(self._on_clicked)

    def _on_clicked(self) -> None:
        wanted = self._suggested
        name = wanted if isinstance(wanted, str) else wanted()
        if name is None:
            return
        title = self.text().removesuffix(" ...")
        path, _ = QFileDialog.getSaveFileName(self, title, str(name), self._kinds)
        if path:
            self.chosen.emit(Path(path))


class OpenButton(QPushButton):
    """Asks which file to read; a button that says no more than "..." is as narrow as that."""

    chosen = Signal(object)
    """Emitted with the path."""

    def __init__(self, text: str, title: str, kinds: str = "", **properties: Any) -> None:
        super().__init__(text, **properties)
        self._title = title
        self._kinds = kinds
        if text == "...":
            self.setFixedWidth(32)
        self.clicked.connect(self._on_clicked)

    def _on_clicked(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self._title, "", self._kinds)
        if path:
            self.chosen.emit(Path(path))


class NumberEdit(QLineEdit):
    """A number, or nothing where it is unknown; no arrows that change it by accident."""

    value_changed = Signal()
    """The user typed a number or took one away."""

    def __init__(self, parent: QWidget | None = None, **properties: Any) -> None:
        super().__init__(parent, **properties)
        self.setPlaceholderText("unknown")
        validator = QDoubleValidator(self)
        plain = QLocale.c()
        plain.setNumberOptions(QLocale.NumberOption.RejectGroupSeparator)
        validator.setLocale(plain)
        self.setValidator(validator)
        self.textEdited.connect(self._on_text_edited)

    def _on_text_edited(self) -> None:
        if self.hasAcceptableInput() or not self.text():
            self.value_changed.emit()

    def value(self) -> float | None:
        """Return the number, ``None`` for an empty or unfinished entry."""
        return float(self.text()) if self.hasAcceptableInput() else None

    def set_value(self, value: float | None) -> None:
        """Show ``value`` with ten digits, or an empty field."""
        self.setText("" if value is None else f"{value:.10g}")
