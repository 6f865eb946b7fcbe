"""g2 of parts of a run and of every pixel, where a result file holds them."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components.viewer_model import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QPushButton

from napari_xpcs.io.multitau_parts import MultiTauParts, parts_text, read_parts
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.map_layers import pixel_g2_layer
from napari_xpcs.plugin.section import Section
from napari_xpcs.progress import Progress, Steps

NOTHING = (
    "The bins come from no result file with g2 of parts or pixels. Ask for these under More, save "
    "the result, and open the file."
)


class PartsPanel(Section):
    """Puts g2 of a part of the run on the bins, and g2 of the pixels at a delay on the image."""

    overlaid = Signal(object)
    """Emitted with ``(curves, names)``: all parts of the selected bin, a column each."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__("Parts and pixels of a result", name="parts")
        self._viewer = napari_viewer
        self._layer: Labels | None = None
        self._whole: G2Curves | None = None
        self._parts: MultiTauParts | None = None
        self._message = WrappedLabel(NOTHING, objectName="parts_message")
        self._part = QComboBox(objectName="part")
        self._part.setToolTip("The curves that the bins carry, for the fit dock, too.")
        self._delay = QComboBox(objectName="pixel_delay")
        self._delay.setToolTip("Delay of the image of g2 of every pixel.")
        self._show_pixels = QPushButton("Show g2 of the pixels", objectName="show_pixels")
        self._show_pixels.setToolTip("Add g2 of every pixel at this delay as an image layer.")
        form = QFormLayout()
        form.addRow("g2 of", self._part)
        form.addRow("Delay (s)", self._delay)
        self.column.addWidget(self._message)
        self.column.addLayout(form)
        self.column.addWidget(self._show_pixels)
        self._reader, self._pixels = Runner(self), Runner(self)
        self._reader.finished.connect(self._on_read)
        self._reader.failed.connect(self._message.setText)
        self._pixels.finished.connect(self._on_pixels_read)
        self._pixels.failed.connect(self._message.setText)
        self._part.activated.connect(self._on_part_chosen)
        self._show_pixels.clicked.connect(self._on_show_clicked)
        self._offer(None)

    def follow(self, layer: Labels | None) -> None:
        """Offer what the file of ``layer`` holds; it is read in a thread."""
        if layer is self._layer:
            return
        self._layer = layer
        self._offer(None)
        curves = None if layer is None else xpcs_layers.layer_curves(layer)
        if layer is None or curves is None or curves.source != xpcs_layers.layer_source(layer):
            return
        self._whole = curves
        path = Path(curves.source)
        if path.is_file():
            self._reader.start(partial(_parts_steps, path))

    def _offer(self, parts: MultiTauParts | None) -> None:
        self._parts = parts
        self._part.clear()
        self._delay.clear()
        if parts is not None and self._whole is not None:
            self._part.addItem("whole run", None)
            for number, frames in enumerate(parts.frames):
                self._part.addItem(f"first {frames} frames", number)
            for delay in self._whole.delay_s[: parts.pixel_delays]:
                self._delay.addItem(f"{delay:.4g}")
            self._message.setText(f"The file holds {parts_text(parts)}.")
        else:
            self._message.setText(NOTHING)
        self._part.setEnabled(self._part.count() > 1)
        self._delay.setEnabled(self._delay.count() > 0)
        self._show_pixels.setEnabled(self._delay.count() > 0)

    def _on_read(self, parts: MultiTauParts | None) -> None:
        self._offer(parts)

    def _on_part_chosen(self) -> None:
        layer, whole, parts = self._layer, self._whole, self._parts
        if layer is None or whole is None or parts is None:
            return
        number = self._part.currentData()
        curves = whole
        if number is not None:
            curves = replace(
                whole,
                g2=parts.g2[number],
                error=parts.g2_err[number],
                covariance=None,
                source=f"{self._part.currentText()} of {whole.source}",
            )
        xpcs_layers.attach_curves(layer, curves)
        self._overlay(whole, parts)

    def _overlay(self, whole: G2Curves, parts: MultiTauParts) -> None:
        """Lay g2 of all parts over each other, for the selected bin."""
        label = 0 if self._layer is None else int(self._layer.selected_label)
        found = np.flatnonzero(whole.bins.label == label)
        column = int(found[0]) if found.size else 0
        g2 = np.stack([part[:, column] for part in parts.g2], axis=1)
        overlaid = replace(whole, g2=g2, error=np.full_like(g2, np.nan), covariance=None)
        names = [f"first {frames}" for frames in parts.frames]
        self.overlaid.emit((overlaid, names, f"bin {whole.bins.label[column]}, parts of the run"))

    def _on_show_clicked(self) -> None:
        if self._parts is not None:
            delay = self._delay.currentIndex()
            self._pixels.start(partial(_pixel_steps, self._parts, delay))

    def _on_pixels_read(self, read: tuple[MultiTauParts, int, np.ndarray]) -> None:
        parts, delay, image = read
        if parts is not self._parts or self._whole is None:
            return
        data, arguments, _ = pixel_g2_layer(
            image, float(self._whole.delay_s[delay]), source=str(parts.path)
        )
        self._viewer.add_image(data, **arguments)


def _parts_steps(path: Path) -> Steps[Any]:
    """Read what there is beside the curves; runs in the thread."""
    yield Progress(0, 1, "parts")
    return read_parts(path)


def _pixel_steps(parts: MultiTauParts, delay: int) -> Steps[Any]:
    """Read g2 of the pixels at a delay; runs in the thread."""
    yield Progress(0, 1, "pixels")
    return parts, delay, parts.pixel_g2(delay)
