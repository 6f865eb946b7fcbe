"""Dock: fit g2 of every bin, look at one by clicking it on the image, read D off tau(q)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
)

from napari_xpcs.errors import FitError
from napari_xpcs.fitting.dispersion import Dispersion
from napari_xpcs.fitting.laws import LAWS, RELAXATION
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.curve_sources import (
    FileButton,
    OpenedCurves,
    OtherRuns,
    curves_of_source,
    has_curves,
)
from napari_xpcs.plugin.dock import Dock, LayerComboBox
from napari_xpcs.plugin.fit_export import ExportPanel
from napari_xpcs.plugin.fit_pages import FitPages
from napari_xpcs.plugin.fit_parameters import ParameterTable
from napari_xpcs.plugin.fit_request import FitRequest, compile_steps, fit_steps
from napari_xpcs.plugin.fit_table import fit_summary
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.map_layers import show_fit_features
from napari_xpcs.plugin.map_panel import MapPanel
from napari_xpcs.plugin.model_choice import ModelChoice
from napari_xpcs.plugin.range_panel import RangePanel
from napari_xpcs.plugin.sampling_panel import SamplingPanel
from napari_xpcs.plugin.section import Section
from napari_xpcs.plugin.shown_curves import shown_curves
from napari_xpcs.plugin.twotime_layers import layer_age_s

NO_CURVES = "Open a result file, or compute g2 with XPCS: Correlate."
NO_MODEL = "The formula above is not complete yet."
CLICK_A_BIN = "Click a bin on the image, or a row of the table, to see its g2."
COMPILE_AFTER_MS = 3000
"""The first fit is NumPy's; JAX imports and compiles when the user looks at its result."""

_SAME = "same"


