import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.multitau_state import MultiTauState, empty_state, level_rows, merge


def state_of(
    counts: np.ndarray, begin: int, end: int, delays: int, alignment: int
) -> MultiTauState:
    """Return the state of frames ``begin`` to ``end``, written down as it is defined."""
    part = counts[begin:end].astype(np.int64)
    state = empty_state(
        counts.shape[1], begin=begin, frames=end - begin, delays_per_level=delays,
        alignment=alignment, largest_count=255.0,
    )  # fmt: skip
    history = 2 * delays
    for level in range(state.levels):
        number = len(part) >> level
        sums = part[: number << level]
        sums = sums.reshape(number, 1 << level, counts.shape[1]).sum(axis=1)
        shortest = 1 if level == 0 else delays + 1
        for row, lag in enumerate(range(shortest, history + 1), start=state.rows(level).start):
            state.products[row] = (sums[lag:] * sums[: max(number - lag, 0)]).sum(axis=0)
        known = min(number, history)
        state.first[level, :known] = sums[:known]
        if known:
            state.last[level, history - known :] = sums[-known:]
        if begin and level == alignment:
            kept = sums.astype(state.kept.dtype)
    return MultiTauState(
        begin=begin, frames=len(part), delays_per_level=delays, alignment=alignment,
        products=state.products, first=state.first, last=state.last,
        total=part.sum(axis=0).astype(float), kept=kept if begin else state.kept,
        largest_count=255.0,
    )  # fmt: skip


def assert_same(one: MultiTauState, other: MultiTauState) -> None:
    assert (one.begin, one.frames, one.levels) == (other.begin, other.frames, other.levels)
    for name in ("products", "first", "last", "total", "kept"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(1, 150),
    alignment=st.integers(0, 5),
    delays=st.sampled_from([4, 8]),
    seed=st.integers(0, 1000),
)
def test_parts_give_the_whole_in_any_order(
    frames: int, alignment: int, delays: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2.0, (frames, 3))
    starts = np.arange(0, frames, 1 << alignment)[1:]
    cuts = rng.choice(starts, min(len(starts), rng.integers(0, 7)), replace=False)
    edges = [0, *np.sort(cuts).tolist(), frames]
    parts = [
        state_of(counts, begin, end, delays, alignment) for begin, end in itertools.pairwise(edges)
    ]
    while len(parts) > 1:
        at = int(rng.integers(0, len(parts) - 1))
        parts[at : at + 2] = [merge(*parts[at : at + 2])]
    assert_same(parts[0], state_of(counts, 0, frames, delays, alignment))


def test_totals_leave_out_odd_frames() -> None:
    counts = np.random.default_rng(1).poisson(3.0, (45, 4))
    state = state_of(counts, 0, 45, 4, 8)
    for level in range(state.levels):
        np.testing.assert_array_equal(
            state.total_at(level), counts[: 45 >> level << level].sum(axis=0)
        )


def test_rows_of_levels_follow_each_other() -> None:
    rows = [level_rows(level, 8) for level in range(4)]
    assert [(each.start, each.stop) for each in rows] == [(0, 16), (16, 24), (24, 32), (32, 40)]


def test_a_state_travels_between_processes() -> None:
    state = state_of(np.random.default_rng(2).poisson(3.0, (64, 4)), 32, 64, 4, 5)
    assert_same(pickle.loads(pickle.dumps(state)), state)


def test_parts_that_do_not_belong_together() -> None:
    counts = np.ones((64, 4), int)
    one, other = state_of(counts, 0, 32, 4, 4), state_of(counts, 48, 64, 4, 4)
    with pytest.raises(CorrelationError, match="starts at used frame 48 does not follow"):
        merge(one, other)
    with pytest.raises(CorrelationError, match="different delays_per_level cannot be joined: 4"):
        merge(one, state_of(counts, 32, 64, 8, 4))
    with pytest.raises(CorrelationError, match="4 and 2 pixels"):
        merge(one, state_of(counts[:, :2], 32, 64, 4, 4))
    with pytest.raises(CorrelationError, match="multiple of 16 used frames, got 24"):
        empty_state(4, begin=24, frames=8, alignment=4)
