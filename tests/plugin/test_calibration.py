"""A calibration dropped after the frames, and two-time maps, as layers."""

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QLabel, QLineEdit

from napari_xpcs.errors import FileFormatError
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin._reader import read_layers
from napari_xpcs.plugin.calibration import calibrate
from napari_xpcs.plugin.image_layers import frames_layer
from napari_xpcs.plugin.partition_widget import PartitionWidget

pytestmark = pytest.mark.usefixtures("numpy_backend")


def test_calibration_becomes_the_geometry_of_the_open_frames(poni, viewer, known, qtbot):
    widget = PartitionWidget(viewer)
    qtbot.addWidget(widget)
    frames = frames_layer(np.zeros((2, 48, 64), np.uint16), known=known)
    layer = viewer.add_layer(Layer.create(*frames))
    said = calibrate(poni, viewer.layers)
    assert "run.poni is the geometry of frames" in said
    distance = xpcs_layers.layer_known(layer)["distance_m"]
    assert (distance.value, distance.origin) == (4.0, "run.poni:Distance")
    assert distance.others == ((8.0, "test file"),)
    assert widget.findChild(QLineEdit, "distance_m").text() == "4"
    assert widget.findChild(QLineEdit, "center_row_px").text() == "19.5"
    assert "8 according to test" in widget.findChild(QLabel, "origin").text()
    widget._teardown()


def test_calibration_without_frames_says_what_to_do(poni, viewer):
    with pytest.raises(FileFormatError, match="open the frames first"):
        calibrate(poni, viewer.layers)


def test_two_time_maps_are_images_without_their_diagonal(shared_data):
    found = read_layers(str(shared_data / "synthetic/Z0001_twotime_results.hdf"))
    maps = [one for one in found if one[1]["name"].startswith("two-time")]
    assert [one[1]["name"] for one in maps] == [f"two-time bin {k}" for k in (2, 5, 9, 14)]
    layer = Layer.create(*maps[1])
    values = np.asarray(layer.data)
    assert np.isnan(np.diagonal(values)).all()
    off = values[~np.eye(len(values), dtype=bool)]
    assert np.isfinite(off).all()
    np.testing.assert_allclose(layer.scale, 1e-3)
    assert layer.axis_labels == ("t1 (s)", "t2 (s)")
    assert not layer.visible
