"""Click a bin, see its curve; fit all; read D."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QWidget

from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_layers import partition_layer
from napari_xpcs.plugin.fit_parameters import HOLD, LOWER, START, UPPER
from napari_xpcs.plugin.fit_widget import FitWidget

pytestmark = pytest.mark.usefixtures("numpy_backend")


@pytest.fixture
def widget(viewer, qtbot):
    widget = FitWidget(viewer)
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: widget.ready)
    yield widget
    widget._teardown()


@pytest.fixture
def layer(viewer, partition, known, curves):
    data = partition_layer(partition, known=known, curves=curves)
    return viewer.add_layer(Layer.create(*data))


def fit(widget, qtbot):
    widget.fit_all()
    qtbot.waitUntil(lambda: widget.fitted is not None)


def drawn_axes(widget, title, qtbot):
    """The axes of the curve, once the thread has drawn the bin of ``title``."""

    def is_drawn():
        figure = widget._pages.curve_plot.figure
        axes = [] if figure is None else figure.axes
        return bool(axes) and axes[0].get_title().startswith(title)

    qtbot.waitUntil(is_drawn)
    assert not widget._pages.curve_plot.pixmap().isNull()
    return widget._pages.curve_plot.figure.axes


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
    rows = widget._pages.table.rows
    assert rows.rowCount() == len(curves.bins)
    assert rows.data(rows.index(rows.rowCount() - 1, 2)) == ""
    assert widget.dispersion.D_m2_per_s == pytest.approx(5e-14, rel=0.02)


def test_click_selects_the_bin_and_its_row_but_a_drag_does_not(widget, layer, qtbot):
    fit(widget, qtbot)
    click(widget, layer, 4)
    assert layer.selected_label == 4
    assert widget._pages.table.current_row() == 3
    click(widget, layer, 2, moved=True)
    assert layer.selected_label == 4


def test_clicked_curve_is_drawn_with_fit_and_title(widget, layer, curves, qtbot):
    fit(widget, qtbot)
    click(widget, layer, 3)
    top, bottom = drawn_axes(widget, "bin 3", qtbot)
    assert top.get_title().startswith(f"bin 3, q = {curves.bins.q[2]:.4g} 1/Å")
    measured = top.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(measured[:, 1], curves.g2[:, 2])
    residuals = bottom.lines[0].get_ydata()
    assert np.std(residuals) == pytest.approx(1.0, abs=0.4)


def test_row_of_the_table_selects_the_bin_on_the_image(widget, layer, qtbot):
    fit(widget, qtbot)
    widget._pages.table.selectRow(4)
    assert layer.selected_label == 5


def test_fit_of_curves_that_were_replaced_is_dropped(widget, layer, curves, viewer, qtbot):
    widget.fit_all()
    xpcs_layers.attach_curves(layer, None)
    qtbot.wait(300)
    assert widget.fitted is None


def test_table_is_saved_as_csv(widget, layer, tmp_path, qtbot):
    fit(widget, qtbot)
    widget._export.save(tmp_path / "fit.csv")
    qtbot.waitUntil((tmp_path / "fit.csv").exists)
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


def type_parameter(widget, name, column, text):
    parameters = widget._parameters.parameters
    row = widget._model.model().names.index(name)
    return parameters.setData(parameters.index(row, column), text)


def tick_parameter(widget, name, column):
    parameters = widget._parameters.parameters
    row = widget._model.model().names.index(name)
    index = parameters.index(row, column)
    return parameters.setData(index, Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole)


def test_held_parameter_is_not_fitted(widget, layer, qtbot):
    assert not tick_parameter(widget, "contrast", HOLD)
    assert "contrast" in widget.findChild(QLabel, "message").text()
    assert type_parameter(widget, "contrast", START, "0.25")
    assert tick_parameter(widget, "contrast", HOLD)
    fit(widget, qtbot)
    column = widget.fitted.names.index("contrast")
    assert set(widget.fitted.value[:-1, column]) == {0.25}
    assert set(widget.fitted.error[:-1, column]) == {0.0}


def test_baseline_is_held_at_1_by_a_tick(widget, layer):
    assert tick_parameter(widget, "baseline", HOLD)
    assert widget.request().fixed == {"baseline": 1.0}


def test_bounds_are_suggested_by_the_delays_and_one_can_be_typed(widget, layer, curves):
    parameters = widget._parameters.parameters
    row = widget._model.model().names.index("tau_s")
    assert parameters.data(parameters.index(row, UPPER)) == f"{100 * curves.delay_s[-1]:.3g}"
    type_parameter(widget, "tau_s", LOWER, "0.01")
    low, high = widget.request().bounds["tau_s"]
    assert (low, high) == (0.01, pytest.approx(100 * curves.delay_s[-1]))
    type_parameter(widget, "tau_s", LOWER, "")
    assert widget.request().bounds == {}


def test_what_is_typed_and_is_no_number_is_refused(widget, layer):
    assert not type_parameter(widget, "tau_s", START, "soon")
    assert "'soon' is not a number" in widget.findChild(QLabel, "message").text()


def test_table_sorts_by_numbers_and_keeps_its_bins(widget, layer, qtbot):
    fit(widget, qtbot)
    widget._pages.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    rows = widget._pages.table.rows
    # tau falls with q, so the last bin that is fitted comes first, and the empty one last.
    assert [rows.row_at(place) for place in range(6)] == [4, 3, 2, 1, 0, 5]
    widget._pages.table.selectRow(0)
    assert layer.selected_label == 5


@pytest.mark.parametrize("model", ["cumulant", "double"])
def test_every_model_can_be_fitted_and_drawn(widget, layer, model, qtbot):
    widget.findChild(QComboBox, "model").setCurrentText(model)
    fit(widget, qtbot)
    assert widget.fitted.model == model
    click(widget, layer, 3)
    assert drawn_axes(widget, "bin 3", qtbot)


def test_parameter_is_painted_where_it_is_determined(widget, layer, viewer, qtbot):
    fit(widget, qtbot)
    widget.findChild(QComboBox, "painted").setCurrentText("tau_s")
    widget.findChild(QPushButton, "paint").click()
    painted = viewer.layers["tau_s map"]
    tau = widget.fitted.value[:, widget.fitted.names.index("tau_s")]
    for label in (1, 3):
        np.testing.assert_allclose(painted.data[layer.data == label], tau[label - 1], rtol=1e-6)
    nowhere = (layer.data == 0) | (layer.data == len(tau))  # the last bin was never counted
    assert np.isnan(painted.data[nowhere]).all()
    widget.findChild(QPushButton, "paint").click()
    assert [layer.name for layer in viewer.layers].count("tau_s map") == 1


def test_message_of_a_fit_survives_other_layers_but_not_other_curves(widget, layer, viewer, qtbot):
    fit(widget, qtbot)
    told = widget.findChild(QLabel, "message").text()
    assert "5 of 6 bins" in told
    viewer.add_image(np.zeros((4, 4)))
    assert widget.findChild(QLabel, "message").text() == told
    partition = xpcs_layers.layer_partition(layer)
    again = replace(xpcs_layers.layer_curves(layer))
    viewer.add_layer(Layer.create(*partition_layer(partition, known={}, curves=again)))
    assert widget.findChild(QLabel, "message").text() == told
    widget.findChild(QComboBox, "curves").setCurrentIndex(0)
    assert widget.curves() is again
    assert widget.findChild(QLabel, "message").text() == ""
