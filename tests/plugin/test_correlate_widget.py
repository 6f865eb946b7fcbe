"""From frames and bins to curves, with Cancel, and nothing late or lost."""

import shlex
import threading
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
)
from typer.testing import CliRunner

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.cli import app
from napari_xpcs.io.open import open_path
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.io.raw_file import write_raw
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.mask_steps import ThresholdStep
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin._reader import read_layers
from napari_xpcs.plugin.bin_layers import partition_layer, show_partition
from napari_xpcs.plugin.correlate_widget import CorrelateWidget
from napari_xpcs.plugin.image_layers import frames_layer
from napari_xpcs.progress import Progress, run

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
    data = partition_layer(partition, known=known)
    return viewer.add_layer(Layer.create(*data))


def add_frames(viewer, frames, known, source=""):
    data = frames_layer(frames, known=known, source=source)
    return viewer.add_layer(Layer.create(*data))


def run_button(widget):
    return widget.findChild(QPushButton, "run")


def message(widget):
    return widget.findChild(QLabel, "message").text()


def is_done(widget):
    """Whether a run is over and its layers are there, which come one by one."""
    return message(widget).startswith("Done") and not widget._next_image.isActive()


def test_every_missing_piece_is_asked_for(widget, viewer, frames, known, partition, qtbot):
    assert "Open a frames file" in message(widget)
    unknown = {name: value for name, value in known.items() if name != "frame_time_s"}
    add_frames(viewer, frames, unknown)
    assert "XPCS: Geometry & partition" in message(widget)
    viewer.add_layer(Layer.create(*partition_layer(partition, known=known)))
    assert "frame time" in message(widget)
    assert not run_button(widget).isEnabled()
    qtbot.keyClicks(widget.findChild(QLineEdit, "frame_time_s"), "0.002")
    assert run_button(widget).isEnabled()


def test_bins_of_another_detector_are_named(widget, viewer, known, bins):
    add_frames(viewer, np.zeros((20, 32, 40), np.uint16), known)
    assert message(widget).startswith(
        "The bins 'partition' are for 48 x 64 pixels, these frames have 32 x 40. Lay bins"
    )


def test_run_that_fails_promises_no_curve_and_one_of_maps_shows_none_of_before(
    widget, viewer, frames, known, bins, qtbot
):
    layer = add_frames(viewer, np.full((600, 48, 64), np.nan, np.float32), known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: "holds nan" in message(widget))
    assert widget._plot.isHidden()
    viewer.layers.remove(layer)
    add_frames(viewer, frames, known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    assert not widget._plot.isHidden()
    choose_kind(widget, "twotime")
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    assert widget._plot.isHidden()


def test_curves_belong_to_the_bins_and_counting_noise_has_g2_of_one(
    widget, viewer, frames, known, bins, qtbot
):
    add_frames(viewer, frames, known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None)
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
    qtbot.waitUntil(lambda: "frames" in message(widget))
    run_button(widget).click()
    assert message(widget) == "Cancelled."
    slow.gate.set()
    qtbot.wait(300)
    assert xpcs_layers.layer_curves(bins) is None
    qtbot.waitUntil(
        lambda: not any("read-frames" in thread.name for thread in threading.enumerate())
    )


def test_curves_of_bins_that_were_changed_meanwhile_keep_their_own(
    widget, viewer, frames, known, bins, geometry, qtbot
):
    slow = SlowFrames(frames)
    add_frames(viewer, slow, known)
    old = xpcs_layers.layer_partition(bins)
    run_button(widget).click()
    qtbot.waitUntil(lambda: "frames" in message(widget))
    new = make_partition(geometry, old.mask, PartitionSpec(dq=3, sq=6), xp=NumPyBackend())
    show_partition(bins, new, known, "")
    slow.gate.set()
    qtbot.waitUntil(lambda: len(xpcs_layers.layers_with_role(viewer.layers, "partition")) == 2)
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
    qtbot.waitUntil(lambda: "row 30, column 30" in message(widget))
    assert "frame 300" in message(widget)
    assert xpcs_layers.layer_curves(bins) is None


def test_saved_result_opens_again(widget, viewer, frames, known, bins, tmp_path, qtbot):
    add_frames(viewer, frames, known, source=str(tmp_path / "run.h5"))
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None)
    widget.save(tmp_path / "results.hdf")
    summary = widget.findChild(QLabel, "summary")
    qtbot.waitUntil(lambda: summary.text().startswith("Saved"))
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
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None)
    widget.save(path)
    summary = widget.findChild(QLabel, "summary")
    qtbot.waitUntil(lambda: "not overwritten" in summary.text())
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


