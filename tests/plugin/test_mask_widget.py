"""The list of steps makes the layer, the brush makes steps, and all of it can be undone."""

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QSpinBox,
    QToolButton,
)

from napari_xpcs.io.masks import read_mask
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.kernels.mask_parameters import Condition
from napari_xpcs.kernels.mask_steps import (
    BeamStopStep,
    ConstraintStep,
    DefectsStep,
    MorphologyStep,
    OutliersStep,
    PaintedStep,
    ShapesStep,
    ThresholdStep,
)
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.image_layers import frames_layer
from napari_xpcs.plugin.mask_layers import mask_layer
from napari_xpcs.plugin.mask_widget import MaskWidget
from napari_xpcs.plugin.partition_widget import PartitionWidget
from napari_xpcs.plugin.step_form import StepForm

pytestmark = pytest.mark.usefixtures("numpy_backend")

SHAPE = (48, 64)


@pytest.fixture
def widget(viewer, qtbot):
    widget = MaskWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget._teardown()


@pytest.fixture
def frames():
    counts = np.random.default_rng(2).poisson(3.0, (20, *SHAPE)).astype(np.uint16)
    counts[:, 5, 6] = 0
    counts[7, 30, 40] = 65535
    return counts


@pytest.fixture
def image(viewer, frames, known):
    return viewer.add_layer(Layer.create(*frames_layer(frames, known=known)))


def mask_layers(viewer):
    return xpcs_layers.layers_with_role(viewer.layers, "mask")


def partition_layers(viewer):
    return xpcs_layers.layers_with_role(viewer.layers, "partition")


def masked(viewer):
    (layer,) = mask_layers(viewer)
    return [tuple(position) for position in np.argwhere(~xpcs_layers.layer_mask(layer)).tolist()]


def done(widget):
    return lambda: widget._result is not None and not widget._runner.running


def lines(widget):
    shown = widget.findChild(QListWidget, "steps")
    return [shown.item(row).text() for row in range(shown.count())]


def state(widget):
    return widget.findChild(QLabel, "state").text()


def press(widget, name, kind=QToolButton):
    button = widget.findChild(kind, name)
    assert button.isEnabled()
    button.click()


def test_empty_window_says_what_to_do(widget):
    assert "Open a frames or result file" in state(widget)
    assert not widget.findChild(QPushButton, "add").isEnabled()
    assert not widget.findChild(QPushButton, "save").isEnabled()


def test_a_step_from_its_form_masks_and_is_counted(widget, viewer, image, qtbot):
    assert "Every pixel is used" in state(widget)
    widget.open_form("threshold")
    # The form knows the type of the counts.
    assert widget.findChild(QLineEdit, "high").text() == "65535"
    press(widget, "take", QPushButton)
    qtbot.waitUntil(lambda: len(mask_layers(viewer)) == 1)
    assert masked(viewer) == [(30, 40)]
    assert widget.steps() == (ThresholdStep(high=65535.0, of="maximum"),)
    assert lines(widget) == ["Keep maximum < 65535\n1 px masked"]
    assert widget.findChild(QLabel, "total").text().startswith("1 of 3\u202f072 pixels are masked")


def test_switching_moving_removing_undo_and_redo(widget, viewer, image, qtbot):
    steps = (DefectsStep(hot=False, frames=0), MorphologyStep(pixels=1))
    widget.change(steps[:1])
    widget.change(steps)
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 5
    shown = widget.findChild(QListWidget, "steps")
    shown.item(1).setCheckState(Qt.CheckState.Unchecked)
    qtbot.waitUntil(done(widget))
    assert masked(viewer) == [(5, 6)]
    assert lines(widget)[1].endswith("\noff")
    press(widget, "undo")
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 5
    shown.setCurrentRow(1)
    press(widget, "up")
    qtbot.waitUntil(done(widget))
    assert widget.steps() == steps[::-1]
    assert masked(viewer) == [(5, 6)]
    press(widget, "remove")
    qtbot.waitUntil(done(widget))
    assert len(widget.steps()) == 1
    for _ in range(4):
        press(widget, "undo")
    assert widget.steps() == ()
    assert not widget.findChild(QToolButton, "undo").isEnabled()
    qtbot.waitUntil(done(widget))
    assert masked(viewer) == []
    press(widget, "redo")
    press(widget, "redo")
    qtbot.waitUntil(done(widget))
    assert widget.steps() == steps


