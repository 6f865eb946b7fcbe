"""Plots of posteriors: trace, rank, pairs, forest over the bins, and what new data would show.

Importing this takes seconds, as :mod:`napari_xpcs.plugin.plots` does: in a thread, then.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from napari_xpcs.backends.io_adapter import matplotlib_adapter
from napari_xpcs.kernels.curves import bin_text
from napari_xpcs.plugin.plots import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_xpcs.fitting.posterior import Posterior
    from napari_xpcs.kernels.curves import G2Curves

CHAIN_COLORS = ("tab:cyan", "tab:orange", "tab:green", "tab:pink", "tab:olive", "tab:purple")
WIDE = 0.954499736104
"""Probability within two standard deviations of a normal distribution."""

_MOST_POINTS = 600
"""Draws of a chain, or points of a cloud, that a picture of some hundred pixels can show."""

_RANK_BINS = 20


class PosteriorPlot(Plot):
    """One view of a posterior; each takes a posterior so far as well."""

    def show_trace(self, posterior: "Posterior", row: int) -> None:
        """Show the draws of every free parameter in their order, a line for each chain."""
        if self._has_draws(posterior, row):
            self.ask(partial(draw_trace, posterior=posterior, row=row))

    def show_rank(self, posterior: "Posterior", row: int) -> None:
        """Show how the ranks of each chain are spread: level where the chains agree."""
        if self._has_draws(posterior, row):
            self.ask(partial(draw_rank, posterior=posterior, row=row))

    def show_pairs(self, posterior: "Posterior", row: int) -> None:
        """Show every free parameter against every other, and each by itself on the diagonal."""
        if self._has_draws(posterior, row):
            self.ask(partial(draw_pairs, posterior=posterior, row=row))

    def show_forest(self, posterior: "Posterior", name: str) -> None:
        """Show the parameter ``name`` of all bins: median, 68 % and 95 %."""
        if not posterior.drawn.any():
            self.show_hint("No bin has draws yet.")
            return
        self.ask(partial(draw_forest, posterior=posterior, name=name))

    def show_predictive(
        self, curves: "G2Curves", column: int, posterior: "Posterior", row: int
    ) -> None:
        """Show g2 with the band of its curve, and the wider one of points measured again."""
        if self._has_draws(posterior, row):
            self.ask(
                partial(draw_predictive, curves=curves, column=column, posterior=posterior, row=row)
            )

    def _has_draws(self, posterior: "Posterior", row: int) -> bool:
        if posterior.drawn[row] > 1:
            return True
        self.show_hint(f"Bin {posterior.bins.label[row]}: {posterior.status[row]}")
        return False


def draw_trace(figure: "Figure", *, posterior: "Posterior", row: int) -> None:
    """Draw the view of :meth:`PosteriorPlot.show_trace`."""
    panels = _panels(figure, posterior)
    draws = _free_draws(posterior, row)
    every = max(1, draws.shape[1] // _MOST_POINTS)
    at = np.arange(draws.shape[1])[::every]
    for i, axes in enumerate(panels):
        for k, chain in enumerate(draws[:, ::every, i]):
            axes.plot(at, chain, lw=0.6, color=CHAIN_COLORS[k % len(CHAIN_COLORS)])
        name = _free_names(posterior)[i]
        axes.set(ylabel=name, yscale=_scale(posterior, row, name))
    if posterior.trace is not None:
        diverged = np.flatnonzero(posterior.trace.diverged[row, :, : draws.shape[1]].any(axis=0))
        for axes in panels:
            axes.plot(diverged, np.zeros(len(diverged)), "|", color="tab:red", ms=8,
                      transform=axes.get_xaxis_transform())  # fmt: skip
    panels[-1].set_xlabel("draw")
    panels[0].set_title(_title(posterior, row), wrap=True)


def draw_rank(figure: "Figure", *, posterior: "Posterior", row: int) -> None:
    """Draw the view of :meth:`PosteriorPlot.show_rank`."""
    panels = _panels(figure, posterior)
    draws = _free_draws(posterior, row)
    chains, count = draws.shape[:2]
    for i, axes in enumerate(panels):
        ranks = np.argsort(np.argsort(draws[..., i], axis=None)).reshape(chains, count)
        edges = np.linspace(0, chains * count, _RANK_BINS + 1)
        for k in range(chains):
            height = np.histogram(ranks[k], edges)[0] * _RANK_BINS / count
            axes.stairs(
                height, edges, baseline=None, color=CHAIN_COLORS[k % len(CHAIN_COLORS)], lw=1
            )
        axes.axhline(1.0, color="gray", lw=0.5)
        axes.set_ylim(0, None)
        axes.set_ylabel(_free_names(posterior)[i])
    panels[-1].set_xlabel("rank among the draws of all chains")
    panels[0].set_title(_title(posterior, row), wrap=True)


def draw_pairs(figure: "Figure", *, posterior: "Posterior", row: int) -> None:
    """Draw the view of :meth:`PosteriorPlot.show_pairs`."""
    draws = _free_draws(posterior, row)
    flat = draws.reshape(-1, draws.shape[-1])
    points = flat[:: max(1, len(flat) // _MOST_POINTS)]
    names = _free_names(posterior)
    grid = figure.subplots(len(names), len(names), squeeze=False, sharex="col")
    for i, j in np.ndindex(grid.shape):
        axes: Any = grid[i, j]
        if j > i:
            axes.set_axis_off()
            continue
        across, up = (_scale(posterior, row, names[k]) for k in (j, i))
        axes.set_xscale(across)
        axes.tick_params(axis="x", labelrotation=90)
        if i == j:
            axes.hist(flat[:, i], _edges(posterior, row, names[i]), color="tab:cyan")
            axes.set_yticks([])
        else:
            axes.plot(points[:, j], points[:, i], ".", ms=1.5, color="tab:cyan")
            axes.set_yscale(up)
            axes.tick_params(axis="y", labelleft=j == 0)
        for axis, scale in (("x", across), ("y", up)):
            # Small panels: two ticks, which a logarithmic axis chooses by itself.
            if scale == "linear" and (axis == "x" or i != j):
                axes.locator_params(axis=axis, nbins=3)
                axes.ticklabel_format(axis=axis, useOffset=False)
        if i == len(names) - 1:
            axes.set_xlabel(names[j])
        if j == 0 and i > 0:
            axes.set_ylabel(names[i])
    figure.suptitle(_title(posterior, row), fontsize=8, wrap=True)


def draw_forest(figure: "Figure", *, posterior: "Posterior", name: str) -> None:
    """Draw the view of :meth:`PosteriorPlot.show_forest`."""
    column = posterior.names.index(name)
    parameter = posterior.fit.g2_model.parameters[column]
    axes = figure.subplots()
    label = posterior.bins.label
    median = posterior.median()[:, column]
    good = posterior.determined[:, column] & posterior.ok
    for level, width in ((WIDE, 0.8), (None, 2.5)):
        low, high = posterior.interval() if level is None else posterior.interval(level)
        for rows, color in ((good, "tab:cyan"), (~good, "gray")):
            axes.vlines(label[rows], low[rows, column], high[rows, column], color=color, lw=width)
    axes.plot(label[good], median[good], "o", ms=4, color="tab:cyan", label="ok")
    if (~good & np.isfinite(median)).any():
        axes.plot(label[~good], median[~good], "o", ms=3, color="gray", label="not ok")
        axes.legend(fontsize=7, framealpha=0.6)
    if parameter.log:
        axes.set_yscale("log")
    unit = f" ({parameter.unit})" if parameter.unit else ""
    axes.set(xlabel="bin", ylabel=f"{name}{unit}")
    axes.locator_params(axis="x", integer=True)
    axes.set_title("median, 68 % and 95 %")


def draw_predictive(
    figure: "Figure", *, curves: "G2Curves", column: int, posterior: "Posterior", row: int
) -> None:
    """Draw the view of :meth:`PosteriorPlot.show_predictive`."""
    g2 = matplotlib_adapter.to_numpy(curves.g2[:, column])
    error = matplotlib_adapter.to_numpy(curves.error[:, column])
    counted = np.isfinite(g2) & (curves.delay_s > 0)
    delay, g2 = matplotlib_adapter.to_numpy(curves.delay_s)[counted], g2[counted]
    error = np.nan_to_num(error[counted])
    axes = figure.subplots()
    axes.set(xscale="log", xlabel="delay (s)", ylabel="g2")
    axes.fill_between(
        delay,
        *posterior.predictive_band(row, delay, error, WIDE),
        color="tab:orange",
        alpha=0.2,
        lw=0,
        label="new points, 95 %",
    )
    fine = np.geomspace(delay.min(), delay.max(), 200)
    axes.fill_between(
        fine,
        *posterior.curve_band(row, fine, WIDE),
        color="tab:orange",
        alpha=0.6,
        lw=0,
        label="curve, 95 %",
    )
    axes.errorbar(delay, g2, error, fmt="o", ms=3, lw=0.8, color="tab:cyan", label="measured")
    axes.legend(fontsize=7, framealpha=0.6)
    axes.set_title(f"{bin_text(curves.bins, column)}\n{posterior.status[row]}", wrap=True)


def _panels(figure: "Figure", posterior: "Posterior") -> "list[Axes]":
    count = len(_free_names(posterior))
    return list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0])


def _free_names(posterior: "Posterior") -> list[str]:
    return [name for name, free in zip(posterior.names, posterior.free, strict=True) if free]


def _free_draws(posterior: "Posterior", row: int) -> Float[np.ndarray, "chain draw free"]:
    return matplotlib_adapter.to_numpy(posterior.row_draws(row)[..., posterior.free])


def _logarithmic(posterior: "Posterior", row: int, name: str) -> bool:
    """Return whether an axis is logarithmic: within a factor of 10 it would have too few ticks."""
    column = posterior.names.index(name)
    draws = posterior.row_draws(row)[..., column]
    return posterior.fit.g2_model.parameters[column].log and draws.max() > 10 * draws.min()


def _scale(posterior: "Posterior", row: int, name: str) -> str:
    return "log" if _logarithmic(posterior, row, name) else "linear"


def _edges(posterior: "Posterior", row: int, name: str) -> Float[np.ndarray, " edge"]:
    draws = posterior.row_draws(row)[..., posterior.names.index(name)]
    spaced = np.geomspace if _logarithmic(posterior, row, name) else np.linspace
    return np.asarray(spaced(draws.min(), draws.max(), 31))


def _title(posterior: "Posterior", row: int) -> str:
    """Return which bin it is; what its draws are worth stands beside the plot."""
    word = posterior.status[row].partition(":")[0].replace("_", " ")
    return f"bin {posterior.bins.label[row]}: {word}"
