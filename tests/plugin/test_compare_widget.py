"""The dock that compares runs, driven as a user drives it."""

import csv
import shutil
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import QMimeData, QPoint, Qt, QTimer, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QTabBar,
    QTableView,
    QToolButton,
)

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.open import open_path
from napari_xpcs.plugin.compare_widget import PAGES, SELECT, CompareWidget
from napari_xpcs.plugin.dock_placing import dock_of
from napari_xpcs.plugin.fit_widget import FitWidget
from napari_xpcs.plugin.layers import layers_with_role
from napari_xpcs.plugin.run_list_panel import EMPTY
from napari_xpcs.plugin.window import show_files
from napari_xpcs.progress import Progress

pytestmark = pytest.mark.usefixtures("numpy_backend")

RUNS = 6
G2, MEAN = "/xpcs/multitau/normalized_g2", "/xpcs/temporal_mean"


@pytest.fixture
def folder(one_result, tmp_path):
    """Repeats that get brighter by 10 % of their mean; the baseline of the last one is off."""
    rng = np.random.default_rng(0)
    for number in range(RUNS):
        path = tmp_path / f"B0147_r{number:05d}_results.hdf"
        shutil.copy(one_result, path)
        with h5py.File(path, "r+") as file:
            start = file["/entry/start_time"]
            start[...] = f"2026-01-01 12:{number:02d}:00"
            bright = 1.0 + 0.1 * (number / (RUNS - 1) - 0.5)
            file[f"{MEAN}/scattering_1d"][...] *= bright * rng.normal(1.0, 1e-3)
            file[G2][...] += rng.normal(0.0, 1e-3, file[G2].shape) + 0.3 * (number == RUNS - 1)
    return tmp_path


@pytest.fixture
def widget(viewer, qtbot):
    widget = CompareWidget(viewer)
    qtbot.addWidget(widget)
    widget.resize(300, 900)
    widget.show()
    yield widget
    widget._teardown()


@pytest.fixture
def listed(widget, folder, qtbot):
    """The dock with the folder in it."""
    widget.look_at([folder])
    wait_for_list(widget, qtbot, RUNS)
    return widget


def wait_for_list(widget, qtbot, rows):
    def there():
        return table(widget).model().rowCount() == rows and not widget._list.listing.runner.running

    qtbot.waitUntil(there)


def table(widget):
    return widget.findChild(QTableView, "runs")


def text(widget, name):
    return widget.findChild(QLabel, name).text()


def column(widget, number):
    model = table(widget).model()
    return [model.data(model.index(row, number)) for row in range(model.rowCount())]


def select(widget, *names):
    """Select runs by the end of their names; all without names."""
    paths = [path for path in widget._list.listed if not names or path.name.endswith(names)]
    table(widget).select_paths(paths)


def drawn(widget, qtbot):
    """Wait for the plot, and return (x, y) of what it shows."""
    qtbot.waitUntil(widget.is_drawn)
    (axes,) = widget._plot.plot.figure.axes
    found = [line.get_data() for line in axes.get_lines()]
    return [(x, y) for x, y in found if len(x) > 2]


def page(widget, name):
    widget.findChild(QTabBar, "pages").setCurrentIndex(PAGES.index(name))


def test_an_empty_dock_says_what_to_do(widget, qtbot):
    assert text(widget, "place") == EMPTY
    for name in ("open_results", "open_frames", "fit_runs"):
        assert not widget.findChild(QPushButton, name).isEnabled()
    qtbot.waitUntil(lambda: widget._plot.plot is not None and widget._plot.plot.settled)
    assert widget._plot.plot.figure.texts[0].get_text() == EMPTY


def test_runs_are_listed_sorted_and_filtered(listed, qtbot):
    names = [f"B0147_r{number:05d}_results.hdf" for number in range(RUNS)]
    assert column(listed, 0) == names
    assert column(listed, 1)[2] == "2026-01-01 12:02:00"
    assert column(listed, 2) == ["160"] * RUNS
    header = table(listed).horizontalHeader()
    select(listed, "r00001_results.hdf")
    header.setSortIndicator(1, Qt.SortOrder.DescendingOrder)
    assert column(listed, 0) == names[::-1]
    assert [path.name for path in table(listed).paths()] == [names[1]]
    listed.findChild(QLineEdit, "filter").setText("b0147 00003")
    assert column(listed, 0) == [names[3]]
    assert table(listed).paths() == []
    listed.findChild(QLineEdit, "filter").clear()
    assert table(listed).model().rowCount() == RUNS


