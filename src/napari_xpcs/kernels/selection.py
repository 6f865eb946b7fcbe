"""Which frames of a run are used."""

from dataclasses import dataclass

from napari_xpcs.errors import CorrelationError


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSelection:
    """Frames ``begin``, ``begin + stride``, ... before ``end``, averaged in groups.

    Used frame i is the mean of the ``average`` strided frames from ``i * average`` on; a
    last group that is not full is left out.

    Parameters
    ----------
    begin, end
        First frame, counted from 0, and the one behind the last; ``None``: all frames.
    stride
        Take every ``stride``-th frame.
    average
        Strided frames that make one used frame.

    Raises
    ------
    CorrelationError
        A value that no run can have.
    """

    begin: int = 0
    end: int | None = None
    stride: int = 1
    average: int = 1

    def __post_init__(self) -> None:
        if self.begin < 0:
            msg = f"The first frame must be 0 or later, got {self.begin}."
            raise CorrelationError(msg)
        if self.end is not None and self.end <= self.begin:
            msg = f"The frames must end behind frame {self.begin}, got the end {self.end}."
            raise CorrelationError(msg)
        for name in ("stride", "average"):
            if getattr(self, name) < 1:
                msg = f"The {name} must be 1 frame or more, got {getattr(self, name)}."
                raise CorrelationError(msg)

    @property
    def step(self) -> int:
        """Raw frames from one used frame to the next."""
        return self.stride * self.average

    def within(self, total: int) -> "FrameSelection":
        """Return the selection with its ``end`` filled in, checked against ``total`` raw frames.

        Raises
        ------
        CorrelationError
            It reaches beyond the run, or leaves fewer than 2 used frames.
        """
        end = total if self.end is None else self.end
        if self.begin >= total or end > total:
            msg = f"The run has {total} frames; frames {self.begin} to {end} were asked for."
            raise CorrelationError(msg)
        used = FrameSelection(begin=self.begin, end=end, stride=self.stride, average=self.average)
        if used.count() < 2:
            msg = (
                f"Correlating needs 2 frames or more; frames {self.begin} to {end} with stride "
                f"{self.stride} and average {self.average} make {used.count()}."
            )
            raise CorrelationError(msg)
        return used

    def count(self) -> int:
        """Return the number of used frames of a selection whose ``end`` is known."""
        if self.end is None:
            msg = "The number of used frames is known only within() a run."
            raise ValueError(msg)
        return -((self.begin - self.end) // self.stride) // self.average
