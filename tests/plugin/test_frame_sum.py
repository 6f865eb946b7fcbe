"""Sums of frames follow the slider and ignore what holds no count."""

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QSpinBox

from napari_xpcs.io.events import EventFrames, ThresholdedFrames
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.frame_sum import FrameSum
from napari_xpcs.plugin.image_layers import frames_layer


@pytest.fixture
def frames():
    counts = np.random.default_rng(2).poisson(0.1, (100, 8, 9)).astype(np.uint16)
    counts[:, 2, 3] = 65535
    counts[10, 4, 4] = 65535
    return counts


@pytest.fixture
def widget(viewer, frames, known, qtbot):
    widget = FrameSum(viewer)
    qtbot.addWidget(widget)
    layer = viewer.add_layer(Layer.create(*frames_layer(frames, known=known)))
    widget.follow(layer)
    yield widget
    widget.stop()


def sums(viewer):
    return xpcs_layers.layers_with_role(viewer.layers, "sum")


def expected(frames, begin, end):
    total = np.where(frames[begin:end] == 65535, 0, frames[begin:end]).sum(axis=0).astype(float)
    total[2, 3] = np.nan
    return total


def test_sum_is_that_of_the_frames_from_the_slider_on(widget, viewer, frames, qtbot):
    viewer.dims.set_current_step(0, 5)
    widget.findChild(QSpinBox, "frame_sum").setValue(40)
    qtbot.waitUntil(lambda: len(sums(viewer)) == 1)
    np.testing.assert_array_equal(sums(viewer)[0].data, expected(frames, 5, 45))
    viewer.dims.set_current_step(0, 90)
    last = expected(frames, 90, 100)
    qtbot.waitUntil(lambda: np.array_equal(sums(viewer)[0].data, last, equal_nan=True))
    assert len(sums(viewer)) == 1


def test_one_frame_needs_no_sum(widget, viewer, qtbot):
    count = widget.findChild(QSpinBox, "frame_sum")
    count.setValue(10)
    qtbot.waitUntil(lambda: len(sums(viewer)) == 1)
    count.setValue(1)
    qtbot.waitUntil(lambda: sums(viewer) == [])


def test_events_are_summed_as_events(widget, viewer, frames, known, qtbot, tmp_path):
    events = EventFrames.of(tmp_path / "run.bin", ThresholdedFrames(frames=frames))
    layer = viewer.add_layer(Layer.create(*frames_layer(events, known=known)))
    widget.follow(layer)
    viewer.dims.set_current_step(0, 3)
    widget.findChild(QSpinBox, "frame_sum").setValue(80)
    total = np.where(frames[3:83] == 65535, 0, frames[3:83]).sum(axis=0)
    qtbot.waitUntil(lambda: len(sums(viewer)) == 1)
    qtbot.waitUntil(lambda: np.array_equal(sums(viewer)[0].data, total))
