"""All bins at a glance: small pictures of every g2 with its fit, in one pair of axes.

A pair of axes for each bin would take seconds to draw.  Importing this takes seconds too, as
:mod:`napari_xpcs.plugin.plots` does: in a thread, then.
"""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QMouseEvent, QResizeEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

from napari_xpcs.backends.io_adapter import matplotlib_adapter
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin.plots import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_PX = 84, 66
MOST_CELLS = 400
_FINE = 40
_INSIDE = (0.06, 0.94, 0.05, 0.72)
"""Where a curve lies in its cell: left, right, bottom, top; its title is above."""
_FRAME = np.array([[0.03, 0.03], [0.97, 0.03], [0.97, 0.97], [0.03, 0.97], [0.03, 0.03]])
_SHORT = {
    "at_bound": "bound",
    "not_identifiable": "open",
    "no_data": "empty",
    "failed": "failed",
}


class CurveGrid(QScrollArea):
    """A scrolling picture with a cell for every bin; a click on a cell chooses the bin."""

    chosen = Signal(int)
    """The label of the bin that was clicked."""

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="grid")
        self.plot = Plot(theme)
        self._curves: G2Curves | None = None
        self._fit: G2Fit | None = None
        self._label: int | None = None
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(self.plot)

    def show_curves(self, curves: G2Curves | None, fit: G2Fit | None, label: int | None) -> None:
        """Show every bin of ``curves``, with a frame about ``label``."""
        self._curves, self._fit, self._label = curves, fit, label
        self._arrange()

    def columns(self) -> int:
        """Return how many cells stand side by side."""
        return max(int(self.viewport().width()) // CELL_PX[0], 1)

    def _arrange(self) -> None:
        if self._curves is None:
            self.plot.setMinimumHeight(120)
            self.plot.show_hint("No g2 yet.")
            return
        shown = min(len(self._curves.bins), MOST_CELLS)
        self.plot.setMinimumHeight(-(-shown // self.columns()) * CELL_PX[1])
        self.plot.ask(
            partial(
                draw_grid,
                curves=self._curves,
                fit=self._fit,
                label=self._label,
                columns=self.columns(),
                rows=self.rows(),
            )
        )

    def rows(self) -> int:
        """Return how many rows of cells the picture has room for."""
        height = max(int(self.plot.minimumHeight()), int(self.viewport().height()))
        return max(height // CELL_PX[1], 1)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - the name is Qt's
        """Put as many cells side by side as fit."""
        super().resizeEvent(event)
        self._arrange()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Choose the bin of the cell under the mouse."""
        if self._curves is None:
            return
        at = self.plot.mapFrom(self, event.position().toPoint())
        column = int(at.x() * self.columns() / max(self.plot.width(), 1))
        row = int(at.y() * self.rows() / max(self.plot.height(), 1))
        cell = row * self.columns() + column
        if 0 <= cell < min(len(self._curves.bins), MOST_CELLS):
            self.chosen.emit(int(self._curves.bins.label[cell]))


def draw_grid(
    figure: "Figure",
    *,
    curves: G2Curves,
    fit: G2Fit | None,
    label: int | None,
    columns: int,
    rows: int,
) -> None:
    """Draw a cell for every bin: log delay across, g2 from its least to its largest value up.

    A green frame says that the fit is ok.
    """
    from matplotlib.collections import LineCollection

    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    delay = matplotlib_adapter.to_numpy(curves.delay_s)
    ends = np.log(delay[delay > 0].min()), np.log(delay[delay > 0].max())
    points: list[np.ndarray] = []
    lines: list[np.ndarray] = []
    frames: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for cell in range(min(len(curves.bins), MOST_CELLS)):
        corner = np.array([cell % columns, cell // columns], dtype=float)
        row = _row(fit, int(curves.bins.label[cell]))
        ok = fit is not None and row is not None and fit.status[row] == "ok"
        frames[ok].append(corner + _FRAME)
        axes.text(
            corner[0] + 0.06,
            corner[1] + 0.16,
            _cell_title(curves, cell, fit, row),
            fontsize=6,
            va="center",
            clip_on=True,
        )
        g2 = matplotlib_adapter.to_numpy(curves.g2[:, cell])
        counted = np.isfinite(g2) & (delay > 0)
        if np.count_nonzero(counted) < 2:
            continue
        place = partial(_place, corner, ends, (float(g2[counted].min()), float(g2[counted].max())))
        points.append(place(delay[counted], g2[counted]))
        if fit is not None and row is not None and np.isfinite(fit.optimum[row]).all():
            fine = np.geomspace(delay[counted].min(), delay[counted].max(), _FINE)
            lines.append(place(fine, fit.curve(row, fine)))
    axes.add_collection(LineCollection(frames[False], colors="gray", linewidths=0.5))
    axes.add_collection(LineCollection(frames[True], colors="tab:green", linewidths=0.8))
    if points:
        every = np.concatenate(points)
        axes.plot(every[:, 0], every[:, 1], ".", ms=2, color="tab:cyan")
    axes.add_collection(LineCollection(lines, colors="tab:orange", linewidths=1))
    chosen = np.flatnonzero(curves.bins.label[:MOST_CELLS] == label)
    if chosen.size:
        corner = np.array([int(chosen[0]) % columns, int(chosen[0]) // columns])
        axes.plot(*(corner + _FRAME).T, color="tab:red", lw=2)


def _row(fit: G2Fit | None, label: int) -> int | None:
    found = [] if fit is None else list(np.flatnonzero(fit.bins.label == label))
    return int(found[0]) if found else None


def _cell_title(curves: G2Curves, cell: int, fit: G2Fit | None, row: int | None) -> str:
    """Return label and q, and in a word what is wrong with the fit."""
    text = str(curves.bins.label[cell])
    if np.isfinite(curves.bins.q[cell]):
        text += f"  {curves.bins.q[cell]:.3g}"
    if fit is None or row is None or fit.status[row] == "ok":
        return text
    return f"{text} {_SHORT[fit.status[row].partition(':')[0]]}"


def _place(
    corner: np.ndarray,
    ends: tuple[float, float],
    limits: tuple[float, float],
    delay: np.ndarray,
    g2: np.ndarray,
) -> np.ndarray:
    """Return where points lie in the axes, with a g2 beyond the ``limits`` on the edge."""
    left, right, bottom, top = _INSIDE
    across = (np.log(delay) - ends[0]) / max(ends[1] - ends[0], 1e-9)
    up = np.clip((g2 - limits[0]) / max(limits[1] - limits[0], 1e-12), 0.0, 1.0)
    x, y = left + (right - left) * across, 1 - bottom - (top - bottom) * up
    return np.column_stack([corner[0] + x, corner[1] + y])
