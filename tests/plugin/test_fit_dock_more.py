"""The folded parts of the fit dock: ranges, global fits, other runs, files, sampling."""

import csv
import runpy
import time
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QListWidget, QPushButton

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.information import akaike
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_layers import partition_layer
from napari_xpcs.plugin.fit_request import FitRequest, compile_steps, fit_steps
from napari_xpcs.plugin.fit_widget import FitWidget
from napari_xpcs.plugin.map_layers import STATUSES
from napari_xpcs.plugin.shown_curves import shown_curves
from napari_xpcs.progress import run

pytestmark = pytest.mark.usefixtures("numpy_backend")


@pytest.fixture
def widget(viewer, qtbot):
    widget = FitWidget(viewer)
    qtbot.addWidget(widget)
    widget.resize(420, 800)
    qtbot.waitUntil(lambda: widget.ready)
    yield widget
    widget._teardown()


@pytest.fixture
def layer(viewer, partition, known, curves):
    data = partition_layer(partition, known=known, curves=curves)
    return viewer.add_layer(Layer.create(*data))


def fit(widget, qtbot):
    before = widget.fitted
    widget.fit_all()
    qtbot.waitUntil(lambda: widget.fitted is not before)
    return widget.fitted


def write_curves(path, curves):
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["bin", "q_inv_angstrom", "delay_s", "g2", "g2_err"])
        for column, label in enumerate(curves.bins.label):
            for row, delay in enumerate(curves.delay_s):
                cells = (curves.g2[row, column], curves.error[row, column])
                table.writerow([label, curves.bins.q[column], delay, *cells])
    return path


def open_curves(widget, path, qtbot):
    widget.open_curves(path)
    qtbot.waitUntil(lambda: any(one.name == path.name for one in widget._opened))


def mouse(widget, kind, x, button=Qt.MouseButton.LeftButton):
    at = QPointF(x, widget.height() / 2)
    event = QMouseEvent(kind, at, at, button, button, Qt.KeyboardModifier.NoModifier)
    widget.event(event)


def choose_law(widget, text):
    widget.findChild(QComboBox, "law").setCurrentText(text)


# -- models and global fits


def test_a_formula_of_ones_own_is_fitted(widget, layer, qtbot):
    widget.findChild(QComboBox, "model").setCurrentText("own formula ...")
    assert not widget.findChild(QPushButton, "run").isEnabled()
    widget.findChild(QLineEdit, "own_formula").setText("exp(-2*k*t)")
    widget._model._on_changed()
    assert "k is not known" in widget.findChild(QLabel, "formula").text()
    widget.findChild(QLineEdit, "own_formula").setText("kww")
    widget._model._on_changed()
    assert "There is no model 'kww'" in widget.findChild(QLabel, "formula").text()
    widget.findChild(QLineEdit, "own_formula").setText("exp(-2*k*t)")
    widget.findChild(QLineEdit, "own_parameters").setText("k,1/s")
    widget._model._on_changed()
    fitted = fit(widget, qtbot)
    k = fitted.value[:-1, fitted.names.index("k")]
    np.testing.assert_allclose(k, 5e6 * fitted.bins.q[:-1] ** 2, rtol=0.05)


def test_one_diffusion_coefficient_for_all_bins(widget, layer, qtbot):
    choose_law(widget, "τ = 1/(D q²)")
    fitted = fit(widget, qtbot)
    (shared,) = fitted.shared
    assert shared.value == pytest.approx(5e-14, rel=0.01)
    assert "D_m2_per_s = 4.99" in widget.findChild(QLabel, "message").text()
    assert widget.dispersion.D_m2_per_s == shared.value


def test_a_time_shared_by_all_bins_is_one_value(widget, layer, qtbot):
    choose_law(widget, "one for all bins")
    fitted = fit(widget, qtbot)
    assert fitted.record.share == ("tau_s",)
    assert len(np.unique(fitted.value[:-1, fitted.names.index("tau_s")])) == 1


def test_law_and_solvent_give_the_radius(widget, layer, qtbot):
    fit(widget, qtbot)
    for name, text in (("temperature_k", "293.15"), ("viscosity_pa_s", "1.0e-3")):
        qtbot.keyClicks(widget.findChild(QLineEdit, name), text)
    told = widget.findChild(QLabel, "dispersion").text()
    # kT / (6 pi eta D) with D = 5e-14 m2/s
    radius_nm = float(told.partition("R_h = (")[2].split()[0])
    assert radius_nm == pytest.approx(4294.0, rel=0.02)
    widget.findChild(QComboBox, "tau_law").setCurrentText("τ = 1/(v q)")
    assert "v = " in widget.findChild(QLabel, "dispersion").text()


