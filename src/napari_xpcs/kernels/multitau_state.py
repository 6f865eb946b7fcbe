r"""What a multi-tau correlator remembers of the frames that it has seen, and how two are joined.

A level :math:`L` of a pixel consists of sums :math:`x_L(j)` of :math:`2^L` frames.  To go on,
it needs the last ``2 d`` of them, to be joined to an earlier part of the run the first ``2 d``,
and the sums of products :math:`\sum_j x_L(j) x_L(j + k)` so far.  Part B that follows part A
adds to them, for every lag, the pairs across the seam,

.. math:: \sum_{m=1}^{k} x_L^A(n_A - m)\, x_L^B(k - m).

A part that starts in the middle of a run knows its levels up to its ``alignment`` only: a sum of
more frames could lie on the seam.  It keeps its sums of :math:`2^{alignment}` frames, and the
levels above come from these when the part before it is known.

Counts are whole numbers, and sums of them in float64 are exact up to :math:`2^{53}`; then no
result depends on where a run was cut.  Weighted frames agree to rounding.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int, Num

from napari_xpcs.errors import CorrelationError

ALIGNMENT = 8
"""Parts of a run start at multiples of two to this power, by default."""

Sums: TypeAlias = Num[np.ndarray, "..."]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiTauState:
    """Level sums of the used frames ``begin`` to ``begin + frames``; NumPy arrays, to be pickled.

    Parameters
    ----------
    begin, frames
        Used frames of the run; ``begin`` is a multiple of ``2**alignment``.
    delays_per_level
        d = 4 or 8: 2 d lags at level 0, d above.
    alignment
        Highest level of a part with ``begin > 0``; without meaning where ``begin`` is 0.
    products
        (lag row, pixel) float64, see :meth:`rows`: sums of products over the pairs inside the part.
    first, last
        (level, 2 d, pixel) int32 or float64: the first sums of a level, from the front, and the
        last, the newest at the end; zeros where there are not as many.
    total
        (pixel) float64, counts of all frames.
    kept
        (sum, pixel): all sums of ``2**alignment`` frames of a part with ``begin > 0``.
    largest_count
        No frame of the run can hold a larger count; infinite where counts are no whole numbers.
    """

    begin: int
    frames: int
    delays_per_level: int
    alignment: int
    products: Float[np.ndarray, "row pixel"]
    first: Num[np.ndarray, "level history pixel"]
    last: Num[np.ndarray, "level history pixel"]
    total: Float[np.ndarray, " pixel"]
    kept: Num[np.ndarray, "sum pixel"]
    largest_count: float = np.inf

    @property
    def levels(self) -> int:
        """Number of levels that the arrays have room for."""
        return len(self.first)

    def rows(self, level: int) -> slice:
        """Return the rows of ``products`` that belong to ``level``, shortest lag first."""
        return level_rows(level, self.delays_per_level)

    def seen(self, level: int) -> int:
        """Return how many complete sums of ``2**level`` frames there are."""
        return self.frames >> level

    def total_at(
        self, level: int, pixels: Int[np.ndarray, " chosen"] | slice = slice(None)
    ) -> Float[np.ndarray, " chosen"]:
        """Return the counts in complete sums of ``level``; odd frames at the end are in none."""
        total = self.total[pixels].copy()
        for below in range(min(level, self.levels)):
            if self.frames >> below & 1:
                total -= self.last[below, -1][pixels]
        return np.asarray(total)


def level_rows(level: int, delays_per_level: int) -> slice:
    """Return the rows of the lags of ``level``: 2 d at level 0, d above."""
    if level == 0:
        return slice(0, 2 * delays_per_level)
    start = (level + 1) * delays_per_level
    return slice(start, start + delays_per_level)


def levels_of_part(begin: int, frames: int, alignment: int) -> int:
    """Return how many levels frames ``begin`` to ``begin + frames`` of a run can have.

    A part that has to be joined to the one before it has all up to ``alignment``, even if it is
    too short to have a sum there.
    """
    return alignment + 1 if begin else max(frames.bit_length(), 1)


def sums_dtype(largest_count: float, levels: int) -> type[np.int32] | type[np.float64]:
    """Return a type that holds sums of ``2**(levels - 1)`` counts without rounding."""
    return np.int32 if largest_count * 2.0 ** (levels - 1) < 2.0**31 else np.float64


def empty_state(
    pixels: int,
    *,
    begin: int = 0,
    frames: int,
    delays_per_level: int = 4,
    alignment: int = ALIGNMENT,
    largest_count: float = np.inf,
) -> MultiTauState:
    """Return the state before the first of ``frames`` frames from ``begin`` on.

    Raises
    ------
    CorrelationError
        The part does not start at a multiple of ``2**alignment``.
    """
    if begin % (1 << alignment):
        msg = (
            f"A part of a run must start at a multiple of {1 << alignment} used frames, "
            f"got {begin}."
        )
        raise CorrelationError(msg)
    levels = levels_of_part(begin, frames, alignment)
    dtype = sums_dtype(largest_count, levels)
    history = 2 * delays_per_level
    return MultiTauState(
        begin=begin,
        frames=0,
        delays_per_level=delays_per_level,
        alignment=alignment,
        products=np.zeros((level_rows(levels - 1, delays_per_level).stop, pixels)),
        first=np.zeros((levels, history, pixels), dtype),
        last=np.zeros((levels, history, pixels), dtype),
        total=np.zeros(pixels),
        kept=np.zeros((0, pixels), dtype),
        largest_count=largest_count,
    )


def merge(earlier: MultiTauState, later: MultiTauState) -> MultiTauState:
    """Return the state of two parts of a run of which the second starts where the first ends.

    Associative; neither part is changed.

    Raises
    ------
    CorrelationError
        The parts are not neighbours, or were made with different options.
    """
    _check_neighbours(earlier, later)
    frames = earlier.frames + later.frames
    levels = levels_of_part(earlier.begin, frames, earlier.alignment)
    pixels = len(earlier.total)
    largest_count = max(earlier.largest_count, later.largest_count)
    dtype = np.dtype(sums_dtype(largest_count, levels))
    joined = MultiTauState(
        begin=earlier.begin,
        frames=frames,
        delays_per_level=earlier.delays_per_level,
        alignment=earlier.alignment,
        products=np.zeros((level_rows(levels - 1, earlier.delays_per_level).stop, pixels)),
        first=np.zeros((levels, *earlier.first.shape[1:]), dtype),
        last=np.zeros((levels, *earlier.first.shape[1:]), dtype),
        total=earlier.total + later.total,
        kept=np.concatenate([earlier.kept, later.kept]) if earlier.begin else earlier.kept,
        largest_count=largest_count,
    )
    top = later.alignment
    for level in range(min(top + 1, levels)):
        _join_level(joined, earlier, later, level)
    if not earlier.begin:
        below = _level_of(earlier, top, dtype)
        fresh = later.kept.astype(dtype)
        _go_up(joined, earlier, top + 1, _pairs(below, earlier.seen(top), fresh))
    return joined


def _check_neighbours(earlier: MultiTauState, later: MultiTauState) -> None:
    for name in ("delays_per_level", "alignment"):
        if getattr(earlier, name) != getattr(later, name):
            msg = (
                f"Parts of a run with different {name} cannot be joined: "
                f"{getattr(earlier, name)} and {getattr(later, name)}."
            )
            raise CorrelationError(msg)
    if earlier.total.shape != later.total.shape:
        msg = (
            f"Parts of a run with {len(earlier.total)} and {len(later.total)} pixels cannot be "
            "joined; correlate them in the same bins."
        )
        raise CorrelationError(msg)
    if earlier.begin + earlier.frames != later.begin:
        msg = (
            f"A part that starts at used frame {later.begin} does not follow one that ends at "
            f"{earlier.begin + earlier.frames}."
        )
        raise CorrelationError(msg)


def _join_level(
    joined: MultiTauState, earlier: MultiTauState, later: MultiTauState, level: int
) -> None:
    """Fill a level that both parts know."""
    history = joined.first.shape[1]
    before, after = earlier.seen(level), later.seen(level)
    head = later.first[level] if level < later.levels else joined.first[level]
    tail = _level_of(earlier, level, joined.last.dtype)
    rows = joined.rows(level)
    for part in (earlier, later):
        if level < part.levels:
            joined.products[rows] += part.products[rows]
    lags = range(history - (rows.stop - rows.start) + 1, history + 1)
    for row, lag in enumerate(lags, start=rows.start):
        for back in range(max(1, lag - after + 1), min(lag, before) + 1):
            joined.products[row] += tail[history - back].astype(np.float64) * head[lag - back]
    known = min(before, history)
    if level < earlier.levels:
        joined.first[level, :known] = earlier.first[level, :known]
    room = min(history - known, after)
    joined.first[level, known : known + room] = head[:room]
    taken = min(after, history)
    joined.last[level, : history - taken] = tail[taken:]
    if taken:
        joined.last[level, history - taken :] = later.last[level, history - taken :]


def _go_up(joined: MultiTauState, earlier: MultiTauState, level: int, fresh: Sums) -> None:
    """Add sums of ``level`` to it and to the levels above, from what ``earlier`` had there."""
    history = joined.first.shape[1]
    while level < joined.levels:
        last = _level_of(earlier, level, joined.last.dtype)
        seen = earlier.seen(level)
        rows = joined.rows(level)
        if level < earlier.levels:
            joined.products[rows] += earlier.products[rows]
            joined.first[level] = earlier.first[level]
        line = np.concatenate([last, fresh])
        for row, lag in enumerate(range(history // 2 + 1, history + 1), start=rows.start):
            for at in range(history, len(line)):
                joined.products[row] += line[at].astype(np.float64) * line[at - lag]
        room = max(min(history - seen, len(fresh)), 0)
        joined.first[level, seen : seen + room] = fresh[:room]
        joined.last[level] = line[len(fresh) :]
        fresh = _pairs(last, seen, fresh)
        level += 1


def _level_of(part: MultiTauState, level: int, dtype: np.dtype[np.generic]) -> Sums:
    """Return the last sums of a level, zeros where ``part`` is too short to have it."""
    if level < part.levels:
        return np.asarray(part.last[level].astype(dtype))
    return np.zeros(part.last.shape[1:], dtype)


def _pairs(last: Sums, seen: int, fresh: Sums) -> Sums:
    """Return the sums of the next level that ``fresh`` sums complete."""
    line = np.concatenate([last[-1:], fresh]) if seen % 2 else fresh
    count = len(line) // 2
    return np.asarray(line[0 : 2 * count : 2] + line[1 : 2 * count : 2])


def without_spare_levels(state: MultiTauState) -> MultiTauState:
    """Return the state with the levels that its frames have reached."""
    levels = levels_of_part(state.begin, state.frames, state.alignment)
    if levels >= state.levels:
        return state
    return replace(
        state,
        products=state.products[: level_rows(levels - 1, state.delays_per_level).stop],
        first=state.first[:levels],
        last=state.last[:levels],
    )
