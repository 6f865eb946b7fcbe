"""Section of the fit dock: a parameter of the fit as a map over the detector."""

import numpy as np
from napari.components.viewer_model import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.map_layers import CHI2, STATUS, parameter_map_layer


class MapPanel(QWidget):
    """One choice, of a parameter, and a button that adds or renews its map."""

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._bins: Labels | None = None
        self._fit: G2Fit | None = None
        self._name = QComboBox(objectName="painted")
        self._name.setToolTip("What of the fit the colour of a bin shall tell.")
        self._paint = QPushButton("Paint", objectName="paint")
        self._paint.setToolTip("Add the fitted parameter as an image layer over the bins.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._name, 1)
        row.addWidget(self._paint)
        self._paint.clicked.connect(self._on_paint_clicked)

    def show_fit(self, bins: Labels | None, fit: G2Fit | None) -> None:
        """Paint another fit from now on; without ``bins`` on the detector it has no map."""
        self._bins, self._fit = bins, fit
        self._paint.setEnabled(bins is not None and fit is not None)
        before = self._name.currentText()
        self._name.clear()
        if fit is not None:
            self._name.addItems([*fit.names, CHI2, STATUS])
            self._name.setCurrentText(before or fit.names[2])

    def _on_paint_clicked(self) -> None:
        bins, fit, name = self._bins, self._fit, self._name.currentText()
        if bins is None or fit is None:
            return
        data, arguments, _ = parameter_map_layer(bins, fit, name)
        for old in xpcs_layers.layers_with_role(self._viewer.layers, "map"):
            if _lies_alike(old, bins) and xpcs_layers.layer_parameter(old) == name:
                old.data, old.contrast_limits = data, arguments["contrast_limits"]
                return
        self._viewer.add_image(data, **arguments)


def _lies_alike(one: Layer, other: Layer) -> bool:
    """Return whether two layers cover the same of the world, pixel by pixel."""
    return (
        one.data.shape == other.data.shape
        and np.array_equal(one.scale, other.scale)
        and np.array_equal(one.translate, other.translate)
    )
