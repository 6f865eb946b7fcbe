"""A choice of layers with a button beside it that opens a file."""

from pathlib import Path

from napari.components.viewer_model import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.plugin._reader import read_layers
from napari_xpcs.plugin.controls import OpenButton
from napari_xpcs.plugin.dock import LayerComboBox


class LayerRow(QWidget):
    """Shows ``choice``, and adds the layers of a file to the viewer when asked to."""

    failed = Signal(str)
    """Emitted with one sentence where a file cannot be opened."""

    def __init__(
        self,
        choice: LayerComboBox,
        napari_viewer: ViewerModel,
        what: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        title = f"Open a file with {what}"
        button = OpenButton("...", title, objectName=f"open_{choice.objectName()}")
        button.setToolTip(f"{title}.")
        button.chosen.connect(self.open)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(choice, stretch=1)
        row.addWidget(button)

    def open(self, path: Path) -> None:
        """Add the layers of a file."""
        try:
            for one in read_layers(str(path)):
                self._viewer.add_layer(Layer.create(*one))
        except XpcsError as fault:
            self.failed.emit(str(fault))
