"""Dock: the runs of a folder; g2, I(q), I(t) and stability of those that are selected; averages."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QTabBar,
)

from napari_xpcs.backends import get_backend
from napari_xpcs.io.run_summary import RunSummary
from napari_xpcs.kernels.curves import G2Curves, bin_text
from napari_xpcs.pipeline.compare import compare_g2, compare_profiles, read_runs
from napari_xpcs.pipeline.comparison import Comparison
from napari_xpcs.pipeline.stability import compare_drift, compare_segments, compare_times
from napari_xpcs.plugin.average_panel import AveragePanel
from napari_xpcs.plugin.collection import collection_paused
from napari_xpcs.plugin.controls import NarrowComboBox, WrappedLabel
from napari_xpcs.plugin.dock import Dock
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.plot_area import PlotArea
from napari_xpcs.plugin.run_export import RunExport
from napari_xpcs.plugin.run_list_panel import EMPTY, RunListPanel
from napari_xpcs.plugin.run_opening import RunOpener
from napari_xpcs.progress import Progress, Steps

SELECT = "Select a run in the table, or several (Ctrl or Shift + click), to compare them."
PAGES = ("g2", "I(q)", "I(t)", "Stability")
SETTLE_MS = 200
"""So long after the last click on the table the selected files are read."""

Read: TypeAlias = dict[Path, RunSummary]


class CompareWidget(Dock):
    """A table of runs, a plot of those that are selected, and their average.

    The numbers and the sentences are made in :mod:`napari_xpcs.pipeline`; this class
    reads the controls, starts the jobs and shows what comes back.
    """

    def _build(self) -> None:
        self._read: Read = {}
        self._runs: list[RunSummary] = []
        self._bins: G2Curves | None = None
        self.setAcceptDrops(True)
        self._list = RunListPanel()
        self._table = self._list.table
        self._opener = RunOpener(self._viewer, self._table.paths)
        self._average = AveragePanel()
        self._plot = PlotArea(self._viewer, height=300)
        self._export = RunExport(self._table.runs.table)
        self._reading = JobButton("Read the selected runs", guarded=False)
        self._comparing = Runner(self)
        self._reading.button.setObjectName("read_runs")
        self._findings = WrappedLabel(objectName="findings")
        self._remarks = WrappedLabel(objectName="remarks")
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._build_choices()
        for widget in (self._list, self._opener, self._reading, self._pages):
            self.column.addWidget(widget)
        self.column.addLayout(self._choices)
        for widget in (self._plot, self._findings, self._remarks, self._export, self._average):
            self.column.addWidget(widget)
        self.column.addStretch(1)

    def _build_choices(self) -> None:
        self._pages = QTabBar(objectName="pages")
        for page in PAGES:
            self._pages.addTab(page)
        self._pages.setExpanding(True)
        self._bin = NarrowComboBox(14, objectName="bin")
        self._bin.setToolTip("Bin of the first selected run; of the others, the like one.")
        self._errors = QCheckBox("errors", objectName="errors", checked=True)
        self._errors.setToolTip("Draw error bars, one standard deviation, of up to 40 runs.")
        self._relative = QCheckBox("each beside its own mean", objectName="relative")
        self._relative.setToolTip("Runs of very different brightness are flat lines else.")
        self._kind = NarrowComboBox(14, objectName="stability")
        self._kind.addItem("within each run, by its segments", "segments")
        self._kind.addItem("from run to run", "runs")
        self._kind.setToolTip(
            "I(q) beside its mean. The number is the change from the first to the last, by a "
            "straight line; its error is the scatter around that line."
        )
        self._choices = QHBoxLayout()
        self._choices.addWidget(self._bin, 1)
        self._choices.addWidget(self._errors)
        self._choices.addWidget(self._relative)
        self._choices.addWidget(self._kind, 1)

    def _connect(self) -> None:
        self._list.relisted.connect(self._on_relisted)
        self._table.chosen.connect(self._on_chosen)
        self._table.opened.connect(self._opener.open_results)
        self._settle.timeout.connect(self._read_chosen)
        self._reading.clicked.connect(self._read_chosen)
        self._reading.finished.connect(self._on_read)
        self._pages.currentChanged.connect(self._compare)
        self._bin.currentIndexChanged.connect(self._compare)
        self._errors.toggled.connect(self._compare)
        self._relative.toggled.connect(self._compare)
        self._kind.currentIndexChanged.connect(self._compare)
        self._comparing.finished.connect(self._on_compared)
        self._comparing.failed.connect(self._findings.setText)
        self._average.written.connect(self._on_average_written)
        self._average.wanted.connect(self._on_average_wanted)
        self._on_chosen()

    def _refresh(self, event: object = None) -> None:
        """Nothing here depends on the layers."""

    def _teardown(self) -> None:
        self._settle.stop()
        self._list.stop()
        self._reading.cancel()
        self._comparing.cancel()
        self._average.stop()
        self._export.stop()
        self._opener.stop()
        self._plot.stop()

    # -- the list

    def look_at(self, places: Sequence[Path]) -> None:
        """Show the runs of folders, or single files, in place of what was shown."""
        self._list.look_at(places)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - the name is Qt's
        """Take files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Show a folder; add files to what is shown."""
        dropped = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if dropped:
            event.acceptProposedAction()
            self._list.take(dropped)

    def _on_relisted(self, changed: Sequence[Path]) -> None:
        """Forget what was read, or is being read, of files that have changed since."""
        stale = set(changed).intersection((*self._read, *self._table.paths()))
        for path in stale:
            self._read.pop(path, None)
        self._export.show_count(self._table.runs.rowCount())
        if stale:
            self._on_chosen()
        if not self._list.listed:
            self._compare()  # other places are looked at: another hint

    # -- what is selected

    def _on_chosen(self) -> None:
        paths = self._table.paths()
        self._opener.allow(paths)
        self._average.show_paths(paths)
        self._reading.cancel()
        self._reading.setVisible(False)
        if paths:
            self._settle.start()
        else:
            self._settle.stop()
            self._show_runs([])

    def _read_chosen(self) -> None:
        """Read the selected runs, in the order in which they were measured."""
        runs = sorted(self._table.selected(), key=lambda run: np.nan_to_num(run.time_s))
        paths = [run.path for run in runs]
        if all(path in self._read for path in paths):
            self._show_runs([self._read[path] for path in paths])
            return
        self._reading.setVisible(True)
        self._reading.start(partial(_read_steps, tuple(paths), dict(self._read)))

    def _on_read(self, read: Mapping[Path, RunSummary]) -> None:
        self._reading.setVisible(False)
        self._read |= read
        self._show_runs(list(read.values()))

    def _show_runs(self, runs: list[RunSummary]) -> None:
        self._runs = runs
        bins = next((run.curves for run in runs if run.curves is not None), None)
        if bins is not self._bins:
            self._bins = bins
            self._offer_bins()
        self._compare()

    def _offer_bins(self) -> None:
        before = self._bin.currentData()
        self._bin.blockSignals(True)
        self._bin.clear()
        if self._bins is not None:
            table = self._bins.bins
            for column, label in enumerate(table.label):
                self._bin.addItem(bin_text(table, column), int(label))
            self._bin.setCurrentIndex(max(self._bin.findData(before), 0))
        self._bin.blockSignals(False)

    def _compare(self) -> None:
        """Compare what is selected, in a thread: hundreds of runs take a while."""
        page = PAGES[self._pages.currentIndex()]
        for control in (self._bin, self._errors):
            control.setVisible(page == "g2" and bool(self._runs))
        self._relative.setVisible(page == "I(t)")
        self._kind.setVisible(page == "Stability")
        self._export.show_comparison(None)
        if not self._runs:
            self._comparing.cancel()
            self._findings.setText("")
            self._remarks.setText("")
            self._plot.show_hint(SELECT if self._list.places else EMPTY)
            return
        self._comparing.start(partial(_compare_steps, tuple(self._runs), self._asked(page)))

    def _asked(self, page: str) -> Callable[[Sequence[RunSummary]], Comparison]:
        if page == "g2":
            label = self._bin.currentData()
            return partial(
                compare_g2, label=-1 if label is None else label, errors=self._errors.isChecked()
            )
        if page == "Stability":
            return compare_segments if self._kind.currentData() == "segments" else compare_drift
        if page == "I(t)":
            return partial(compare_times, relative=self._relative.isChecked())
        return compare_profiles

    def _on_compared(self, compared: Comparison) -> None:
        from napari_xpcs.plugin.run_plots import draw_comparison

        self._findings.setText("\n".join(compared.findings))
        self._remarks.setText("\n".join(compared.remarks))
        if any(np.isfinite(line.y).any() for line in compared.lines):
            self._plot.ask(partial(draw_comparison, comparison=compared))
            self._export.show_comparison(compared)
        else:
            self._plot.show_hint("Nothing to draw for the selected runs; the text below says why.")

    def is_drawn(self) -> bool:
        """Return whether the plot shows the selected runs."""
        busy = self._settle.isActive() or self._reading.runner.running or self._comparing.running
        plot = self._plot.plot
        return not busy and plot is not None and (plot.settled or plot.is_covered())

    def _on_average_wanted(self, path: Path) -> None:
        self._opener.fit([path])

    def _on_average_written(self, path: Path) -> None:
        if path.parent in self._list.places:
            self._list.look_again()
        else:
            self._list.take([path])


def _read_steps(paths: Sequence[Path], before: Read) -> Steps[Read]:
    """Read runs; runs in the thread."""
    yield Progress(0, len(paths), "runs")
    with collection_paused():
        return (yield from read_runs(paths, before, xp=get_backend()))


def _compare_steps(
    runs: Sequence[RunSummary], compare: Callable[[Sequence[RunSummary]], Comparison]
) -> Steps[Any]:
    """Compare runs, and load what draws them; runs in the thread."""
    yield Progress(0, 1, "comparison")
    from napari_xpcs.plugin import run_plots  # noqa: F401 - matplotlib is imported here

    return compare(runs)