# -- ranges


def test_range_of_one_bin_leaves_the_others(widget, layer, qtbot):
    fit(widget, qtbot)
    before = widget.fitted.n_points.copy()
    widget.select(3)
    widget.findChild(QCheckBox, "only_this_bin").setChecked(True)
    qtbot.waitUntil(lambda: not widget._job.runner.running)
    widget._range.set_range(0.01, 1.0)
    after = fit(widget, qtbot).n_points
    assert after[2] < before[2]
    np.testing.assert_array_equal(np.delete(after, 2), np.delete(before, 2))


def test_dragging_a_line_fits_the_bin_at_once_and_all_when_let_go(widget, layer, qtbot):
    widget.show()
    first = fit(widget, qtbot)
    widget.select(2)
    plot = widget._pages.curve_plot
    qtbot.waitUntil(lambda: plot._axes() is not None and not plot._runner.running)
    low, _ = plot.ends()
    x = plot._at(plot._axes(), [low], [1.0])[0].x()
    mouse(plot, QMouseEvent.Type.MouseButtonPress, x)
    mouse(plot, QMouseEvent.Type.MouseMove, x + 60)
    qtbot.waitUntil(lambda: plot._live is not None)
    assert plot._live.bins.label.tolist() == [2]
    assert widget.fitted is first
    mouse(plot, QMouseEvent.Type.MouseButtonRelease, x + 60)
    qtbot.waitUntil(lambda: widget.fitted is not first)
    assert widget.fitted.record.options.range_of(1)[0] > low
    assert (widget.fitted.n_points[:-1] < first.n_points[:-1]).all()


@pytest.mark.parametrize("model", ["single", "stretched", "double-stretched"])
def test_a_dragged_bin_is_fitted_within_50_ms_and_ends_where_all_do(curves, model):
    request = FitRequest(several=(curves,), model=G2_MODELS[model])
    whole = run(fit_steps(request, ()))
    spent = []
    for _ in range(3):
        started = time.thread_time()
        one = run(request.one_bin(3, whole))
        spent.append(time.thread_time() - started)
    assert min(spent) < 0.05
    assert one.reduced_chi2[0] == pytest.approx(whole.reduced_chi2[2], rel=1e-3)


def test_robust_fit_and_error_floor_reach_the_fit(widget, layer):
    widget.findChild(QCheckBox, "robust").setChecked(True)
    widget.findChild(QLineEdit, "error_floor").setText("1e-3")
    options = widget.request().options
    assert (options.robust, options.error_floor) == (True, 1e-3)
    widget.findChild(QCheckBox, "auto_floor").setChecked(True)
    assert widget.request().options.error_floor == "auto"


# -- files and other runs


def test_curves_of_a_csv_are_fitted_without_an_image(widget, curves, tmp_path, qtbot):
    open_curves(widget, write_curves(tmp_path / "curves.csv", curves), qtbot)
    fitted = fit(widget, qtbot)
    assert np.count_nonzero(fitted.ok) == 5
    assert not widget.findChild(QPushButton, "paint").isEnabled()
    widget._pages.table.selectRow(3)
    assert widget._label == 4


def test_another_run_is_drawn_over_and_fitted_together(widget, layer, curves, tmp_path, qtbot):
    slower = replace(curves, delay_s=2 * curves.delay_s)
    open_curves(widget, write_curves(tmp_path / "cold.csv", slower), qtbot)
    widget._layer.setCurrentIndex(widget._layer.findData(layer))
    others = widget.findChild(QListWidget, "other_runs")
    others.item(0).setCheckState(Qt.CheckState.Checked)
    widget.select(3)
    shown = shown_curves(curves, 2, widget._others.curves(), widget.fitted)
    assert [one.curves.bins.label[one.column] for one in shown] == [3, 3]
    choose_law(widget, "τ = 1/(D q²)")
    fitted = fit(widget, qtbot)
    assert [one.value for one in fitted.shared] == pytest.approx([5e-14, 2.5e-14], rel=0.02)
    _, below = shown_curves(curves, 2, widget._others.curves(), widget.fitted)
    assert below.row == len(curves.bins) + 2


