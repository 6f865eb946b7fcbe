"""A list of steps that remembers what it was, for undo and redo."""

from collections.abc import Sequence

from napari_xpcs.kernels.mask_steps import MaskStep

MOST_UNDONE = 100


class StepHistory:
    """The steps of a mask as they are now, were before, and were before undo."""

    def __init__(self) -> None:
        self.begin(())

    def begin(self, steps: Sequence[MaskStep]) -> None:
        """Start from ``steps`` with nothing to undo."""
        self.steps = tuple(steps)
        self._done: list[tuple[MaskStep, ...]] = []
        self._undone: list[tuple[MaskStep, ...]] = []

    def change(self, steps: Sequence[MaskStep]) -> None:
        """Make ``steps`` the list, as one change that can be undone."""
        self._done = [*self._done, self.steps][-MOST_UNDONE:]
        self._undone = []
        self.steps = tuple(steps)

    def undo(self) -> None:
        """Go back to the list before the last change, if there was one."""
        self._go(self._done, self._undone)

    def redo(self) -> None:
        """Do again what was undone last, if anything was."""
        self._go(self._undone, self._done)

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a change that was undone."""
        return bool(self._undone)

    def _go(self, back: list[tuple[MaskStep, ...]], forth: list[tuple[MaskStep, ...]]) -> None:
        if back:
            forth.append(self.steps)
            self.steps = back.pop()