READ_AHEAD = 3
"""Blocks, of nineteen, that may be on their way when Cancel is pressed."""


class Trickle:
    """Frames that come block by block, as slowly as a detector."""

    def __init__(self, frames, seconds):
        self.frames, self.seconds, self.reads = frames, seconds, 0
        self.shape, self.dtype = frames.shape, frames.dtype

    def __getitem__(self, key):
        if threading.current_thread() is not threading.main_thread():
            self.reads += 1
            time.sleep(self.seconds)
        return self.frames[key]


@pytest.fixture
def previews(monkeypatch):
    """A preview after every block."""
    monkeypatch.setattr("napari_xpcs.correlate.multitau_run.PREVIEW_S", 0.0)


@pytest.mark.usefixtures("previews")
def test_g2_so_far_is_on_the_bins_while_frames_stream_in(
    widget, viewer, frames, known, bins, qtbot
):
    add_frames(viewer, Trickle(np.tile(frames, (4, 1, 1)), 0.2), known, source="run.h5")
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None)
    early = xpcs_layers.layer_curves(bins)
    assert early.source.startswith("first ")
    assert early.source.endswith("of 2400 frames of run.h5")
    assert np.isfinite(early.g2[0]).all()
    qtbot.waitUntil(lambda: widget._plot.plot is not None)
    qtbot.waitUntil(lambda: widget._plot.plot.figure is not None)
    qtbot.waitUntil(lambda: is_done(widget))
    whole = xpcs_layers.layer_curves(bins)
    assert whole.source == "run.h5"
    assert len(whole.delay_s) > len(early.delay_s)
    assert whole.covariance is not None
    assert "Engine" in widget.findChild(QLabel, "summary").text()


@pytest.mark.usefixtures("previews")
def test_cancel_keeps_what_was_correlated_until_it_is_forgotten(
    widget, viewer, frames, known, bins, curves, qtbot
):
    xpcs_layers.attach_curves(bins, curves)
    trickle = Trickle(np.tile(frames, (8, 1, 1)), 0.2)
    add_frames(viewer, trickle, known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not curves)
    reads = trickle.reads
    run_button(widget).click()
    assert "Kept g2 of the first" in widget.findChild(QLabel, "summary").text()
    qtbot.waitUntil(lambda: widget._job.runner.ended)
    assert trickle.reads <= reads + READ_AHEAD
    assert "Kept g2 of the first" in widget.findChild(QLabel, "summary").text()
    assert xpcs_layers.layer_curves(bins).source.startswith("first ")
    widget.findChild(QPushButton, "forget").click()
    assert xpcs_layers.layer_curves(bins) is curves


