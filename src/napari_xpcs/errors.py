"""Faults a user can mend: one sentence on the command line, a notification in napari."""

from collections.abc import Iterable


class XpcsError(Exception):
    """Base of every expected fault: what was got, what was expected, what to do."""


class ChoiceError(XpcsError):
    """None of what there is to choose from: wrong usage, status 2 on the command line."""


def check_choice(what: str, value: object, known: Iterable[object]) -> None:
    """Raise :class:`ChoiceError` where ``value`` is none of the ``known`` ones."""
    known = tuple(known)
    if value not in known:
        msg = f"There is no {what} {value!r}; choose {', '.join(map(str, known))}."
        raise ChoiceError(msg)


class BackendError(XpcsError):
    """An array backend or device was asked for that cannot be had."""


class GeometryError(XpcsError):
    """The geometry is incomplete or impossible."""


class PartitionError(XpcsError):
    """Bins that cannot be made, or that do not belong to these frames."""


class MaskError(XpcsError):
    """A step of a mask that cannot be done as asked."""


class FileFormatError(XpcsError):
    """A file that cannot be read, is not what was expected, or must not be overwritten."""


class CorruptFramesError(FileFormatError):
    """Frames of a readable file whose own content is damaged; ``frames`` are their numbers."""

    def __init__(self, message: str, frames: tuple[int, ...]) -> None:
        super().__init__(message)
        self.frames = frames

    def __reduce__(self) -> tuple[type, tuple[str, tuple[int, ...]]]:
        # Exceptions travel between processes by their message alone otherwise.
        return type(self), (str(self), self.frames)


class CorrelationError(XpcsError):
    """Frames that cannot be correlated as asked."""


class AverageError(XpcsError):
    """Results that are no repeats of one measurement, or of which none is worth averaging."""


class FitError(XpcsError):
    """A fit that cannot be set up (a fit that runs and fails is a status, not an error)."""


class SimulationError(XpcsError):
    """A run that cannot be simulated as asked."""
