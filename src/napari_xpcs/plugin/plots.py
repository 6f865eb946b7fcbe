"""matplotlib plots in the colours of napari, drawn in a thread: each takes tenths of seconds.

Importing this takes seconds too, so do it in a thread.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeAlias

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, QTimer
from qtpy.QtGui import QImage, QPaintEvent, QPixmap, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.fitting.dispersion import Dispersion, relaxation_times
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

Draw: TypeAlias = Callable[[Figure], None]

SETTLE_MS = 50
DOTS_PER_INCH = 100
SAVED_DOTS_PER_INCH = 300
MM_PER_INCH = 25.4
FEW = 4.0
"""On a logarithmic axis that spans less, 1, 2 and 5 are too few numbers."""
_PRINTED = {"pdf.fonttype": 42, "svg.fonttype": "none"}
"""Letters stay letters in files for a journal."""

_drawing = Lock()
"""matplotlib shares its fonts and its reader of formulas between figures."""


class Plot(QLabel):
    """The picture of a figure, drawn anew a moment after the last change or resize."""

    def __init__(self, theme: str, height: int = 260, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.figure: Figure | None = None
        self._draw: Draw | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(height)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._runner = Runner(self)
        self._outdated = False
        self._settle.timeout.connect(self._start)
        self._runner.finished.connect(self._on_drawn)
        self._runner.failed.connect(self._on_failed)
        self.set_theme(theme)

    @property
    def settled(self) -> bool:
        """True when what was asked for last is drawn."""
        return not (self._settle.isActive() or self._runner.running or self._outdated)

    def sizeHint(self) -> QSize:  # noqa: N802 - the name is Qt's
        """Return the least height: the picture follows the size, not the other way round."""
        return QSize(0, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the same."""
        return self.sizeHint()

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

    def save_steps(self, path: Path, width_mm: float) -> Steps[Path]:
        """Write what is shown as a figure of ``width_mm``, black on white; runs in the thread.

        Raises
        ------
        XpcsError
            Nothing is shown yet, or the file cannot be written.
        """
        draw, aspect = self._draw, max(self.height(), 100) / max(self.width(), 100)
        yield Progress(0, 1, "figure")
        if draw is None:
            msg = "There is no figure to save yet."
            raise XpcsError(msg)
        width = width_mm / MM_PER_INCH
        with _drawing, rc_context(_PRINTED), atomic_path(path, force=True) as unfinished:
            figure = _dressed(draw, (width, width * aspect), SAVED_DOTS_PER_INCH, "black", "white")
            figure.savefig(unfinished, format=path.suffix[1:].lower() or "pdf")
        return path

    def is_covered(self) -> bool:
        """Return whether the plot is on a page or in a dock behind another, or scrolled away."""
        if self.isVisible():
            return bool(self.visibleRegion().isEmpty())  # docks behind others are not hidden
        return not (self.isWindow() or self.isVisibleTo(self.window()))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Show the picture, and draw what changed while nobody saw it."""
        super().paintEvent(event)
        self._again()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Draw what changed meanwhile."""
        super().showEvent(event)
        self._again()

    def _start(self) -> None:
        # A picture that is being drawn is finished and shown: what changes ten times a second
        # would else never be seen.  One that nobody sees waits until it is painted.
        if self._runner.running or self.is_covered():
            self._outdated = True
        elif self._draw is not None:
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
        self._again()

    def _on_failed(self, reason: str) -> None:
        self.setText(reason)
        self._again()

    def _again(self) -> None:
        if self._outdated:
            self._outdated = False
            self._settle.start()


def _picture_steps(
    draw: Draw, size: tuple[int, int], ratio: float, ink: str, paper: str
) -> Steps[tuple[Figure, np.ndarray]]:
    """Draw a figure and return it with its pixels; runs in the thread."""
    yield Progress(0, 1, "plot")
    width, height = (max(pixels, 100) / DOTS_PER_INCH for pixels in size)
    with _drawing:
        figure = _dressed(draw, (width, height), DOTS_PER_INCH * ratio, ink, paper)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return figure, np.array(canvas.buffer_rgba())


def _dressed(
    draw: Draw, size_inch: tuple[float, float], dots_per_inch: float, ink: str, paper: str
) -> Figure:
    figure = Figure(size_inch, dots_per_inch, facecolor=paper, layout="constrained")
    draw(figure)
    for axes in figure.axes:
        _dress(axes, ink, paper)
    for text in figure.texts:
        text.set_color(ink)
    for legend in figure.legends:
        _dress_legend(legend, ink, paper)
    return figure


def _dress(axes: Axes, ink: str, paper: str) -> None:
    axes.set_facecolor(paper)
    axes.tick_params(which="both", colors=ink, labelsize=8)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_color(ink)
        text.set_fontsize(8)
    for text in axes.texts:
        text.set_color(ink)
    for spine in axes.spines.values():
        spine.set_color(ink)
    legend = axes.get_legend()
    if legend is not None:
        _dress_legend(legend, ink, paper)


def _dress_legend(legend: Legend, ink: str, paper: str) -> None:
    legend.get_frame().set_facecolor(paper)
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_color(ink)


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


def _draw_dispersion(figure: Figure, *, fit: G2Fit, dispersion: Dispersion) -> None:
    q, (tau, error) = fit.bins.q, relaxation_times(fit)
    shown = np.isfinite(tau) & np.isfinite(q)
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="q (1/Å)", ylabel="relaxation time τ (s)")
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
    for axis in (axes.xaxis, axes.yaxis):
        plain_log_axis(axis)


def plain_log_axis(axis: Axis) -> None:
    """Write plain numbers on a logarithmic axis, so few that they do not touch at 300 px."""
    low, high = axis.get_view_interval()
    if high < FEW * low:
        axis.set_major_locator(MaxNLocator(4))
    else:
        subs = (1.0, 2.0, 5.0) if high < 50 * low else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())