@pytest.mark.usefixtures("previews")
def test_what_cancel_kept_is_saved_as_the_run_that_ends_there(
    widget, viewer, frames, known, bins, tmp_path, qtbot
):
    path = tmp_path / "run.h5"
    many = np.tile(frames, (8, 1, 1))
    geometry = xpcs_layers.layer_partition(bins).geometry
    run(write_raw(path, iter([many]), frames=len(many), geometry=geometry, frame_time_s=1e-3))
    bins_path = tmp_path / "bins.hdf"
    write_partition(bins_path, xpcs_layers.layer_partition(bins), source=str(path))
    opened = open_path(path)
    trickle = Trickle(opened.frames, 0.2)
    add_frames(viewer, trickle, opened.known, source=str(path))
    save = widget.findChild(QPushButton, "save")
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None)
    assert not save.isEnabled()
    reads = trickle.reads
    run_button(widget).click()
    qtbot.waitUntil(save.isEnabled)
    assert trickle.reads <= reads + READ_AHEAD
    shown = xpcs_layers.layer_curves(bins)
    number = widget._result.multitau.selection.count()
    assert shown.source == f"first {number} of 4800 frames of {path}"
    assert widget._suggested() == tmp_path / f"run_first_{number}_results.hdf"
    summary = widget.findChild(QLabel, "summary")
    assert summary.text().startswith(f"Kept g2 of the first {number} of 4800 frames")
    widget.save(path)
    qtbot.waitUntil(lambda: "not overwritten" in summary.text())
    widget.save(tmp_path / "kept.hdf")
    qtbot.waitUntil(lambda: summary.text().startswith("Saved"))

    words = ["correlate", path, "--qmap", bins_path, "--end", number, "-o", tmp_path / "end.hdf"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    kept, ended = open_path(tmp_path / "kept.hdf"), open_path(tmp_path / "end.hdf")
    for name in ("delay_s", "g2", "error", "covariance"):
        np.testing.assert_array_equal(getattr(kept.curves, name), getattr(ended.curves, name))
    for name in ("scattering", "scattering_1d", "intensity_vs_time"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(ended, name))
    np.testing.assert_array_equal(kept.curves.g2, shown.g2.astype(np.float32))
    assert kept.config["end_frame"] == ended.config["end_frame"] == number
    told = CliRunner().invoke(app, ["info", str(tmp_path / "kept.hdf")]).output
    assert f"problems: Broken off: this rests on the first {number} of 4800 frames." in told
    assert "Broken off" not in CliRunner().invoke(app, ["info", str(tmp_path / "end.hdf")]).output

    widget.findChild(QPushButton, "forget").click()
    assert not save.isEnabled()
    assert xpcs_layers.layer_curves(bins) is None


@pytest.mark.usefixtures("previews")
def test_cancel_during_maps_keeps_g2_of_all_frames(
    widget, viewer, frames, known, bins, monkeypatch, qtbot
):
    def endless(*_, **__):
        while True:
            time.sleep(0.01)
            yield Progress(0, 1, "maps")

    monkeypatch.setattr("napari_xpcs.plugin.correlation.correlate_twotime", endless)
    add_frames(viewer, frames, known)
    choose_kind(widget, "both")
    run_button(widget).click()
    qtbot.waitUntil(lambda: "maps" in message(widget))
    run_button(widget).click()
    summary = widget.findChild(QLabel, "summary")
    qtbot.waitUntil(lambda: "Kept g2 of all 600 frames" in summary.text())
    assert widget._result.multitau.asked_frames is None


def test_two_time_maps_of_the_chosen_bins_become_layers(widget, viewer, frames, known, bins, qtbot):
    add_frames(viewer, frames, known)
    choose_kind(widget, "both")
    chosen = widget.findChild(QLineEdit, "bins")
    assert chosen.placeholderText() == "1 (selected)"
    widget._form._bins.toggle(2)
    widget._form._bins.toggle(5)
    widget._form._bins.toggle(2)
    assert chosen.text() == "5"
    qtbot.keyClicks(chosen, ",3")
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    maps = xpcs_layers.layers_with_role(viewer.layers, "twotime")
    assert [layer.name for layer in maps] == ["two-time bin 3", "two-time bin 5"]
    assert xpcs_layers.layer_curves(bins) is not None
    values = np.asarray(maps[0].data)
    assert values.shape == (600, 600)
    assert np.isnan(np.diagonal(values)).all()
    assert np.nanmean(values) == pytest.approx(1.0, abs=0.01)
    widget.findChild(QSpinBox, "average").setValue(2)
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    assert xpcs_layers.layers_with_role(viewer.layers, "twotime") == maps
    assert maps[0].data.shape == (300, 300)
    np.testing.assert_allclose(maps[0].scale, 2e-3)
    assert xpcs_layers.layer_maps(maps[0])[0].frame_time_s == pytest.approx(2e-3)


def test_result_of_other_frames_is_put_out_of_sight(widget, viewer, frames, known, bins, qtbot):
    add_frames(viewer, frames, known, source="first.h5")
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    summary = widget.findChild(QLabel, "summary")
    assert summary.text().startswith("g2 of 6 bins")
    add_frames(viewer, frames, known, source="second.h5")
    widget.findChild(QComboBox, "frames").setCurrentIndex(0)
    assert widget._plot.isHidden()
    assert summary.text() == "The last result is of first.h5; it can still be saved."
    assert widget.findChild(QPushButton, "save").isEnabled()


def test_maps_of_a_run_with_bad_frames_say_so(widget, viewer, frames, known, bins, qtbot):
    add_frames(viewer, frames, known)
    choose_kind(widget, "both")
    widget.findChild(QLineEdit, "skipped").setText("3-5")
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    text = widget.findChild(QLabel, "summary").text()
    assert text.count("Raw frames left out (3, 4, 5): 3.") == 1
    half = widget._result.twotime.maps[0]
    assert np.flatnonzero(np.isnan(half[0])).tolist() == [3, 4, 5]


def test_long_run_gets_ages_in_place_of_maps(widget, viewer, frames, known, bins, tmp_path, qtbot):
    add_frames(viewer, frames, known, source=str(tmp_path / "run.h5"))
    choose_kind(widget, "twotime")
    widget.findChild(QComboBox, "maps").setCurrentText("ages")
    assert "ages of 1 bin," in widget.findChild(QLabel, "estimate").text()
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    (layer,) = xpcs_layers.layers_with_role(viewer.layers, "twotime")
    assert layer.name == "two-time ages bin 1"
    widget.save(tmp_path / "results.hdf")
    summary = widget.findChild(QLabel, "summary")
    qtbot.waitUntil(lambda: summary.text().startswith("Saved"))
    assert open_path(tmp_path / "results.hdf").ages is not None


def test_what_a_run_takes_is_told_before_it_starts(widget, viewer, frames, known, bins, qtbot):
    add_frames(viewer, frames, known)
    estimate = widget.findChild(QLabel, "estimate")
    used = int(xpcs_layers.layer_partition(bins).dynamic.pixels.sum())
    assert estimate.text().startswith(f"600 frames of {used} pixels in 6 bins, memory about")
    widget.findChild(QSpinBox, "stride").setValue(3)
    assert estimate.text().startswith("200 frames")
    choose_kind(widget, "twotime")
    bins.selected_label = 0
    assert "No bin is chosen" in message(widget)
    bins.selected_label = 2
    assert run_button(widget).isEnabled()
    widget.findChild(QLineEdit, "skipped").setText("3-5")
    choose_kind(widget, "multitau")
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    assert "Raw frames left out (3): 1" in widget.findChild(QLabel, "summary").text()
    assert "as the last run" in estimate.text()


def test_command_for_a_cluster_does_the_same(widget, viewer, frames, known, bins, tmp_path, qtbot):
    path = tmp_path / "a run.h5"
    write = write_raw(
        path,
        iter([frames]),
        frames=len(frames),
        geometry=xpcs_layers.layer_partition(bins).geometry,
        frame_time_s=1e-3,
    )
    run(write)
    add_frames(viewer, open_path(path).frames, known, source=str(path))
    widget.findChild(QSpinBox, "end").setValue(500)
    widget.findChild(QLineEdit, "skipped").setText("3-5")
    widget.findChild(QCheckBox, "normalize_frame").setChecked(True)
    said = widget.findChild(QLabel, "cluster_message")
    widget.findChild(QPushButton, "show_command").click()
    qtbot.waitUntil(lambda: "in no file yet" in said.text())
    widget._cluster.save_bins(tmp_path / "bins.hdf")
    shown = widget.findChild(QPlainTextEdit, "command")
    qtbot.waitUntil(lambda: bool(shown.toPlainText()))
    words = shlex.split(shown.toPlainText())
    assert words[:2] == ["napari-xpcs", "correlate"]
    assert words[words.index("--scheduler") + 1].startswith("tcp://")
    at = words.index("--scheduler")
    assert words[words.index("--skip-frames") + 1] == "3,4,5"
    assert "--normalize-frame" in words
    here = [*words[1:at], *words[at + 2 :]]
    done = CliRunner().invoke(app, here)
    assert done.exit_code == 0, done.output
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None)
    of_command = open_path(tmp_path / "a run_results.hdf").curves
    np.testing.assert_allclose(of_command.g2, xpcs_layers.layer_curves(bins).g2, rtol=1e-6)


