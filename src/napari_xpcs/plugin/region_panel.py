"""Bins from what is drawn: any Shapes layer, with rings and sectors that keep their form."""

from collections.abc import Callable
from typing import Any

from napari.components.viewer_model import ViewerModel
from napari.layers import Layer, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.regions import Region, RegionBins
from napari_xpcs.kernels.rings import place_values
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bins_form import NARROW_PX
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.dock import LayerComboBox
from napari_xpcs.plugin.drawn_layers import regions_layer
from napari_xpcs.plugin.sectors import (
    add_region,
    follow_handles,
    redraw_sectors,
    regions_of,
)

OWN_LAYERS = ("ruler", "ring", "age")


class RegionPanel(QWidget):
    """Which Shapes layer makes bins, and how; adds rings and sectors to it."""

    edited = Signal()
    """What is drawn, or what it is for, has changed."""
    editing = Signal()
    """A shape is being dragged."""

    def __init__(
        self,
        napari_viewer: ViewerModel,
        geometry: Callable[[], Geometry | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._geometry = geometry
        self._watched: Shapes | None = None
        self._busy = self._offering = False
        self._layer = LayerComboBox(
            "none: all of the detector", _is_drawing, optional=True, objectName="regions"
        )
        self._layer.setToolTip("The shapes of this layer make the bins.")
        self._rule = QComboBox(objectName="region_bins")
        self._rule.addItem("each shape is one bin", "each")
        self._rule.addItem("shapes cut by the bins above", "clip")
        self._rule.setToolTip("How shapes and q/φ bins go together.")
        self._ring = QPushButton("Add ring", objectName="add_ring")
        self._sector = QPushButton("Add sector", objectName="add_sector")
        for button in (self._ring, self._sector):
            button.setToolTip("Its handles change q and φ; it stays a ring or sector of q and φ.")
        self._message = WrappedLabel(objectName="region_message")
        self._message.setVisible(False)
        for box in (self._layer, self._rule):
            box.setMinimumWidth(NARROW_PX)
        row = QHBoxLayout()
        row.addWidget(self._ring)
        row.addWidget(self._sector)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._layer)
        column.addWidget(self._rule)
        column.addLayout(row)
        column.addWidget(self._message)
        self._layer.currentIndexChanged.connect(self._on_layer_changed)
        self._rule.currentIndexChanged.connect(self.edited)
        self._ring.clicked.connect(self._on_ring_clicked)
        self._sector.clicked.connect(self._on_sector_clicked)

    def refresh(self) -> None:
        """Offer the Shapes layers that there are."""
        before = self._layer.layer()
        self._offering = True
        self._layer.show_layers(list(self._viewer.layers))
        if before is None and self._layer.layer() is not None and not self._wanted():
            # A new layer is a drawing; that it makes the bins is for the user to say.
            self._layer.setCurrentIndex(self._layer.count() - 1)
        self._offering = False
        if self._layer.layer() is not before:
            self._on_layer_changed()

    def _wanted(self) -> bool:
        layer = self._layer.layer()
        return layer is not None and xpcs_layers.layer_role(layer) == "regions"

    def choose(self, layer: Layer | None) -> None:
        """Let the shapes of ``layer`` make the bins, or let them cover all of the detector."""
        self.refresh()
        self._layer.setCurrentIndex(self._layer.findData(layer))

    def show_rule(self, rule: RegionBins | None) -> None:
        """Show how the regions of an opened file make bins."""
        self._rule.blockSignals(True)
        self._rule.setCurrentIndex(max(self._rule.findData(rule), 0))
        self._rule.blockSignals(False)

    def put(self, regions: tuple[Region, ...], rule: RegionBins) -> None:
        """Draw regions, in a layer of their own, and let them make the bins."""
        data, arguments, _ = regions_layer(regions, self._geometry())
        self.show_rule(rule)
        self._busy = True
        layer = self._viewer.add_shapes(data, **arguments)
        self._busy = False
        self.choose(layer)

    def wanted(self) -> tuple[tuple[Region, ...], RegionBins]:
        """Return the regions that make the bins, none for bins over all of the detector."""
        layer = self._layer.layer()
        rule: RegionBins = "clip" if self._rule.currentData() == "clip" else "each"
        if layer is None:
            return (), rule
        dragged_in = self._geometry() if layer._is_moving else None  # noqa: SLF001
        return regions_of(layer, dragged_in), rule

    def redraw(self) -> None:
        """Draw rings and sectors where the geometry puts them now."""
        geometry = self._geometry()
        if self._watched is not None and geometry is not None:
            self._busy = True
            redraw_sectors(self._watched, geometry)
            self._busy = False

    def teardown(self) -> None:
        """Let go of the layer."""
        self._watch(None)

    def _watch(self, layer: Shapes | None) -> None:
        if layer is self._watched:
            return
        for one, act in ((self._watched, "disconnect"), (layer, "connect")):
            if one is not None:
                getattr(one.events.data, act)(self._on_shapes_changed)
                getattr(one.events.set_data, act)(self._on_shapes_redrawn)
        self._watched = layer

    def _on_layer_changed(self) -> None:
        if self._offering:
            return
        self._watch(self._layer.layer())
        self.edited.emit()

    def _on_shapes_redrawn(self) -> None:
        if self._watched is not None and not self._busy and self._watched._is_moving:  # noqa: SLF001
            self.editing.emit()

    def _on_shapes_changed(self, event: Any) -> None:
        if self._busy or str(getattr(event, "action", "")).endswith("ing"):
            return
        geometry = self._geometry()
        if self._watched is not None and geometry is not None:
            self._busy = True
            follow_handles(self._watched, geometry)
            self._busy = False
        self.edited.emit()

    # -- adding

    def _on_ring_clicked(self) -> None:
        self._add(None)

    def _on_sector_clicked(self) -> None:
        self._add((-20.0, 20.0))

    def _add(self, phi: tuple[float, float] | None) -> None:
        geometry = self._geometry()
        if geometry is None:
            self._say("Rings and sectors need the whole geometry: type what is unknown.")
            return
        middle = [(length - 1) / 2 for length in geometry.shape]
        values = place_values(geometry, middle[0], middle[1], xp=NumPyBackend())
        reach = min(geometry.shape) / 4
        far = place_values(
            geometry, geometry.center_row_px, geometry.center_col_px + reach, xp=NumPyBackend()
        )
        beam_inside = values.q < far.q
        q = (0.6 * far.q, far.q) if beam_inside else (0.9 * values.q, 1.1 * values.q)
        if phi is not None and not beam_inside:
            phi = (values.phi_deg + phi[0], values.phi_deg + phi[1])
        region = Region(kind="sector", q_range=q, phi_range_deg=phi)
        layer = self._layer.layer()
        self._busy = True
        if layer is None:
            data, arguments, _ = regions_layer([region], geometry)
            layer = self._viewer.add_shapes(data, **arguments)
        else:
            add_region(layer, region, geometry)
        self._busy = False
        self._viewer.layers.selection.active = layer
        layer.mode = "direct"
        layer.selected_data = {layer.nshapes - 1}
        self._say("Drag a handle on the outer or inner arc; the end ones change the angle too.")
        if self._layer.layer() is layer:
            self.edited.emit()
        else:
            self.choose(layer)

    def _say(self, text: str) -> None:
        self._message.setText(text)
        self._message.setVisible(bool(text))


def _is_drawing(layer: Layer) -> bool:
    return isinstance(layer, Shapes) and xpcs_layers.layer_role(layer) not in OWN_LAYERS
