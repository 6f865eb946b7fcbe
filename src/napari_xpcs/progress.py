"""Long work is a generator that yields :class:`Progress` and returns its result.

A window steps through such a generator in a thread: every ``yield`` is where Cancel takes
effect.  Scripts and the command line drain it with :func:`run`.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` units of work, with the name of the unit or step.

    ``partial`` is a result so far that can be shown while the work goes on, of a type that
    the job tells.
    """

    done: int
    total: int
    what: str = ""
    partial: object | None = None


Steps: TypeAlias = Generator[Progress, None, Result]


def run(steps: Steps[Result], report: Callable[[Progress], None] | None = None) -> Result:
    """Drain ``steps``, pass every :class:`Progress` to ``report``, return the result."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if report is not None:
            report(progress)
