"""Section of the compare dock: judge repeats, show which are left out, write their average."""

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QPlainTextEdit, QPushButton

from napari_xpcs.errors import AverageError
from napari_xpcs.io.average import AverageReport, JudgedFiles, Verdict, judge_files, write_average
from napari_xpcs.kernels.average import LAST_DELAYS
from napari_xpcs.pipeline.comparison import Said, short_names
from napari_xpcs.plugin.controls import NumberEdit, SaveButton, WrappedLabel
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.rows_model import Column, RowsView
from napari_xpcs.plugin.section import Section
from napari_xpcs.progress import Steps

SELECT = "Select the repeats in the table above, two or more."
JUDGE_FIRST = "Judge the runs, look at what is left out, then write the average."


class AveragePanel(Section):
    """Two steps: judging reads the selected runs, writing makes the file."""

    written = Signal(object)
    """Emitted with the path of an average that was written."""
    wanted = Signal(object)
    """The user wants the curves of this file in the fit dock."""

    def __init__(self) -> None:
        super().__init__("Average of the selected runs", name="average_section")
        self._paths: list[Path] = []
        self._judged: JudgedFiles | None = None
        self._being_written: JudgedFiles | None = None
        self._output: Path | None = None
        self._low, self._high = NumberEdit(objectName="baseline_low"), NumberEdit()
        self._high.setObjectName("baseline_high")
        for field, hint in ((self._low, "no limit"), (self._high, "no limit")):
            field.setPlaceholderText(hint)
            field.setMinimumWidth(40)
            field.setToolTip(
                f"Mean g2 of a run over its {LAST_DELAYS} longest delays and all bins. A run "
                "outside is left out; empty, none is."
            )
        self._judge = JobButton("Judge the runs", guarded=False)
        self._judge.button.setObjectName("judge")
        self._table = RowsView(objectName="repeats")
        self._table.setMinimumHeight(120)
        self._verdict = WrappedLabel(objectName="verdict")
        self._write = SaveButton(
            "Write average ...", self._suggested, "HDF5 (*.hdf)", objectName="write_average"
        )
        self._write.setToolTip("One result file of the runs that are not left out.")
        self._fit = QPushButton("Fit it", objectName="fit_average")
        self._fit.setToolTip("Open g2 of the average in XPCS: Fit g2.")
        self._message = WrappedLabel(objectName="average_message")
        self._command = QPlainTextEdit(objectName="average_command")
        self._command.setReadOnly(True)
        self._command.setMaximumHeight(70)
        self._copy = QPushButton("Copy the command", objectName="copy_average_command")
        self._copy.setToolTip("Copy the command to the clipboard.")
        self._build_column()
        self._writing = Runner(self)
        self._connect()
        self.show_paths([])

    def _build_column(self) -> None:
        limits, buttons, form = QHBoxLayout(), QHBoxLayout(), QFormLayout()
        limits.addWidget(self._low)
        limits.addWidget(self._high)
        form.addRow("Baseline from, to", limits)
        buttons.addWidget(self._write)
        buttons.addWidget(self._fit)
        self.column.addLayout(form)
        for widget in (self._judge, self._table, self._verdict):
            self.column.addWidget(widget)
        self.column.addLayout(buttons)
        for widget in (self._message, self._command, self._copy):
            self.column.addWidget(widget)

    def _connect(self) -> None:
        self._judge.clicked.connect(self.judge)
        self._judge.finished.connect(self._on_judged)
        for field in (self._low, self._high):
            field.value_changed.connect(self._on_limits_changed)
        self._write.chosen.connect(self.write)
        self._writing.finished.connect(self._on_written)
        self._writing.failed.connect(self._message.setText)
        self._fit.clicked.connect(self._on_fit_clicked)
        self._copy.clicked.connect(self._on_copy_clicked)

    def show_paths(self, paths: Sequence[Path]) -> None:
        """Average these files from now on; what was judged before is forgotten."""
        if paths and list(paths) == self._paths:
            return
        self._paths = list(paths)
        self._judge.cancel()
        self._forget()
        self._judge.allow("" if len(paths) > 1 else SELECT)

    def stop(self) -> None:
        """Let go of the threads."""
        self._judge.cancel()
        self._writing.cancel()

    def limits(self) -> tuple[float, float] | None:
        """Return the baselines that are wanted, ``None`` without a limit."""
        low, high = self._low.value(), self._high.value()
        if low is None and high is None:
            return None
        return 0.0 if low is None else low, np.inf if high is None else high

    def judge(self) -> None:
        """Read the selected runs and show which of them an average would be made of."""
        self._forget()
        self._judge.start(partial(_judge_steps, tuple(self._paths), self.limits()))

    def write(self, output: Path) -> None:
        """Write the average of what was judged; the dialogue asked before overwriting."""
        if self._judged is not None:
            self._message.setText("Writing ...")
            self._being_written = self._judged
            self._writing.start(partial(write_average, self._judged, output, force=True), "Average")

    def _suggested(self) -> Path | None:
        return self._paths[0].with_name("average.hdf") if self._paths else None

    def _on_limits_changed(self) -> None:
        self._judge.cancel()
        self._forget()

    def _forget(self) -> None:
        self._judged = self._output = None
        self._table.show_rows([], np.zeros(0, dtype=bool))
        self._table.hide()
        self._verdict.setText("")
        self._message.setText(JUDGE_FIRST)
        self._write.setEnabled(False)
        for widget in (self._fit, self._command, self._copy):
            widget.hide()

    def _on_judged(self, judged: JudgedFiles) -> None:
        self._judged = judged
        verdict = judged.verdict
        self._table.show_rows(*verdict_columns(judged))
        self._table.show()
        between = (
            f" Reduced chi² between them: {verdict.chi2:.3g}." if len(verdict.used) > 1 else ""
        )
        counted = f"{len(verdict.used)} of {len(verdict.repeats)} runs would be averaged.{between}"
        left_out = Said()
        for repeat, name in zip(verdict.repeats, names_of(verdict), strict=True):
            if repeat.left_out:
                left_out.add(repeat.left_out, name)
        sentences = (counted, *left_out.sentences(""), *verdict.remarks)
        self._verdict.setText("\n".join(sentences))
        self._write.setEnabled(bool(verdict.used))
        self._message.setText("")

    def _on_written(self, report: AverageReport) -> None:
        said = f"Wrote {report.path.name} from {len(report.used)} runs."
        if self._judged is None or self._judged is not self._being_written:
            self._message.setText(said)  # other runs are selected meanwhile
        else:
            self._output = report.path
            self._message.setText(f"{said} The same as a command:")
            self._command.setPlainText(average_command(self._judged, report.path))
            for widget in (self._fit, self._command, self._copy):
                widget.show()
        self.written.emit(report.path)

    def _on_fit_clicked(self) -> None:
        self.wanted.emit(self._output)

    def _on_copy_clicked(self) -> None:
        QGuiApplication.clipboard().setText(self._command.toPlainText())


