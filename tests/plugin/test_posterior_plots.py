"""What the plots of a posterior show."""

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.laplace import sample_laplace
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.plugin.posterior_plots import PosteriorPlot
from napari_xpcs.progress import run


@pytest.fixture
def posterior(curves):
    fit = run(fit_g2(curves, "stretched", fixed={"baseline": 1.0}, xp=NumPyBackend()))
    return run(sample_laplace(curves, fit, draws=400, xp=NumPyBackend()))


@pytest.fixture
def plot(qtbot):
    plot = PosteriorPlot("dark")
    qtbot.addWidget(plot)
    plot.resize(300, 400)

    def drawn(show, *arguments):
        plot.figure = None
        show(plot, *arguments)
        qtbot.waitUntil(lambda: plot.figure is not None)
        return plot.figure

    return drawn


def test_a_panel_for_every_free_parameter(plot, posterior):
    row = int(np.flatnonzero(posterior.drawn)[0])
    for show in (PosteriorPlot.show_trace, PosteriorPlot.show_rank):
        figure = plot(show, posterior, row)
        assert [axes.get_ylabel() for axes in figure.axes] == ["contrast", "tau_s", "exponent"]
    assert len(plot(PosteriorPlot.show_pairs, posterior, row).axes) == 9


def test_the_trace_is_that_of_the_draws(plot, posterior):
    row = int(np.flatnonzero(posterior.drawn)[0])
    figure = plot(PosteriorPlot.show_trace, posterior, row)
    np.testing.assert_array_equal(
        figure.axes[1].lines[0].get_ydata(), posterior.row_draws(row)[0, :, 2]
    )


def test_the_forest_has_the_median_of_every_bin(plot, posterior):
    figure = plot(PosteriorPlot.show_forest, posterior, "tau_s")
    shown = np.concatenate([line.get_ydata() for line in figure.axes[0].lines])
    median = posterior.median()[:, 2]
    np.testing.assert_allclose(np.sort(shown), np.sort(median[np.isfinite(median)]))


def test_new_points_lie_in_a_wider_band_than_the_curve(plot, curves, posterior):
    row = int(np.flatnonzero(posterior.drawn)[0])
    figure = plot(PosteriorPlot.show_predictive, curves, row, posterior, row)
    new, curve = (
        np.ptp(band.get_paths()[0].vertices[:, 1]) for band in figure.axes[0].collections[:2]
    )
    assert new > curve


def test_a_bin_without_draws_says_why(plot, curves, posterior):
    waiting = next(sample_laplace(curves, posterior.fit, xp=NumPyBackend())).partial
    figure = plot(PosteriorPlot.show_trace, waiting, 0)
    assert "waiting" in figure.texts[0].get_text()
