"""Section of the fit dock: which of three models the points want, bin by bin."""

from collections.abc import Callable
from functools import partial

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_xpcs.fitting.information import akaike
from napari_xpcs.plugin.fit_request import FitRequest
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.rows_model import Column, RowsView
from napari_xpcs.plugin.sampling_job import ModelComparison, comparison_steps


class ModelComparisonPanel(QWidget):
    """A button, and a table of what came out.

    Parameters
    ----------
    request
        What the dock asks for; its model is replaced by those that are compared.
    """

    chosen = Signal(int)
    """A row was chosen: the label of its bin."""

    def __init__(
        self, request: Callable[[], FitRequest | None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.comparison: ModelComparison | None = None
        self._request = request
        self._job = JobButton("Compare single, stretched, double")
        self._job.button.setObjectName("compare")
        self._table = RowsView(objectName="comparison")
        self._table.setMinimumHeight(150)
        self._table.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._job)
        column.addWidget(self._table)
        self._job.clicked.connect(self.compare)
        self._job.finished.connect(self._on_compared)
        self._table.selectionModel().selectionChanged.connect(self._on_row_selected)

    def forget(self, reason: str) -> None:
        """Take a former comparison away; a ``reason`` says why there can be no other."""
        self.comparison = None
        self._table.setVisible(False)
        self._job.allow(reason)

    def stop(self) -> None:
        """Stop what runs."""
        self._job.cancel()

    def compare(self) -> None:
        """Fit and compare three models, in a thread."""
        request = self._request()
        if request is not None:
            self._job.start(partial(comparison_steps, request))

    def _on_compared(self, comparison: ModelComparison) -> None:
        self.comparison = comparison
        self._job.message.setText(
            f"All bins: {comparison.left_out.total_verdict()}. By AIC, {_counted(comparison)}."
        )
        self._table.show_rows(*comparison_columns(comparison), widest=400)
        self._table.setVisible(True)

    def _on_row_selected(self) -> None:
        row = self._table.current_row()
        if self.comparison is not None and row is not None:
            self.chosen.emit(int(self.comparison.left_out.bins.label[row]))


def comparison_columns(comparison: ModelComparison) -> tuple[list[Column], np.ndarray]:
    """Return one row per bin: the best model by AIC, by how much, and what leaving out says."""
    criterion = akaike(comparison.fits)
    known = np.isfinite(criterion).all(axis=0)
    names = [fit.model for fit in comparison.fits]
    filled = np.where(known, criterion, 0.0)
    best = np.argmin(filled, axis=0)
    lead = np.diff(np.sort(filled, axis=0)[:2], axis=0)[0]
    labels = comparison.left_out.bins.label
    words = [comparison.left_out.verdict(column) for column in range(len(labels))]
    by_aic = [names[i] if there else "" for i, there in zip(best, known, strict=True)]
    leads = [f"{by:.1f}" if there else "" for by, there in zip(lead, known, strict=True)]
    columns = [
        Column("bin", [str(label) for label in labels], labels),
        Column("AIC", by_aic, np.array(by_aic)),
        Column("by", leads, np.where(known, lead, np.nan)),
        Column("leave-one-out", words, np.array(words)),
    ]
    return columns, ~known


def _counted(comparison: ModelComparison) -> str:
    columns, _ = comparison_columns(comparison)
    wins = [name for name in columns[1].texts if name]
    counts = [f"{name} in {wins.count(name)}" for name in dict.fromkeys(wins)]
    return (", ".join(counts) + f" of {len(wins)} bins") if wins else "no bin can be compared"