def test_new_damaged_and_foreign_files(listed, folder, one_result, qtbot):
    select(listed, "r00001_results.hdf")
    kept = listed._list.listed[folder / "B0147_r00001_results.hdf"]
    shutil.copy(one_result, folder / "C_results.hdf")
    (folder / "cut_results.hdf").write_bytes(one_result.read_bytes()[:5000])
    with h5py.File(folder / "other.h5", "w") as file:
        file["temperature"] = [300.0]
    listed._list.look_again()
    wait_for_list(listed, qtbot, RUNS + 2)
    assert listed._list.listed[kept.path] is kept
    assert table(listed).paths() == [kept.path]
    assert "8 result files; 1 of them cannot be read" in listed._list.listing.message.text()
    assert "1 other file not shown" in listed._list.listing.message.text()
    model = table(listed).model()
    (row,) = table(listed).runs.rows_of([folder / "cut_results.hdf"])
    cell = model.index(row, 0)
    assert "cut short" in model.data(cell, Qt.ItemDataRole.ToolTipRole)
    assert model.data(cell, Qt.ItemDataRole.ForegroundRole).name() != get_theme("dark").text


def test_a_cancelled_list_stays_and_goes_on_with_refresh(widget, one_result, tmp_path, qtbot):
    for number in range(400):
        (tmp_path / f"r{number:03d}_results.hdf").symlink_to(one_result)
    widget.look_at([tmp_path])
    qtbot.waitUntil(lambda: table(widget).model().rowCount() > 0)
    widget._list.listing.button.click()
    assert widget._list.listing.message.text() == "Cancelled."
    kept = dict(widget._list.listed)
    assert 0 < len(kept) <= 400
    widget._list.look_again()
    wait_for_list(widget, qtbot, 400)
    assert all(widget._list.listed[path] is one for path, one in kept.items())


def test_a_drop_of_files_adds_them_and_a_folder_replaces(widget, folder, one_result, qtbot):
    def drop(*paths):
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        action, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
        event = QDropEvent(
            QPoint(5, 5).toPointF(), action, mime, button, Qt.KeyboardModifier.NoModifier
        )
        widget.dropEvent(event)

    drop(one_result)
    wait_for_list(widget, qtbot, 1)
    drop(folder / "B0147_r00001_results.hdf", one_result)
    wait_for_list(widget, qtbot, 2)
    assert text(widget, "place") == "2 files"
    drop(folder)
    wait_for_list(widget, qtbot, RUNS)
    assert text(widget, "place") == str(folder)


def test_g2_of_a_bin_with_and_without_errors(listed, qtbot):
    select(listed, "r00000_results.hdf", "r00001_results.hdf")
    assert len(drawn(listed, qtbot)) == 2
    bins = listed.findChild(QComboBox, "bin")
    assert bins.count() == 4
    bins.setCurrentIndex(2)
    run = listed._read[table(listed).paths()[1]]
    np.testing.assert_allclose(drawn(listed, qtbot)[1][1], run.curves.g2[:, 2])
    assert listed._plot.plot.figure.axes[0].containers
    listed.findChild(QCheckBox, "errors").setChecked(False)
    drawn(listed, qtbot)
    assert not listed._plot.plot.figure.axes[0].containers


def test_every_page_draws_all_runs_with_units_in_a_narrow_dock(listed, qtbot):
    listed.findChild(QToolButton, "average_section").setChecked(True)
    select(listed)
    for name, unit in (("g2", "(s)"), ("I(q)", "(1/Å)"), ("I(t)", "(s)"), ("Stability", "(1/Å)")):
        page(listed, name)
        assert len(drawn(listed, qtbot)) == RUNS
        assert unit in listed._plot.plot.figure.axes[0].get_xlabel()
        assert listed.column.parentWidget().minimumSizeHint().width() <= 286, name
    kind = listed.findChild(QComboBox, "stability")
    kind.setCurrentIndex(kind.findData("runs"))
    assert len(drawn(listed, qtbot)) == RUNS
    total = text(listed, "findings").splitlines()[1]
    assert total.startswith("Sum over all q: +")
    assert float(total.split("+")[1].split()[0]) == pytest.approx(10.0, abs=0.5)
    assert total.endswith("more than scatter makes.")
    table(listed).clearSelection()
    qtbot.waitUntil(listed.is_drawn)
    assert listed._plot.plot.figure.texts[0].get_text() == SELECT


