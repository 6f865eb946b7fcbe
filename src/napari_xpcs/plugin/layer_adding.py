"""Layers that were read in a thread come into the viewer one by one."""

from collections.abc import Iterable

from napari.components.viewer_model import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_xpcs.plugin.layers import LayerData


class LayerAdder(QObject):
    """Adds one layer in each turn of the window: of many together it would stand still."""

    added = Signal(object)
    """Emitted with each layer that is in the viewer now."""
    done = Signal()
    """Emitted when none is left."""

    def __init__(self, napari_viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._waiting: list[LayerData] = []
        self._next = QTimer(self, singleShot=True, interval=0)
        self._next.timeout.connect(self._on_next)

    def add(self, layers: Iterable[LayerData]) -> None:
        """Add these, after those that wait."""
        self._waiting += layers
        self._next.start()

    def stop(self) -> None:
        """Add no more."""
        self._next.stop()
        self._waiting.clear()

    def _on_next(self) -> None:
        if not self._waiting:
            self.done.emit()
            return
        # Now, lest a layer that napari cannot show keeps the others out.
        self._next.start()
        self.added.emit(self._viewer.add_layer(Layer.create(*self._waiting.pop(0))))
