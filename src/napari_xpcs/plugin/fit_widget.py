"""Dock: fit g2 of every bin, look at one by clicking it on the image, read D off tau(q)."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.errors import XpcsError
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.io.fit_table import write_fit_csv
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.dock import Dock, LayerComboBox, NumberEdit
from napari_xpcs.plugin.job import JobButton, Runner
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs.fitting.dispersion import Dispersion
    from napari_xpcs.plugin.plots import CurvePlot, TauPlot

NO_CURVES = "Open a result file, or compute g2 with XPCS: Correlate."


class FitWidget(Dock):
    """Choose a model, fit all bins, show curves, table and tau(q).

    The numbers are made in :mod:`napari_xpcs.fitting`; this class reads the controls,
    starts the job and shows what comes back.
    """

    def _build(self) -> None:
        self._fit: G2Fit | None = None
        self._fitted_curves: G2Curves | None = None
        self._asked: G2Curves | None = None
        self._shown: Labels | None = None
        self._curve_plot: CurvePlot | None = None
        self._tau_plot: TauPlot | None = None
        self._dispersion: Dispersion | None = None
        self._layer = LayerComboBox("no g2 yet", _has_curves, objectName="curves")
        self._model = QComboBox(objectName="model")
        for name, model in G2_MODELS.items():
            self._model.addItem(name)
            self._model.setItemData(
                self._model.count() - 1, model.label, Qt.ItemDataRole.ToolTipRole
            )
        self._formula = QLabel(objectName="formula")
        self._formula.setWordWrap(True)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("g2 of", self._layer)
        form.addRow("Model", self._model)
        form.addRow(self._formula)
        self._held_box = QGroupBox("Hold at (empty: fitted)")
        self._held_form = QFormLayout(self._held_box)
        self._held: dict[str, NumberEdit] = {}
        self._job = JobButton("Fit all bins")
        self._tabs = QTabWidget(objectName="tabs")
        self._curve_page, self._tau_page = QWidget(), QWidget()
        for page in (self._curve_page, self._tau_page):
            QVBoxLayout(page).addWidget(QLabel("Loading plots ..."))
        self._table = QTableWidget(objectName="table")
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.verticalHeader().setVisible(False)
        self._tabs.addTab(self._curve_page, "Curve")
        self._tabs.addTab(self._table, "Table")
        self._tabs.addTab(self._tau_page, "τ(q)")
        self._save = QPushButton("Save table as CSV ...", objectName="save")
        self._painted = QComboBox(objectName="painted")
        self._paint = QPushButton("Paint on the detector", objectName="paint")
        self._paint.setToolTip("Add the fitted parameter as an image layer over the bins.")
        painting = QHBoxLayout()
        painting.addWidget(self._painted)
        painting.addWidget(self._paint)
        self.column.addLayout(form)
        for widget in (self._held_box, self._job, self._tabs):
            self.column.addWidget(widget)
        self.column.addLayout(painting)
        self.column.addWidget(self._save)
        self._plots = Runner(self)

    def _connect(self) -> None:
        self._layer.currentIndexChanged.connect(self._refresh)
        self._model.currentIndexChanged.connect(self._on_model_changed)
        self._job.clicked.connect(self.fit_all)
        self._job.finished.connect(self._on_job_finished)
        self._table.itemSelectionChanged.connect(self._on_table_selected)
        self._save.clicked.connect(self._on_save_clicked)
        self._paint.clicked.connect(self._on_paint_clicked)
        self._plots.finished.connect(self._on_plots_loaded)
        self._viewer.mouse_drag_callbacks.append(self._on_image_pressed)
        if hasattr(self._viewer.events, "theme"):
            self._viewer.events.theme.connect(self._on_theme_changed)
        self._on_model_changed()
        self._plots.start(_load_plots)

    def _refresh(self, event: object = None) -> None:
        self._layer.show_layers(list(self._viewer.layers))
        layer, curves = self._layer.layer(), self.curves()
        if layer is not self._shown:
            if self._shown is not None:
                self._shown.events.selected_label.disconnect(self._on_label_selected)
            self._shown = layer
            if layer is not None:
                layer.events.selected_label.connect(self._on_label_selected)
        if curves is not self._asked and curves is not self._fitted_curves:
            self._job.cancel()
        if curves is not self._fitted_curves:
            self._forget_fit()
        self._job.allow("" if curves is not None else NO_CURVES)
        self._show_curve()

    def _teardown(self) -> None:
        self._job.cancel()
        self._plots.cancel()
        if self._on_image_pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_image_pressed)

    def curves(self) -> G2Curves | None:
        """Return the curves that are shown."""
        layer = self._layer.layer()
        return None if layer is None else xpcs_layers.layer_curves(layer)

    def _column(self) -> int | None:
        """Return the column of the selected label among the curves."""
        layer, curves = self._layer.layer(), self.curves()
        if layer is None or curves is None:
            return None
        found = np.flatnonzero(curves.bins.label == layer.selected_label)
        return int(found[0]) if found.size else None

    @property
    def ready(self) -> bool:
        """True once the plots are loaded."""
        return self._curve_plot is not None

    @property
    def fitted(self) -> G2Fit | None:
        """The fit that is shown."""
        return self._fit

    def show_page(self, name: str) -> None:
        """Show the page "curve", "table" or "tau"."""
        self._tabs.setCurrentIndex(("curve", "table", "tau").index(name))

    # -- fitting

    def fit_all(self) -> None:
        """Fit the shown curves with the chosen model, in a thread."""
        curves = self.curves()
        if curves is not None:
            self._asked = curves
            model, fixed = self._model.currentText(), self.held()
            self._job.start(lambda: _fit_steps(curves, model, fixed))

    def _on_job_finished(self, result: "tuple[G2Fit, Dispersion]") -> None:
        if self._asked is not self.curves():
            return
        self._fit, self._dispersion = result
        self._fitted_curves = self._asked
        self._fill_table(self._fit)
        for button in (self._save, self._paint):
            button.setEnabled(True)
        before = self._painted.currentText()
        self._painted.clear()
        self._painted.addItems([*self._fit.names, xpcs_layers.CHI2])
        self._painted.setCurrentText(before or self._fit.names[2])
        good = sum(status == "ok" for status in self._fit.status)
        count = len(self._fit.status)
        self._job.message.setText(
            f"All {count} bins are fitted."
            if good == count
            else f"{good or 'None'} of {count} bins could be fitted; the table says why."
        )
        self._show_curve()
        self._show_tau()

    def _on_model_changed(self) -> None:
        model = G2_MODELS[self._model.currentText()]
        self._formula.setText(model.formula)
        while self._held_form.rowCount():
            self._held_form.removeRow(0)
        self._held.clear()
        for parameter in model.parameters:
            field = NumberEdit(objectName=f"hold_{parameter.name}")
            field.setPlaceholderText("fitted")
            field.setToolTip(f"{parameter.meaning}, {parameter.unit or 'no unit'}")
            self._held[parameter.name] = field
            self._held_form.addRow(parameter.name, field)

    def held(self) -> dict[str, float]:
        """Return the parameters that are held, in the units of their names."""
        values = {name: field.value() for name, field in self._held.items()}
        return {name: value for name, value in values.items() if value is not None}

    def _forget_fit(self) -> None:
        self._fit = self._fitted_curves = self._dispersion = None
        self._table.setRowCount(0)
        self._table.setColumnCount(0)
        for button in (self._save, self._paint):
            button.setEnabled(False)
        self._painted.clear()
        self._show_tau()

    # -- showing

    def _on_plots_loaded(self, plots: Any) -> None:
        theme = str(self._viewer.theme)
        self._curve_plot, self._tau_plot = plots.CurvePlot(theme), plots.TauPlot(theme)
        for page, plot in ((self._curve_page, self._curve_plot), (self._tau_page, self._tau_plot)):
            layout = page.layout()
            layout.takeAt(0).widget().deleteLater()
            layout.addWidget(plot)
        self._show_curve()
        self._show_tau()

    def _on_theme_changed(self) -> None:
        for plot in (self._curve_plot, self._tau_plot):
            if plot is not None:
                plot.set_theme(str(self._viewer.theme))

    def _show_curve(self) -> None:
        if self._curve_plot is None:
            return
        curves, column = self.curves(), self._column()
        if curves is None:
            self._curve_plot.show_hint(NO_CURVES)
        elif column is None:
            self._curve_plot.show_hint("Click a bin on the image to see its g2.")
        else:
            row = None
            if self._fit is not None:
                rows = np.flatnonzero(self._fit.bins.label == curves.bins.label[column])
                row = int(rows[0]) if rows.size else None
            self._curve_plot.show_curve(curves, column, self._fit, row)

    def _show_tau(self) -> None:
        if self._tau_plot is None:
            return
        if self._fit is None or self._dispersion is None:
            self._tau_plot.show_hint("Fit the bins to see how the relaxation time depends on q.")
        else:
            self._tau_plot.show_dispersion(self._fit, self._dispersion)

    def _fill_table(self, fit: G2Fit) -> None:
        order = [
            *range(2, len(fit.names)),
            1,
            0,
        ]  # what is sought first, contrast and baseline last
        headers = ["bin", "q (1/Å)", "status", *(fit.names[i] for i in order), "χ²/dof"]
        self._table.clear()
        self._table.setColumnCount(len(headers))
        self._table.setHorizontalHeaderLabels(headers)
        self._table.setRowCount(len(fit.status))
        for row, status in enumerate(fit.status):
            cells = [str(fit.bins.label[row]), f"{fit.bins.q[row]:.4g}", status]
            cells += [
                value_text(value, error)
                for value, error in zip(fit.value[row][order], fit.error[row][order], strict=True)
            ]
            cells.append(
                f"{fit.reduced_chi2[row]:.2f}" if np.isfinite(fit.reduced_chi2[row]) else ""
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if status != "ok":
                    item.setForeground(Qt.GlobalColor.gray)
                self._table.setItem(row, column, item)
        self._table.resizeColumnsToContents()
        self._table.setColumnWidth(2, min(self._table.columnWidth(2), 160))

    # -- choosing a bin

    def _on_image_pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """Select the bin under a click; a drag moves the picture as ever."""
        yield
        if event.type == "mouse_move":
            return
        layer = self._layer.layer()
        if layer is None or layer.mode != "pan_zoom":
            return
        label = xpcs_layers.label_at(layer, event)
        if label:
            layer.selected_label = label
            self._show_curve()

    def _on_label_selected(self) -> None:
        self._show_curve()
        layer = self._layer.layer()
        if self._fit is None or layer is None:
            return
        rows = np.flatnonzero(self._fit.bins.label == layer.selected_label)
        if rows.size and self._table.currentRow() != rows[0]:
            self._table.selectRow(int(rows[0]))

    def _on_table_selected(self) -> None:
        layer, row = self._layer.layer(), self._table.currentRow()
        if self._fit is not None and layer is not None and row >= 0:
            layer.selected_label = int(self._fit.bins.label[row])

    # -- saving

    def _on_paint_clicked(self) -> None:
        layer = self._layer.layer()
        if self._fit is None or layer is None:
            return
        data, arguments, _ = xpcs_layers.parameter_map_layer(
            xpcs_layers.layer_partition(layer),
            self._fit,
            self._painted.currentText(),
            source=xpcs_layers.layer_source(layer),
        )
        for old in xpcs_layers.layers_with_role(self._viewer.layers, "map"):
            if old.name == arguments["name"] and old.data.shape == data.shape:
                old.data, old.contrast_limits = data, arguments["contrast_limits"]
                return
        self._viewer.add_image(data, **arguments)

    def _on_save_clicked(self) -> None:
        if self._fit is None:
            return
        path, _ = QFileDialog.getSaveFileName(self, "Save fit table", "g2_fit.csv", "CSV (*.csv)")
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the fit table to ``path``; the file dialogue asked before overwriting."""
        if self._fit is None:
            return
        try:
            write_fit_csv(path, self._fit, force=True)
        except XpcsError as error:
            self._job.message.setText(str(error))
        else:
            show_info(f"Saved {path}")


def _has_curves(layer: Layer) -> bool:
    return (
        xpcs_layers.layer_role(layer) == "partition" and xpcs_layers.layer_curves(layer) is not None
    )


def _load_plots() -> Steps[Any]:
    """Import matplotlib, which takes seconds; runs in the thread."""
    yield Progress(0, 1, "plots")
    from napari_xpcs.plugin import plots

    return plots


def _fit_steps(
    curves: G2Curves, model: str, fixed: dict[str, float]
) -> "Steps[tuple[G2Fit, Dispersion]]":
    """Fit all bins and the law of tau(q); runs in the thread."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.fitting.dispersion import fit_dispersion
    from napari_xpcs.fitting.least_squares import fit_g2

    fit = yield from fit_g2(curves, model, fixed=fixed, xp=get_backend())
    return fit, fit_dispersion(fit)


def value_text(value: float, error: float) -> str:
    """Return a value with its error, nothing where it was not determined."""
    if not np.isfinite(value):
        return ""
    return f"{value:.4g} ± {error:.2g}" if np.isfinite(error) else f"{value:.4g}"