def test_the_average_is_judged_before_it_is_written(listed, folder, tmp_path, qtbot, xpcs):
    select(listed)
    panel = listed._average
    assert not panel._write.isEnabled()
    panel._low.setText("0.9")
    panel._high.setText("1.15")
    panel.judge()
    qtbot.waitUntil(lambda: not panel._judge.runner.running)
    verdict = text(listed, "verdict")
    assert verdict.startswith(f"{RUNS - 1} of {RUNS} runs would be averaged.")
    assert "\nr00005: Its baseline 1." in verdict
    model = panel._table.rows
    reasons = [model.data(model.index(row, 3)) for row in range(RUNS)]
    assert "outside 0.9 to 1.15" in reasons[-1]
    assert reasons[:-1] == [""] * (RUNS - 1)
    assert not list(folder.glob("average*"))

    output = folder / "average.hdf"
    panel.write(output)
    wait_for_list(listed, qtbot, RUNS + 1)
    command = listed.findChild(QPlainTextEdit, "average_command").toPlainText()
    assert command.startswith("napari-xpcs average ")
    with h5py.File(output) as file:
        ours = file[G2][()]
        assert len(file["/xpcs/average/file_list"]) == RUNS - 1
    outcome = xpcs(*command.split()[1:])
    assert outcome.status == 0, outcome.err
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file[G2][()], ours)


def test_an_average_is_written_though_other_runs_are_selected_meanwhile(listed, folder, qtbot):
    select(listed)
    panel = listed._average
    panel.judge()
    qtbot.waitUntil(lambda: panel._write.isEnabled())
    panel.write(folder / "average.hdf")
    select(listed, "r00000_results.hdf", "r00001_results.hdf")
    wait_for_list(listed, qtbot, RUNS + 1)
    assert text(listed, "average_message") == f"Wrote average.hdf from {RUNS} runs."
    assert not panel._command.isVisibleTo(panel)


def test_an_average_never_replaces_what_it_is_made_of(listed, folder, qtbot):
    select(listed)
    panel = listed._average
    panel.judge()
    qtbot.waitUntil(lambda: panel._write.isEnabled())
    victim = folder / "B0147_r00001_results.hdf"
    before = victim.read_bytes()
    panel.write(victim)
    qtbot.waitUntil(lambda: "is read by this job" in text(listed, "average_message"))
    assert victim.read_bytes() == before


def test_another_selection_or_limit_forgets_the_verdict(listed, qtbot):
    select(listed)
    panel = listed._average
    for change in (
        lambda: select(listed, "r00000_results.hdf", "r00001_results.hdf"),
        lambda: qtbot.keyClicks(panel._low, "1"),
    ):
        panel.judge()
        qtbot.waitUntil(lambda: panel._write.isEnabled())
        change()
        assert not panel._write.isEnabled()
        assert text(listed, "verdict") == ""


def test_a_double_click_opens_the_run_and_a_button_its_frames(
    listed, viewer, folder, one_result, qtbot
):
    shutil.copy(one_result.with_name("run.h5"), folder / "run.h5")
    index = table(listed).model().index(1, 0)
    table(listed).doubleClicked.emit(index)
    qtbot.waitUntil(lambda: len(layers_with_role(viewer.layers, "partition")) == 1)
    select(listed, "r00002_results.hdf")
    listed.findChild(QPushButton, "open_frames").click()
    qtbot.waitUntil(lambda: len(layers_with_role(viewer.layers, "frames")) == 1)
    assert layers_with_role(viewer.layers, "frames")[0].data.shape == (160, 40, 40)


def test_maps_of_a_run_come_one_by_one(widget, viewer, shared_data, qtbot):
    added = []
    viewer.layers.events.inserted.connect(lambda event: added.append(event.value))
    between = QTimer(interval=0)
    between.timeout.connect(lambda: added.append(None))
    between.start()
    widget._opener.open_results(shared_data / "synthetic" / "Z0001_twotime_results.hdf")
    maps = open_path(shared_data / "synthetic" / "Z0001_twotime_results.hdf").twotime.bins
    qtbot.waitUntil(lambda: len(layers_with_role(viewer.layers, "twotime")) == len(maps))
    qtbot.waitUntil(lambda: not widget._opener._adder._next.isActive())
    between.stop()
    assert not any(one is not None and other is not None for one, other in pairwise(added))


@pytest.fixture
def window(folder, qtbot):
    """What ``napari-xpcs open FOLDER`` shows."""
    viewer, docks = show_files([folder])
    yield viewer, docks
    viewer.close()