def test_figure_script_and_table_are_written(widget, curves, tmp_path, qtbot, capsys):
    open_curves(widget, write_curves(tmp_path / "curves.csv", curves), qtbot)
    fitted = fit(widget, qtbot)
    for name in ("figure.pdf", "figure.svg", "figure.png"):
        widget._export.save_figure(tmp_path / name)
        qtbot.waitUntil((tmp_path / name).exists)
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    widget._export.save_script(tmp_path / "again.py")
    qtbot.waitUntil((tmp_path / "again.py").exists)
    # The curves of a CSV are named by their path, so the script finds them.
    assert str(tmp_path / "curves.csv") in (tmp_path / "again.py").read_text()
    again = runpy.run_path(str(tmp_path / "again.py"))["fit"]
    np.testing.assert_allclose(again.value, fitted.value, rtol=1e-9)
    assert "not the ones" not in capsys.readouterr().out


def test_the_file_of_the_curves_is_never_written_over(widget, curves, tmp_path, qtbot):
    path = write_curves(tmp_path / "curves.csv", curves)
    before = path.read_bytes()
    open_curves(widget, path, qtbot)
    fit(widget, qtbot)
    widget._export.save(path)
    qtbot.wait(100)
    assert path.read_bytes() == before
    assert widget.findChild(QLabel, "export_message").text()


def test_fit_stands_beside_the_bins_and_status_is_painted(widget, layer, viewer, qtbot):
    fitted = fit(widget, qtbot)
    features = layer.features
    np.testing.assert_allclose(features["tau_s"][:5], fitted.value[:5, 2])
    assert list(features["status"]) == ["ok"] * 5 + ["no_data"]
    widget.findChild(QComboBox, "painted").setCurrentText("status")
    widget.findChild(QPushButton, "paint").click()
    painted = viewer.layers["status map"].data
    assert painted[layer.data == 1][0] == 0.0
    assert painted[layer.data == 6][0] == STATUSES.index("no_data")


def test_bands_of_ages_are_fitted_and_painted_like_bins(widget, viewer, curves, qtbot):
    labels = np.repeat(np.arange(1, 7, dtype=np.uint16), 4)[None, :].repeat(8, axis=0)
    metadata = xpcs_layers.layer_metadata("ages", curves=curves, source="run.hdf")
    bands = viewer.add_labels(labels, scale=(0.5, 0.5), metadata=metadata)
    bands.features = {"index": np.arange(1, 7), "age (s)": np.arange(6.0)}
    fitted = fit(widget, qtbot)
    assert list(bands.features.columns[:3]) == ["index", "age (s)", "baseline"]
    widget.select(3)
    assert widget.findChild(QLabel, "status").text().startswith("age 2 s; ok")
    widget.findChild(QPushButton, "paint").click()
    painted = viewer.layers["tau_s map"]
    np.testing.assert_array_equal(painted.scale, bands.scale)
    assert painted.data[0, 0] == pytest.approx(fitted.value[0, 2])
    widget.findChild(QComboBox, "model").setCurrentText("stretched")
    fit(widget, qtbot)
    assert list(bands.features.columns).count("tau_s") == 1


def test_ages_that_were_just_cut_are_chosen_and_painted_where_they_lie(
    widget, layer, viewer, curves, qtbot
):
    assert widget.curves() is curves
    labels = np.repeat(np.arange(1, 7, dtype=np.uint16), 4)[None, :].repeat(8, axis=0)
    for scale in (0.5, 2.0):
        cut = replace(curves, source=f"cut {scale}")
        metadata = xpcs_layers.layer_metadata("ages", curves=cut, source="run.hdf")
        viewer.add_labels(labels, scale=(scale, scale), metadata=metadata)
        assert widget.curves() is cut
        fit(widget, qtbot)
        widget.findChild(QPushButton, "paint").click()
    painted = xpcs_layers.layers_with_role(viewer.layers, "map")
    assert [list(each.scale) for each in painted] == [[2.0, 2.0], [0.5, 0.5]]
    widget.findChild(QPushButton, "paint").click()
    assert len(xpcs_layers.layers_with_role(viewer.layers, "map")) == 2


