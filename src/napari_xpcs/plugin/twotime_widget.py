"""Dock: two-time maps, and g2 at the ages that are cut out of them."""

from functools import partial
from typing import Any

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QPushButton,
    QSizePolicy,
    QSlider,
    QSpinBox,
)

from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.age_cuts import ages_of, cut_steps
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.curve_family import draw_family
from napari_xpcs.plugin.dock import Dock, LayerComboBox
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.layer_row import LayerRow
from napari_xpcs.plugin.plot_area import PlotArea
from napari_xpcs.plugin.twotime_image import TwoTimeImage, show_loaded
from napari_xpcs.plugin.twotime_layers import age_bands_layer, age_line_layer

SETTLE_MS = 50
SLIDER_STEPS = 1000
WINDOW_PART = 0.1
"""Of the run: how wide the window around an age is to begin with."""
NO_MAP = (
    "Open a result file with two-time maps, or make some with XPCS: Correlate (choose two-time "
    "maps there)."
)


NO_MAP_CHOSEN = "No map is chosen."


class TwoTimeWidget(Dock):
    """Look at C2(t1, t2) of a bin, cut g2 at an age, and hand cuts to the fit dock."""

    def _build(self) -> None:
        self._shown: Layer | None = None
        self._shown_data: Any = None  # a run that is repeated puts its maps into the same layers
        self._hidden: list[Layer] = []
        self._following = False
        self._outdated = False
        self._cut_at_s = 0.0
        self._map = LayerComboBox("no maps", _is_map, objectName="map")
        self._map.setToolTip("The two-time map that is looked at and cut.")
        self._map.setMinimumContentsLength(8)
        self._row = LayerRow(self._map, self._viewer, "two-time maps")
        self._alone = QPushButton("Show the map alone", objectName="alone")
        self._alone.setCheckable(True)
        self._alone.setToolTip(
            "Hide the detector and show the map with the line of the age; again: as it was."
        )
        self._about = WrappedLabel(objectName="about")
        self._slider = QSlider(Qt.Orientation.Horizontal, objectName="age_slider")
        self._slider.setToolTip("The age at which g2 is cut, from the first to the last.")
        self._slider.setRange(0, SLIDER_STEPS)
        self._age, self._window = _seconds("age_s"), _seconds("window_s")
        self._age.setToolTip(
            "Age of a pair of frames: the time half-way between them, from the first used frame "
            "on. The red line on the map can be dragged, too."
        )
        self._window.setToolTip("Pairs whose age lies in a window of this width are averaged.")
        self._plot = PlotArea(self._viewer)
        self._plot.show_hint(NO_MAP_CHOSEN)
        self._ages = QSpinBox(objectName="ages")
        self._ages.setRange(2, 64)
        self._ages.setValue(8)
        self._ages.setToolTip("So many ages, evenly from the first to the last that has a window.")
        self._job = JobButton("Cut g2 at these ages")
        self._summary = WrappedLabel(objectName="summary")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Map", self._row)
        form.addRow(self._alone)
        form.addRow(self._about)
        form.addRow("Age (s)", self._age)
        form.addRow(self._slider)
        form.addRow("Window (s)", self._window)
        self.column.addLayout(form)
        self.column.addWidget(self._plot)
        cuts = QFormLayout()
        cuts.addRow("Number of ages", self._ages)
        self.column.addLayout(cuts)
        self.column.addWidget(self._job)
        self.column.addWidget(self._summary)
        self.column.addStretch()
        self._cutter = Runner(self)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)

    def _connect(self) -> None:
        self._map.currentIndexChanged.connect(self._refresh)
        self._alone.toggled.connect(self._on_alone_toggled)
        self._slider.valueChanged.connect(self._on_slider_moved)
        self._age.valueChanged.connect(self._on_age_changed)
        self._window.valueChanged.connect(self._settle.start)
        self._settle.timeout.connect(self._cut)
        self._cutter.finished.connect(self._on_cut)
        self._cutter.failed.connect(self._on_cut_failed)
        self._job.clicked.connect(self._on_job_clicked)
        self._job.finished.connect(self._on_job_finished)

    def _refresh(self, event: object = None) -> None:
        self._map.show_layers(list(self._viewer.layers))
        layer = self._map.layer()
        data = None if layer is None else layer.data
        if layer is not self._shown or data is not self._shown_data:
            self._shown_data = data
            self._follow(layer)
        for control in (self._alone, self._age, self._slider, self._window, self._ages):
            control.setEnabled(layer is not None)
        if not self._job.runner.running:
            self._job.allow("" if layer is not None else NO_MAP)

    def _teardown(self) -> None:
        self._job.cancel()
        self._cutter.cancel()
        self._row.stop()
        self._settle.stop()
        self._plot.stop()

    def _follow(self, layer: Layer | None) -> None:
        """Look at another map: its ages, its picture, its curve."""
        before, self._shown = self._shown, layer
        self._job.cancel()
        self._cutter.cancel()
        if layer is None:
            self._about.clear()
            self._plot.show_hint(NO_MAP_CHOSEN)
            return
        if isinstance(layer.data, TwoTimeImage):
            layer.data.loaded.connect(self._on_map_loaded)
            layer.data.load()
        step, last = ages_of(layer)
        self._following = True
        for spin in (self._age, self._window):
            spin.setRange(step, max(last, step))
            spin.setSingleStep(step)
            spin.setDecimals(max(0, min(9, 2 - int(np.floor(np.log10(step))))))
        same_run = before is not None and ages_of(before) == (step, last)
        if not same_run:
            self._window.setValue(max(WINDOW_PART * last, step))
            self._age.setValue(last / 2)
            self._slider.setValue(SLIDER_STEPS // 2)
        self._following = False
        self._about.setText(_about(layer))
        if self._alone.isChecked():
            self._show_alone()
        self._settle.start()

    def _on_map_loaded(self, limits: tuple[float, float]) -> None:
        layer = self._shown
        if layer is not None and isinstance(layer.data, TwoTimeImage) and layer.data.is_loaded:
            show_loaded(layer, limits)

    # -- one age

    def age_s(self) -> float:
        """Return the age that is cut, s."""
        return float(self._age.value())

    def _on_slider_moved(self, position: int) -> None:
        if not self._following and self._shown is not None:
            _, last = ages_of(self._shown)
            self._age.setValue(position / SLIDER_STEPS * last)

    def _on_age_changed(self) -> None:
        if self._following or self._shown is None:
            return
        self._following = True
        _, last = ages_of(self._shown)
        self._slider.setValue(round(self.age_s() / last * SLIDER_STEPS) if last else 0)
        self._place_line()
        self._following = False
        self._settle.start()

    def _cut(self) -> None:
        """Cut at the age of now; one that is being cut is finished first, and shown."""
        layer = self._shown
        if layer is None:
            return
        if self._cutter.running:
            self._outdated = True
            return
        self._outdated = False
        self._cut_at_s = self.age_s()
        ages = np.array([self._cut_at_s])
        self._cutter.start(partial(cut_steps, layer, ages, self._window.value()))

    def _on_cut(self, curves: G2Curves) -> None:
        bins = [] if self._shown is None else [xpcs_layers.layer_bin(self._shown)]
        if not np.isfinite(curves.g2).any():
            self._plot.show_hint("No pair of frames was counted at this age.")
        else:
            title = f"bin {bins[0]}, g2 at the age {self._cut_at_s:.4g} s" if bins else ""
            self._plot.ask(
                partial(draw_family, curves=curves, columns=[0], names=["cut"], title=title)
            )
        if self._outdated:
            self._settle.start()

    def _on_cut_failed(self, sentence: str) -> None:
        self._plot.show_hint(sentence)

    # -- many ages

    def ages_s(self) -> np.ndarray:
        """Return the ages that the button cuts at, s: each with its whole window in the run."""
        layer = self._shown
        if layer is None:
            return np.empty(0)
        _, last = ages_of(layer)
        margin = min(self._window.value() / 2, last / 2)
        return np.linspace(margin, last - margin, self._ages.value())

    def _on_job_clicked(self) -> None:
        if self._shown is not None:
            ages, width = self.ages_s(), float(self._window.value())
            self._asked = (self._shown, ages, width)
            self._summary.clear()
            self._job.start(partial(cut_steps, self._shown, ages, width))

    def _on_job_finished(self, curves: G2Curves) -> None:
        layer, ages, width = self._asked
        if layer not in self._viewer.layers:
            return
        data, arguments, _ = age_bands_layer(curves, layer, ages, width)
        for old in xpcs_layers.layers_with_role(self._viewer.layers, "ages"):
            if old.name == arguments["name"]:
                self._viewer.layers.remove(old)
        bands = self._viewer.add_labels(data, **arguments)
        bands.visible = bool(layer.visible)
        bands.contour = 2  # outlines leave the map to be seen
        columns = [c for c in range(len(ages)) if np.isfinite(curves.g2[:, c]).any()]
        names = [f"{ages[column]:.3g} s" for column in columns]
        title = f"bin {xpcs_layers.layer_bin(layer)}, g2 at {len(columns)} ages"
        self._plot.ask(
            partial(
                draw_family,
                curves=curves,
                columns=columns,
                names=names,
                title=title,
                front=False,
            )
        )
        self._summary.setText(
            f"Fit them with XPCS: Fit g2: choose '{bands.name}' there. Its bins 1 to {len(ages)} "
            f"are the ages {ages[0]:.3g} to {ages[-1]:.3g} s."
        )

    # -- the map and its line on the canvas

    def _on_alone_toggled(self, alone: bool) -> None:
        if alone:
            self._show_alone()
            return
        for layer in self._hidden:
            if layer in self._viewer.layers:
                layer.visible = True
        self._hidden = []
        for layer in (self._shown, self._line()):
            if layer is not None:
                layer.visible = False
        self._viewer.reset_view()

    def _show_alone(self) -> None:
        shown = self._shown
        if shown is None:
            return
        ours = (shown, self._line())
        newly = [layer for layer in self._viewer.layers if layer.visible and layer not in ours]
        self._hidden += [layer for layer in newly if not _is_map(layer)]
        for layer in newly:
            layer.visible = False
        shown.visible = True
        self._place_line()
        (top, left), (bottom, right) = shown.extent.world[:, -2:]
        self._viewer.scene.camera.center = (0.0, (top + bottom) / 2, (left + right) / 2)
        high, wide = self._viewer.canvas.size
        self._viewer.scene.camera.zoom = 0.95 * min(high / (bottom - top), wide / (right - left))

    def _line(self) -> Layer | None:
        lines = xpcs_layers.layers_with_role(self._viewer.layers, "age")
        return lines[0] if lines else None

    def _place_line(self) -> None:
        """Put the line at the age; it is there only while the map is."""
        shown = self._shown
        if shown is None or not shown.visible:
            return
        (top, left), (bottom, right) = shown.extent.world[:, -2:]
        age = self.age_s()
        if xpcs_layers.layer_ages(shown) is not None:
            points = np.array([[top, age], [bottom, age]])
        else:
            reach = max(min(age - top, bottom - age), 0.0)
            points = np.array([[age - reach, age + reach], [age + reach, age - reach]])
        line = self._line()
        if line is None:
            data, arguments, _ = age_line_layer(points, (right - left) / 200)
            line = self._viewer.add_shapes(data, **arguments)
            line.events.data.connect(self._on_line_dragged)
        else:
            line.visible = True
            line.data = [points]

    def _on_line_dragged(self) -> None:
        line = self._line()
        if self._following or line is None or self._shown is None or not len(line.data):
            return
        points = np.asarray(line.data[0])[:, -2:]
        long_run = xpcs_layers.layer_ages(self._shown) is not None
        self._following = True
        self._age.setValue(float(points[:, 1].mean() if long_run else points.mean()))
        _, last = ages_of(self._shown)
        self._slider.setValue(round(self.age_s() / last * SLIDER_STEPS) if last else 0)
        self._following = False
        self._settle.start()


def _is_map(layer: Layer) -> bool:
    return xpcs_layers.layer_role(layer) == "twotime"


def _seconds(name: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox(objectName=name)
    spin.setKeyboardTracking(False)
    spin.setMinimumWidth(90)
    spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return spin


def _about(layer: Layer) -> str:
    """Return in words what a map is made of."""
    values = xpcs_layers.layer_bin_values(layer)
    text = f"Bin {xpcs_layers.layer_bin(layer)}"
    if np.isfinite(values["q"]):
        text += f", q = {values['q']:.4g} 1/Å"
    step, last = ages_of(layer)
    text += f"; {round(last / step) + 1} frames of {step:.3g} s."
    if xpcs_layers.layer_ages(layer) is not None:
        return (
            f"{text} A long run: delays (rows, longer downwards) over age (columns); short delays "
            "at every age, long ones averaged."
        )
    if layer.data.step > 1:
        text += f" Shown are means of {layer.data.step} x {layer.data.step} entries; cuts use all."
    return f"{text} The diagonal is shot noise and left out."
