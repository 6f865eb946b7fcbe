"""Typing geometry and bins changes the layer; nothing is invented, nothing late is shown."""

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QPushButton, QSpinBox

from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_jobs import BinRequest, BinResult
from napari_xpcs.plugin.bin_layers import partition_layer
from napari_xpcs.plugin.geometry_form import TYPED
from napari_xpcs.plugin.image_layers import frames_layer
from napari_xpcs.plugin.mask_layers import mask_layer
from napari_xpcs.plugin.partition_widget import PartitionWidget

pytestmark = pytest.mark.usefixtures("numpy_backend")


@pytest.fixture
def widget(viewer, qtbot):
    widget = PartitionWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget._teardown()


def add_frames(viewer, known):
    data = frames_layer(np.zeros((3, 48, 64), np.uint16), known=known)
    return viewer.add_layer(Layer.create(*data))


def type_into(field, text):
    """Type as a person does: setText alone is the program speaking."""
    field.setText(text)
    field.setModified(True)
    field.textEdited.emit(text)


def lay(widget):
    widget.findChild(QPushButton, "lay").click()


def state(widget):
    return widget.findChild(QLabel, "state").text()


def partition_layers(viewer):
    return xpcs_layers.layers_with_role(viewer.layers, "partition")


def test_empty_window_says_what_to_do(widget):
    assert "Open a frames or result file" in state(widget)
    assert not widget.findChild(QPushButton, "save").isEnabled()


def test_bins_appear_over_the_frames_and_follow_the_numbers(widget, viewer, known, qtbot):
    add_frames(viewer, known)
    lay(widget)
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)
    (layer,) = partition_layers(viewer)
    assert len(layer.features) == 36
    widget.findChild(QSpinBox, "dq").setValue(7)
    qtbot.waitUntil(lambda: len(layer.features) == 7)
    assert layer.data.max() == 7
    assert partition_layers(viewer) == [layer]
    assert "7 dynamic and" in state(widget)


def test_form_shows_the_file_in_the_units_of_its_labels(widget, viewer, known):
    add_frames(viewer, known)
    assert widget.findChild(QLineEdit, "pixel_row_m").text() == "75"
    assert widget.findChild(QLineEdit, "center_col_px").text() == "-3"
    assert widget.findChild(QLineEdit, "incident_angle_deg").text() == ""
    assert "test file" in widget.findChild(QLineEdit, "energy_kev").toolTip()


def test_typed_value_wins_and_the_file_is_still_told(widget, viewer, known, qtbot):
    add_frames(viewer, known)
    lay(widget)
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)
    (layer,) = partition_layers(viewer)
    q_before = xpcs_layers.layer_partition(layer).table().q
    type_into(widget.findChild(QLineEdit, "distance_m"), "4")
    qtbot.waitUntil(lambda: xpcs_layers.layer_known(layer)["distance_m"].value == 4.0)
    sourced = xpcs_layers.layer_known(layer)["distance_m"]
    assert sourced.origin == TYPED
    assert sourced.others == ((8.0, "test file"),)
    np.testing.assert_allclose(
        xpcs_layers.layer_partition(layer).table().q, 2 * q_before, rtol=1e-6
    )


def test_unknown_value_is_empty_and_named_until_it_is_typed(widget, viewer, known, qtbot):
    unknown = {name: value for name, value in known.items() if name != "energy_kev"}
    add_frames(viewer, unknown)
    field = widget.findChild(QLineEdit, "energy_kev")
    assert field.text() == ""
    assert "Energy (keV)" in widget.findChild(QLabel, "origin").text()
    lay(widget)
    qtbot.waitUntil(lambda: state(widget) == "Unknown, please type: Energy (keV).")
    assert partition_layers(viewer) == []
    type_into(field, "10")
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)


def test_mask_layer_takes_pixels_out_of_the_bins(widget, viewer, known, partition, qtbot):
    viewer.add_layer(Layer.create(*mask_layer(partition.mask)))
    add_frames(viewer, known)
    lay(widget)
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)
    np.testing.assert_array_equal(partition_layers(viewer)[0].data > 0, partition.mask)


def test_result_for_a_picture_that_is_gone_is_dropped(widget, viewer, known, partition):
    request = BinRequest(
        shape=partition.shape, geometry=partition.geometry, mask=None, spec=partition.spec
    )
    widget._on_runner_finished(BinResult(request=request, maps=None, partition=partition))
    assert partition_layers(viewer) == []


def test_nothing_is_laid_over_an_image_unasked(widget, viewer, known, qtbot):
    add_frames(viewer, known)
    qtbot.wait(400)
    assert partition_layers(viewer) == []
    assert "Press the button" in state(widget)


def test_bins_of_a_file_stay_until_something_is_edited(
    widget, viewer, known, partition, curves, qtbot
):
    loaded = partition_layer(partition, known=known, curves=curves)
    layer = viewer.add_layer(Layer.create(*loaded))
    add_frames(viewer, known)
    qtbot.wait(400)
    assert partition_layers(viewer) == [layer]
    numbers = [widget.findChild(QSpinBox, name).value() for name in ("dq", "sq", "dp", "sp")]
    assert numbers == [6, 12, 1, 1]
    widget.findChild(QSpinBox, "dq").setValue(5)
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 2)
    assert xpcs_layers.layer_curves(layer) is curves


