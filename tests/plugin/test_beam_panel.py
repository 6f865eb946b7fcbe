"""The beam is dragged, found and fitted, and form, cross and bins follow."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Layer
from napari.layers.base._base_constants import ActionType
from napari.utils.interactions import mouse_double_click_callbacks
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QPushButton

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.kernels.geometry import complete_geometry, override
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.image_layers import frames_layer
from napari_xpcs.plugin.partition_widget import PartitionWidget

pytestmark = pytest.mark.usefixtures("numpy_backend")
SHAPE = (120, 140)
BEAM = (52.3, 61.7)


@pytest.fixture
def widget(viewer, qtbot):
    widget = PartitionWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget._teardown()


@pytest.fixture
def pattern(known, viewer):
    """Ten frames of rings about BEAM; the file tells another beam."""
    true = override(known, {"center_row_px": BEAM[0], "center_col_px": BEAM[1]}, "truth")
    q = q_maps(complete_geometry(true, SHAPE), xp=NumPyBackend()).q
    mean = 40 + 100 * np.cos(q / q.max() * 25) ** 2
    frames = np.random.default_rng(1).poisson(mean, (10, *SHAPE)).astype(np.uint16)
    told = override(known, {"center_row_px": 58.0, "center_col_px": 55.0}, "test file")
    return viewer.add_layer(Layer.create(*frames_layer(frames, known=told)))


def button(widget, name):
    return widget.findChild(QPushButton, name)


def number(widget, name):
    return float(widget.findChild(QLineEdit, name).text())


def beam_of(widget):
    return number(widget, "center_row_px"), number(widget, "center_col_px")


def message(widget):
    return widget.findChild(QLabel, "beam_message").text()


def cross(viewer):
    (layer,) = xpcs_layers.layers_with_role(viewer.layers, "beam")
    return layer


def test_beam_is_found_by_symmetry_and_told_with_its_error(widget, pattern, viewer, qtbot):
    button(widget, "drag_beam").click()
    button(widget, "find_beam").click()
    assert button(widget, "find_beam").text() == "Cancel"
    qtbot.waitUntil(lambda: "Beam at row" in message(widget))
    assert beam_of(widget) == pytest.approx(BEAM, abs=0.1)
    assert tuple(cross(viewer).data[0]) == pytest.approx(BEAM, abs=0.1)
    known = widget.known()["center_row_px"]
    assert "±" in known.origin
    assert known.others[0] == (58.0, "test file")


def test_search_can_be_cancelled(widget, pattern, qtbot):
    before = beam_of(widget)
    button(widget, "find_beam").click()
    button(widget, "find_beam").click()
    assert message(widget) == "Cancelled."
    qtbot.wait(300)
    assert beam_of(widget) == before


def test_image_without_rings_says_why_there_is_no_beam(widget, viewer, known, qtbot):
    frames = np.full((2, *SHAPE), 7, np.uint16)
    viewer.add_layer(Layer.create(*frames_layer(frames, known=known)))
    button(widget, "find_beam").click()
    qtbot.waitUntil(lambda: "no pattern" in message(widget))
    assert button(widget, "find_beam").text() == "Find by symmetry"


def test_bins_follow_the_cross_while_it_is_dragged(widget, pattern, viewer, qtbot):
    button(widget, "lay").click()
    qtbot.waitUntil(lambda: widget._target is not None)
    button(widget, "drag_beam").click()
    points = cross(viewer)
    before = widget._target.data.copy()
    partition = xpcs_layers.layer_partition(widget._target)
    points.data[0] = (70.0, 80.0)
    points.refresh()  # what napari does while the mouse moves
    assert beam_of(widget) == (70.0, 80.0)
    qtbot.waitUntil(lambda: not np.array_equal(widget._target.data, before))
    assert xpcs_layers.layer_partition(widget._target) is partition
    points.events.data(
        value=points.data, action=ActionType.CHANGED, data_indices=(0,), vertex_indices=((),)
    )
    qtbot.waitUntil(lambda: xpcs_layers.layer_partition(widget._target) is not partition)
    shown = xpcs_layers.layer_partition(widget._target)
    assert (shown.geometry.center_row_px, shown.geometry.center_col_px) == (70.0, 80.0)
    assert widget.known()["center_row_px"].origin == "dragged by hand"


def test_typed_beam_moves_the_cross(widget, pattern, viewer):
    button(widget, "drag_beam").click()
    field = widget.findChild(QLineEdit, "center_row_px")
    field.setText("12.5")
    field.setModified(True)
    field.textEdited.emit("12.5")
    assert tuple(cross(viewer).data[0]) == (12.5, 55.0)


def test_shift_and_double_click_puts_the_beam_and_does_not_zoom(widget, pattern, viewer):
    zoom = viewer.scene.camera.zoom
    click = SimpleNamespace(position=(0.0, 33.3, 44.4), modifiers=("Shift",))
    mouse_double_click_callbacks(viewer, click)
    assert beam_of(widget) == (33.3, 44.4)
    assert viewer.scene.camera.zoom == zoom
    mouse_double_click_callbacks(viewer, SimpleNamespace(position=(0.0, 1.0, 1.0), modifiers=()))
    assert beam_of(widget) == (33.3, 44.4)
    assert viewer.scene.camera.zoom == 2 * zoom


def test_ring_through_picked_points(widget, pattern, viewer, qtbot):
    widget.findChild(QComboBox, "ring_source").setCurrentText("picked points")
    button(widget, "fit_ring").click()
    assert "three or more" in message(widget)
    (points,) = xpcs_layers.layers_with_role(viewer.layers, "ring")
    angles = np.radians([20.0, 110.0, 200.0, 290.0])
    points.data = np.stack([BEAM[0] + 30 * np.sin(angles), BEAM[1] + 30 * np.cos(angles)], 1)
    button(widget, "fit_ring").click()
    qtbot.waitUntil(lambda: "Beam at row" in message(widget))
    assert beam_of(widget) == pytest.approx(BEAM, abs=0.01)


def test_ring_along_a_drawn_ellipse(widget, viewer, known, qtbot):
    rows, cols = np.indices(SHAPE)
    radius = np.hypot(rows - BEAM[0], cols - BEAM[1])
    mean = 5 + 200 * np.exp(-0.5 * ((radius - 35) / 1.5) ** 2)
    frames = np.random.default_rng(1).poisson(mean, (4, *SHAPE)).astype(np.uint16)
    told = override(known, {"center_row_px": 54.0, "center_col_px": 60.0}, "test file")
    viewer.add_layer(Layer.create(*frames_layer(frames, known=told)))
    button(widget, "fit_ring").click()
    assert "handles" in message(widget)
    (ring,) = xpcs_layers.layers_with_role(viewer.layers, "ring")
    assert np.asarray(ring.data[0]).mean(axis=0) == pytest.approx((54.0, 60.0))
    button(widget, "fit_ring").click()
    qtbot.waitUntil(lambda: "Beam at row" in message(widget))
    assert beam_of(widget) == pytest.approx(BEAM, abs=0.1)


def test_closing_the_dock_leaves_no_callbacks(viewer, qtbot):
    before = len(viewer.mouse_double_click_callbacks), len(viewer.mouse_drag_callbacks)
    widget = PartitionWidget(viewer)
    qtbot.addWidget(widget)
    widget._teardown()
    after = len(viewer.mouse_double_click_callbacks), len(viewer.mouse_drag_callbacks)
    assert after == before
