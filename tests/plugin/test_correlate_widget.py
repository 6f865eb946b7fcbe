"""From frames and bins to curves, with Cancel, and nothing late or lost."""

import threading

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton, QSpinBox

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.partition import PartitionSpec, make_partition
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.correlate_widget import CorrelateWidget

pytestmark = pytest.mark.usefixtures("numpy_backend")


class SlowFrames:
    """Frames that come one block at a time, when the gate opens."""

    def __init__(self, frames):
        self.frames, self.gate = frames, threading.Event()
        self.shape, self.dtype = frames.shape, frames.dtype

    def __getitem__(self, key):
        if threading.current_thread() is not threading.main_thread():
            self.gate.wait(10)
        return self.frames[key]


@pytest.fixture
def widget(viewer, qtbot):
    widget = CorrelateWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget._teardown()


@pytest.fixture
def frames():
    return np.random.default_rng(1).poisson(3.0, (600, 48, 64)).astype(np.uint16)


@pytest.fixture
def bins(viewer, partition, known):
    data = xpcs_layers.partition_layer(partition, known=known)
    return viewer.add_layer(Layer.create(*data))


def add_frames(viewer, frames, known, source=""):
    data = xpcs_layers.frames_layer(frames, known=known, source=source)
    return viewer.add_layer(Layer.create(*data))


def run_button(widget):
    return widget.findChild(QPushButton, "run")


def message(widget):
    return widget.findChild(QLabel, "message").text()


def test_every_missing_piece_is_asked_for(widget, viewer, frames, known, partition, qtbot):
    assert "Open a frames file" in message(widget)
    unknown = {name: value for name, value in known.items() if name != "frame_time_s"}
    add_frames(viewer, frames, unknown)
    assert "XPCS: Geometry & partition" in message(widget)
    viewer.add_layer(Layer.create(*xpcs_layers.partition_layer(partition, known=known)))
    assert "frame time" in message(widget)
    assert not run_button(widget).isEnabled()
    qtbot.keyClicks(widget.findChild(QLineEdit, "frame_time_s"), "0.002")
    assert run_button(widget).isEnabled()


def test_curves_belong_to_the_bins_and_counting_noise_has_g2_of_one(
    widget, viewer, frames, known, bins, qtbot
):
    add_frames(viewer, frames, known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None, timeout=20000)
    curves = xpcs_layers.layer_curves(bins)
    assert curves.delay_s[0] == pytest.approx(1e-3)
    pull = (curves.g2[:20] - 1.0) / curves.error[:20]
    assert np.sqrt(np.mean(pull**2)) == pytest.approx(1.0, abs=0.35)
    (scattering,) = xpcs_layers.layers_with_role(viewer.layers, "scattering")
    used = xpcs_layers.layer_partition(bins).mask
    np.testing.assert_allclose(scattering.data[used], frames.mean(axis=0)[used], rtol=1e-5)


def test_cancel_ends_the_job_and_leaves_the_bins_alone(widget, viewer, frames, known, bins, qtbot):
    slow = SlowFrames(frames)
    add_frames(viewer, slow, known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: "frames" in message(widget), timeout=20000)
    run_button(widget).click()
    assert message(widget) == "Cancelled."
    slow.gate.set()
    qtbot.wait(300)
    assert xpcs_layers.layer_curves(bins) is None
    qtbot.waitUntil(
        lambda: not any("read-frames" in thread.name for thread in threading.enumerate()),
        timeout=10000,
    )


def test_curves_of_bins_that_were_changed_meanwhile_keep_their_own(
    widget, viewer, frames, known, bins, geometry, qtbot
):
    slow = SlowFrames(frames)
    add_frames(viewer, slow, known)
    old = xpcs_layers.layer_partition(bins)
    run_button(widget).click()
    qtbot.waitUntil(lambda: "frames" in message(widget), timeout=20000)
    new = make_partition(geometry, old.mask, PartitionSpec(dq=3, sq=6), xp=NumPyBackend())
    xpcs_layers.show_partition(bins, new, known, "")
    slow.gate.set()
    qtbot.waitUntil(
        lambda: len(xpcs_layers.layers_with_role(viewer.layers, "partition")) == 2, timeout=20000
    )
    assert xpcs_layers.layer_curves(bins) is None
    (added,) = [
        layer
        for layer in xpcs_layers.layers_with_role(viewer.layers, "partition")
        if layer is not bins
    ]
    assert xpcs_layers.layer_partition(added) is old
    assert xpcs_layers.layer_curves(added) is not None


def test_fault_in_the_frames_is_told_in_a_sentence(widget, viewer, frames, known, bins, qtbot):
    frames[300, 30, 30] = 65535
    add_frames(viewer, frames, known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: "row 30, column 30" in message(widget), timeout=20000)
    assert "frame 300" in message(widget)
    assert xpcs_layers.layer_curves(bins) is None


def test_saved_result_opens_again(widget, viewer, frames, known, bins, tmp_path, qtbot):
    add_frames(viewer, frames, known, source=str(tmp_path / "run.h5"))
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None, timeout=20000)
    widget.save(tmp_path / "results.hdf")
    summary = widget.findChild(QLabel, "summary")
    qtbot.waitUntil(lambda: summary.text().startswith("Saved"), timeout=10000)
    curves = xpcs_layers.layer_curves(bins)
    saved = open_path(tmp_path / "results.hdf").curves
    np.testing.assert_allclose(saved.delay_s, curves.delay_s)
    np.testing.assert_allclose(saved.g2, curves.g2, rtol=1e-6)


def test_frames_are_never_overwritten_by_their_result(
    widget, viewer, frames, known, bins, tmp_path, qtbot
):
    path = tmp_path / "run.h5"
    path.write_bytes(b"priceless")
    add_frames(viewer, frames, known, source=str(path))
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None, timeout=20000)
    widget.save(path)
    summary = widget.findChild(QLabel, "summary")
    qtbot.waitUntil(lambda: "not overwritten" in summary.text(), timeout=10000)
    assert path.read_bytes() == b"priceless"


def test_impossible_selection_can_be_mended(widget, viewer, frames, known, bins, qtbot):
    viewer.add_shapes([np.array([[0, 0], [5, 5]])], shape_type="line")
    add_frames(viewer, frames, known)
    widget.findChild(QSpinBox, "begin").setValue(10)
    widget.findChild(QSpinBox, "end").setValue(5)
    run_button(widget).click()
    assert "10" in message(widget)
    widget.findChild(QSpinBox, "end").setValue(500)
    assert run_button(widget).isEnabled()