def _judge_steps(paths: Sequence[Path], limits: tuple[float, float] | None) -> Steps[JudgedFiles]:
    """Judge files; runs in the thread."""
    if limits is not None and not limits[0] < limits[1]:
        msg = f"The baseline is limited from {limits[0]:g} to {limits[1]:g}: from less to more."
        raise AverageError(msg)
    return (yield from judge_files(paths, baseline_range=limits))


def verdict_columns(judged: JudgedFiles) -> tuple[list[Column], np.ndarray]:
    """Return the columns of a table of repeats, and which rows are faint: those left out."""
    repeats = judged.verdict.repeats
    baselines = np.array([repeat.baseline for repeat in repeats])
    chi2 = np.array([repeat.chi2 for repeat in repeats])
    names = names_of(judged.verdict)
    reasons = [repeat.left_out for repeat in repeats]
    columns = [
        Column("run", names, np.array(names)),
        Column("baseline", _texts(baselines), baselines),
        Column("chi²", _texts(chi2), chi2),
        Column("left out", reasons, np.array(reasons)),
    ]
    return columns, np.array([bool(reason) for reason in reasons])


def names_of(verdict: Verdict) -> list[str]:
    """Return short names of the files, so that the reasons beside them can be read."""
    return short_names([repeat.path for repeat in verdict.repeats])


def _texts(values: np.ndarray) -> list[str]:
    return [f"{value:.4g}" if np.isfinite(value) else "" for value in values]


def average_command(judged: JudgedFiles, output: Path) -> str:
    """Return the command line that writes the same average again."""
    words = ["napari-xpcs", "average", *map(str, judged.paths), "-o", str(output)]
    if judged.baseline_range is not None:
        words += ["--baseline", *(f"{limit:.10g}" for limit in judged.baseline_range)]
    return shlex.join([*words, "--force"])