class FitWidget(Dock):
    """Choose a model, fit all bins, show curves, table and tau(q).

    The numbers are made in :mod:`napari_xpcs.fitting`; this class reads the controls,
    starts the job and shows what comes back.
    """

    def _build(self) -> None:
        self._fit: G2Fit | None = None
        self._fitted_curves: G2Curves | None = None
        self._asked: G2Curves | None = None
        self._shown: Any = None
        self._label: int | None = None
        self._opened: list[OpenedCurves] = []
        self._compiled: list[tuple[object, ...]] = []
        self._layer = LayerComboBox("no g2 yet", has_curves, objectName="curves")
        self._layer.setToolTip("Whose g2 is fitted: bins with curves, cuts at ages, or a file.")
        self._open = FileButton("Open ...", objectName="open_curves")
        self._open.setToolTip("A CSV of curves, or the g2 of a result file without its image.")
        self._model = ModelChoice()
        self._job = JobButton("Fit all bins")
        self._pages = FitPages(self._viewer)
        self._build_more()
        source = QHBoxLayout()
        source.addWidget(self._layer, 1)
        source.addWidget(self._open)
        self.column.addLayout(source)
        for widget in (self._model, self._job, self._pages, *self._sections):
            self.column.addWidget(widget)
        self.column.addStretch(1)
        self._compiling, self._one_bin = Runner(self), Runner(self)
        self._settle = QTimer(self, singleShot=True, interval=COMPILE_AFTER_MS)

    def _build_more(self) -> None:
        self._law = QComboBox(objectName="law")
        self._law.addItem("free in each bin", None)
        self._law.addItem("one for all bins", _SAME)
        for law in LAWS.values():
            self._law.addItem(law.formula, law.name)
        self._law.setToolTip("A law is fitted to all bins together: several times as precise.")
        self._parameters = ParameterTable()
        law = QFormLayout()
        law.addRow("τ is", self._law)
        parameters = Section("Parameters, bounds, global fit", name="parameters_section")
        parameters.column.addLayout(law)
        parameters.column.addWidget(self._parameters)
        self._range = RangePanel()
        points = Section("Delays and errors", name="range_section")
        points.column.addWidget(self._range)
        self._others = OtherRuns()
        runs = Section("Other runs over it", name="runs_section")
        runs.column.addWidget(self._others)
        self._sampling = SamplingPanel(self.request)
        sampling = Section("Posteriors and models", name="sampling_section")
        sampling.column.addWidget(self._sampling)
        self._map = MapPanel(self._viewer)
        paint = Section("Map on the detector", name="paint_section")
        paint.column.addWidget(self._map)
        self._export = ExportPanel(self._pages.shown_plot)
        export = Section("Export", name="export_section")
        export.column.addWidget(self._export)
        self._sections = (parameters, points, runs, paint, sampling, export)

    def _connect(self) -> None:
        self._layer.currentIndexChanged.connect(self._refresh)
        self._open.opened.connect(self.show_opened)
        self._open.failed.connect(self._job.message.setText)
        self._model.changed.connect(self._on_model_changed)
        self._parameters.parameters.refused.connect(self._job.message.setText)
        self._range.edited.connect(self._on_range_edited)
        self._others.changed.connect(self._on_others_changed)
        self._job.clicked.connect(self.fit_all)
        self._job.finished.connect(self._on_job_finished)
        self._one_bin.finished.connect(self._on_one_bin_fitted)
        self._settle.timeout.connect(self._compile)
        self._compiling.finished.connect(self._compiled.append)
        self._pages.chosen.connect(self.select)
        self._pages.range_dragged.connect(self._on_range_dragged)
        self._pages.range_dropped.connect(self._on_range_dropped)
        self._pages.loaded.connect(self._on_plots_loaded)
        self._sampling.chosen.connect(self.select)
        self._viewer.mouse_drag_callbacks.append(self._on_image_pressed)
        if hasattr(self._viewer.events, "theme"):
            self._viewer.events.theme.connect(self._on_theme_changed)
        self._on_model_changed()

    def _refresh(self, event: object = None) -> None:
        self._layer.show_layers([*self._opened, *self._viewer.layers])
        source, curves = self._layer.layer(), self.curves()
        if source is not self._shown:
            self._watch(source)
        if curves is not self._asked and curves is not self._fitted_curves:
            self._job.cancel()
        if curves is not self._fitted_curves:
            self._forget_fit()
            self._on_model_changed()
        if curves is not None and self._label not in curves.bins.label:
            self._label = None
        others = [each for each in [*self._opened, *self._viewer.layers] if each is not source]
        self._others.show_sources([each for each in others if has_curves(each)])
        self._allow()
        self._show_curve()

    def _on_layers_inserted(self, event: Any) -> None:
        """Take g2 that was just cut at ages: whoever cuts it wants to fit it."""
        super()._on_layers_inserted(event)
        if xpcs_layers.layer_role(event.value) == "ages":
            self._layer.setCurrentIndex(self._layer.findData(event.value))

    def _watch(self, source: Any) -> None:
        """Follow the selected label of another layer."""
        if isinstance(self._shown, Labels):
            self._shown.events.selected_label.disconnect(self._on_label_selected)
        self._shown = source
        if isinstance(source, Labels):
            source.events.selected_label.connect(self._on_label_selected)
            self._label = int(source.selected_label)
        else:
            curves = self.curves()
            self._label = None if curves is None else int(curves.bins.label[0])

    def _allow(self) -> None:
        reason = NO_MODEL if self._model.fault() else ""
        self._job.allow(NO_CURVES if self.curves() is None else reason)

    def _teardown(self) -> None:
        self._settle.stop()
        self._sampling.stop()
        self._job.cancel()
        self._pages.stop()
        self._compiling.cancel()
        self._one_bin.cancel()
        if self._on_image_pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_image_pressed)

    def curves(self) -> G2Curves | None:
        """Return the curves that are shown."""
        return curves_of_source(self._layer.layer())

    def _column(self) -> int | None:
        """Return the column of the selected bin among the curves."""
        curves = self.curves()
        if curves is None or self._label is None:
            return None
        found = np.flatnonzero(curves.bins.label == self._label)
        return int(found[0]) if found.size else None

    @property
    def ready(self) -> bool:
        """True once the plots are loaded."""
        return self._pages.ready

    @property
    def fitted(self) -> G2Fit | None:
        """The fit that is shown."""
        return self._fit

    @property
    def dispersion(self) -> Dispersion | None:
        """The law of tau(q) that is shown."""
        return self._pages.tau.dispersion

    def show_page(self, name: str) -> None:
        """Show the page "curve", "all", "table" or "tau"."""
        self._pages.show_page(name)

    def is_drawn(self) -> bool:
        """Return whether the plot that is in front shows what was asked for last."""
        return self._pages.is_drawn()

    def open_curves(self, path: Path) -> None:
        """Read the curves of a CSV or a result file and show them, in a thread."""
        self._open.open(path)

    def show_opened(self, opened: OpenedCurves) -> None:
        """Offer curves that were read, in place of those read earlier from the file; show them."""
        source = opened.curves.source
        kept = [each for each in self._opened if not source or each.curves.source != source]
        self._opened = [*kept, opened]
        self._refresh()
        self._layer.setCurrentIndex(self._layer.findData(opened))

    # -- fitting

    def request(self) -> FitRequest | None:
        """Return what the controls ask for, None where it cannot be and the message says why."""
        curves, model = self.curves(), self._model.model()
        if curves is None or model is None:
            return None
        parameters, law = self._parameters.parameters, self._law.currentData()
        share = parameters.shared()
        if law == _SAME:
            time = [name for name in RELAXATION if name in model.names]
            share = tuple(dict.fromkeys([*share, *time]))
        together = bool(share) or law is not None
        try:
            options = self._range.options(parameters.start(), curves.bins.label)
        except FitError as error:
            self._job.message.setText(str(error))
            return None
        return FitRequest(
            several=(curves, *self._others.curves()) if together else (curves,),
            model=model,
            fixed=parameters.fixed(),
            bounds=parameters.bounds(),
            options=options,
            share=share,
            law=None if law == _SAME else law,
        )

    def fit_all(self) -> None:
        """Fit the shown curves with the chosen model, in a thread."""
        request = self.request()
        if request is not None:
            self._one_bin.cancel()
            self._asked = self.curves()
            self._job.start(partial(fit_steps, request, tuple(self._compiled)))

    def _on_job_finished(self, fit: G2Fit) -> None:
        curves = self.curves()
        if curves is None or self._asked is not curves:
            return
        self._fit, self._fitted_curves = fit, curves
        self._map.show_fit(self._shown if isinstance(self._shown, Labels) else None, fit)
        self._job.message.setText(fit_summary(fit))
        self._export.show_fit(fit)
        self._sampling.show_fit(curves, fit)
        self._pages.show_fit(fit)
        if isinstance(self._shown, Labels):
            show_fit_features(self._shown, fit)
        self._show_curve()
        self._select_row()
        if not self._compiling.running:
            self._settle.start()

    def _compile(self) -> None:
        """Have JAX ready for the next fit like the last one."""
        request = self.request()
        if request is not None and request.program not in self._compiled:
            self._compiling.start(partial(compile_steps, request))

    def _on_model_changed(self) -> None:
        model = self._model.model()
        if model is not None:
            self._parameters.show_model(model, self.curves())
        self._allow()

    def _on_range_edited(self) -> None:
        """Fit again: what is shown would else belong to other points."""
        self._show_curve()
        if self._fit is not None:
            self.fit_all()

    def _on_others_changed(self) -> None:
        self._show_curve()

    # -- dragging the range

    def _on_range_dragged(self, low: float, high: float) -> None:
        self._range.set_range(low, high)
        request, label = self.request(), self._label
        if request is not None and label is not None and not self._one_bin.running:
            self._one_bin.start(partial(request.one_bin, label, self._fit))

    def _on_one_bin_fitted(self, fit: G2Fit) -> None:
        if self._pages.curve_plot is not None and int(fit.bins.label[0]) == self._label:
            self._pages.curve_plot.show_live(fit)

    def _on_range_dropped(self, low: float, high: float) -> None:
        self._range.set_range(low, high)
        self.fit_all()

    def _forget_fit(self) -> None:
        if self._fit is not None:
            self._job.message.clear()
        self._fit = self._fitted_curves = None
        self._map.show_fit(None, None)
        self._export.show_fit(None)
        self._sampling.show_fit(None, None)
        self._pages.show_fit(None)

    # -- showing

    def _on_plots_loaded(self, posterior_plots: Any) -> None:
        theme = str(self._viewer.theme)
        self._sampling.take_plot(posterior_plots.PosteriorPlot(theme, height=300))
        self._show_curve()

    def _on_theme_changed(self) -> None:
        self._sampling.set_theme(str(self._viewer.theme))

    def _show_curve(self) -> None:
        self._range.show_bin(self._label)
        self._sampling.show_bin(self._label)
        curves, column = self.curves(), self._column()
        age_s = None if self._label is None else layer_age_s(self._layer.layer(), self._label)
        self._pages.show_bin(curves, self._label, age_s)
        plot = self._pages.curve_plot
        if plot is None:
            return
        if curves is None:
            plot.show_nothing(NO_CURVES)
        elif column is None:
            plot.show_nothing(CLICK_A_BIN)
        else:
            fit_range = self._range.range_of(self._label)
            others = self._others.curves()
            shown = shown_curves(curves, column, others, self._fit, age_s=age_s)
            plot.show_curves(shown, fit_range)

    # -- choosing a bin

    def select(self, label: int) -> None:
        """Show a bin, here and on the image."""
        if isinstance(self._shown, Labels):
            self._shown.selected_label = label
        if label != self._label:
            self._label = label
            self._show_curve()
            self._select_row()

    def _on_image_pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """Select the bin under a click; a drag moves the picture as ever."""
        yield
        if event.type == "mouse_move":
            return
        layer = self._shown
        if not isinstance(layer, Labels) or layer.mode != "pan_zoom":
            return
        label = xpcs_layers.label_at(layer, event)
        if label:
            self.select(label)

    def _on_label_selected(self) -> None:
        self.select(int(self._shown.selected_label))

    def _select_row(self) -> None:
        if self._label is not None:
            self._pages.select_row(self._label)
