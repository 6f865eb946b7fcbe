"""Click a bin, see its curve; fit all; read D."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QLabel, QPushButton, QTableWidget, QWidget

from napari_xpcs.backends import reset_backend, set_backend
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.fit_widget import FitWidget


@pytest.fixture(autouse=True)
def numpy_backend():
    set_backend("numpy")
    yield
    reset_backend()


@pytest.fixture
def widget(viewer, qtbot):
    widget = FitWidget(viewer)
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: widget.ready, timeout=20000)
    yield widget
    widget._teardown()


@pytest.fixture
def layer(viewer, partition, known, curves):
    data = xpcs_layers.partition_layer(partition, known=known, curves=curves)
    return viewer.add_layer(Layer.create(*data))


def fit(widget, qtbot):
    widget.fit_all()
    qtbot.waitUntil(lambda: widget.fitted is not None, timeout=20000)


def click(widget, layer, label, moved=False):
    row, col = np.argwhere(layer.data == label)[0]
    event = SimpleNamespace(
        type="mouse_press", position=(row, col), view_direction=None, dims_displayed=[0, 1]
    )
    steps = widget._on_image_pressed(None, event)
    next(steps)
    event.type = "mouse_move" if moved else "mouse_release"
    next(steps, None)


def test_without_curves_the_panel_says_what_to_do(widget):
    assert not widget.findChild(QPushButton, "run").isEnabled()
    assert "XPCS: Correlate" in widget.findChild(QLabel, "message").text()


def test_all_bins_are_fitted_and_the_empty_one_shows_no_number(widget, layer, curves, qtbot):
    fit(widget, qtbot)
    fitted = widget.fitted
    assert fitted.status[-1].startswith("no_data")
    assert np.isnan(fitted.value[-1]).all()
    tau = fitted.value[:-1, fitted.names.index("tau_s")]
    np.testing.assert_allclose(tau, 1 / (5e6 * curves.bins.q[:-1] ** 2), rtol=0.05)
    table = widget.findChild(QTableWidget, "table")
    assert table.rowCount() == len(curves.bins)
    assert table.item(table.rowCount() - 1, 3).text() == ""
    assert widget._dispersion.D_m2_per_s == pytest.approx(5e-14, rel=0.02)


def test_click_selects_the_bin_and_its_row_but_a_drag_does_not(widget, layer, qtbot):
    fit(widget, qtbot)
    click(widget, layer, 4)
    assert layer.selected_label == 4
    assert widget.findChild(QTableWidget, "table").currentRow() == 3
    click(widget, layer, 2, moved=True)
    assert layer.selected_label == 4


def test_clicked_curve_is_drawn_with_fit_and_title(widget, layer, curves, qtbot):
    fit(widget, qtbot)
    click(widget, layer, 3)
    top, bottom = widget._curve_plot.figure.axes
    assert top.get_title().startswith(f"bin 3, q = {curves.bins.q[2]:.4g} 1/Å")
    measured = top.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(measured[:, 1], curves.g2[:, 2])
    residuals = bottom.lines[0].get_ydata()
    assert np.std(residuals) == pytest.approx(1.0, abs=0.4)


def test_row_of_the_table_selects_the_bin_on_the_image(widget, layer, qtbot):
    fit(widget, qtbot)
    widget.findChild(QTableWidget, "table").selectRow(4)
    assert layer.selected_label == 5


def test_fit_of_curves_that_were_replaced_is_dropped(widget, layer, curves, viewer, qtbot):
    widget.fit_all()
    xpcs_layers.attach_curves(layer, None)
    qtbot.wait(300)
    assert widget.fitted is None


def test_table_is_saved_as_csv(widget, layer, tmp_path, qtbot):
    fit(widget, qtbot)
    widget.save(tmp_path / "fit.csv")
    lines = (tmp_path / "fit.csv").read_text().splitlines()
    assert lines[0].startswith("bin,q_inv_angstrom,phi_deg,model,status")
    assert len(lines) == 1 + len(layer.features)


def test_closing_the_dock_takes_its_mouse_callback_away(viewer, qtbot):
    before = list(viewer.mouse_drag_callbacks)
    parent = QWidget()
    qtbot.addWidget(parent)
    widget = FitWidget(viewer)
    widget.setParent(parent)
    assert len(viewer.mouse_drag_callbacks) == len(before) + 1
    widget.setParent(None)  # what napari does when the dock is closed
    assert viewer.mouse_drag_callbacks == before
    widget.deleteLater()
