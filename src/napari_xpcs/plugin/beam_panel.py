"""The beam on the image: a cross to drag, a search by symmetry, a fit to a powder ring."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components.viewer_model import ViewerModel
from napari.layers import Layer, Points, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_xpcs._typing import Mask
from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import GeometryError
from napari_xpcs.kernels.beam_centre import BeamCentre
from napari_xpcs.kernels.ellipse import EllipseShape
from napari_xpcs.kernels.geometry import Geometry, KnownGeometry, complete_geometry, override
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.drawn_layers import beam_layer, ring_layer, ring_points_layer
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.mean_image import run_image_steps
from napari_xpcs.progress import Progress, Steps

RING = "powder ring"
LEAST_REACH_PX = 40.0
RIDGE_WIDTH = 0.15
"""The ridge of a powder ring is looked for within this part of its radius, 10 px at least."""

STAND_INS = {"energy_kev": 10.0, "distance_m": 1.0, "pixel_row_m": 1e-4, "pixel_col_m": 1e-4}
"""Without a swing the shape of rings in pixels does not depend on these, so any will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamRequest:
    """What the search for the beam starts from."""

    image: Layer
    mask: Mask | None
    known: KnownGeometry
    shape: tuple[int, int]

    def geometry(self) -> tuple[Geometry, float]:
        """Return the geometry that shapes the rings, and how far the beam may be, px.

        Raises
        ------
        GeometryError
            The detector is swung and its distance or pixel size is unknown.
        """
        known = dict(self.known)
        rows, cols = self.shape
        center = dict(zip(("center_row_px", "center_col_px"), _middle(self.shape), strict=True))
        unknown = {name: value for name, value in center.items() if _value(known, name) is None}
        reach = max(rows, cols) / 2 if unknown else max(LEAST_REACH_PX, 0.1 * max(rows, cols))
        stand_ins = {
            name: value for name, value in STAND_INS.items() if _value(known, name) is None
        }
        swung = any(_value(known, f"swing_{axis}_deg") for axis in ("horizontal", "vertical"))
        if swung and set(stand_ins) - {"energy_kev"}:
            msg = "The detector is swung: type its distance and pixel size to find the beam."
            raise GeometryError(msg)
        complete = override(known, unknown | stand_ins, "where the search starts")
        return complete_geometry(complete, self.shape), reach


