"""The plot of one bin: g2 of one run or several, its fit, residuals, two lines to drag.

Importing this takes seconds, as :mod:`napari_xpcs.plugin.plots` does: in a thread, then.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_xpcs.fitting.options import EVERYWHERE, Range
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.plugin.curve_family import short
from napari_xpcs.plugin.plots import Plot
from napari_xpcs.plugin.shown_curves import ShownCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

End = Literal["low", "high"]

COLORS = ("tab:cyan", "tab:pink", "tab:green", "tab:olive", "tab:purple", "tab:brown")
FIT_COLOR = "tab:orange"
_GRIP_PX = 7
_LINE, _LIVE = QColor(160, 160, 160), QColor(255, 215, 0)
_FINE = 200


class CurvePlot(Plot):
    """g2 of one bin with its fit, and the residuals in units of the error below.

    The two dashed lines are the first and the last delay of the fit; dragging one tells the range
    at every move, and once more when it is let go.
    """

    range_dragged = Signal(float, float)
    """The range while a line is dragged, s."""
    range_dropped = Signal(float, float)
    """The range where a line was let go, s."""

    def __init__(self, theme: str, height: int = 260, parent: QWidget | None = None) -> None:
        super().__init__(theme, height, parent)
        self._first: ShownCurve | None = None
        self._range: Range = EVERYWHERE
        self._live: G2Fit | None = None
        self._dragged: End | None = None
        self.setMouseTracking(True)
        self.setToolTip("Drag the dashed lines to choose the delays that are fitted.")

    def show_curves(self, shown: Sequence[ShownCurve], fit_range: Range) -> None:
        """Show one curve, or the same bin of several runs; the first has the range."""
        self._first, self._range, self._live = shown[0], fit_range, None
        if not any(len(one.points()[0]) for one in shown):
            label = shown[0].curves.bins.label[shown[0].column]
            self._first = None
            self.show_hint(f"Bin {label}: nothing was counted at any delay.")
            return
        self.ask(partial(draw_curves, shown=tuple(shown), fit_range=fit_range))

    def show_nothing(self, text: str) -> None:
        """Show a sentence in place of a curve."""
        self._first = None
        self.show_hint(text)

    def show_live(self, fit: G2Fit) -> None:
        """Lay the fit of the one bin over the picture, at once."""
        self._live = fit
        self.update()

    def ends(self) -> Range | None:
        """Return the delays of the two lines, s."""
        if self._first is None:
            return None
        delay = self._first.points()[0]
        if not len(delay):
            return None
        low, high = float(delay.min()), float(delay.max())
        return min(max(self._range[0], low), high), max(min(self._range[1], high), low)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - the name is Qt's
        """Draw the lines, and the fit that follows them, over the picture."""
        super().paintEvent(event)
        ends, axes = self.ends(), self._axes()
        if ends is None or axes is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(_LINE, 1.5, Qt.PenStyle.DashLine))
        low, high = axes.get_ylim()
        for end in ends:
            top, bottom = self._at(axes, [end, end], [high, low])
            painter.drawLine(top, bottom)
            painter.fillRect(int(bottom.x()) - 3, int(bottom.y()) - 12, 7, 12, _LINE)
        if self._live is not None and np.isfinite(self._live.optimum[0]).all():
            fine = np.geomspace(*self.ends_of_axes(axes), _FINE)
            painter.setPen(QPen(_LIVE, 2.0))
            painter.setClipRect(self.rect())
            painter.drawPolyline(QPolygonF(self._at(axes, fine, self._live.curve(0, fine))))
        painter.end()

    @staticmethod
    def ends_of_axes(axes: "Axes") -> Range:
        """Return the first and last delay that the axes show, s."""
        low, high = axes.get_xlim()
        return float(low), float(high)

    def _axes(self) -> "Axes | None":
        """Return the axes that the picture shows g2 in, if it shows any."""
        figure = self.figure
        if figure is None or not figure.axes or figure.axes[0].get_xscale() != "log":
            return None
        axes: Axes = figure.axes[0]
        return axes

    def _at(
        self, axes: "Axes", delay: Sequence[float] | np.ndarray, g2: Sequence[float] | np.ndarray
    ) -> list[QPointF]:
        """Return the places of points in pixels of this widget."""
        pixels = axes.transData.transform(np.column_stack([delay, g2]))
        ratio, height = self.devicePixelRatioF(), axes.figure.bbox.height
        # A picture that is smaller than the widget stands in the middle of its height.
        above = (self.height() - height / ratio) / 2
        return [QPointF(x / ratio, (height - y) / ratio + above) for x, y in pixels]

    def _near(self, x: float) -> End | None:
        ends, axes = self.ends(), self._axes()
        if ends is None or axes is None:
            return None
        low, high = (point.x() for point in self._at(axes, ends, axes.get_ylim()))
        if min(abs(x - low), abs(x - high)) > _GRIP_PX:
            return None
        return "low" if abs(x - low) <= abs(x - high) else "high"

    def _delay_at(self, x: float) -> float:
        axes = self._axes()
        assert axes is not None
        inside = axes.transData.inverted().transform((x * self.devicePixelRatioF(), 0.0))
        return float(inside[0])

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Take hold of the line under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._dragged = self._near(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Move the line that is held; else show which one could be."""
        x = event.position().x()
        if self._dragged is None:
            near = self._near(x) is not None
            self.setCursor(Qt.CursorShape.SplitHCursor if near else Qt.CursorShape.ArrowCursor)
            return
        self._drag_to(self._dragged, x)
        self.range_dragged.emit(*self._range)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Let go of the line."""
        if self._dragged is not None:
            self._drag_to(self._dragged, event.position().x())
            self._dragged = None
            self.range_dropped.emit(*self._range)

    def _drag_to(self, end: End, x: float) -> None:
        """Move one end; at the edge of what was measured the range has no end there."""
        first, axes = self._first, self._axes()
        if first is None or axes is None:
            return
        measured, at = first.points()[0], self._delay_at(x)
        low, high = self._range
        if end == "low":
            low = 0.0 if at <= measured.min() else min(at, 0.9 * min(high, measured.max()))
        else:
            high = np.inf if at >= measured.max() else max(at, 1.1 * max(low, measured.min()))
        self._range = (float(low), float(high))
        self.update()


def draw_curves(
    figure: "Figure", *, shown: Sequence[ShownCurve], fit_range: Range = EVERYWHERE
) -> None:
    """Draw curves with their fits, and below what the fits leave."""
    fitted = any(one.fitted for one in shown)
    panels = figure.subplots(
        2 if fitted else 1,
        1,
        sharex=True,
        squeeze=False,
        height_ratios=(3, 1) if fitted else None,
    )[:, 0]
    top = panels[0]
    top.set(xscale="log", ylabel="g2")
    for k, one in enumerate(shown):
        delay, g2, error = one.points()
        if not len(delay):
            continue
        color = COLORS[k % len(COLORS)]
        name = short(Path(one.curves.source).name or "run") if len(shown) > 1 else "measured"
        top.errorbar(delay, g2, error, fmt="o", ms=3, lw=0.8, color=color, zorder=1, label=name)
        if one.fit is None or one.row is None or not one.fitted:
            continue
        line = FIT_COLOR if len(shown) == 1 else color
        fine = np.geomspace(delay.min(), delay.max(), _FINE)
        label = one.fit.model if len(shown) == 1 else None
        top.plot(fine, one.fit.curve(one.row, fine), color=line, lw=1.5, label=label)
        used = (delay >= fit_range[0]) & (delay <= fit_range[1])
        weighed = error > 0
        for part, alpha in ((weighed & used, 1.0), (weighed & ~used, 0.3)):
            residual = (g2 - one.fit.curve(one.row, delay))[part] / error[part]
            panels[1].plot(delay[part], residual, "o", ms=2, color=line, alpha=alpha)
    if fitted:
        panels[1].axhline(0.0, color="gray", lw=0.5)
        panels[1].set_ylabel("residual / σ")
    if len(shown) > 1:
        # Names of files are long: below the axes they hide no point.
        figure.legend(loc="outside lower left", fontsize=7, frameon=False)
    elif fitted:
        top.legend(fontsize=7, framealpha=0.6)
    first = shown[0]
    top.set_title(first.title)
    panels[-1].set_xlabel("delay (s)")
