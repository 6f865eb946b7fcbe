"""From a two-time map to g2 at ages, on the image and in the fit dock."""

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QPushButton, QSlider, QSpinBox

from napari_xpcs.kernels.ages import curves_at_ages
from napari_xpcs.kernels.multitau_twotime import AgeLevel, MultiTauTwoTime
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.fit_widget import FitWidget
from napari_xpcs.plugin.twotime_layers import ages_layers, twotime_layers
from napari_xpcs.plugin.twotime_widget import TwoTimeWidget

pytestmark = pytest.mark.usefixtures("numpy_backend")

FRAMES, STEP_S = 120, 0.5


class MapsOfTest:
    """Maps in memory whose dynamics slow down with age."""

    bins = np.array([2, 3])
    frame_time_s = STEP_S
    lower = False

    def frames(self, position=0):
        return FRAMES

    def upper(self, position):
        t = np.arange(FRAMES)
        apart, age = np.abs(t[:, None] - t), (t[:, None] + t) / 2
        c2 = 1.0 + 0.2 * (position + 1) * np.exp(-2 * apart / (4.0 + 0.3 * age))
        return np.triu(c2).astype(np.float32)

    def stripes(self, position, length):
        whole = self.upper(position)
        for first in range(0, FRAMES, length):
            yield first, whole[first : first + length]


@pytest.fixture
def widget(viewer, qtbot):
    widget = TwoTimeWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget._teardown()


@pytest.fixture
def maps(viewer, partition):
    found = twotime_layers(MapsOfTest(), "results.hdf", partition.table())
    return [viewer.add_layer(Layer.create(*one)) for one in found]


def cuts_of(widget):
    cuts = []
    widget._cutter.finished.connect(cuts.append)
    return cuts


def test_without_a_map_it_is_said_where_to_get_one(widget):
    assert "XPCS: Correlate" in widget.findChild(QLabel, "message").text()
    assert not widget.findChild(QPushButton, "alone").isEnabled()


def test_slider_number_and_line_are_one_age(widget, viewer, maps, qtbot):
    age = widget.findChild(QDoubleSpinBox, "age_s")
    slider = widget.findChild(QSlider, "age_slider")
    last = (FRAMES - 1) * STEP_S
    assert age.value() == pytest.approx(last / 2, abs=0.01)
    widget.findChild(QPushButton, "alone").click()
    (line,) = xpcs_layers.layers_with_role(viewer.layers, "age")
    slider.setValue(250)
    assert age.value() == pytest.approx(last / 4, abs=0.01)
    assert np.mean(line.data[0]) == pytest.approx(age.value(), abs=0.3)
    line.data = [np.asarray(line.data[0]) + 20.0]
    assert age.value() == pytest.approx(last / 4 + 20.0, abs=0.3)
    assert slider.value() == pytest.approx(1000 * age.value() / last, abs=1)


def test_cut_at_the_age_is_that_of_the_kernel(widget, maps, qtbot):
    cuts = cuts_of(widget)
    widget.findChild(QComboBox, "map").setCurrentText("two-time bin 3")
    widget.findChild(QDoubleSpinBox, "window_s").setValue(4.0)
    widget.findChild(QDoubleSpinBox, "age_s").setValue(20.0)
    wanted = curves_at_ages(MapsOfTest().upper(1), [20.0], 4.0, frame_time_s=STEP_S)
    qtbot.waitUntil(lambda: bool(cuts) and np.array_equal(cuts[-1].g2, wanted.g2, equal_nan=True))
    np.testing.assert_array_equal(cuts[-1].delay_s, wanted.delay_s)
    qtbot.waitUntil(lambda: widget._plot.plot is not None)
    assert "q = " in widget.findChild(QLabel, "about").text()


def test_map_of_a_repeated_run_is_looked_at_anew(widget, maps, partition, qtbot):
    class Slower(MapsOfTest):
        frame_time_s = 2 * STEP_S

    ((data, arguments, _), _) = twotime_layers(Slower(), "results.hdf", partition.table())
    shown = widget.findChild(QComboBox, "map").currentData()
    assert shown is maps[0]
    cuts = cuts_of(widget)
    qtbot.waitUntil(lambda: len(cuts) == 1)
    shown.data, shown.scale = data, arguments["scale"]
    xpcs_layers.attach_values(shown, arguments)
    qtbot.waitUntil(lambda: len(cuts) == 2)
    assert cuts[1].delay_s[0] == pytest.approx(2 * cuts[0].delay_s[0])
    assert "frames of 1 s" in widget.findChild(QLabel, "about").text()


