"""What all docks share: a scrolling column, layer events, an end when the dock is closed."""

from collections.abc import Callable
from typing import Any

from napari.components.viewer_model import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QFrame,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.backends import status_line
from napari_xpcs.plugin.collection import collection_paused, mind_old_objects
from napari_xpcs.plugin.controls import NarrowComboBox, WrappedLabel
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

OPEN_FIRST = (
    "Open a frames or result file (File > Open), or a simulated run (File > Open Sample > XPCS)."
)
BACKEND_AFTER_MS = 1000
"""Importing JAX takes seconds of the processor; what a panel does at once comes first."""


class Dock(QWidget):
    """A dock whose content scrolls, for columns that are 300 px wide and screens that are small.

    Subclasses fill :attr:`column` in ``_build`` and connect in ``_connect``; ``_refresh`` runs
    whenever layers come, go or change their XPCS metadata; ``_teardown`` when the dock is closed.
    The last line tells what is computed with.  Asking for it starts the backend in a thread, so
    that the first job need not.
    """

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        content = _Content()
        self.column = QVBoxLayout(content)
        self.column.setContentsMargins(6, 6, 6, 6)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self._build()
        self._backend = WrappedLabel("Starting the array backend ...", objectName="backend")
        self._backend.setStyleSheet("font-size: 10px;")
        outer.addWidget(self._backend)
        self._backend_start = Runner(self)
        self._backend_start.finished.connect(self._backend.setText)
        self._backend_start.failed.connect(self._backend.setText)
        self._backend_delay = QTimer(self, singleShot=True, interval=BACKEND_AFTER_MS)
        self._backend_delay.timeout.connect(self._on_backend_wanted)
        self._backend_delay.start()
        for layer in napari_viewer.layers:
            layer.events.metadata.connect(self._refresh)
        napari_viewer.layers.events.inserted.connect(self._on_layers_inserted)
        napari_viewer.layers.events.removing.connect(self._on_layer_removing)
        napari_viewer.layers.events.removed.connect(self._refresh)
        napari_viewer.layers.events.renamed.connect(self._refresh)
        self._connect()
        self._refresh()

    def _build(self) -> None:
        raise NotImplementedError

    def _connect(self) -> None:
        raise NotImplementedError

    def _refresh(self, event: object = None) -> None:
        raise NotImplementedError

    def _teardown(self) -> None:
        """Let go of what would outlive a closed dock: jobs and mouse callbacks."""
        raise NotImplementedError

    def _on_backend_wanted(self) -> None:
        self._backend_start.start(_backend_steps)

    def _on_layers_inserted(self, event: Any) -> None:
        event.value.events.metadata.connect(self._refresh)
        self._refresh()

    def _on_layer_removing(self, event: object = None) -> None:
        """Let napari free the layer: it collects garbage when it has let go of one."""
        mind_old_objects()

    def event(self, event: QEvent) -> bool:
        """Tear down when the dock is closed: napari then only takes the parent away."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._backend_delay.stop()
            self._backend_start.cancel()
            self._teardown()
        return bool(super().event(event))


class _Content(QWidget):
    """As high as its texts need at their width; a scroll area asks for less, and cuts lines."""

    def event(self, event: QEvent) -> bool:
        """Follow the width and the texts."""
        done = bool(super().event(event))
        layout = self.layout()
        if layout is not None and event.type() in (
            QEvent.Type.LayoutRequest,
            QEvent.Type.Resize,
        ):
            self.setMinimumHeight(max(layout.minimumHeightForWidth(self.width()), 0))
        return done


def _backend_steps() -> Steps[str]:
    """Start the backend and tell which it is; runs in the thread."""
    yield Progress(0, 1, "backend")
    with collection_paused():
        return status_line()


class LayerComboBox(NarrowComboBox):
    """The layers that pass a test, topmost first.

    ``hint`` stands in the box where there are none; with ``optional`` it is a choice of
    its own, the last one.
    """

    def __init__(
        self,
        hint: str,
        wanted: Callable[[Layer], bool],
        *,
        optional: bool = False,
        **properties: Any,
    ) -> None:
        super().__init__(12, **properties)
        self._hint = hint
        self._wanted = wanted
        self._optional = optional
        self.show_layers([])

    def show_layers(self, layers: list[Layer]) -> None:
        """Offer the wanted ones of ``layers``; the choice stays where it can."""
        before, chosen_none = self.layer(), self.count() > 1 and self.layer() is None
        offered: list[Layer | None] = [layer for layer in reversed(layers) if self._wanted(layer)]
        found = bool(offered)
        if self._optional or not found:
            offered.append(None)
        self.blockSignals(True)
        self.clear()
        for layer in offered:
            self.addItem(self._hint if layer is None else layer.name, layer)
        if before in offered and (before is not None or chosen_none):
            self.setCurrentIndex(offered.index(before))
        self.setEnabled(found)
        self.blockSignals(False)
        if self.layer() is not before:
            self.currentIndexChanged.emit(self.currentIndex())

    def layer(self) -> Layer | None:
        """Return the chosen layer."""
        chosen: Layer | None = self.currentData()
        return chosen
