"""Which mask leaves pixels out of the bins; what was painted on it counts at once."""

from collections.abc import Sequence

from napari.components.viewer_model import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_xpcs._typing import Mask
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.dock import LayerComboBox
from napari_xpcs.plugin.mask_layers import mask_layer


class MaskChoice(QWidget):
    """The layer 'mask' of the image, or none."""

    changed = Signal()
    """Another layer was chosen, or the chosen one shows another mask."""
    said = Signal(str)
    """Emitted with what was done."""

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._watched: Labels | None = None
        self.choice = LayerComboBox("no mask", _is_mask, optional=True, objectName="mask")
        self.choice.setToolTip("Pixels that this layer paints are left out of every bin.")
        self._invert = QPushButton("Invert", objectName="invert")
        self._invert.setToolTip("Swap masked and used pixels: files differ in what 1 means.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.choice, stretch=1)
        row.addWidget(self._invert)
        self.choice.currentIndexChanged.connect(self._on_chosen)
        self._invert.clicked.connect(self._on_invert_clicked)

    def offer(self, layers: Sequence[Layer], shape: tuple[int, int] | None) -> None:
        """Offer the masks of an image of ``shape`` (row, col)."""
        self.choice.show_layers(
            [layer for layer in layers if _is_mask(layer) and layer.data.shape == shape]
        )
        self._invert.setEnabled(self.choice.layer() is not None)

    def mask(self) -> Mask | None:
        """Return the pixels that are used, ``None`` for all."""
        layer = self.choice.layer()
        return None if layer is None else xpcs_layers.layer_mask(layer)

    def steps(self) -> tuple[MaskStep, ...]:
        """Return the steps that make the mask, none where they are not known."""
        layer = self.choice.layer()
        return () if layer is None else xpcs_layers.layer_steps(layer)

    def put(self, mask: Mask, steps: tuple[MaskStep, ...]) -> None:
        """Show another mask on the layer, which is added where there is none."""
        layer = self.choice.layer()
        if layer is None:
            data, arguments, _ = mask_layer(mask, steps=steps)
            self._viewer.add_labels(data, **arguments)
        else:
            xpcs_layers.attach_steps(layer, steps, mask)
            layer.data = (~mask).astype(layer.data.dtype)
            layer.events.metadata()

    def _on_chosen(self) -> None:
        chosen = self.choice.layer()
        if chosen is not self._watched:
            for layer, act in ((self._watched, "disconnect"), (chosen, "connect")):
                for event in ("paint", "data"):
                    if layer is not None:
                        getattr(getattr(layer.events, event), act)(self._on_painted)
            self._watched = chosen
        self.changed.emit()

    def _on_painted(self, event: object = None) -> None:
        self.changed.emit()

    def _on_invert_clicked(self) -> None:
        layer = self.choice.layer()
        if layer is not None:
            used = xpcs_layers.layer_mask(layer)
            layer.data = used.astype(layer.data.dtype)
            self.said.emit(f"{int(used.sum())} of {used.size} pixels are masked now.")


def _is_mask(layer: Layer) -> bool:
    return xpcs_layers.layer_role(layer) == "mask"
