"""A q ruler on the image, and what is under the cursor."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from napari.components.viewer_model import ViewerModel
from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.rings import detector_position, place_values
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.drawn_layers import lines_layer
from napari_xpcs.plugin.sectors import largest_q

RULER = "q ruler"
SETTLE_MS = 30
POINTS = 361


class QRuler(QWidget):
    """Rings at chosen q over the image; they follow the geometry."""

    def __init__(
        self,
        napari_viewer: ViewerModel,
        geometry: Callable[[], Geometry | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._geometry = geometry
        self._values = QLineEdit(objectName="ruler_q")
        self._values.setPlaceholderText("q in 1/Å; empty: round values")
        self._values.setToolTip("Rings are drawn at these q, for example 0.001 0.002 0.005.")
        self._show = QPushButton("Rings", objectName="ruler")
        self._show.setCheckable(True)
        self._show.setToolTip("Draw rings of equal q over the image.")
        self._message = WrappedLabel(objectName="ruler_message")
        self._message.setVisible(False)
        row = QHBoxLayout()
        row.addWidget(self._values, stretch=1)
        row.addWidget(self._show)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self._message)
        self._show.toggled.connect(self.redraw)
        self._values.editingFinished.connect(self._on_values_edited)

    def _on_values_edited(self) -> None:
        if self._values.isModified():
            self._values.setModified(False)
            self._show.setChecked(True)
            self.redraw()

    def layer(self) -> Shapes | None:
        """Return the layer with the rings, if it is shown."""
        found = xpcs_layers.layers_with_role(self._viewer.layers, "ruler")
        return found[0] if found else None

    def redraw(self) -> None:
        """Draw the rings for the geometry as it is now."""
        layer, geometry = self.layer(), self._geometry()
        if not self._show.isChecked() or geometry is None:
            if layer is not None:
                self._viewer.layers.remove(layer)
            self._say(
                "Rings need the whole geometry: type what is unknown."
                if self._show.isChecked()
                else ""
            )
            return
        rings = self._rings(geometry)
        if rings is None:
            self._say("Type q as numbers in 1/Å, for example 0.001 0.002 0.005.")
            return
        # A short mark on each ring carries its text: napari writes at the corner of a shape's box.
        marks = [ring.path[len(ring.path) // 2 :][:2] for ring in rings]
        paths = [*(ring.path for ring in rings), *marks]
        texts = [*([""] * len(rings)), *(f"{ring.q:.4g}" for ring in rings)]
        self._say("" if paths else "No ring of these q meets the detector.")
        data, arguments, _ = lines_layer(
            RULER,
            "ruler",
            paths,
            texts=texts,
            color="cyan",
            width=max(max(geometry.shape) / 800, 0.5),
        )
        active = self._viewer.layers.selection.active
        if layer is not None:
            layer.data = []
            layer.add(
                data, shape_type="path", edge_color="cyan", edge_width=arguments["edge_width"]
            )
            layer.features = arguments["features"]
        else:
            self._viewer.add_shapes(data, **arguments)
            self._viewer.layers.selection.active = active

    def _rings(self, geometry: Geometry) -> "list[_Ring] | None":
        text = self._values.text().replace(",", " ").split()
        try:
            wanted = [float(word) for word in text]
        except ValueError:
            return None
        values = np.array(wanted) if wanted else round_values(geometry)
        return [
            _Ring(q=float(q), path=path)
            for q in values[values > 0]
            for path in visible_arcs(geometry, float(q))
        ]

    def _say(self, text: str) -> None:
        self._message.setText(text)
        self._message.setVisible(bool(text))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ring:
    q: float
    path: np.ndarray


def round_values(geometry: Geometry) -> np.ndarray:
    """Return about five round q that the detector reaches, 1/angstrom."""
    largest = largest_q(geometry)
    if largest == 0.0:
        return np.zeros(0)
    step = 10.0 ** np.floor(np.log10(largest / 5))
    step *= max(factor for factor in (1.0, 2.0, 5.0) if factor * step <= largest / 4)
    values: np.ndarray = np.arange(1, int(largest / step) + 1) * step
    return values


def visible_arcs(geometry: Geometry, q: float) -> list[np.ndarray]:
    """Return the parts of a ring that cross the detector, as (row, column) points."""
    phi = np.linspace(-180.0, 180.0, POINTS)
    place = detector_position(geometry, np.full(POINTS, q), phi, xp=NumPyBackend())
    margin = 0.5
    last = np.array(geometry.shape) - 1 + margin
    inside = np.all(np.isfinite(place) & (place >= -margin) & (place <= last), axis=1)
    if inside.all():
        return [place]
    starts = np.flatnonzero(np.diff(inside.astype(int), prepend=0) == 1)
    stops = np.flatnonzero(np.diff(inside.astype(int), append=0) == -1) + 1
    pieces = [place[start:stop] for start, stop in zip(starts, stops, strict=True)]
    # A ring that begins on the detector begins and ends at phi = 180: one arc, not two.
    if len(pieces) > 1 and inside[0] and inside[-1]:
        pieces = [np.concatenate([pieces[-1], pieces[0][1:]]), *pieces[1:-1]]
    return [piece for piece in pieces if len(piece) > 1]


class Readout(QLabel):
    """q, phi, 2 theta, place, counts and bin under the cursor, here and in the status bar."""

    def __init__(
        self,
        napari_viewer: ViewerModel,
        geometry: Callable[[], Geometry | None],
        layers: Callable[[], tuple[Layer | None, Labels | None]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent, objectName="readout")
        self._viewer = napari_viewer
        self._geometry = geometry
        self._layers = layers
        self.setWordWrap(True)
        self.setMinimumHeight(3 * self.fontMetrics().height())
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self.show_now)
        napari_viewer.cursor.events.position.connect(self._on_cursor_moved)

    def _on_cursor_moved(self) -> None:
        if not self._settle.isActive():
            self._settle.start()

    def stop(self) -> None:
        """Look no more."""
        self._settle.stop()
        self._viewer.cursor.events.position.disconnect(self._on_cursor_moved)

    def show_now(self) -> None:
        """Tell what is under the cursor."""
        text = self.text_at(self._viewer.cursor.position)
        self.setText(text)
        if text:
            self._viewer.status = text.replace("\n", "  ")

    def text_at(self, position: tuple[float, ...]) -> str:
        """Return what is at a place in world coordinates; empty beside the image."""
        image, bins = self._layers()
        if image is None:
            return ""
        at = np.asarray(image.world_to_data(position))[-2:]
        place = np.round(at).astype(int)
        if np.any(place < 0) or np.any(place >= image.data.shape[-2:]):
            return ""
        lines = [f"x {place[1]}  y {place[0]}{_counts(image, position)}"]
        geometry = self._geometry()
        if geometry is not None:
            values = place_values(geometry, float(at[0]), float(at[1]), xp=NumPyBackend())
            lines.append(
                f"q {values.q:.5g} 1/Å  φ {values.phi_deg:.1f}°  2θ {values.two_theta_deg:.4g}°"
            )
        if bins is not None and bins.data.shape == image.data.shape[-2:]:
            label = int(bins.data[tuple(place)])
            lines.append(f"bin {label}" if label else "in no bin")
        return "\n".join(lines)


def _counts(image: Layer, position: Any) -> str:
    value = image.get_value(position, world=True)
    if value is None:
        return ""
    return f"  counts {float(value):g}" if isfinite(float(value)) else "  not counted"
