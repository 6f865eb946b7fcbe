"""Output of the commands: results on stdout, progress and faults on stderr."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar
from rich.text import Text

from napari_xpcs.progress import Progress, Steps, run

out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True)

Result = TypeVar("Result")


class _Count(ProgressColumn):
    """How many of all, and how many in a second."""

    def render(self, task: Task) -> Text:
        if task.total is None or task.total <= 1:
            return Text("")
        rate = "" if task.speed is None else f", {task.speed:.0f}/s"
        return Text(f"{task.completed:.0f} of {task.total:.0f}{rate}")


def with_progress(steps: Steps[Result]) -> Result:
    """Drain ``steps`` with a bar on stderr, which a file or pipe does not get.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        Ctrl-C or SIGTERM came; ``steps`` were closed at their next step.
    """
    with (
        closing(steps),
        _signals_wait() as came,
        ProgressBar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            _Count(),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        ) as bar,
    ):
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            if signal.SIGINT in came:
                raise KeyboardInterrupt
            if came:
                sys.exit(128 + came[0])
            bar.update(
                task, completed=progress.done, total=progress.total, description=progress.what
            )

        return run(steps, show)


@contextmanager
def _signals_wait() -> Iterator[list[int]]:
    """Give the signals that asked for an end so far; a second one acts at once."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = {number: handler for number, handler in before.items() if callable(handler)}

    def hear(number: int, frame: object) -> None:
        if came:
            heard[signal.Signals(number)](number, frame)  # type: ignore[arg-type]
        came.append(number)

    for number in heard:
        signal.signal(number, hear)
    try:
        yield came
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)


def print_json(facts: Any) -> None:
    print(json.dumps(_plain(facts), indent=1, ensure_ascii=False))  # noqa: T201 - rich would wrap it


def print_fault(error: Exception | str) -> None:
    if isinstance(error, OSError) and error.filename and error.strerror:
        error = f"{error.filename}: {error.strerror}."
    err.print(f"napari-xpcs: {error}", markup=False, highlight=False, soft_wrap=True)


def print_conversions() -> None:
    """Tell what was converted to NumPy, for developers who ask by XPCS_MONITOR."""
    if "XPCS_MONITOR" not in os.environ:
        return
    from napari_xpcs.backends.io_adapter import conversion_report

    err.print(conversion_report(), markup=False, highlight=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it; a number that is not one becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
