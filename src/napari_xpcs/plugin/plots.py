"""matplotlib plots in the colours of napari; importing this takes seconds, so do it in a thread."""

from typing import Any

import matplotlib.backends.backend_qtagg as backend
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_xpcs.backends.io_adapter import matplotlib_adapter
from napari_xpcs.fitting.dispersion import Dispersion, relaxation_times
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves

REDRAW_MS = 50


class Plot(QWidget):
    """A figure that is redrawn once, shortly after the last change."""

    def __init__(self, theme: str, height: int = 260, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # A small figure asks for little room; the layout gives it what there is.
        self.figure = Figure(figsize=(3.0, height / 100), layout="constrained")
        self.canvas = backend.FigureCanvasQTAgg(self.figure)
        self.canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(height)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self._redraw = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._redraw.timeout.connect(self.canvas.draw_idle)
        self.set_theme(theme)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        colors = get_theme(theme)
        self.ink, self.paper = colors.text.as_hex(), colors.background.as_hex()
        self.figure.set_facecolor(self.paper)
        for axes in self.figure.axes:
            self._dress(axes)
        self.redraw()

    def redraw(self) -> None:
        """Draw soon; several calls in a row draw once."""
        self._redraw.start()

    def _dress(self, axes: Any) -> None:
        axes.set_facecolor(self.paper)
        axes.tick_params(which="both", colors=self.ink, labelsize=8)
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
            text.set_color(self.ink)
            text.set_fontsize(8)
        for spine in axes.spines.values():
            spine.set_color(self.ink)

    def show_hint(self, text: str) -> None:
        """Show a sentence in place of a curve."""
        self.figure.clear()
        self.figure.text(
            0.5, 0.5, text, ha="center", va="center", color=self.ink, fontsize=9, wrap=True
        )
        self.redraw()


class CurvePlot(Plot):
    """g2 of one bin with its fit, and the residuals in units of the error below."""

    def show_curve(self, curves: G2Curves, column: int, fit: G2Fit | None, row: int | None) -> None:
        """Show column ``column`` of ``curves`` and row ``row`` of ``fit``."""
        delay = matplotlib_adapter.to_numpy(curves.delay_s)
        g2 = matplotlib_adapter.to_numpy(curves.g2[:, column])
        error = matplotlib_adapter.to_numpy(curves.error[:, column])
        counted = np.isfinite(g2)
        if not counted.any():
            self.show_hint(f"Bin {curves.bins.label[column]}: nothing was counted at any delay.")
            return
        self.figure.clear()
        fitted = fit is not None and row is not None and bool(np.isfinite(fit.value[row]).any())
        panels = self.figure.subplots(
            2 if fitted else 1,
            1,
            sharex=True,
            squeeze=False,
            height_ratios=(3, 1) if fitted else None,
        )[:, 0]
        panels[0].set(xscale="log", ylabel="g2")
        panels[0].errorbar(
            delay[counted],
            g2[counted],
            np.nan_to_num(error[counted]),
            fmt="o",
            ms=3,
            lw=0.8,
            color="tab:cyan",
            label="measured",
        )
        title = bin_title(curves, column)
        if fit is not None and row is not None:
            title += f"\n{fit.status[row]}"
            if fitted:
                self._draw_fit(panels, fit, row, delay[counted], g2[counted], error[counted])
        panels[0].set_title(title, wrap=True)
        panels[-1].set_xlabel("delay (s)")
        for axes in panels:
            self._dress(axes)
        self.redraw()

    def _draw_fit(
        self,
        panels: np.ndarray,
        fit: G2Fit,
        row: int,
        delay: np.ndarray,
        g2: np.ndarray,
        error: np.ndarray,
    ) -> None:
        top, bottom = panels
        fine = np.geomspace(delay.min(), delay.max(), 200)
        top.plot(fine, fit.curve(row, fine), color="tab:orange", lw=1.5, label=fit.model)
        top.legend(fontsize=7, facecolor=self.paper, labelcolor=self.ink, framealpha=0.6)
        weighed = error > 0
        residual = (g2 - fit.curve(row, delay))[weighed] / error[weighed]
        bottom.plot(delay[weighed], residual, "o", ms=2, color="tab:orange")
        bottom.axhline(0.0, color=self.ink, lw=0.5)
        bottom.set_ylabel("(data - fit) / error")


class TauPlot(Plot):
    """Relaxation time against q with the law that was fitted to it."""

    def show_dispersion(self, fit: G2Fit, dispersion: Dispersion) -> None:
        """Show tau(q) of the determined bins and the fitted law."""
        q, (tau, error) = fit.bins.q, relaxation_times(fit)
        shown = np.isfinite(tau) & np.isfinite(q)
        if not shown.any():
            self.show_hint("No bin has a relaxation time that its g2 determines.")
            return
        self.figure.clear()
        axes = self.figure.subplots()
        axes.set(xscale="log", yscale="log", xlabel="q (1/Å)", ylabel="relaxation time τ (s)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FormatStrFormatter("%g"))
            axis.set_minor_formatter(NullFormatter())
        axes.errorbar(
            q[shown],
            tau[shown],
            np.nan_to_num(error[shown]),
            fmt="o",
            ms=4,
            lw=0.8,
            color="tab:cyan",
        )
        if dispersion.status == "ok":
            fine = np.geomspace(q[shown].min(), q[shown].max(), 100)
            axes.plot(fine, dispersion.tau(fine), color="tab:orange", lw=1.5)
        axes.set_title(dispersion.text(), wrap=True)
        self._dress(axes)
        self.redraw()


def bin_title(curves: G2Curves, column: int) -> str:
    """Return which bin it is, in words with units."""
    table = curves.bins
    text = f"bin {table.label[column]}"
    if np.isfinite(table.q[column]):
        text += f", q = {table.q[column]:.4g} 1/Å"
    if np.isfinite(table.phi_deg[column]) and np.ptp(table.phi_deg) > 0:
        text += f", φ = {table.phi_deg[column]:.1f}°"
    return text