def test_click_on_a_small_picture_chooses_the_bin(widget, layer, qtbot):
    widget.show()
    widget.show_page("all")
    fit(widget, qtbot)
    grid = widget._pages.grid
    columns = grid.columns()
    x = (4 % columns + 0.5) * grid.plot.width() / columns
    y = (4 // columns + 0.5) * grid.plot.height() / grid.rows()
    at = grid.plot.mapTo(grid, QPointF(x, y).toPoint())
    grid.mousePressEvent(
        QMouseEvent(
            QMouseEvent.Type.MouseButtonPress,
            QPointF(at),
            Qt.MouseButton.LeftButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )
    assert layer.selected_label == 5
    qtbot.waitUntil(lambda: grid.plot.figure is not None)


# -- posteriors


def test_instant_posterior_has_a_verdict_for_every_bin(widget, layer, qtbot):
    fitted = fit(widget, qtbot)
    panel = widget._sampling
    panel.findChild(QComboBox, "how").setCurrentIndex(1)
    panel.sample()
    qtbot.waitUntil(lambda: not panel._job.runner.running)
    assert panel.posterior.method == "laplace"
    np.testing.assert_allclose(panel.posterior.mean()[0], fitted.value[0], rtol=0.01)
    widget.select(2)
    assert "k-hat" in widget.findChild(QLabel, "verdict").text()


def test_nuts_refuses_without_jax_and_leaves_the_instant_posterior(widget, layer, qtbot):
    fit(widget, qtbot)
    panel = widget._sampling
    panel.sample()
    qtbot.waitUntil(lambda: not panel._job.runner.running)
    assert "NUTS needs JAX" in panel._job.message.text()
    assert panel.posterior.method == "laplace"


def test_typed_prior_is_used_and_a_wrong_one_is_told(widget, layer, qtbot):
    fit(widget, qtbot)
    panel = widget._sampling
    panel.findChild(QComboBox, "how").setCurrentIndex(1)
    field = panel.findChild(QLineEdit, "prior_contrast")
    field.setText("lots")
    panel.sample()
    qtbot.waitUntil(lambda: not panel._job.runner.running)
    assert "'lots' is no prior" in panel._job.message.text()
    field.setText("normal(0.3, 1e-4)")
    panel.sample()
    qtbot.waitUntil(lambda: panel.posterior is not None and panel.posterior.ok.any())
    assert str(panel.posterior.priors["contrast"]) == "normal(0.3, 0.0001)"


def test_bins_that_share_are_not_sampled(widget, layer, qtbot):
    choose_law(widget, "τ = 1/(D q²)")
    fit(widget, qtbot)
    assert not widget.findChild(QPushButton, "sample").isEnabled()
    assert "bin by bin" in widget._sampling._job.message.text()


def test_models_are_compared_for_every_bin(widget, layer, qtbot):
    fit(widget, qtbot)
    panel = widget._sampling
    panel.models.compare()
    qtbot.waitUntil(lambda: not panel.models._job.runner.running)
    told = panel.models._job.message.text()
    assert "single" in told
    assert panel.models._table.rows.rowCount() == 6


# -- what it costs


def test_nothing_holds_the_window_for_200_ms(widget, layer, qtbot):
    """The time of this thread alone, so that a busy machine does not count."""
    widget.show()
    ticks = []
    timer = QTimer(interval=5)
    timer.timeout.connect(lambda: ticks.append(time.thread_time()))
    timer.start()
    fit(widget, qtbot)
    for page in ("all", "table", "tau", "curve"):
        widget.show_page(page)
        qtbot.wait(50)
    for label in (1, 3, 5):
        widget.select(label)
        qtbot.wait(50)
    timer.stop()
    assert max(np.diff(ticks)) < 0.2


def test_the_next_fit_waits_for_no_compiling(widget, layer, curves, qtbot):
    request = widget.request()
    assert request.program not in widget._compiled
    assert run(compile_steps(request)) == request.program


def test_akaike_wants_no_more_parameters_than_the_decay_has(curves):
    fits = [
        run(fit_g2(curves, name, bins=[1, 2, 3], xp=NumPyBackend()))
        for name in ("single", "double")
    ]
    criterion = akaike(fits)
    assert (criterion[0] < criterion[1]).all()
    held = run(fit_g2(curves, bins=[1], fixed={"contrast": 0.2}, xp=NumPyBackend()))
    free = run(fit_g2(curves, bins=[1], xp=NumPyBackend()))
    assert akaike([held, free])[0] > akaike([held, free])[1]
