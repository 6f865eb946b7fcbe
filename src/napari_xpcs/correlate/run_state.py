"""A part of a run after correlation: what is joined, saved, and turned into g2 at any time.

The one form that all engines leave behind: ``accumulate`` (dense frames) and ``event_engine``
make a :class:`RunState`, :func:`merge` joins neighbours, ``finish`` makes the result.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_xpcs.correlate.run_sums import RunSums, join_sums
from napari_xpcs.errors import CorrelationError, check_choice
from napari_xpcs.kernels import multitau_state
from napari_xpcs.kernels.multitau_state import ALIGNMENT, MultiTauState
from napari_xpcs.kernels.selection import FrameSelection

MOST_SEGMENTS = 16
"""I(q) is given for at most so many equal spans of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Which frames of a run are correlated and how; small, to be sent to other processes.

    Parameters
    ----------
    selection
        The used frames, with ``end`` filled in (:meth:`FrameSelection.within`).
    skipped
        Raw frames that are left out, ascending: they enter no pair and no average.
    normalize_frame
        Divide every frame by its mean over the used pixels.  A frame without a count is left out.
    delays_per_level
        4 as in the programs of APS 8-ID, or 8.
    alignment
        Parts of the run start at multiples of ``2**alignment`` used frames.

    Raises
    ------
    ChoiceError
        There are not 4 or 8 delays per level.
    """

    selection: FrameSelection
    skipped: tuple[int, ...] = ()
    normalize_frame: bool = False
    delays_per_level: int = 4
    alignment: int = ALIGNMENT

    def __post_init__(self) -> None:
        check_choice("number of delays per level", self.delays_per_level, (4, 8))

    @classmethod
    def of(
        cls,
        total: int,
        selection: FrameSelection | None = None,
        skipped: Iterable[int] = (),
        **options: Any,
    ) -> "RunPlan":
        """Return the plan for a run of ``total`` raw frames, by default with all of them.

        Raises
        ------
        CorrelationError
            The run has no such frames, or fewer than two of them are left.
        """
        used = (selection or FrameSelection()).within(total)
        plan = cls(selection=used, skipped=tuple(sorted(set(skipped))), **options)
        asked = len(range(used.begin, used.end or 0, used.stride))
        left = asked - len(plan.left_out(()))
        if left < 2:
            msg = (
                f"Correlating needs 2 frames or more; of the {asked} frames asked for {left} "
                f"{'is' if left == 1 else 'are'} not left out. Leave out fewer."
            )
            raise CorrelationError(msg)
        return plan

    @property
    def frames(self) -> int:
        """Number of used frames."""
        return self.selection.count()

    @property
    def span(self) -> int:
        """Used frames of one of the spans of time for which I(q) is given."""
        return segment_length(self.frames)

    def parts(self, number: int) -> list[tuple[int, int]]:
        """Return about ``number`` parts (begin, end) of the run, in used frames, to be joined."""
        unit = 1 << self.alignment
        length = max(-(-self.frames // (number * unit)), 1) * unit
        return [
            (begin, min(begin + length, self.frames)) for begin in range(0, self.frames, length)
        ]

    def frames_between_snapshots(self, errors: str, partials: int) -> int | None:
        """Return after how many frames each the sums are kept, a power of two; ``None``: never.

        Parameters
        ----------
        errors
            One of :data:`~napari_xpcs.kernels.multitau.G2_ERRORS`.
        partials
            g2 of the first part of the run at this many times or up to twice as many.

        Raises
        ------
        CorrelationError
            ``partials`` is negative.
        """
        if partials < 0:
            msg = f"The number of partial g2 must be 0 or more, got {partials}."
            raise CorrelationError(msg)
        if partials:
            return max(1 << ((self.frames // partials) | 1).bit_length() - 1, 1)
        return self.span if errors == "segments" else None

    def left_out(self, corrupt: Iterable[int]) -> tuple[int, ...]:
        """Return the raw frames of the run that are skipped or ``corrupt``, ascending."""
        raw = range(self.selection.begin, self.selection.end or 0, self.selection.stride)
        return tuple(sorted({number for number in (*self.skipped, *corrupt) if number in raw}))

    def up_to(self, frames: int) -> "RunPlan":
        """Return the plan of a run of the first so many used frames."""
        if frames >= self.frames:
            return self
        end = self.selection.begin + frames * self.selection.step
        return replace(self, selection=replace(self.selection, end=end))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunState:
    """Used frames ``levels.begin`` to ``levels.begin + levels.frames`` of a run."""

    levels: MultiTauState
    sums: RunSums

    @property
    def begin(self) -> int:
        """First used frame."""
        return self.levels.begin

    @property
    def end(self) -> int:
        """Used frame behind the last one."""
        return self.levels.begin + self.levels.frames


def merge(earlier: RunState, later: RunState) -> RunState:
    """Return the state of two parts of which the second starts where the first ends.

    Associative, and exact for whole counts: however a run was cut, the arrays are the same.

    Raises
    ------
    CorrelationError
        The parts are not neighbours, or were made with different options.
    """
    return RunState(
        levels=multitau_state.merge(earlier.levels, later.levels),
        sums=join_sums(up_to_now(earlier).sums, up_to_now(later).sums),
    )


def up_to_now(state: RunState) -> RunState:
    """Return ``state`` without the room for frames that have not come yet."""
    frames = state.levels.frames
    sums = replace(
        state.sums, counts=state.sums.counts[:frames], raw_frames=state.sums.raw_frames[:frames]
    )
    return RunState(levels=multitau_state.without_spare_levels(state.levels), sums=sums)


def segment_length(frames: int) -> int:
    """Return the smallest power of two of which a run has :data:`MOST_SEGMENTS` at most."""
    length = 1
    while frames // length > MOST_SEGMENTS:
        length *= 2
    return length


def largest_count(dtype: np.dtype[Any], average: int) -> float:
    """Return the largest sum of ``average`` counts of a type, infinite for broken numbers."""
    return float(np.iinfo(dtype).max) * average if dtype.kind in "ui" else np.inf