@pytest.mark.parametrize("known_bins", [True, False])
def test_recipe_of_the_dock_does_the_same_on_the_command_line(
    widget, viewer, frames, partition, known_bins, tmp_path, qtbot
):
    if known_bins:  # those of the fixture have a mask that nobody told the steps of
        used = frames.mean(axis=0) < 3.1
        bare = make_partition(partition.geometry, used, partition.spec, xp=NumPyBackend())
        partition = replace(bare, mask_steps=(ThresholdStep(high=3.1, frames=0),))
    path = tmp_path / "run.h5"
    geometry = partition.geometry
    run(write_raw(path, iter([frames]), frames=len(frames), geometry=geometry, frame_time_s=1e-3))
    for data in (read_layers(str(path))[0], partition_layer(partition, known={})):
        viewer.add_layer(Layer.create(*data))
    choose_kind(widget, "both")
    widget.findChild(QLineEdit, "bins").setText("3,5")
    widget.findChild(QSpinBox, "end").setValue(500)
    widget.findChild(QSpinBox, "partials").setValue(2)
    widget.findChild(QLineEdit, "skipped").setText("7")
    widget.findChild(QComboBox, "errors").setCurrentText("segments")
    widget.findChild(QLineEdit, "frame_time_s").setText("0.002")
    recipe, said = tmp_path / "r.yaml", widget.findChild(QLabel, "cluster_message")
    widget.save_recipe(recipe)
    qtbot.waitUntil(lambda: said.text().startswith("Saved"))
    assert ("without the bins" in said.text()) is not known_bins
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    widget.save(tmp_path / "dock.hdf")
    summary = widget.findChild(QLabel, "summary")
    qtbot.waitUntil(lambda: summary.text().startswith("Saved"))

    words = ["correlate", path, "--recipe", recipe, "-o", tmp_path / "command.hdf"]
    if not known_bins:
        write_partition(tmp_path / "bins.hdf", partition, source=str(path))
        words += ["--qmap", tmp_path / "bins.hdf"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    with h5py.File(tmp_path / "dock.hdf") as dock, h5py.File(tmp_path / "command.hdf") as command:
        for group in ("multitau", "twotime", "temporal_mean", "spatial_mean"):
            assert_same_numbers(dock[f"xpcs/{group}"], command[f"xpcs/{group}"])
        assert command["xpcs/multitau/config/end_frame"][()] == 500


def assert_same_numbers(one, other):
    """Whether all that is in a group is in the other; of the options those that one tells."""
    names = []
    one.visititems(
        lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
    )
    assert names
    for name in names:
        if not name.endswith("seconds"):
            np.testing.assert_array_equal(one[name][()], other[name][()], err_msg=name)


def test_parts_and_pixels_of_a_result_file_are_shown(
    widget, viewer, frames, known, bins, tmp_path, qtbot
):
    layer = add_frames(viewer, frames, known, source=str(tmp_path / "run.h5"))
    widget.findChild(QSpinBox, "partials").setValue(4)
    widget.findChild(QCheckBox, "pixel_averages").setChecked(True)
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    result = widget._result.multitau
    widget.save(tmp_path / "results.hdf")
    summary = widget.findChild(QLabel, "summary")
    qtbot.waitUntil(lambda: summary.text().startswith("Saved"))
    for old in (layer, bins):
        viewer.layers.remove(old)
    for one in read_layers(str(tmp_path / "results.hdf")):
        viewer.add_layer(Layer.create(*one))
    part = widget.findChild(QComboBox, "part")
    qtbot.waitUntil(lambda: part.count() > 1)
    assert part.itemText(1) == f"first {result.partial_frames[0]} frames"
    part.setCurrentIndex(1)
    part.activated.emit(1)
    opened = widget._form._partition.layer()
    curves = xpcs_layers.layer_curves(opened)
    np.testing.assert_allclose(curves.g2, result.partial_g2[0], rtol=1e-6)
    part.setCurrentIndex(0)
    part.activated.emit(0)
    np.testing.assert_allclose(xpcs_layers.layer_curves(opened).g2, result.g2, rtol=1e-6)
    widget.findChild(QPushButton, "show_pixels").click()
    qtbot.waitUntil(lambda: bool(xpcs_layers.layers_with_role(viewer.layers, "map")))
    (image,) = xpcs_layers.layers_with_role(viewer.layers, "map")
    used = xpcs_layers.layer_partition(opened).mask
    product, past, future = result.pixel_averages.image(0)
    inside = used & (past * future > 0)
    np.testing.assert_allclose(
        image.data[inside], (product / np.where(inside, past * future, 1))[inside], rtol=1e-5
    )
    assert np.isnan(image.data[~used]).all()


def choose_kind(widget, kind):
    box = widget.findChild(QComboBox, "kind")
    box.setCurrentIndex(box.findData(kind))


def test_g2_of_bins_that_are_removed_is_not_promised(widget, viewer, frames, known, bins, qtbot):
    add_frames(viewer, frames, known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: is_done(widget))
    summary = widget.findChild(QLabel, "summary")
    assert "Fit them with XPCS: Fit g2" in summary.text()
    viewer.layers.remove(bins)
    assert summary.text() == (
        "The bins of the last result are no longer open; it can still be saved."
    )
    assert widget._plot.isHidden()
    assert widget.findChild(QPushButton, "save").isEnabled()


@pytest.mark.usefixtures("previews")
def test_a_kept_run_whose_bins_are_removed_can_be_saved_and_not_forgotten(
    widget, viewer, frames, known, bins, qtbot
):
    add_frames(viewer, Trickle(np.tile(frames, (8, 1, 1)), 0.2), known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None)
    run_button(widget).click()
    qtbot.waitUntil(lambda: widget.findChild(QPushButton, "save").isEnabled())
    forget = widget.findChild(QPushButton, "forget")
    assert not forget.isHidden()
    viewer.layers.remove(bins)
    assert forget.isHidden()
    assert "no longer open" in widget.findChild(QLabel, "summary").text()


@pytest.mark.usefixtures("previews")
@pytest.mark.parametrize("change", ["removed", "made anew"])
def test_what_cancel_kept_is_promised_to_no_fit_when_its_bins_have_gone_meanwhile(
    widget, viewer, frames, known, bins, geometry, change, qtbot
):
    add_frames(viewer, Trickle(np.tile(frames, (8, 1, 1)), 0.2), known)
    run_button(widget).click()
    qtbot.waitUntil(lambda: xpcs_layers.layer_curves(bins) is not None)
    if change == "removed":
        viewer.layers.remove(bins)
    else:
        old = xpcs_layers.layer_partition(bins)
        new = make_partition(geometry, old.mask, PartitionSpec(dq=3, sq=6), xp=NumPyBackend())
        show_partition(bins, new, known, "")
    run_button(widget).click()
    qtbot.waitUntil(lambda: widget.findChild(QPushButton, "save").isEnabled())
    told = widget.findChild(QLabel, "summary").text()
    assert "save" in told.casefold()
    assert "fit dock" not in told


def test_numbers_of_frames_can_be_read_at_300_px(widget, viewer, frames, known, bins):
    widget.resize(300, 900)
    widget.show()
    for name, typed in (("begin", 1_000_000), ("end", 2_000_000), ("stride", 100_000)):
        spin = widget.findChild(QSpinBox, name)
        spin.setValue(typed)
        line = spin.findChild(QLineEdit)
        assert line.width() > line.fontMetrics().horizontalAdvance(f" {typed} "), name