def test_saved_file_holds_the_bins_on_the_screen(widget, viewer, known, tmp_path, qtbot):
    add_frames(viewer, known)
    lay(widget)
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)
    widget.save(tmp_path / "bins.hdf")
    qtbot.waitUntil(lambda: "Saved" in state(widget))
    saved = read_partition(tmp_path / "bins.hdf")
    np.testing.assert_array_equal(saved.dynamic.labels, partition_layers(viewer)[0].data)


def test_impossible_numbers_are_told(widget, viewer, known, qtbot):
    add_frames(viewer, known)
    type_into(widget.findChild(QLineEdit, "distance_m"), "-1")
    qtbot.waitUntil(lambda: "distance_m must lie between" in state(widget))


def test_reversed_range_of_q_is_told(widget, viewer, known, qtbot):
    add_frames(viewer, known)
    type_into(widget.findChild(QLineEdit, "q_min"), "0.003")
    type_into(widget.findChild(QLineEdit, "q_max"), "0.001")
    qtbot.waitUntil(lambda: "0.003" in state(widget))
    assert partition_layers(viewer) == []


def test_range_of_q_with_one_end_is_told(widget, viewer, known, qtbot):
    add_frames(viewer, known)
    type_into(widget.findChild(QLineEdit, "q_min"), "0.001")
    qtbot.waitUntil(lambda: "two ends" in state(widget))


def test_painting_the_mask_takes_pixels_out_of_the_bins(widget, viewer, known, partition, qtbot):
    mask = viewer.add_layer(Layer.create(*mask_layer(partition.mask)))
    add_frames(viewer, known)
    lay(widget)
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)
    (layer,) = partition_layers(viewer)
    assert layer.data[30, 30] > 0
    mask.brush_size = 5
    mask.paint((30, 30), 1)
    qtbot.waitUntil(lambda: layer.data[30, 30] == 0)


def test_another_image_gets_no_bins_that_were_asked_for_the_last(widget, viewer, known, qtbot):
    add_frames(viewer, known)
    type_into(widget.findChild(QLineEdit, "distance_m"), "4")
    second = add_frames(viewer, known)
    second.name = "second"
    widget.findChild(QComboBox, "image").setCurrentText("second")
    qtbot.wait(500)
    assert partition_layers(viewer) == []


def test_layers_of_other_kinds_do_no_harm(widget, viewer, known, partition, qtbot):
    viewer.add_shapes([np.array([[0, 0], [5, 5]])], shape_type="line")
    viewer.add_points([[1, 1]])
    add_frames(viewer, known)
    lay(widget)
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)


def test_mask_of_the_other_polarity_can_be_inverted(widget, viewer, known, partition, qtbot):
    mask = viewer.add_layer(Layer.create(*mask_layer(~partition.mask)))
    add_frames(viewer, known)
    lay(widget)
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)
    (layer,) = partition_layers(viewer)
    np.testing.assert_array_equal(layer.data > 0, ~partition.mask)
    widget.findChild(QPushButton, "invert").click()
    np.testing.assert_array_equal(xpcs_layers.layer_mask(mask), partition.mask)
    qtbot.waitUntil(lambda: np.array_equal(layer.data > 0, partition.mask))


def test_bins_opened_after_the_frames_show_their_numbers(widget, viewer, known, partition):
    add_frames(viewer, known)
    viewer.add_layer(Layer.create(*partition_layer(partition, known=known)))
    numbers = [widget.findChild(QSpinBox, name).value() for name in ("dq", "sq", "dp", "sp")]
    assert numbers == [6, 12, 1, 1]
    assert "There are bins" in state(widget)


def test_typed_geometry_of_a_foreign_image_outlives_other_layers(widget, viewer):
    viewer.add_image(np.zeros((48, 64), np.uint16), name="screen dump")
    type_into(widget.findChild(QLineEdit, "energy_kev"), "10.9")
    viewer.add_image(np.zeros((5, 5)), name="notes", rgb=False)
    viewer.layers["notes"].name = "other notes"
    widget.findChild(QComboBox, "image").setCurrentText("screen dump")
    assert widget.findChild(QLineEdit, "energy_kev").text() == "10.9"


def test_nothing_is_told_of_what_was_removed(widget, viewer, known, qtbot):
    frames = add_frames(viewer, known)
    lay(widget)
    qtbot.waitUntil(lambda: "dynamic" in state(widget))
    viewer.layers.remove(partition_layers(viewer)[0])
    assert state(widget) == "Press the button, or change a number, and the bins appear."
    viewer.layers.remove(frames)
    assert "Open a frames or result file" in state(widget)
    assert widget.findChild(QLineEdit, "energy_kev").text() == ""
    assert widget.known() == {}
    add_frames(viewer, known)
    assert widget.findChild(QLineEdit, "energy_kev").text() == "10"
    assert state(widget) == "Press the button, or change a number, and the bins appear."
