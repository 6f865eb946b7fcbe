"""Jobs run in a thread, report once, and are dropped when they are cancelled or replaced."""

import gc
import threading

import pytest
from qtpy.compat import isalive
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_xpcs.errors import FitError
from napari_xpcs.plugin.job import CloseGuard, Runner
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.pace import Pace
from napari_xpcs.progress import Progress


def counting(result, gate=None):
    def steps():
        for done in range(3):
            yield Progress(done, 3, "steps")
            if gate is not None:
                gate.wait(5)
        return result

    return steps


def failing(error):
    def steps():
        yield Progress(0, 1, "steps")
        raise error

    return steps


@pytest.fixture
def runner(qtbot):
    return Runner()


def test_result_and_progress_arrive_in_the_gui_thread(runner, qtbot):
    threads, progress = [], []
    runner.progressed.connect(lambda step: progress.append(step.done))
    runner.finished.connect(lambda _: threads.append(threading.current_thread()))
    with qtbot.waitSignal(runner.finished) as got:
        runner.start(counting("result"))
    assert got.args == ["result"]
    assert progress == sorted(set(progress))
    assert progress[-1] == 2
    assert threads == [threading.main_thread()]
    assert not runner.running


def test_busy_window_is_told_the_newest_progress_and_the_newest_result_so_far(runner, qtbot):
    told, over = [], threading.Event()

    def steps():
        for done in range(1000):
            yield Progress(done, 1000, "frames", partial=done if done % 100 == 0 else None)
        over.set()

    runner.progressed.connect(lambda step: told.append((step.done, step.partial)))
    with qtbot.waitSignal(runner.finished):
        runner.start(steps)
        assert over.wait(5)  # the window does nothing else meanwhile
    assert told == [(900, 900), (999, None)]


def test_jobs_do_not_wait_for_each_other(qtbot):
    gate, runners = threading.Event(), [Runner() for _ in range(12)]
    for runner in runners[1:]:
        runner.start(counting("long", gate))
    with qtbot.waitSignal(runners[0].finished):
        runners[0].start(counting("plot"))
    gate.set()
    qtbot.waitUntil(lambda: not any(runner.running for runner in runners))


def test_runner_that_nobody_holds_ends_its_job(qtbot):
    ended = threading.Event()

    def steps():
        try:
            while True:
                yield Progress(1, 2, "steps")
        finally:
            ended.set()

    runner = Runner()
    with qtbot.waitSignal(runner.progressed):
        runner.start(steps)
    del runner
    gc.collect()
    qtbot.waitUntil(ended.is_set)


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_full_walks_pass_over_what_was_there_before_a_long_job_until_it_ends(runner, qtbot, end):
    frozen, gate = [], threading.Event()

    def steps():
        frozen.append(gc.get_freeze_count())
        yield Progress(0, 1, "objects")
        if end == "failed":
            raise FitError("No fit.")
        while end == "cancelled":
            yield Progress(0, 1, "objects")

    runner.progressed.connect(lambda _: gate.set())
    runner.start(steps, "Correlate")
    qtbot.waitUntil(gate.is_set)
    if end == "cancelled":
        runner.cancel()
    qtbot.waitUntil(lambda: runner.ended)
    assert frozen[0] > 10_000
    assert gc.get_freeze_count() == 0


def test_replaced_job_never_reports(runner, qtbot):
    gate, results = threading.Event(), []
    runner.finished.connect(results.append)
    runner.start(counting("old", gate))
    with qtbot.waitSignal(runner.finished):
        runner.start(counting("new"))
    gate.set()
    qtbot.wait(100)
    assert results == ["new"]


def test_what_a_cancelled_job_kept_arrives_unless_another_was_started(runner, qtbot):
    def keeping(result):
        def steps():
            try:
                while True:
                    yield Progress(1, 2, "steps")
            except GeneratorExit:
                return result

        return steps

    kept, finished = [], []
    runner.kept.connect(kept.append)
    runner.finished.connect(finished.append)
    for result in ("replaced", "last"):
        with qtbot.waitSignal(runner.progressed):
            runner.start(keeping(result))
    runner.cancel()
    qtbot.waitUntil(lambda: kept == ["last"])
    assert finished == []


def test_a_fault_in_what_a_cancelled_job_keeps_is_told(runner, qtbot):
    def steps():
        try:
            while True:
                yield Progress(1, 2, "steps")
        except GeneratorExit:
            raise FitError("Nothing could be kept.") from None

    with qtbot.waitSignal(runner.progressed):
        runner.start(steps)
    with qtbot.waitSignal(runner.failed) as told:
        runner.cancel()
    assert told.args == ["Nothing could be kept."]
    assert not runner.running


