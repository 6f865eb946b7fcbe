"""Several g2 curves in one plot, one of them in front."""

from typing import TYPE_CHECKING

import numpy as np

from napari_xpcs.backends.io_adapter import matplotlib_adapter
from napari_xpcs.kernels.curves import G2Curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CURVES = 5
"""Curves that can be told apart in a dock."""
LONGEST_NAME = 38
"""Letters of a name in a legend at 300 px."""


def columns_to_show(curves: G2Curves, label: int, most: int = MOST_CURVES) -> list[int]:
    """Return the column of ``label`` first, then some others from the first to the last bin.

    Columns without a number are passed over.
    """
    counted = [int(c) for c in np.flatnonzero(np.isfinite(curves.g2).any(axis=0))]
    chosen = [c for c in counted if curves.bins.label[c] == label]
    others = [c for c in counted if c not in chosen]
    room = max(min(most - len(chosen), len(others)), 0)
    spread = np.linspace(0, len(others) - 1, room).round().astype(int)
    return chosen + [others[place] for place in spread]


def draw_family(
    figure: "Figure",
    *,
    curves: G2Curves,
    columns: list[int],
    names: list[str],
    title: str,
    legend: str = "",
    front: bool = True,
) -> None:
    """Draw ``columns`` of ``curves``; the first one in front with its errors, where ``front``.

    Names stand below the axes, where they hide no curve, under the title ``legend``; one curve
    needs none.
    """
    axes = figure.subplots()
    axes.set(xscale="log", xlabel="delay (s)", ylabel="g2")
    shades = matplotlib_adapter.to_numpy(np.linspace(0.0, 1.0, max(len(columns), 2)))
    for place, (column, name) in enumerate(zip(columns, names, strict=True)):
        g2 = matplotlib_adapter.to_numpy(curves.g2[:, column])
        counted = np.isfinite(g2)
        delay = matplotlib_adapter.to_numpy(curves.delay_s)[counted]
        error = np.nan_to_num(matplotlib_adapter.to_numpy(curves.error[:, column])[counted])
        if front and place == 0:
            axes.errorbar(
                delay, g2[counted], error, fmt="o-", ms=3, lw=1.4, color="tab:red", label=name
            )
        else:
            axes.plot(
                delay, g2[counted], ".-", ms=3, lw=0.7, color=shade(shades[place]), label=name
            )
    if len(columns) > 1:
        lines, _ = axes.get_legend_handles_labels()
        # An errorbar comes last wherever it was drawn.
        drawn = sorted(lines, key=lambda line: names.index(str(line.get_label())))
        figure.legend(
            drawn, names, title=legend, loc="outside lower center", ncols=3, fontsize=7,
            title_fontsize=7, columnspacing=1.0, handlelength=1.5,
        )  # fmt: skip
    axes.set_title(title, wrap=True)


def shade(part: float) -> tuple[float, ...]:
    """Return blue at 0, green half-way and orange at 1: seen on light and on dark paper."""
    stops = np.array([(0.25, 0.45, 1.0), (0.1, 0.7, 0.45), (0.95, 0.55, 0.1)])
    return tuple(float(np.interp(part, (0.0, 0.5, 1.0), stops[:, hue])) for hue in range(3))


def short(name: str) -> str:
    """Return a name that fits into a legend, without its middle where it is long."""
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
