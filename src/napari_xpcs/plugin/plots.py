"""matplotlib plots in the colours of napari, drawn in a thread: each takes tenths of seconds.

Importing this takes seconds too, so do it in a thread.
"""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_xpcs.backends.io_adapter import matplotlib_adapter
from napari_xpcs.fitting.dispersion import Dispersion, relaxation_times
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

Draw: TypeAlias = Callable[[Figure], None]

SETTLE_MS = 50
DOTS_PER_INCH = 100
_drawing = Lock()
"""matplotlib shares its fonts and its reader of formulas between figures."""


class Plot(QLabel):
    """The picture of a figure, drawn anew a moment after the last change or resize."""

    def __init__(self, theme: str, height: int = 260, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.figure: Figure | None = None
        self._draw: Draw | None = None
        # The picture follows the size of the label, not the other way round.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumHeight(height)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._runner = Runner(self)
        self._settle.timeout.connect(self._start)
        self._runner.finished.connect(self._on_drawn)
        self.set_theme(theme)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        colors = get_theme(theme)
        self._ink, self._paper = colors.text.as_hex(), colors.background.as_hex()
        self._settle.start()

    def show_hint(self, text: str) -> None:
        """Show a sentence in place of a curve."""
        self.ask(partial(_draw_hint, text=text))

    def ask(self, draw: Draw) -> None:
        """Show what ``draw(figure)`` draws, soon; what was asked for before is dropped."""
        self._draw = draw
        self._settle.start()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - the name is Qt's
        """Draw for the new size."""
        super().resizeEvent(event)
        self._settle.start()

    def _start(self) -> None:
        if self._draw is not None:
            size, ratio = (self.width(), self.height()), self.devicePixelRatioF()
            self._runner.start(
                partial(_picture_steps, self._draw, size, ratio, self._ink, self._paper)
            )

    def _on_drawn(self, drawn: tuple[Figure, np.ndarray]) -> None:
        self.figure, pixels = drawn
        rows, cols = pixels.shape[:2]
        data, form = pixels.tobytes(), QImage.Format.Format_RGBA8888
        picture = QImage(data, cols, rows, 4 * cols, form).copy()
        picture.setDevicePixelRatio(self.devicePixelRatioF())
        self.setPixmap(QPixmap.fromImage(picture))


def _picture_steps(
    draw: Draw, size: tuple[int, int], ratio: float, ink: str, paper: str
) -> Steps[tuple[Figure, np.ndarray]]:
    """Draw a figure and return it with its pixels; runs in the thread."""
    yield Progress(0, 1, "plot")
    width, height = (max(pixels, 100) / DOTS_PER_INCH for pixels in size)
    with _drawing:
        figure = Figure(
            (width, height), DOTS_PER_INCH * ratio, facecolor=paper, layout="constrained"
        )
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        for axes in figure.axes:
            _dress(axes, ink, paper)
        for text in figure.texts:
            text.set_color(ink)
        canvas.draw()
        return figure, np.array(canvas.buffer_rgba())


def _dress(axes: Axes, ink: str, paper: str) -> None:
    axes.set_facecolor(paper)
    axes.tick_params(which="both", colors=ink, labelsize=8)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_color(ink)
        text.set_fontsize(8)
    for spine in axes.spines.values():
        spine.set_color(ink)
    legend = axes.get_legend()
    if legend is not None:
        legend.get_frame().set_facecolor(paper)
        for text in legend.get_texts():
            text.set_color(ink)


class CurvePlot(Plot):
    """g2 of one bin with its fit, and the residuals in units of the error below."""

    def show_curve(self, curves: G2Curves, column: int, fit: G2Fit | None, row: int | None) -> None:
        """Show column ``column`` of ``curves`` and row ``row`` of ``fit``."""
        if not np.isfinite(curves.g2[:, column]).any():
            self.show_hint(f"Bin {curves.bins.label[column]}: nothing was counted at any delay.")
            return
        self.ask(partial(_draw_curve, curves=curves, column=column, fit=fit, row=row))


class TauPlot(Plot):
    """Relaxation time against q with the law that was fitted to it."""

    def show_dispersion(self, fit: G2Fit, dispersion: Dispersion) -> None:
        """Show tau(q) of the determined bins and the fitted law."""
        tau, _ = relaxation_times(fit)
        if not (np.isfinite(tau) & np.isfinite(fit.bins.q)).any():
            self.show_hint("No bin has a relaxation time that its g2 determines.")
            return
        self.ask(partial(_draw_dispersion, fit=fit, dispersion=dispersion))


def _draw_hint(figure: Figure, *, text: str) -> None:
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, wrap=True)


def _draw_curve(
    figure: Figure, *, curves: G2Curves, column: int, fit: G2Fit | None, row: int | None
) -> None:
    g2 = matplotlib_adapter.to_numpy(curves.g2[:, column])
    counted = np.isfinite(g2)
    delay = matplotlib_adapter.to_numpy(curves.delay_s)[counted]
    g2, error = g2[counted], matplotlib_adapter.to_numpy(curves.error[:, column])[counted]
    fitted = fit is not None and row is not None and bool(np.isfinite(fit.value[row]).any())
    panels = figure.subplots(
        2 if fitted else 1,
        1,
        sharex=True,
        squeeze=False,
        height_ratios=(3, 1) if fitted else None,
    )[:, 0]
    top = panels[0]
    top.set(xscale="log", ylabel="g2")
    top.errorbar(
        delay,
        g2,
        np.nan_to_num(error),
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
            fine = np.geomspace(delay.min(), delay.max(), 200)
            top.plot(fine, fit.curve(row, fine), color="tab:orange", lw=1.5, label=fit.model)
            top.legend(fontsize=7, framealpha=0.6)
            weighed = error > 0
            residual = (g2 - fit.curve(row, delay))[weighed] / error[weighed]
            panels[1].plot(delay[weighed], residual, "o", ms=2, color="tab:orange")
            panels[1].axhline(0.0, color="gray", lw=0.5)
            panels[1].set_ylabel("(data - fit) / error")
    top.set_title(title, wrap=True)
    panels[-1].set_xlabel("delay (s)")


def _draw_dispersion(figure: Figure, *, fit: G2Fit, dispersion: Dispersion) -> None:
    q, (tau, error) = fit.bins.q, relaxation_times(fit)
    shown = np.isfinite(tau) & np.isfinite(q)
    axes = figure.subplots()
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


def bin_title(curves: G2Curves, column: int) -> str:
    """Return which bin it is, in words with units."""
    table = curves.bins
    text = f"bin {table.label[column]}"
    if np.isfinite(table.q[column]):
        text += f", q = {table.q[column]:.4g} 1/Å"
    if np.isfinite(table.phi_deg[column]) and np.ptp(table.phi_deg) > 0:
        text += f", φ = {table.phi_deg[column]:.1f}°"
    return text