def test_clicking_a_step_shows_its_form_and_changes_it(widget, viewer, image, qtbot):
    widget.change([BeamStopStep(radius_px=1.0, center_row_px=9.0, center_col_px=9.0)])
    qtbot.waitUntil(done(widget))
    widget.findChild(QListWidget, "steps").setCurrentRow(0)
    radius = widget.findChild(QLineEdit, "radius_px")
    assert radius.text() == "1"
    radius.setText("2")
    press(widget, "take", QPushButton)
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 13


def test_the_brush_makes_a_step_and_its_undo_takes_it_back(widget, viewer, image, qtbot):
    widget.change([BeamStopStep(radius_px=0.0, center_row_px=9.0, center_col_px=9.0)])
    qtbot.waitUntil(done(widget))
    widget.paint_by_hand()
    (layer,) = mask_layers(viewer)
    assert layer.mode == "paint"
    layer.brush_size = 1
    layer.paint((20, 20), 1)
    layer.paint((9, 9), 0)
    qtbot.waitUntil(lambda: len(widget._steps) == 2)
    qtbot.waitUntil(done(widget))
    assert isinstance(widget.steps()[-1], PaintedStep)
    assert masked(viewer) == [(20, 20)]
    assert lines(widget)[1] == "Painted by hand\n1 px masked, 1 used again"
    layer.undo()
    qtbot.waitUntil(lambda: masked(viewer) == [(9, 9), (20, 20)])
    qtbot.waitUntil(lambda: lines(widget)[1] == "Painted by hand\n1 px masked")
    # Strokes stay on top of what a later change of the other steps makes.
    widget.change([*widget.steps()[:0], *widget.steps()[1:]])
    qtbot.waitUntil(done(widget))
    assert masked(viewer) == [(20, 20)]


def test_strokes_while_the_steps_are_done_are_kept(widget, viewer, image, qtbot):
    widget.change([DefectsStep(hot=False)])
    qtbot.waitUntil(done(widget))
    (layer,) = mask_layers(viewer)
    widget.change([*widget.steps(), MorphologyStep(pixels=1)])
    layer.data[20, 20] = 1
    layer.refresh()
    qtbot.waitUntil(lambda: len(widget._steps) == 3)
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 6
    assert (20, 20) in masked(viewer)


def test_what_cannot_be_done_is_said_in_the_list(widget, viewer, image, qtbot):
    widget.change([ThresholdStep(low=1e6), OutliersStep(within="tile", tile_px=16)])
    qtbot.waitUntil(done(widget))
    assert "left out: This would mask every pixel" in lines(widget)[0]
    assert state(widget) == "1 of the steps could not be done."
    assert "px masked" in lines(widget)[1]


def test_shapes_are_taken_from_a_layer_and_outlive_it(widget, viewer, image, qtbot):
    shapes = viewer.add_shapes(
        [np.array([[2, 3], [2, 8], [6, 8], [6, 3]])], shape_type="rectangle", edge_width=1
    )
    widget.open_form("shapes")
    press(widget, "take", QPushButton)
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 4 * 5
    viewer.layers.remove(shapes)
    assert isinstance(widget.steps()[0], ShapesStep)
    widget.findChild(QListWidget, "steps").setCurrentRow(0)
    assert widget.findChild(QLabel, "shapes_state").text() == "1 shapes, taken earlier."
    press(widget, "edit_shapes", QPushButton)
    (layer,) = xpcs_layers.layers_with_role(viewer.layers, "mask shapes")
    layer.data = [np.array([[2, 3], [2, 9], [6, 9], [6, 3]])]
    press(widget, "take", QPushButton)
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 4 * 6


def test_a_layer_to_draw_in_is_made(widget, viewer, image):
    widget._draw_shapes()
    (layer,) = xpcs_layers.layers_with_role(viewer.layers, "mask shapes")
    assert layer.mode == "add_rectangle"
    assert widget.findChild(QComboBox, "shapes_layer").currentText() == "mask shapes"
    press(widget, "take", QPushButton)
    assert "at least one shape is needed" in state(widget)


def test_conditions_from_the_form(widget, viewer, image, qtbot):
    widget.open_form("constraint")
    axis = widget.findChild(QComboBox, "axis")
    axis.setCurrentText("x (pixel)")
    widget.findChild(QLineEdit, "low").setText("3")
    press(widget, "take", QPushButton)
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 3 * 48
    assert lines(widget)[0].startswith("Keep 3 ≤ x pixel")
    widget.open_form("constraint")
    press(widget, "take", QPushButton)
    assert "q needs low, high, or both" in state(widget)


