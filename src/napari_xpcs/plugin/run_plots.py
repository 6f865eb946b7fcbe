"""Drawing of runs beside each other."""

from typing import TYPE_CHECKING

import numpy as np

from napari_xpcs.backends.io_adapter import matplotlib_adapter
from napari_xpcs.pipeline.compare import Comparison, Line
from napari_xpcs.plugin.curve_family import shade
from napari_xpcs.plugin.curve_plot import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMED = 8
"""Lines that a legend in a dock has room for."""
MOST_WITH_ERRORS = 40
"""Error bars of more lines are a fog, and take seconds to draw."""
LONGEST_NAME = 34


def draw_comparison(figure: "Figure", *, comparison: Comparison) -> None:
    """Draw the lines: a few in colours of their own, many from blue (first) to orange (last)."""
    lines = comparison.lines
    axes = figure.subplots()
    axes.set(xlabel=comparison.x_label, ylabel=comparison.y_label)
    if "x" in comparison.log:
        axes.set_xscale("log")
    if "y" in comparison.log:
        axes.set_yscale("log")
    few = len(lines) <= len(COLORS)
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
        axes.axhline(comparison.level, color="gray", lw=0.7, zorder=0)
    if len(lines) > 1:
        between = "" if len(lines) <= MOST_NAMED else f"{len(lines)} runs, first to last"
        axes.legend(fontsize=7, framealpha=0.6, title=between or None, title_fontsize=7)
    axes.set_title(comparison.title, wrap=True)


def short(name: str) -> str:
    """Return a name that fits into a legend, without its middle where it is long."""
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _style(line: Line) -> dict[str, object]:
    """Return dots joined by a line where there are few; a line alone where they would touch."""
    return {"marker": ".", "ms": 4, "lw": 0.8} if len(line.x) <= 120 else {"lw": 0.9}