def test_cancelled_job_ends_at_its_next_step_and_reports_nothing(runner, qtbot):
    gate, results, ended = threading.Event(), [], threading.Event()

    def steps():
        try:
            while True:
                yield Progress(1, 2, "steps")
                gate.wait(5)
        finally:
            ended.set()

    runner.finished.connect(results.append)
    runner.failed.connect(results.append)
    with qtbot.waitSignal(runner.progressed):
        runner.start(steps)
    runner.cancel()
    gate.set()
    qtbot.waitUntil(ended.is_set)
    assert not runner.running
    assert results == []


def test_expected_fault_is_told_in_its_own_words(runner, qtbot):
    with qtbot.waitSignal(runner.failed) as got:
        runner.start(failing(FitError("g2 needs at least 4 delays, got 3.")))
    assert got.args == ["g2 needs at least 4 delays, got 3."]


def test_runtime_error_is_a_fault_not_a_result(runner, qtbot, monkeypatch):
    from napari.utils.notifications import notification_manager

    told, results = [], []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *args: told.append(args[1]))
    runner.finished.connect(results.append)
    with qtbot.waitSignal(runner.failed) as got:
        runner.start(failing(RuntimeError("out of memory")))
    assert "out of memory" in got.args[0]
    assert isinstance(told[0], RuntimeError)
    assert results == []


def test_button_turns_into_cancel_and_back(qtbot):
    job, gate = JobButton("Fit"), threading.Event()
    qtbot.addWidget(job)
    job.clicked.connect(lambda: job.start(counting("late", gate)))
    job.button.click()
    qtbot.waitUntil(lambda: "0 of 3" in job.message.text() or "steps" in job.message.text())
    assert job.button.text() == "Cancel"
    assert not job.bar.isHidden()
    job.button.click()
    gate.set()
    assert job.button.text() == "Fit"
    assert job.bar.isHidden()
    assert job.message.text() == "Cancelled."


def test_button_says_why_it_is_disabled(qtbot):
    job = JobButton("Fit")
    qtbot.addWidget(job)
    job.allow("Open a result file.")
    assert not job.button.isEnabled()
    assert job.message.text() == job.button.toolTip() == "Open a result file."
    job.allow()
    assert job.button.isEnabled()


def test_pace_counts_anew_for_each_thing_that_is_done():
    pace = Pace()
    pace.text(Progress(0, 1000, "frames"), 0.0)
    pace.text(Progress(0, 1000, "frames"), 10.0)  # compiled until now
    assert pace.text(Progress(200, 1000, "frames"), 12.0) == (
        "200 of 1000 frames, 100 per s, 8 s left"
    )
    assert pace.text(Progress(500, 4500, "maps"), 20.0) == "maps ..."
    assert pace.text(Progress(1500, 4500, "maps"), 30.0) == (
        "1500 of 4500 maps, 100 per s, 30 s left"
    )
    assert "1080 per s" in pace.text(Progress(4500, 4500, "maps"), 23.7)


@pytest.fixture
def window(qtbot):
    window = QMainWindow()
    qtbot.addWidget(window)
    return window


def test_window_with_a_running_job_asks_and_stays_if_told_to(window, qtbot, tmp_path):
    job, gate, kept = JobButton("Correlate", window), threading.Event(), tmp_path / "half"

    def steps():
        kept.write_text("half")
        try:
            while True:
                yield Progress(1, 2, "frames")
                gate.wait(0.05)
        finally:
            kept.unlink()

    job.start(steps)
    guard, answers, asked = window.findChild(CloseGuard), [False, True], []
    guard.ask = lambda names: asked.append(names) or answers.pop(0)
    qtbot.waitUntil(kept.exists)
    window.show()
    assert not window.close()
    assert job.runner.running
    assert window.close()
    assert asked == [["Correlate"]] * 2
    assert not kept.exists()


def test_window_with_nothing_to_lose_closes_without_a_question(window, qtbot):
    job = JobButton("Correlate", window)
    job.start(counting("result"))
    qtbot.waitUntil(lambda: not job.runner.running)
    window.findChild(CloseGuard).ask = pytest.fail
    window.show()
    assert window.close()


def test_job_of_a_window_that_is_gone_ends_in_silence(qtbot):
    gate, ended = threading.Event(), threading.Event()

    def steps():
        try:
            while True:
                yield Progress(1, 2, "steps")
                gate.wait(5)
        finally:
            ended.set()

    window = QWidget()
    runner = Runner(window)
    with qtbot.waitSignal(runner.progressed):
        runner.start(steps)
    window.deleteLater()
    qtbot.waitUntil(lambda: not isalive(window))
    gate.set()
    qtbot.waitUntil(ended.is_set)
