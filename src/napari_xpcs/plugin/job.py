"""Long jobs run in a thread; one button starts, shows and cancels them."""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from threading import Event
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.compat import isalive
from qtpy.QtCore import QEventLoop, QObject, Signal
from qtpy.QtWidgets import QApplication, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.progress import Progress, Steps, run

Job = Callable[[], Steps[Any]]


class Runner(QObject):
    """Runs the newest job; one that was replaced or cancelled never reports.

    A job is a function without arguments that returns a generator of
    :class:`~napari_xpcs.progress.Progress`; it is called in the thread, so what it
    imports is imported there.
    """

    progressed = Signal(object)
    """Emitted with each Progress."""
    finished = Signal(object)
    """Emitted with the result of a job that ended well."""
    failed = Signal(str)
    """Emitted with one sentence when a job failed."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop: Event | None = None

    @property
    def running(self) -> bool:
        """True while a job runs."""
        return self._stop is not None

    def start(self, job: Job) -> None:
        """Run ``job`` in a thread; a job that still runs is cancelled and dropped."""
        self.cancel()
        stop = Event()
        self.destroyed.connect(stop.set)
        # Errors reach _on_errored all the same; without this they are raised a second time.
        worker = create_worker(_step_through, job, stop, _ignore_errors=True)
        worker.yielded.connect(partial(self._on_yielded, stop))
        worker.returned.connect(partial(self._on_returned, stop))
        worker.errored.connect(partial(self._on_errored, stop))
        self._stop = stop
        worker.start()

    def cancel(self) -> None:
        """Stop the running job at its next step and drop what it may still return."""
        if self._stop is not None:
            self._stop.set()
            self._stop = None

    def _is_wanted(self, stop: Event) -> bool:
        """Return whether the job of ``stop`` is the newest one and the window is still there."""
        return stop is self._stop and isalive(self)

    def _on_yielded(self, stop: Event, progress: Progress) -> None:
        if self._is_wanted(stop):
            self.progressed.emit(progress)

    def _on_returned(self, stop: Event, outcome: Any) -> None:
        if isinstance(outcome, _Failure):
            self._on_errored(stop, outcome.error)
        elif self._is_wanted(stop):
            self._stop = None
            self.finished.emit(outcome)

    def _on_errored(self, stop: Event, error: BaseException) -> None:
        if not self._is_wanted(stop):
            return
        self._stop = None
        if isinstance(error, XpcsError):
            self.failed.emit(str(error))
        else:
            self.failed.emit(f"An unexpected fault, please report it: {error!r}")
            notification_manager.receive_error(type(error), error, error.__traceback__)


class _Failure:
    """A RuntimeError on its way from the thread to the window."""

    def __init__(self, error: RuntimeError) -> None:
        self.error = error


def _step_through(job: Job, stop: Event) -> Steps[Any]:
    """Yield the steps of ``job()`` until it ends or ``stop`` is set, then close it in its thread.

    A worker that is told to quit merely forgets its generator, and takes a RuntimeError (all
    errors of XLA are) for its result; hence the event, and the wrapper of the error.
    """
    try:
        with closing(job()) as steps:
            while not stop.is_set():
                try:
                    progress = next(steps)
                except StopIteration as end:
                    return end.value
                yield progress
    except RuntimeError as error:
        return _Failure(error)
    return None


class JobButton(QWidget):
    """A button that starts a job and turns into Cancel, with a progress bar and a message."""

    clicked = Signal()
    """The user wants the job; answer with :meth:`start`."""
    finished = Signal(object)
    """Emitted with the result of a job that ended well."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = text
        self._started_at = 0.0
        self._reason = ""
        self._build()
        self._connect()

    def _build(self) -> None:
        self.runner = Runner(self)
        self.button = QPushButton(self._text, objectName="run")
        self.bar = QProgressBar(objectName="progress")
        self.bar.setVisible(False)
        self.message = QLabel(objectName="message")
        self.message.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.bar, self.message):
            layout.addWidget(widget)

    def _connect(self) -> None:
        self.button.clicked.connect(self._on_button_clicked)
        self.runner.progressed.connect(self._on_runner_progressed)
        self.runner.finished.connect(self._on_runner_finished)
        self.runner.failed.connect(self._end)

    def allow(self, reason: str = "") -> None:
        """Enable the button, or disable it and show the ``reason``."""
        if self.runner.running or reason == self._reason:
            return
        self._reason = reason
        self.button.setEnabled(not reason)
        self.button.setToolTip(reason)
        self.message.setText(reason)

    def start(self, job: Job) -> None:
        """Run ``job`` and turn the button into Cancel."""
        self._started_at = time.monotonic()
        self.button.setText("Cancel")
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self.message.setText("Starting ...")
        self.runner.start(job)

    def cancel(self) -> None:
        """Stop the running job, if there is one."""
        if self.runner.running:
            self.runner.cancel()
            self._end("Cancelled.")

    def _on_button_clicked(self) -> None:
        if self.runner.running:
            self.cancel()
        else:
            self.clicked.emit()

    def _on_runner_progressed(self, progress: Progress) -> None:
        self.bar.setRange(0, max(progress.total, 1))
        self.bar.setValue(progress.done)
        self.message.setText(progress_text(progress, time.monotonic() - self._started_at))

    def _on_runner_finished(self, result: Any) -> None:
        self._end(f"Done in {time.monotonic() - self._started_at:.1f} s.")
        self.finished.emit(result)

    def _end(self, text: str) -> None:
        self.button.setText(self._text)
        self.bar.setVisible(False)
        self.message.setText(text)


def progress_text(progress: Progress, seconds: float) -> str:
    """Return how far a job is, its rate and the time that is left.

    >>> progress_text(Progress(200, 1000, "frames"), 2.0)
    '200 of 1000 frames, 100 per s, 8 s left'
    """
    if progress.done <= 0 or seconds <= 0:
        return f"{progress.what} ..."
    rate = progress.done / seconds
    left = (progress.total - progress.done) / rate
    return (
        f"{progress.done} of {progress.total} {progress.what}, {rate:.3g} per s, {left:.0f} s left"
    )


def wait_for(job: Job) -> Any:
    """Return the result of ``job``; a window that there is stays alive meanwhile.

    For callers that must return the result itself, such as the sample data of npe2.

    Raises
    ------
    XpcsError
        The job failed.
    """
    if QApplication.instance() is None:
        return run(job())
    runner, loop = Runner(), QEventLoop()
    results: list[Any] = []
    faults: list[str] = []
    runner.finished.connect(results.append)
    runner.failed.connect(faults.append)
    for signal in (runner.finished, runner.failed):
        signal.connect(loop.quit)
    runner.start(job)
    loop.exec()
    if faults:
        raise XpcsError(faults[0])
    return results[0]
