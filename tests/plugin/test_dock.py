"""The parts that all docks share."""

import gc
import weakref

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QSlider,
    QTabBar,
    QTableView,
)

from napari_xpcs.backends import reset_backend
from napari_xpcs.plugin.collection import old_objects_passed_over
from napari_xpcs.plugin.compare_widget import CompareWidget
from napari_xpcs.plugin.controls import NumberEdit
from napari_xpcs.plugin.correlate_widget import CorrelateWidget
from napari_xpcs.plugin.dock import LayerComboBox
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.section import Section
from napari_xpcs.plugin.window import DOCKS

WITH_TITLES = (QAbstractSpinBox, QLineEdit, QTabBar, QTableView, Section, JobButton)
"""Parents of controls whose text is all there is to say."""


def images(layer):
    return isinstance(layer, Image)


@pytest.fixture
def layers():
    return [
        Image(np.zeros((2, 2)), name="a"),
        Labels(np.zeros((2, 2), int), name="bins"),
        Image(np.zeros((2, 2)), name="b"),
    ]


def test_choice_holds_the_wanted_layers_topmost_first(qtbot, layers):
    combo = LayerComboBox("nothing", images)
    qtbot.addWidget(combo)
    assert (combo.layer(), combo.currentText(), combo.isEnabled()) == (None, "nothing", False)
    combo.show_layers(layers)
    assert [combo.itemText(i) for i in range(combo.count())] == ["b", "a"]
    assert combo.layer() is layers[2]


def test_choice_stays_when_layers_come_and_go(qtbot, layers):
    combo = LayerComboBox("nothing", images)
    qtbot.addWidget(combo)
    combo.show_layers(layers)
    combo.setCurrentText("a")
    combo.show_layers([*layers, Image(np.zeros((2, 2)), name="c")])
    assert combo.layer() is layers[0]
    with qtbot.waitSignal(combo.currentIndexChanged):
        combo.show_layers(layers[1:])
    assert combo.layer() is layers[2]


def test_nothing_can_be_chosen_where_it_is_optional(qtbot, layers):
    combo = LayerComboBox("no mask", images, optional=True)
    qtbot.addWidget(combo)
    combo.show_layers(layers)
    combo.setCurrentText("no mask")
    combo.show_layers(layers)
    assert combo.layer() is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("", None),
        ("-", None),
        ("12.5", 12.5),
        ("1e", None),
        ("1,000", 1000.0),
    ],
)
def test_number_is_what_was_typed_or_nothing(qtbot, text, value):
    field = NumberEdit()
    qtbot.addWidget(field)
    qtbot.keyClicks(field, text)
    assert field.value() == value


@pytest.mark.usefixtures("numpy_backend")
def test_last_line_tells_what_is_computed_with(viewer, qtbot):
    widget = CorrelateWidget(viewer)
    qtbot.addWidget(widget)
    line = widget.findChild(QLabel, "backend")
    qtbot.waitUntil(lambda: line.text().startswith("numpy on"))
    assert "float64" in line.text()


def test_last_line_tells_why_there_is_no_backend(viewer, qtbot, monkeypatch):
    from napari_xpcs.backends import DeviceManager

    monkeypatch.setenv("XPCS_USE_JAX", "perhaps")
    DeviceManager.reset()
    reset_backend()
    widget = CorrelateWidget(viewer)
    qtbot.addWidget(widget)
    line = widget.findChild(QLabel, "backend")
    qtbot.waitUntil(lambda: "perhaps" in line.text())
    assert "true" in line.text()
    monkeypatch.delenv("XPCS_USE_JAX")
    DeviceManager.reset()
    reset_backend()


@pytest.mark.usefixtures("numpy_backend")
def test_what_lived_before_a_long_job_is_freed_within_it_when_a_layer_is_removed(qtbot, viewer):
    dock = CorrelateWidget(viewer)
    qtbot.addWidget(dock)
    layer = viewer.add_image(np.zeros((4, 4)))
    ring = Layers()
    ring.self = ring
    freed = weakref.ref(ring)
    with old_objects_passed_over():
        del ring
        gc.collect()
        assert freed() is not None
        viewer.layers.remove(layer)
        gc.collect()
        assert freed() is None
    dock._teardown()


class Layers:
    """Refers to itself, as many objects of napari do."""


@pytest.mark.parametrize("kind", [*DOCKS.values(), CompareWidget])
def test_every_control_says_under_the_mouse_what_it_does(kind, viewer, qtbot):
    dock = kind(viewer)
    qtbot.addWidget(dock)
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QSlider)
    silent = [
        control.objectName()
        for one in kinds
        for control in dock.findChildren(one)
        if not control.toolTip()
        and not control.objectName().startswith("qt_")
        and not isinstance(control.parent(), WITH_TITLES)
    ]
    dock._teardown()
    assert silent == []
