"""The real napari window: real files, the docks, a click, an honest fit."""

import h5py
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QDockWidget

from napari_xpcs.errors import FileFormatError
from napari_xpcs.plugin.display import log_view
from napari_xpcs.plugin.fit_widget import FitWidget
from napari_xpcs.plugin.layers import layers_with_role
from napari_xpcs.plugin.window import DOCKS, add_docks


@pytest.fixture
def window(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    docks = add_docks(viewer)
    qtbot.waitUntil(lambda: docks[FitWidget].ready)
    return viewer, docks


def colors_of(viewer):
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
    return len(np.unique(picture.reshape(-1, 3), axis=0))


@pytest.mark.parametrize(
    ("name", "bins"),
    [
        ("E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf", 36),
        ("Average_B0147_S3_7_300C10p_att00_Rq0_00001_00200_results.hdf", 27),
    ],
)
def test_real_result_is_shown_and_fitted_honestly(window, shared_data, qtbot, name, bins):
    viewer, docks = window
    viewer.open(str(shared_data / "aps_8idi" / name), plugin="napari-xpcs")
    (partition,) = layers_with_role(viewer.layers, "partition")
    assert len(partition.features) == bins
    assert colors_of(viewer) > bins
    fit = docks[FitWidget]
    fit.fit_all()
    qtbot.waitUntil(lambda: fit.fitted is not None)
    statuses = fit.fitted.status
    assert len(statuses) == bins
    assert sum(status == "ok" for status in statuses) < bins / 2
    assert all(status == "ok" or ": " in status for status in statuses)


def test_docks_have_the_names_that_the_menu_looks_for(window):
    viewer, docks = window
    assert set(viewer.window.dock_widgets) >= {f"{name} (XPCS)" for name in DOCKS}
    assert len(docks) == len(DOCKS)


def test_broken_file_changes_nothing_that_is_open(window, tmp_path):
    viewer, _ = window
    kept = viewer.add_layer(Layer.create(np.ones((8, 8)), {"name": "mine"}, "image"))
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["temperature"] = [300.0]
    with pytest.raises(FileFormatError, match="/entry/data/data"):
        viewer.open(str(path), plugin="napari-xpcs")
    assert list(viewer.layers) == [kept]


def test_closing_a_dock_ends_what_it_does(window):
    viewer, docks = window
    fit = docks[FitWidget]
    callbacks = len(viewer.mouse_drag_callbacks)
    dock = fit.parent()
    while not isinstance(dock, QDockWidget):
        dock = dock.parent()
    viewer.window.remove_dock_widget(dock)
    assert len(viewer.mouse_drag_callbacks) == callbacks - 1


def test_decades_of_counts_are_equally_far_apart_on_the_screen(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    counts = np.repeat([0, 9, 99, 999, 9999], 20)[None, :].repeat(100, axis=0).astype(np.float32)
    viewer.add_image(counts, **log_view((0.0, 9999.0)))
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., 0].astype(float)
    row = picture[picture.shape[0] // 2]
    bright = np.flatnonzero(row)
    left = bright[0] - (bright[-1] + 1 - bright[0]) // 4  # the first fifth is black
    width = (bright[-1] + 1 - left) / 5
    shades = [row[int(left + (step + 0.5) * width)] for step in range(5)]
    np.testing.assert_allclose(shades, np.arange(5) / 4 * 255, atol=3)