def test_a_folder_is_opened_and_curves_go_to_its_one_fit_dock(window, folder, qtbot):
    viewer, docks = window
    listed, fit = docks[CompareWidget], docks[FitWidget]
    wait_for_list(listed, qtbot, RUNS)
    assert not viewer.layers
    table(listed).select_paths(sorted(folder.glob("*r0000[12]*")))
    listed.findChild(QPushButton, "fit_runs").click()
    sources = fit.findChild(QComboBox, "curves")
    qtbot.waitUntil(lambda: sources.count() == 2)
    assert dock_of(viewer, "XPCS: Fit g2", FitWidget) is fit
    assert {sources.itemText(row) for row in range(2)} == {
        "B0147_r00001_results.hdf",
        "B0147_r00002_results.hdf",
    }
    assert fit.curves().g2.shape[1] == 4
    before = fit.curves()
    listed.findChild(QPushButton, "fit_runs").click()
    qtbot.waitUntil(lambda: fit.curves() is not before)
    qtbot.waitUntil(lambda: not listed._opener._fitting.running)
    assert sources.count() == 2, "a run that is read again takes the place of the first reading"


def test_a_folder_that_fills_is_looked_at_by_itself_and_the_selection_stays(
    listed, folder, one_result, qtbot
):
    watched = listed._list
    select(listed, "r00001_results.hdf")
    before = dict(watched.listed)
    shutil.copy(one_result, folder / "C_results.hdf")
    watched.findChild(QCheckBox, "watch").setChecked(True)
    wait_for_list(listed, qtbot, RUNS + 1)
    assert [path.name for path in table(listed).paths()] == ["B0147_r00001_results.hdf"]
    assert all(watched.listed[path] is one for path, one in before.items())
    assert watched.listing.message.text().startswith("7 result files")
    assert watched._next_look.isActive()
    qtbot.waitUntil(lambda: not watched.watching.running)
    listed.hide()
    watched.look_quietly()
    assert not watched.watching.running
    listed._teardown()
    assert not watched._next_look.isActive()


def test_a_run_that_changes_while_it_is_read_is_read_again(listed, qtbot):
    select(listed, "r00001_results.hdf")
    listed._settle.stop()
    listed._read_chosen()
    listed._list.relisted.emit(table(listed).paths())
    assert not listed._reading.runner.running
    assert listed._settle.isActive()
    assert len(drawn(listed, qtbot)) == 1


def test_a_look_that_fails_is_told_until_one_succeeds(listed, qtbot, monkeypatch):
    watched = listed._list

    def refused(places, before):
        yield Progress(0, 0, "files")
        raise FileFormatError("The folder cannot be read.")

    with monkeypatch.context() as closed:
        closed.setattr("napari_xpcs.plugin.run_list_panel.list_runs", refused)
        watched.look_quietly()
        qtbot.waitUntil(lambda: watched.listing.message.text() == "The folder cannot be read.")
    watched.look_quietly()
    qtbot.waitUntil(lambda: watched.listing.message.text() == f"{RUNS} result files.")


def csv_rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_the_curves_and_the_table_are_saved_as_csv(listed, folder, qtbot, tmp_path):
    curves = listed.findChild(QPushButton, "save_curves")
    runs = listed.findChild(QPushButton, "save_table")
    assert not curves.isEnabled()
    assert runs.isEnabled()
    select(listed, "r00001_results.hdf", "r00002_results.hdf")
    shown = drawn(listed, qtbot)
    assert curves.isEnabled()
    path = tmp_path / "compared.csv"
    listed._export.save_curves(path)
    qtbot.waitUntil(lambda: text(listed, "export_message").startswith("Saved"))
    rows = csv_rows(path)
    names = [path.name for path in table(listed).paths()]
    assert [Path(row["file"]).name for row in rows][:: len(rows) - 1] == names
    assert rows[0]["shown"].startswith("bin 1, q = ")
    points = [(float(row["delay (s)"]), float(row["g2"])) for row in rows]
    assert points == [pair for x, y in shown for pair in zip(x, y, strict=True)]
    assert all(float(row["error"]) > 0 for row in rows)
    page(listed, "I(q)")
    drawn(listed, qtbot)
    listed._export.save_curves(path)
    qtbot.waitUntil(lambda: text(listed, "export_message").startswith("Saved"))
    first = csv_rows(path)[0]
    assert float(first["counts per pixel and frame"]) > 0
    assert first["error"] == ""
    listed._export.save_curves(folder / names[0])
    qtbot.waitUntil(lambda: "is read by this job" in text(listed, "export_message"))
    listed.findChild(QLineEdit, "filter").setText("00003")
    assert not curves.isEnabled()
    listed._export.save_table(tmp_path / "runs.csv")
    qtbot.waitUntil(lambda: "runs.csv" in text(listed, "export_message"))
    (row,) = csv_rows(tmp_path / "runs.csv")
    assert row["file"].endswith("B0147_r00003_results.hdf")
    assert row["frames"] == "160"
    assert row["time"] == "2026-01-01 12:03:00"
    listed.findChild(QLineEdit, "filter").setText("no such run")
    assert not runs.isEnabled()
