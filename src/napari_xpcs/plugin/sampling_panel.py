"""Section of the fit dock: posteriors, at once and by NUTS, and which model the points want."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.fitting.priors import default_priors
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.io.posterior_file import append_posterior, write_posterior_csv
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin.controls import NarrowComboBox, SaveButton, WrappedLabel
from napari_xpcs.plugin.fit_export import write_steps
from napari_xpcs.plugin.fit_request import FitRequest
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.model_comparison import ModelComparisonPanel
from napari_xpcs.plugin.sampling_job import (
    SamplingRequest,
    sampling_steps,
)
from napari_xpcs.plugin.section import Section
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs.fitting.posterior import Posterior
    from napari_xpcs.plugin.posterior_plots import PosteriorPlot

VIEWS = {
    "pairs": "parameter pairs",
    "new data": "curve and new data",
    "trace": "trace: draws in order",
    "rank": "rank: do chains agree?",
    "forest": "forest: all bins",
}
FIRST_FIT = "Fit first: the posterior is sampled about the fit."
BIN_BY_BIN = (
    "Draws are made bin by bin: fit with τ free in each bin and nothing shared, then sample."
)


class SamplingPanel(QWidget):
    """Samples the fit that the dock shows; what was drawn stays when it is cancelled."""

    chosen = Signal(int)
    """A row of the comparison was chosen: its bin."""

    def __init__(
        self, request: Callable[[], FitRequest | None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.plot: PosteriorPlot | None = None
        self.posterior: Posterior | None = None
        self._request = request
        self._curves: G2Curves | None = None
        self._fit: G2Fit | None = None
        self._label: int | None = None
        self._build()
        self._connect()
        self.show_fit(None, None)

    def _build(self) -> None:
        self._how = QComboBox(objectName="how")
        self._how.addItem("at once, then NUTS", True)
        self._how.addItem("at once only (Laplace)", False)
        self._how.setToolTip(
            "At once: importance sampling about the fit, with a k-hat that tells whether it serves."
        )
        self._job = JobButton("Sample")
        self._job.button.setObjectName("sample")
        self._verdict = WrappedLabel(objectName="verdict")
        self._view = NarrowComboBox(8, objectName="view")
        self._view.setToolTip("How the draws are shown.")
        for name, meaning in VIEWS.items():
            self._view.addItem(meaning, name)
        self._parameter = NarrowComboBox(8, objectName="forest_parameter")
        self._parameter.setToolTip("The parameter that is shown of every bin.")
        self._loading = QLabel("Loading plots ...")
        self._chains, self._draws, self._seed = QSpinBox(), QSpinBox(), QSpinBox()
        for box, name, low, high, value, tip in (
            (self._chains, "chains", 2, 16, 4, "Walks that start apart and must come to agree."),
            (self._draws, "draws", 50, 100_000, 1000, "Of each chain, after it has settled."),
            (self._seed, "seed", 0, 2**31 - 1, 0, "The same seed gives the same draws."),
        ):
            box.setObjectName(name)
            box.setToolTip(tip)
            box.setRange(low, high)
            box.setValue(value)
        self._outliers = QCheckBox("single points may be off (Student t)", objectName="student_t")
        self._outliers.setToolTip("Points far off the curve count less than with normal errors.")
        self._careful = QCheckBox("careful: slower, for bins that failed", objectName="careful")
        self._careful.setToolTip("Small steps, and the shape of the posterior is learnt first.")
        self._priors: dict[str, QLineEdit] = {}
        self._prior_form = QFormLayout()
        settings = QFormLayout()
        settings.addRow("Chains", self._chains)
        settings.addRow("Draws", self._draws)
        settings.addRow("Seed", self._seed)
        settings.addRow(self._outliers)
        settings.addRow(self._careful)
        how = Section("Priors and chains", name="priors")
        how.column.addLayout(self._prior_form)
        how.column.addLayout(settings)
        self._save = SaveButton(
            "Save CSV ...", "g2_posterior.csv", "CSV (*.csv)", objectName="save_posterior"
        )
        self._save.setToolTip("Mean, deviation, median and 68 % of every parameter, a row a bin.")
        self._append = QPushButton("Into the result file", objectName="append_posterior")
        self._append.setToolTip("Draws, diagnostics, priors and seed, beside the g2 they are of.")
        saving = QHBoxLayout()
        saving.addWidget(self._save)
        saving.addWidget(self._append)
        self._writing, self._judging = Runner(self), Runner(self)
        self.models = ModelComparisonPanel(self._request)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self._how, self._job, self._verdict, self._view, self._parameter):
            column.addWidget(widget)
        column.addWidget(self._loading)
        column.addWidget(how)
        column.addLayout(saving)
        column.addWidget(self.models)
        self._column = column

    def _connect(self) -> None:
        self._job.clicked.connect(self.sample)
        self._job.finished.connect(self._on_sampled)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.runner.progressed.connect(self._on_progressed)
        self._job.runner.failed.connect(self._on_sampling_failed)
        self._judging.finished.connect(self._on_judged)
        self._view.currentIndexChanged.connect(self._show)
        self._parameter.currentIndexChanged.connect(self._show)
        self._save.chosen.connect(self.save)
        self._append.clicked.connect(self._on_append_clicked)
        self._writing.finished.connect(self._on_written)
        self._writing.failed.connect(self._job.message.setText)
        self.models.chosen.connect(self.chosen)

    def take_plot(self, plot: "PosteriorPlot") -> None:
        """Show the plot, now that it is loaded."""
        self.plot = plot
        self._column.replaceWidget(self._loading, plot)
        self._loading.deleteLater()
        self._show()

    def show_fit(self, curves: G2Curves | None, fit: G2Fit | None) -> None:
        """Sample about another fit; the posterior of the former one goes."""
        self.stop()
        self._curves, self._fit = curves, fit
        self.posterior = None
        for button in (self._save, self._append):
            button.setEnabled(False)
        together = (
            fit is not None
            and fit.record is not None
            and (bool(fit.record.share) or fit.record.law is not None)
        )
        self._job.allow(FIRST_FIT if fit is None else BIN_BY_BIN if together else "")
        self.models.forget("" if fit is not None else FIRST_FIT)
        self._parameter.clear()
        if fit is not None:
            self._parameter.addItems([name for name in fit.names if name not in fit.fixed])
            self._parameter.setCurrentIndex(min(2, self._parameter.count() - 1))
        self._show_priors()
        self._show()

    def show_bin(self, label: int | None) -> None:
        """Show the posterior of another bin."""
        self._label = label
        self._show()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        if self.plot is not None:
            self.plot.set_theme(theme)

    def stop(self) -> None:
        """Stop what runs."""
        self._job.cancel()
        self.models.stop()
        self._judging.cancel()

    def sample(self) -> None:
        """Sample the posterior of all bins, in a thread."""
        if self._curves is None or self._fit is None:
            return
        self.posterior = None
        request = SamplingRequest(
            curves=self._curves,
            fit=self._fit,
            priors=self.priors(),
            likelihood="student-t" if self._outliers.isChecked() else "gaussian",
            chains=self._chains.value(),
            draws=self._draws.value() if self._how.currentData() else None,
            seed=self._seed.value(),
            careful=self._careful.isChecked(),
        )
        self._job.start(partial(sampling_steps, request))

    def priors(self) -> dict[str, str]:
        """Return the priors that were typed, by parameter."""
        return {name: field.text() for name, field in self._priors.items() if field.text().strip()}

    def _show_priors(self) -> None:
        fit, curves = self._fit, self._curves
        if fit is None or curves is None:
            return
        suggested = default_priors(fit.g2_model, curves.delay_s, curves.bins.q)
        if list(suggested) != list(self._priors):
            while self._prior_form.rowCount():
                self._prior_form.removeRow(0)
            self._priors = {name: QLineEdit(objectName=f"prior_{name}") for name in suggested}
            for name, field in self._priors.items():
                self._prior_form.addRow(name, field)
        for name, field in self._priors.items():
            field.setPlaceholderText(str(suggested[name]))
            field.setToolTip(
                "normal(mean, sd), halfnormal(size), lognormal(median, factor), uniform(a, b),"
                " loguniform(a, b); empty: what stands there in gray."
            )
            field.setEnabled(name not in fit.fixed)

    # -- what comes in

    def _on_progressed(self, progress: Progress) -> None:
        if progress.partial is not None:
            self.posterior = progress.partial  # type: ignore[assignment]
            self._show()

    def _on_sampled(self, posterior: "Posterior") -> None:
        self._take(posterior, posterior.verdict())

    def _on_cancelled(self) -> None:
        if self.posterior is None or not self.posterior.drawn.any():
            return
        self._judging.start(partial(_judge_steps, self.posterior))

    def _on_judged(self, posterior: "Posterior") -> None:
        self._take(posterior, "Cancelled; what was drawn so far is kept.")

    def _on_sampling_failed(self, reason: str) -> None:
        if self.posterior is not None:
            self._take(self.posterior, f"{reason} What is shown is the instant posterior.")

    def _take(self, posterior: "Posterior", text: str) -> None:
        self.posterior = posterior
        self._job.message.setText(text)
        for button in (self._save, self._append):
            button.setEnabled(True)
        self._show()

    def row(self) -> int | None:
        """Return the row of the shown bin in the posterior."""
        if self.posterior is None or self._label is None:
            return None
        found = np.flatnonzero(self.posterior.bins.label == self._label)
        return int(found[0]) if found.size else None

    def _show(self) -> None:
        view, row, posterior = self._view.currentData(), self.row(), self.posterior
        self._parameter.setVisible(view == "forest")
        self._verdict.setText("" if posterior is None or row is None else verdict(posterior, row))
        if self.plot is None:
            return
        self.plot.setVisible(posterior is not None)
        if posterior is None or self._curves is None:
            return
        if view == "forest":
            if self._parameter.currentText():
                self.plot.show_forest(posterior, self._parameter.currentText())
        elif row is None:
            self.plot.show_hint("Click a bin on the image to see its posterior.")
        elif view == "trace":
            self.plot.show_trace(posterior, row)
        elif view == "rank":
            self.plot.show_rank(posterior, row)
        elif view == "pairs":
            self.plot.show_pairs(posterior, row)
        else:
            column = int(np.flatnonzero(self._curves.bins.label == self._label)[0])
            self.plot.show_predictive(self._curves, column, posterior, row)

    # -- saving

    def save(self, path: Path) -> None:
        """Write means, medians and limits as CSV; the dialogue asked before overwriting."""
        posterior = self.posterior
        if posterior is not None:
            self._writing.start(
                partial(
                    write_steps, path, partial(write_posterior_csv, path, posterior, force=True)
                )
            )

    def _on_append_clicked(self) -> None:
        posterior, curves = self.posterior, self._curves
        if posterior is not None and curves is not None:
            path = Path(curves.source)
            self._writing.start(
                partial(write_steps, path, partial(append_posterior, path, posterior, force=True))
            )

    def _on_written(self, path: Path) -> None:
        show_info(f"Saved {path}")


def verdict(posterior: "Posterior", row: int) -> str:
    """Return in words what the draws of a bin are worth."""
    diagnostics = posterior.diagnostics
    text = f"Bin {posterior.bins.label[row]}: {posterior.status[row]}"
    if posterior.method == "laplace":
        k_hat = diagnostics.k_hat[row]
        return f"{text}; k-hat {k_hat:.2f}" if np.isfinite(k_hat) else text
    if not np.isfinite(diagnostics.r_hat[row]).any():
        return f"{text}, {posterior.drawn[row]} draws per chain so far"
    return (
        f"{text}; R-hat {np.nanmax(diagnostics.r_hat[row]):.3f},"
        f" {np.nanmin(diagnostics.ess_bulk[row]):.0f} effective draws,"
        f" {diagnostics.divergences[row]} divergences"
    )


def _judge_steps(posterior: "Posterior") -> "Steps[Posterior]":
    """Say what draws are worth that were not finished; runs in the thread."""
    from napari_xpcs.fitting.diagnostics import judge

    yield Progress(0, 1, "verdict")
    return judge(posterior)
