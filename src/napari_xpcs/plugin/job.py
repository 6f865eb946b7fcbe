"""Long jobs run in a thread, and end before the window in which they were started."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cache, partial
from threading import Event, Lock
from typing import Any
from weakref import WeakMethod

from napari.utils.notifications import notification_manager
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QEventLoop, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QMainWindow,
    QMessageBox,
)

from napari_xpcs.errors import XpcsError
from napari_xpcs.plugin.collection import old_objects_passed_over
from napari_xpcs.progress import Progress, Steps, run

Job = Callable[[], Steps[Any]]

CLOSING_S = 5.0
"""A window that closes waits so long for its jobs to end."""

MOST_THREADS = 64
"""Qt's own pool has a thread for each core: beside two long jobs no plot would be drawn."""

_threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="xpcs")


class Runner(QObject):
    """Runs the newest job; one that was replaced or cancelled never reports.

    A job is a function without arguments that returns a generator of
    :class:`~napari_xpcs.progress.Progress`; it is called in the thread, so what it
    imports is imported there.
    """

    progressed = Signal(object)
    """Emitted with the newest Progress; those that the window had no time for are dropped."""
    finished = Signal(object)
    """Emitted with the result of a job that ended well."""
    failed = Signal(str)
    """Emitted with one sentence when a job failed."""
    kept = Signal(object)
    """Emitted with what a cancelled job returned all the same, if none was started since."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop: Event | None = None
        self._cancelled: Event | None = None
        self._ended = Event()
        self.name = ""

    @property
    def running(self) -> bool:
        """True while a job runs."""
        return self._stop is not None

    @property
    def ended(self) -> bool:
        """True when the thread of the newest job has nothing open any more."""
        return self._stop is None and self._ended.is_set()

    def start(self, job: Job, name: str = "") -> None:
        """Run ``job`` in a thread; a job that still runs is cancelled and dropped.

        One with a ``name`` is long: it is not ended by closing the window before the user was
        asked, and the window does not stand still while Python collects garbage.
        """
        self.cancel()
        self._cancelled = None
        self.name = name
        if name:
            guard_window_of(self)
        stop, ended = Event(), Event()
        self._stop, self._ended = stop, ended
        self.destroyed.connect(stop.set)
        line = _Line(self, stop)
        future = _threads.submit(_long_job if name else _step_through, job, stop, line)
        future.add_done_callback(lambda _: ended.set())
        future.add_done_callback(line.end)

    def cancel(self) -> None:
        """Stop the running job at its next step; what it may still return is only :attr:`kept`."""
        if self._stop is not None:
            self._stop.set()
            self._stop, self._cancelled = None, self._stop

    def _is_wanted(self, stop: Event) -> bool:
        """Return whether the job of ``stop`` is the newest one and the window is still there."""
        return stop is self._stop and isalive(self)

    def on_told(self, stop: Event, progress: Progress) -> None:
        """Pass on what the job of ``stop`` told."""
        if self._is_wanted(stop):
            self.progressed.emit(progress)

    def on_ended(self, stop: Event, future: "Future[Any]") -> None:
        """Pass on how the job of ``stop`` ended."""
        wanted, cancelled = self._is_wanted(stop), stop is self._cancelled and isalive(self)
        if not wanted and not cancelled:
            return
        self._cancelled = None
        if wanted:
            self._stop = None
        error = future.exception()
        if error is None and wanted:
            self.finished.emit(future.result())
        elif error is None:
            if future.result() is not None:
                self.kept.emit(future.result())
        elif isinstance(error, XpcsError):
            self.failed.emit(str(error))
        else:
            self.failed.emit(f"An unexpected fault, please report it: {error!r}")
            notification_manager.receive_error(type(error), error, error.__traceback__)


class _Window(QObject):
    """Does in the thread of the window what another thread asks for.

    There is one for all jobs, which lives until the process ends, and Python joins the threads
    before that: a thread never meets a signal whose object is gone, which would end the process.
    """

    _asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        # Queued even from the same thread: a job that ended at once reports after start().
        self._asked.connect(self._do, Qt.ConnectionType.QueuedConnection)

    def ask(self, call: Callable[[], None]) -> None:
        """Have ``call`` called soon; from any thread."""
        self._asked.emit(call)

    def _do(self, call: Callable[[], None]) -> None:
        call()


@cache
def _window() -> _Window:
    return _Window()


class _Line:
    """From the thread of a job to its runner.

    It holds the runner weakly: the thread may be the last to let go of the line, and no thread
    but the window's may delete what belongs to Qt.
    """

    def __init__(self, runner: Runner, stop: Event) -> None:
        self._told, self._ended = WeakMethod(runner.on_told), WeakMethod(runner.on_ended)
        self._stop = stop
        self._window = _window()
        self._lock = Lock()
        self._waiting: dict[bool, Progress] = {}

    def tell(self, progress: Progress) -> None:
        """Have the runner told; what waits to be told and is older is dropped.

        The newest result so far is kept apart, lest a Progress without one takes its place.
        """
        kind = progress.partial is None
        with self._lock:
            first = not self._waiting
            self._waiting.pop(kind, None)
            self._waiting[kind] = progress
        if first:
            self._window.ask(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        told = self._told()
        if told is not None:
            for progress in waiting.values():
                told(self._stop, progress)

    def end(self, future: "Future[Any]") -> None:
        """Have the runner told that the job ended."""
        self._window.ask(partial(self._finish, future))

    def _finish(self, future: "Future[Any]") -> None:
        ended = self._ended()
        if ended is not None:
            ended(self._stop, future)


def _step_through(job: Job, stop: Event, line: _Line) -> Any:
    """Return the result of ``job()``; when ``stop`` is set, close it in its thread.

    What a job returns as it is closed is its result then.
    """
    with closing(job()) as steps:
        try:
            while not stop.is_set():
                line.tell(next(steps))
            steps.throw(GeneratorExit)
        except StopIteration as end:
            return end.value
        except GeneratorExit:
            return None


def _long_job(job: Job, stop: Event, line: _Line) -> Any:
    """Do the same; full walks of the garbage collector take no longer than for new objects."""
    with old_objects_passed_over():
        return _step_through(job, stop, line)


class CloseGuard(QObject):
    """Asks before a window is closed in which a job runs that has a name.

    The job is ended before the window is, so that its files are closed and what is unfinished is
    removed.
    """

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - the name is Qt's
        """Hold the window back, or end its jobs and let it close."""
        if event.type() != QEvent.Type.Close or watched is not self.parent():
            return False
        runners = watched.findChildren(Runner)
        names = [runner.name for runner in runners if runner.running and runner.name]
        if names and not self.ask(names):
            event.ignore()
            return True
        for runner in runners:
            runner.cancel()
        deadline = time.monotonic() + CLOSING_S
        while time.monotonic() < deadline and not all(
            runner.ended for runner in runners if runner.name
        ):
            time.sleep(0.01)
        return False

    def ask(self, names: list[str]) -> bool:
        """Return whether the user wants to end the jobs of these names."""
        box = QMessageBox(self.parent())
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("A job is running")
        box.setText(f"Still running: {', '.join(names)}.")
        box.setInformativeText(
            "Closing napari cancels it. Files that are saved already stay as they are; no half "
            "file is left behind."
        )
        end = box.addButton("Cancel it and close", QMessageBox.ButtonRole.DestructiveRole)
        stay = box.addButton("Keep it running", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(stay)
        box.exec()
        return bool(box.clickedButton() == end)


def guard_window_of(child: QObject) -> None:
    """Watch the main window that ``child`` lies in, once."""
    above: QObject | None = child
    while above is not None and not isinstance(above, QMainWindow):
        above = above.parent()
    if above is not None and above.findChild(CloseGuard) is None:
        above.installEventFilter(CloseGuard(above))


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
