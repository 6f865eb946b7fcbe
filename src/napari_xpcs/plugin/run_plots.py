"""Drawing of runs beside each other."""

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xpcs.backends.io_adapter import matplotlib_adapter
from napari_xpcs.pipeline.comparison import Comparison, Line
from napari_xpcs.plugin.curve_family import shade, short
from napari_xpcs.plugin.curve_plot import COLORS
from napari_xpcs.plugin.plots import plain_log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 8
"""Lines that a legend in a dock has room for."""
MOST_WITH_ERRORS = 40
"""Error bars of more lines are a fog, and take seconds to draw."""
NARROW_NAME = 20
"""Names of two columns in 300 px."""
MOST_SHOWN = 0.95
"""Part of the values around a level that decides how much of the axis is shown."""


def draw_comparison(figure: "Figure", *, comparison: Comparison) -> None:
    """Draw the lines: a few in colours of their own, many from blue (first) to orange (last).

    Lines around a level are drawn in the colours of their order, however few they are.
    """
    lines = comparison.lines
    axes = figure.subplots()
    axes.set(xlabel=comparison.x_label, ylabel=comparison.y_label)
    if "x" in comparison.log:
        axes.set_xscale("log")
    if "y" in comparison.log:
        axes.set_yscale("log")
    few = len(lines) <= len(COLORS) and comparison.level is None
    shades = np.linspace(0.0, 1.0, max(len(lines), 2))
    for place, line in enumerate(lines):
        color = COLORS[place] if few else shade(shades[place])
        named = len(lines) <= MOST_NAMED or place in (0, len(lines) - 1)
        x, y = matplotlib_adapter.to_numpy(line.x), matplotlib_adapter.to_numpy(line.y)
        label = short(line.name) if named else None
        if line.error is None or len(lines) > MOST_WITH_ERRORS:
            axes.plot(x, y, **_style(line), color=color, label=label)
        else:
            error = matplotlib_adapter.to_numpy(line.error)
            axes.errorbar(x, y, error, **_style(line), elinewidth=0.7, color=color, label=label)
    if comparison.level is not None:
        _show_around(axes, comparison, comparison.level)
    if comparison.x_label.startswith("q"):
        plain_log_axis(axes.xaxis)
    if "y" in comparison.log:
        plain_log_axis(axes.yaxis)
    if len(lines) > 1:
        all_named = len(lines) <= MOST_NAMED
        figure.legend(
            loc="outside lower left",
            fontsize=7,
            frameon=False,
            ncols=1 if max(len(short(line.name)) for line in lines) > NARROW_NAME else 2,
            title=None if all_named else f"{len(lines)} lines from first to last",
            title_fontsize=7,
            alignment="left",
        )
    axes.set_title(comparison.title, wrap=True)


def _show_around(axes: "Axes", comparison: Comparison, level: float) -> None:
    """Draw where nothing changes, and the values around it; not those of hardly counted bins."""
    axes.axhline(level, color="gray", lw=0.7, zorder=0)
    values = np.concatenate([line.y for line in comparison.lines])
    away = np.abs(values[np.isfinite(values)] - level)
    if away.size and away.max() > 0:
        half = 1.5 * float(np.quantile(away, MOST_SHOWN))
        if 0 < half < away.max():
            axes.set_ylim(level - half, level + half)


def _style(line: Line) -> dict[str, Any]:
    """Return dots joined by a line where there are few; a line alone where they would touch."""
    return {"marker": ".", "ms": 4, "lw": 0.8} if len(line.x) <= 120 else {"lw": 0.9}
