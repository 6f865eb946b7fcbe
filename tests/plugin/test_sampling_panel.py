"""NUTS in the dock: draws arrive while it runs, Cancel keeps them."""

import gc

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend, reset_backend, set_backend
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.plugin.collection import collection_paused
from napari_xpcs.plugin.sampling_panel import SamplingPanel, verdict
from napari_xpcs.progress import run


@pytest.fixture
def panel(qtbot, curves):
    set_backend("jax")
    panel = SamplingPanel(lambda: None)
    qtbot.addWidget(panel)
    fit = run(fit_g2(curves, "single", fixed={"baseline": 1.0}, xp=NumPyBackend()))
    panel.show_fit(curves, fit)
    panel.show_bin(2)
    yield panel
    panel.stop()
    reset_backend()


def test_draws_arrive_and_cancel_keeps_them(panel, qtbot):
    panel._draws.setValue(50_000)
    panel.sample()
    qtbot.waitUntil(lambda: panel.posterior is not None)
    assert panel.posterior.method == "laplace"  # there before NUTS is
    qtbot.waitUntil(lambda: panel.posterior.method == "nuts" and panel.posterior.drawn.max() > 200)
    panel._job.button.click()
    assert not panel._job.runner.running
    qtbot.waitUntil(lambda: panel._job.runner.ended)
    qtbot.waitUntil(panel._save.isEnabled)
    kept = panel.posterior
    assert 200 < kept.drawn.max() < 50_000
    fitted = kept.fit.value[1]
    np.testing.assert_allclose(kept.mean()[1], fitted, rtol=0.02)
    assert "effective draws" in verdict(kept, 1)
    assert gc.isenabled()


def test_pauses_of_the_collector_may_overlap():
    with collection_paused():
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