def test_a_mask_that_is_there_becomes_the_first_step(viewer, image, qtbot):
    used = np.ones(SHAPE, dtype=bool)
    used[3, 4] = False
    viewer.add_layer(Layer.create(*mask_layer(used, source="run/bad.tif")))
    widget = MaskWidget(viewer)
    qtbot.addWidget(widget)
    assert lines(widget) == ["Masked in bad.tif"], "what it did is not told, and nobody works at it"
    widget.change([*widget.steps(), MorphologyStep(pixels=1)])
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 5
    press(widget, "undo")
    qtbot.waitUntil(done(widget))
    (layer,) = mask_layers(viewer)
    layer.brush_size = 1
    layer.paint((20, 20), 1)
    qtbot.waitUntil(lambda: len(lines(widget)) == 2)
    assert lines(widget)[1].startswith("Painted by hand")
    widget._teardown()


def test_steps_that_a_recipe_gives_to_the_layer_are_taken_over(widget, viewer, image, qtbot):
    widget.change([BeamStopStep(radius_px=1.0, center_row_px=9.0, center_col_px=9.0)])
    qtbot.waitUntil(done(widget))
    before, (layer,) = widget.steps(), mask_layers(viewer)
    given = (ConstraintStep(conditions=(Condition(axis="x", low=2.0),)),)
    mask = np.ones(SHAPE, dtype=bool)
    mask[:, :2] = False
    xpcs_layers.attach_steps(layer, given, mask)
    layer.data = (~mask).astype(layer.data.dtype)
    qtbot.waitUntil(lambda: widget._steps == given)
    qtbot.waitUntil(done(widget))
    assert len(masked(viewer)) == 2 * 48
    press(widget, "undo")
    assert widget.steps() == before


def test_another_image_drops_what_comes_late(widget, viewer, image, known, qtbot):
    widget.change([DefectsStep(frames=0)])
    other = np.ones((3, 32, 32), np.uint16)
    viewer.add_layer(Layer.create(*frames_layer(other, name="other", known=known)))
    box = widget.findChild(QComboBox, "image")
    box.setCurrentIndex(box.findText("other"))
    assert widget.steps() == ()
    qtbot.wait(300)
    assert mask_layers(viewer) == []


def test_cancel_goes_back_to_the_steps_that_are_done(widget, viewer, image, qtbot):
    widget.change([BeamStopStep(radius_px=1.0, center_row_px=9.0, center_col_px=9.0)])
    qtbot.waitUntil(done(widget))
    widget.change([*widget.steps(), DefectsStep(frames=0)])
    widget.findChild(QPushButton, "cancel").click()
    assert len(widget.steps()) == 1
    assert "Cancelled" in state(widget)
    qtbot.wait(200)
    assert len(masked(viewer)) == 5


def test_mask_and_steps_are_saved_and_bins_follow(widget, viewer, image, qtbot, tmp_path):
    widget.change([DefectsStep(hot=False, frames=0)])
    qtbot.waitUntil(done(widget))
    widget.save(tmp_path / "mask.npy")
    qtbot.waitUntil(lambda: "Saved" in state(widget))
    assert np.argwhere(~read_mask(tmp_path / "mask.npy").mask).tolist() == [[5, 6]]
    bins = PartitionWidget(viewer)
    qtbot.addWidget(bins)
    bins.findChild(QPushButton, "lay").click()
    qtbot.waitUntil(lambda: len(partition_layers(viewer)) == 1)
    bins.save(tmp_path / "qmap.hdf")
    qtbot.waitUntil((tmp_path / "qmap.hdf").exists)
    assert read_partition(tmp_path / "qmap.hdf").mask_steps == widget.steps()

    # Bins follow the list, the brush, and the brush undone.
    def used():
        return int(xpcs_layers.layer_partition(partition_layers(viewer)[0]).mask.sum())

    whole = used()
    widget.change([*widget.steps(), MorphologyStep(pixels=1)])
    qtbot.waitUntil(lambda: used() == whole - 4)
    (layer,) = mask_layers(viewer)
    layer.brush_size = 1
    layer.paint((20, 20), 1)
    qtbot.waitUntil(lambda: used() == whole - 5)
    layer.undo()
    qtbot.waitUntil(lambda: used() == whole - 4)
    bins._teardown()


def test_the_form_of_outliers_asks_for_rings_or_for_tiles(widget, image):
    widget.open_form("outliers")
    form = widget.findChild(StepForm)
    rings, tile = form.findChild(QSpinBox, "rings"), form.findChild(QSpinBox, "tile_px")
    assert (rings.isHidden(), tile.isHidden()) == (False, True)
    form.findChild(QComboBox, "within").setCurrentText("tile")
    assert (rings.isHidden(), tile.isHidden()) == (True, False)
    assert form.step().within == "tile"
