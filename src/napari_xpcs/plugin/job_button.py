"""One button starts, shows and cancels a long job."""

import time
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.job import Job, Runner
from napari_xpcs.plugin.pace import Pace
from napari_xpcs.progress import Progress

TELL_S = 0.25
"""Time between two texts of a progress: each is laid out anew."""


class JobButton(QWidget):
    """A button that starts a job and turns into Cancel, with a progress bar and a message.

    Parameters
    ----------
    guarded
        Ask before a window is closed while the job runs; off where nothing would be lost.
    tip
        What the button says under the mouse, where nothing keeps it from being pressed.
    """

    clicked = Signal()
    """The user wants the job; answer with :meth:`start`."""
    finished = Signal(object)
    """Emitted with the result of a job that ended well."""
    cancelled = Signal()
    """The user cancelled; what the job told in its last Progress is all there is."""

    def __init__(
        self, text: str, parent: QWidget | None = None, *, guarded: bool = True, tip: str = ""
    ) -> None:
        super().__init__(parent)
        self._text, self._tip = text, tip
        self._guarded = guarded
        self._started_at = self._told_at = 0.0
        self._told = ""
        self._reason = ""
        self._pace = Pace()
        self._build()
        self._connect()

    def _build(self) -> None:
        self.runner = Runner(self)
        self.button = QPushButton(self._text, objectName="run")
        self.button.setToolTip(self._tip)
        self.bar = QProgressBar(objectName="progress")
        self.bar.setVisible(False)
        self.message = WrappedLabel(objectName="message")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.bar, self.message):
            layout.addWidget(widget)

    def _connect(self) -> None:
        self.button.clicked.connect(self._on_button_clicked)
        self.runner.progressed.connect(self._on_runner_progressed)
        self.runner.finished.connect(self._on_runner_finished)
        self.runner.failed.connect(self._end)

    @property
    def rate(self) -> float:
        """What the newest job does in a second of its present task, 0 where that is not known."""
        return self._pace.rate

    def allow(self, reason: str = "") -> None:
        """Enable the button, or disable it and show the ``reason``."""
        if self.runner.running or reason == self._reason:
            return
        self._reason = reason
        self.button.setEnabled(not reason)
        self.button.setToolTip(reason or self._tip)
        self.message.setText(reason)

    def start(self, job: Job) -> None:
        """Run ``job`` and turn the button into Cancel."""
        self._started_at = time.monotonic()
        self._told = ""
        self._pace = Pace()
        self.button.setText("Cancel")
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self.message.setText("Starting ...")
        self.runner.start(job, self._text if self._guarded else "")

    def cancel(self) -> None:
        """Stop the running job, if there is one."""
        if self.runner.running:
            self.runner.cancel()
            self._end("Cancelled.")
            self.cancelled.emit()

    def _on_button_clicked(self) -> None:
        if self.runner.running:
            self.cancel()
        else:
            self.clicked.emit()

    def _on_runner_progressed(self, progress: Progress) -> None:
        now = time.monotonic()
        text = self._pace.text(progress, now)
        if progress.what == self._told and now - self._told_at < TELL_S:
            return
        self._told, self._told_at = progress.what, now
        # A bar repaints at once, and the whole window with it: let it wait for the text.
        self.bar.setUpdatesEnabled(False)
        self.bar.setRange(0, max(progress.total, 1))
        self.bar.setValue(progress.done)
        self.bar.setUpdatesEnabled(True)
        self.message.setText(text)

    def _on_runner_finished(self, result: Any) -> None:
        now = time.monotonic()
        self._pace.end(now)
        self._end(f"Done in {now - self._started_at:.1f} s.")
        self.finished.emit(result)

    def _end(self, text: str) -> None:
        self.button.setText(self._text)
        self.bar.setVisible(False)
        self.message.setText(text)
