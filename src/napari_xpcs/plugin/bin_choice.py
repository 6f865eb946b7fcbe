"""Bins by their labels, typed or picked on the image."""

from collections.abc import Iterator
from typing import Any

from napari.components.viewer_model import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QWidget

from napari_xpcs.io.number_lists import number_list
from napari_xpcs.plugin import layers as xpcs_layers


class BinChoice(QWidget):
    """A list of labels; while *Pick* is pressed a click on a bin adds it or takes it away.

    Nothing typed means the bin that is selected on the image, ``all`` every bin.
    """

    changed = Signal()
    """Other bins are chosen."""

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._layer: Labels | None = None
        self._typed = QLineEdit(objectName="bins")
        self._typed.setToolTip(
            "Labels as 1,4,9, or all. Empty: the bin that is selected on the image."
        )
        self._pick = QPushButton("Pick", objectName="pick_bins")
        self._pick.setCheckable(True)
        self._pick.setToolTip("While pressed, a click on a bin adds it or takes it away.")
        self._pick.setMaximumWidth(60)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._typed)
        row.addWidget(self._pick)
        self._typed.textChanged.connect(self.changed)
        napari_viewer.mouse_drag_callbacks.append(self._on_image_pressed)

    def follow(self, layer: Labels | None) -> None:
        """Choose among the bins of ``layer`` from now on."""
        if layer is self._layer:
            return
        if self._layer is not None:
            self._layer.events.selected_label.disconnect(self._on_label_selected)
        self._layer = layer
        if layer is not None:
            layer.events.selected_label.connect(self._on_label_selected)
        self._on_label_selected()

    def stop(self) -> None:
        """Let go of the mouse."""
        if self._on_image_pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_image_pressed)

    def labels(self) -> tuple[int, ...] | None:
        """Return the chosen labels, ``None`` for all.

        Raises
        ------
        FileFormatError
            What is typed is no list.
        """
        text = self._typed.text().strip()
        if text.lower() == "all":
            return None
        if not text:
            selected = 0 if self._layer is None else int(self._layer.selected_label)
            return (selected,) if selected else ()
        return tuple(dict.fromkeys(number_list(text, "labels of bins")))

    def _on_label_selected(self) -> None:
        selected = 0 if self._layer is None else int(self._layer.selected_label)
        self._typed.setPlaceholderText(f"{selected} (selected)" if selected else "1,4,9 or all")
        self.changed.emit()

    def _on_image_pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """Add or take away the bin under a click; a drag moves the picture as ever."""
        yield
        if event.type == "mouse_move" or not self._pick.isChecked() or self._layer is None:
            return
        self.toggle(xpcs_layers.label_at(self._layer, event))

    def toggle(self, label: int) -> None:
        """Add a label to the list or take it away; 0 is no bin."""
        text = self._typed.text()
        chosen = number_list(text, "labels of bins") if text.strip().lower() != "all" else []
        if label in chosen:
            chosen.remove(label)
        elif label:
            chosen.append(label)
        self._typed.setText(",".join(map(str, chosen)))
