"""The four pages of the fit dock: curve, all bins, table, tau(q)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components.viewer_model import ViewerModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin.collection import collection_paused
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.fit_table import bin_summary, fit_table_columns, row_of
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.rows_model import RowsView
from napari_xpcs.plugin.tau_panel import TauPanel
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs.plugin.curve_grid import CurveGrid
    from napari_xpcs.plugin.curve_plot import CurvePlot
    from napari_xpcs.plugin.plots import Plot

PAGES = ("curve", "all", "table", "tau")


class FitPages(QTabWidget):
    """Shows the curves and the fit that it is told; matplotlib is loaded in a thread."""

    loaded = Signal(object)
    """Emitted once, with the module of the posterior plots: the plots are there."""
    chosen = Signal(int)
    """A bin was chosen in the table or among the small pictures: its label."""
    range_dragged = Signal(float, float)
    """The fitted delays are dragged on the curve: from, to, in s."""
    range_dropped = Signal(float, float)
    """They were let go."""

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="tabs")
        self._viewer = napari_viewer
        self._fit: G2Fit | None = None
        self.curve_plot: CurvePlot | None = None
        self.grid: CurveGrid | None = None
        self.setMinimumHeight(360)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._curve_page, self._grid_page = QWidget(), QWidget()
        for page in (self._curve_page, self._grid_page):
            column = QVBoxLayout(page)
            column.setContentsMargins(0, 0, 0, 0)
            column.addWidget(QLabel("Loading plots ..."))
        self._status = WrappedLabel(objectName="status")
        self._curve_page.layout().addWidget(self._status)
        self.table = RowsView(objectName="table")
        self.tau = TauPanel()
        self.addTab(self._curve_page, "Curve")
        self.addTab(self._grid_page, "All bins")
        self.addTab(self.table, "Table")
        self.addTab(self.tau, "τ(q)")
        self.table.selectionModel().selectionChanged.connect(self._on_row_selected)
        if hasattr(napari_viewer.events, "theme"):
            napari_viewer.events.theme.connect(self._on_theme_changed)
        self._loading = Runner(self)
        self._loading.finished.connect(self._on_loaded)
        self._loading.start(_load_plots)

    def stop(self) -> None:
        """Let go of the thread."""
        self._loading.cancel()

    @property
    def ready(self) -> bool:
        """True once the plots are loaded."""
        return self.curve_plot is not None

    def show_page(self, name: str) -> None:
        """Show the page "curve", "all", "table" or "tau"."""
        self.setCurrentIndex(PAGES.index(name))

    def shown_plot(self) -> "Plot | None":
        """Return the plot of the page that is shown; the curve beside the table."""
        page = PAGES[self.currentIndex()]
        if page == "tau":
            return self.tau.plot
        return self.grid.plot if page == "all" and self.grid is not None else self.curve_plot

    def is_drawn(self) -> bool:
        """Return whether the plot that is in front shows what was asked for last."""
        plot = self.shown_plot()
        return plot is not None and (plot.settled or plot.is_covered())

    def show_fit(self, fit: G2Fit | None) -> None:
        """Fill table and tau(q) with another fit."""
        self._fit = fit
        if fit is None:
            self.table.show_rows([], np.zeros(0, dtype=bool))
        else:
            self.table.show_rows(*fit_table_columns(fit))
        self.tau.show_fit(fit)

    def show_bin(self, curves: G2Curves | None, label: int | None, age_s: float | None) -> None:
        """Tell what was fitted to the bin ``label``, and mark it among the small pictures.

        ``age_s`` is the age in a two-time map that stands in for a bin.
        """
        row = None if self._fit is None or label is None else row_of(self._fit, label)
        said = [] if age_s is None else [f"age {age_s:.4g} s"]
        if self._fit is not None and row is not None:
            said.append(bin_summary(self._fit, row))
        self._status.setText("; ".join(said))
        if self.grid is not None:
            self.grid.show_curves(curves, self._fit, label)

    def select_row(self, label: int) -> None:
        """Select the row of the bin ``label`` in the table, if it was fitted."""
        row = None if self._fit is None else row_of(self._fit, label)
        if row is not None:
            self.table.select_row(row)

    def _on_row_selected(self) -> None:
        row = self.table.current_row()
        if self._fit is not None and row is not None:
            self.chosen.emit(int(self._fit.bins.label[row]))

    def _on_loaded(self, modules: Any) -> None:
        plots, curve_plot, curve_grid, posterior_plots = modules
        theme = str(self._viewer.theme)
        self.curve_plot = curve_plot.CurvePlot(theme)
        self.curve_plot.range_dragged.connect(self.range_dragged)
        self.curve_plot.range_dropped.connect(self.range_dropped)
        self.grid = curve_grid.CurveGrid(theme)
        self.grid.chosen.connect(self.chosen)
        self.tau.take_plot(plots.TauPlot(theme, height=200))
        for page, plot in ((self._curve_page, self.curve_plot), (self._grid_page, self.grid)):
            old = page.layout().itemAt(0).widget()
            page.layout().replaceWidget(old, plot)
            page.layout().setStretchFactor(plot, 1)
            old.deleteLater()
        self.loaded.emit(posterior_plots)

    def _on_theme_changed(self) -> None:
        theme = str(self._viewer.theme)
        if self.curve_plot is None or self.grid is None or self.tau.plot is None:
            return
        for plot in (self.curve_plot, self.grid.plot, self.tau.plot):
            plot.set_theme(theme)


def _load_plots() -> Steps[Any]:
    """Import matplotlib, which takes seconds; runs in the thread."""
    yield Progress(0, 1, "plots")
    with collection_paused():
        from napari_xpcs.plugin import curve_grid, curve_plot, plots, posterior_plots

    return plots, curve_plot, curve_grid, posterior_plots