def test_map_alone_hides_the_detector_and_brings_it_back(widget, viewer, maps, qtbot):
    image = viewer.add_image(np.zeros((48, 64)))
    hidden = viewer.add_image(np.zeros((48, 64)), visible=False)
    alone = widget.findChild(QPushButton, "alone")
    alone.click()
    shown = widget._map.layer()
    assert shown.visible
    assert not image.visible
    qtbot.waitUntil(lambda: shown.data.is_loaded)
    low, high = shown.contrast_limits
    assert 1.0 <= low < high <= 1.4
    other = next(layer for layer in maps if layer is not shown)
    widget.findChild(QComboBox, "map").setCurrentText(other.name)
    assert (shown.visible, other.visible) == (False, True)
    alone.click()
    assert image.visible
    assert not hidden.visible
    assert not other.visible


def test_cuts_at_ages_are_curves_of_bands_that_the_fit_dock_takes(widget, viewer, maps, qtbot):
    fit = FitWidget(viewer)
    qtbot.addWidget(fit)
    widget.findChild(QSpinBox, "ages").setValue(5)
    widget.findChild(QDoubleSpinBox, "window_s").setValue(6.0)
    widget.findChild(QPushButton, "alone").click()
    widget._job.button.click()
    qtbot.waitUntil(lambda: bool(xpcs_layers.layers_with_role(viewer.layers, "ages")))
    (bands,) = xpcs_layers.layers_with_role(viewer.layers, "ages")
    curves, ages = xpcs_layers.layer_curves(bands), widget.ages_s()
    map_layer = widget._map.layer()
    assert curves.g2.shape[1] == 5
    assert curves.bins.q[0] == map_layer.metadata["xpcs"]["q"]
    for label, age in enumerate(ages, start=1):
        assert bands.get_value((age, age), world=True) == label
        assert bands.get_value((age - 2.0, age + 2.0), world=True) == label
    np.testing.assert_allclose(bands.features["age (s)"], ages, atol=1e-6)
    assert fit.curves() is curves
    widget._job.button.click()
    qtbot.waitUntil(lambda: not widget._job.runner.running)
    assert len(xpcs_layers.layers_with_role(viewer.layers, "ages")) == 1
    fit._teardown()


def test_long_run_has_delays_over_age(widget, viewer, partition, qtbot):
    levels = []
    for level, lags in ((0, np.arange(1, 9)), (1, np.arange(5, 9))):
        sums = FRAMES >> level
        delay = lags[:, None] << level
        c2 = np.full((1, len(lags), sums), 1.0 + 0.2 * np.exp(-delay / 10.0), np.float32)
        for row, lag in enumerate(lags):
            c2[0, row, sums - lag :] = np.nan
        levels.append(AgeLevel(frames_per_sum=1 << level, lags=lags, c2=c2))
    run = MultiTauTwoTime(levels=tuple(levels), processed_bins=np.array([2]), frame_time_s=STEP_S)
    (one,) = ages_layers(run, "results.hdf", partition.table())
    layer = viewer.add_layer(Layer.create(*one))
    cuts = cuts_of(widget)
    assert widget._map.layer() is layer
    assert "A long run" in widget.findChild(QLabel, "about").text()
    widget.findChild(QPushButton, "alone").click()
    (line,) = xpcs_layers.layers_with_role(viewer.layers, "age")
    assert len(set(line.data[0][:, 1])) == 1
    qtbot.waitUntil(lambda: bool(cuts))
    np.testing.assert_allclose(
        cuts[-1].g2[:, 0], 1.0 + 0.2 * np.exp(-cuts[-1].delay_s / (10.0 * STEP_S)), rtol=1e-6
    )
    widget._job.button.click()
    qtbot.waitUntil(lambda: bool(xpcs_layers.layers_with_role(viewer.layers, "ages")))
    (bands,) = xpcs_layers.layers_with_role(viewer.layers, "ages")
    assert bands.get_value((1.0, widget.ages_s()[2]), world=True) == 3