class BeamPanel(QWidget):
    """Buttons that find the beam, and the cross that shows and moves it."""

    moving = Signal(float, float)
    """The cross is at (row, column) while it is dragged."""
    moved = Signal(float, float, str)
    """The beam is at (row, column) from now on, and where that comes from."""

    def __init__(
        self,
        napari_viewer: ViewerModel,
        request: Callable[[], BeamRequest | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._request = request
        self._cross: Points | None = None
        self._at: tuple[float, float] | None = None
        self._view: tuple[float, Any] | None = None
        self._build()
        self._connect()

    def _build(self) -> None:
        self._runner = Runner(self)
        self._drag = QPushButton("Drag beam", objectName="drag_beam")
        self._drag.setToolTip(
            "Show the beam as a cross that can be dragged. Shift + double-click on the image "
            "puts it there."
        )
        self._search = QPushButton("Find by symmetry", objectName="find_beam")
        self._search.setToolTip(
            "Search for the point about which the unmasked pattern is made of rings; the beam "
            "may lie behind a stop or off the detector."
        )
        self._ring = QPushButton("Fit ring", objectName="fit_ring")
        self._ring.setToolTip("Find the beam from one powder ring.")
        self._source = QComboBox(objectName="ring_source")
        self._source.addItems(["drawn ellipse", "picked points"])
        self._source.setMinimumContentsLength(8)
        self._source.setToolTip("Where the ring is: an ellipse over it, or points on it.")
        self._message = WrappedLabel(objectName="beam_message")
        self._message.setVisible(False)
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self._drag)
        first.addWidget(self._search)
        second.addWidget(self._ring)
        second.addWidget(self._source)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(first)
        column.addLayout(second)
        column.addWidget(self._message)

    def _connect(self) -> None:
        self._drag.clicked.connect(self._on_drag_clicked)
        self._search.clicked.connect(self._on_search_clicked)
        self._ring.clicked.connect(self._on_ring_clicked)
        self._runner.progressed.connect(self._on_progressed)
        self._runner.finished.connect(self._on_found)
        self._runner.failed.connect(self._on_failed)
        self._viewer.mouse_double_click_callbacks.insert(0, self._on_double_click)
        self._viewer.mouse_double_click_callbacks.append(self._after_double_click)

    def teardown(self) -> None:
        """Stop what runs and let go of the viewer."""
        self._runner.cancel()
        callbacks = self._viewer.mouse_double_click_callbacks
        for callback in (self._on_double_click, self._after_double_click):
            if callback in callbacks:
                callbacks.remove(callback)

    def refresh(self) -> None:
        """Forget a cross that was removed, and offer only what can be done."""
        if self._cross is not None and self._cross not in self._viewer.layers:
            self._cross = None
        there = self._request() is not None
        for button in (self._drag, self._search, self._ring):
            button.setEnabled(there or self._runner.running)

    # -- the cross

    def show_at(self, row: float | None, col: float | None) -> None:
        """Put the cross, where there is one, to the beam of the form."""
        self._at = None if row is None or col is None else (row, col)
        if self._cross is not None and self._at is not None and self._cross.data.shape == (1, 2):
            place = np.array([self._at])
            if not np.array_equal(self._cross.data, place):
                with self._cross.events.blocker_all():
                    self._cross.data = place
                self._cross.refresh()

    def _on_drag_clicked(self) -> None:
        request = self._request()
        if request is None:
            return
        if self._cross is None:
            at = self._at or _middle(request.shape)
            data, arguments, _ = beam_layer(at, max(request.shape) / 25)
            self._cross = self._viewer.add_points(data, **arguments)
            self._cross.events.set_data.connect(self._on_cross_redrawn)
            self._cross.events.data.connect(self._on_cross_dropped)
        self._viewer.layers.selection.active = self._cross
        self._cross.mode = "select"
        self._cross.selected_data = {0}
        if self._at is None:
            self._say("The beam is unknown: drag the cross to it, or search for it.")
        else:
            self._say("Drag the cross; the bins follow.")

    def _cross_at(self) -> tuple[float, float] | None:
        if self._cross is None or self._cross.data.shape != (1, 2):
            return None
        row, col = self._cross.data[0]
        return float(row), float(col)

    def _on_cross_redrawn(self) -> None:
        at = self._cross_at()
        if at is not None and at != self._at:
            self._at = at
            self.moving.emit(*at)

    def _on_cross_dropped(self, event: Any) -> None:
        at = self._cross_at()
        if at is not None and str(getattr(event, "action", "changed")) == "changed":
            self._at = at
            self.moved.emit(*at, "dragged by hand")

    def _on_double_click(self, viewer: Any, event: Any) -> None:
        """Put the beam where Shift + double-click is."""
        if self._request() is not None and "Shift" in event.modifiers:
            camera = viewer.scene.camera
            self._view = camera.zoom, camera.center
            row, col = (float(value) for value in event.position[-2:])
            self._set(row, col, "Shift + double-click")

    def _after_double_click(self, viewer: Any, event: Any) -> None:
        """Take back the zoom that napari does at every double-click."""
        if self._view is not None:
            viewer.scene.camera.zoom, viewer.scene.camera.center = self._view
            self._view = None

    def _set(self, row: float, col: float, origin: str) -> None:
        self.moved.emit(row, col, origin)
        self.show_at(row, col)

    # -- the search

    def _on_search_clicked(self) -> None:
        request = self._request()
        if self._runner.running:
            self._end("Cancelled.")
        elif request is not None:
            self._start("Cancel", self._search)
            self._runner.start(lambda: _symmetry_steps(request))

    def _start(self, text: str, button: QPushButton) -> None:
        self._say("Starting ...")
        button.setText(text)
        for other in (self._drag, self._search, self._ring):
            other.setEnabled(other is button)

    def _end(self, text: str) -> None:
        self._runner.cancel()
        self._search.setText("Find by symmetry")
        self._ring.setText("Fit ring")
        self._say(text)
        self.refresh()

    def _on_progressed(self, progress: Progress) -> None:
        self._say(f"{progress.what} ...")

    def _on_found(self, beam: BeamCentre) -> None:
        error = max(beam.row_err_px, beam.col_err_px)
        self._end(str(beam))
        self._set(beam.row_px, beam.col_px, f"{beam.how}, ± {error:.2g} px")

    def _on_failed(self, reason: str) -> None:
        self._end(reason)

    # -- the ring

    def _ring_layer(self, kind: type[Layer]) -> Any:
        found = xpcs_layers.layers_with_role(self._viewer.layers, "ring")
        return next((layer for layer in found if isinstance(layer, kind)), None)

    def _on_ring_clicked(self) -> None:
        request = self._request()
        if self._runner.running:
            self._end("Cancelled.")
            return
        if request is None:
            return
        if self._source.currentText() == "picked points":
            self._fit_points(request)
        else:
            self._fit_ellipse(request)

    def _fit_points(self, request: BeamRequest) -> None:
        points = self._ring_layer(Points)
        if points is None:
            data, arguments, _ = ring_points_layer(RING, max(request.shape) / 60)
            points = self._viewer.add_points(data, **arguments)
            self._viewer.layers.selection.active = points
            points.mode = "add"
        if len(points.data) < 3:
            self._say("Click three or more points along one ring, then press Fit ring again.")
            return
        picked = np.array(points.data)[:, -2:]
        self._start("Cancel", self._ring)
        self._runner.start(lambda: _ring_steps(request, picked, None))

    def _fit_ellipse(self, request: BeamRequest) -> None:
        shapes = self._ring_layer(Shapes)
        if shapes is None or not shapes.nshapes:
            at = self._at or _middle(request.shape)
            radius = max(request.shape) / 4
            data, arguments, _ = ring_layer(RING, at, radius, max(request.shape) / 300)
            if shapes is not None:
                self._viewer.layers.remove(shapes)
            shapes = self._viewer.add_shapes(data, **arguments)
            self._viewer.layers.selection.active = shapes
            shapes.mode = "select"
            shapes.selected_data = {0}
            self._say(
                "Lay the ellipse along a bright ring by its handles, then press Fit ring again."
            )
            return
        ellipse = ellipse_of_box(np.asarray(shapes.data[-1])[:, -2:])
        self._start("Cancel", self._ring)
        self._runner.start(lambda: _ring_steps(request, None, ellipse))

    def _say(self, text: str) -> None:
        self._message.setText(text)
        self._message.setVisible(bool(text))


def ellipse_of_box(corners: np.ndarray) -> EllipseShape:
    """Return the ellipse in the box with these four (row, column) corners."""
    center = corners.mean(axis=0)
    side, other = (corners[1] - corners[0]) / 2, (corners[-1] - corners[0]) / 2
    first, second = float(np.hypot(*side)), float(np.hypot(*other))
    angle = float(np.degrees(np.arctan2(side[0], side[1])))
    return float(center[0]), float(center[1]), max(first, 1.0), max(second, 1.0), angle


def _middle(shape: tuple[int, int]) -> tuple[float, float]:
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2


def _value(known: KnownGeometry, name: str) -> float | None:
    return known[name].value if name in known else None


def _used(request: BeamRequest, counted: Mask) -> Mask:
    return counted if request.mask is None else counted & request.mask


def _symmetry_steps(request: BeamRequest) -> Steps[BeamCentre]:
    """Add up frames and search; runs in the thread."""
    from napari_xpcs.kernels.beam_centre import find_beam_centre

    geometry, reach = request.geometry()
    run = yield from run_image_steps(request.image)
    used = _used(request, run.counted)
    # Each size of image and of rings would be compiled anew, which takes longer than the search.
    xp = NumPyBackend()
    return (yield from find_beam_centre(run.total, used, geometry, reach_px=reach, xp=xp))


def _ring_steps(
    request: BeamRequest, picked: np.ndarray | None, ellipse: EllipseShape | None
) -> Steps[BeamCentre]:
    """Fit the ring through points, or along the ridge near an ellipse; runs in the thread."""
    from napari_xpcs.kernels.ring_fit import fit_ring, ridge_points

    geometry, _ = request.geometry()
    yield Progress(0, 1, "ring")
    if picked is None and ellipse is not None:
        run = yield from run_image_steps(request.image)
        width = max(10.0, RIDGE_WIDTH * min(ellipse[2:4]))
        picked = ridge_points(run.total, _used(request, run.counted), ellipse, width_px=width)
    yield Progress(1, 1, "ring")
    return fit_ring(np.asarray(picked), geometry)
