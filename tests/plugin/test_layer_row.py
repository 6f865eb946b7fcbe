"""The button beside a choice of layers, driven as a user drives it."""

import h5py
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QInputDialog, QLabel, QPushButton

from napari_xpcs.errors import FileFormatError
from napari_xpcs.plugin.dock import LayerComboBox
from napari_xpcs.plugin.image_layers import frames_layer
from napari_xpcs.plugin.layer_adding import LayerAdder
from napari_xpcs.plugin.layer_row import LayerRow
from napari_xpcs.plugin.layers import layer_known, layer_role


@pytest.fixture
def row(viewer, qtbot):
    choice = LayerComboBox("no frames", _is_frames, objectName="frames")

    def follow(event):
        choice.show_layers(list(viewer.layers))

    viewer.layers.events.inserted.connect(follow)
    row = LayerRow(choice, viewer, "frames")
    qtbot.addWidget(row)
    row.show()
    yield row
    row.stop()


def _is_frames(layer):
    return layer_role(layer) == "frames"


def chosen(row):
    return row.findChild(LayerComboBox).layer()


def button(row):
    return row.findChild(QPushButton)


def said(row):
    return row.findChild(QLabel, "opening_frames").text()


def open_and_wait(row, path, qtbot):
    row.open(path)
    qtbot.waitUntil(button(row).isEnabled)


def stack(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[f"entry/instrument/{name}/data"] = np.full((6, 8, 9), value, np.uint16)
    return path


def test_a_file_is_read_in_a_thread_and_chosen_though_another_was(row, viewer, tmp_path, qtbot):
    row.open(stack(tmp_path / "first.h5", detector=1))
    assert not len(viewer.layers), "nothing is read on the way"
    assert said(row) == "Reading first.h5 ..."
    assert not button(row).isEnabled()
    qtbot.waitUntil(button(row).isEnabled)
    first = chosen(row)
    assert said(row) == ""
    open_and_wait(row, stack(tmp_path / "second.h5", detector=2), qtbot)
    assert chosen(row) is not first
    assert np.asarray(chosen(row).data[0]).max() == 2


def test_a_file_that_cannot_be_read_says_why_below_the_choice(row, viewer, tmp_path, qtbot):
    (tmp_path / "notes.h5").write_text("beam time notes")
    open_and_wait(row, tmp_path / "notes.h5", qtbot)
    assert "notes.h5" in said(row)
    assert not len(viewer.layers)


def test_of_several_stacks_the_user_chooses_one(row, viewer, tmp_path, qtbot, monkeypatch):
    asked = []

    def answer(parent, title, text, items, *rest):
        asked.append(items)
        return items[1], len(asked) > 1

    monkeypatch.setattr(QInputDialog, "getItem", answer)
    path = stack(tmp_path / "two.h5", eiger=1, pilatus=2)
    open_and_wait(row, path, qtbot)
    assert "several stacks" in said(row)
    open_and_wait(row, path, qtbot)
    assert np.asarray(chosen(row).data[0]).max() == 2
    assert len(viewer.layers) == 1


def test_a_calibration_becomes_the_geometry_of_what_is_open(row, viewer, known, poni, qtbot):
    open_and_wait(row, poni, qtbot)
    assert "open the frames first" in said(row)
    layer = viewer.add_layer(
        Layer.create(*frames_layer(np.zeros((2, 48, 64), np.uint16), known=known))
    )
    open_and_wait(row, poni, qtbot)
    assert said(row) == ""
    assert layer_known(layer)["distance_m"].value == 4.0


def test_a_row_that_is_stopped_adds_nothing(row, viewer, tmp_path, qtbot):
    row.open(stack(tmp_path / "late.h5", detector=1))
    row.stop()
    qtbot.waitUntil(lambda: row._reading.ended)
    qtbot.wait(20)
    assert not len(viewer.layers)


def test_a_layer_that_napari_cannot_show_keeps_no_other_one_out(viewer, qtbot):
    adder = LayerAdder(viewer)
    image = np.zeros((4, 5))
    with qtbot.capture_exceptions() as raised, qtbot.waitSignal(adder.done):
        adder.add([(Unreadable(), {"rgb": False}, "image"), (image, {"name": "good"}, "image")])
    assert [layer.name for layer in viewer.layers] == ["good"]
    assert [str(fault) for _, fault, _ in raised] == ["Frame 0 is damaged."]


class Unreadable:
    """Frames the first of which is damaged."""

    shape, dtype, ndim = (3, 4, 5), np.dtype(np.uint16), 3

    def __getitem__(self, key):
        raise FileFormatError("Frame 0 is damaged.")
