"""Frames block by block: sums, skipped and corrupt frames, and no more than two blocks ahead."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xpcs.correlate.reading import FrameBlock, FrameReader
from napari_xpcs.errors import CorrelationError, CorruptFramesError
from napari_xpcs.kernels.selection import FrameSelection

FRAMES = np.random.default_rng(3).poisson(2.0, (37, 4, 5)).astype(np.uint16)
USED = np.ones((4, 5), dtype=bool)


class Damaged:
    """A file of which some frames cannot be read."""

    def __init__(self, frames: np.ndarray, corrupt: Sequence[int]) -> None:
        self.shape, self.dtype = frames.shape, frames.dtype
        self._frames, self._corrupt = frames, set(corrupt)
        self.asked: list[tuple[int, ...]] = []

    def __getitem__(self, key: slice) -> np.ndarray[Any, Any]:
        numbers = range(len(self._frames))[key]
        self.asked.append(tuple(numbers))
        if bad := tuple(sorted(self._corrupt & set(numbers))):
            raise CorruptFramesError(f"Frame {bad[0]} is corrupt.", bad)
        return self._frames[key]


def joined(blocks: Sequence[FrameBlock]) -> tuple[np.ndarray, np.ndarray]:
    assert [block.begin for block in blocks[1:]] == [
        block.begin + len(block.counts) for block in blocks[:-1]
    ]
    return (
        np.concatenate([block.counts for block in blocks]),
        np.concatenate([block.raw_frames for block in blocks]),
    )


@settings(max_examples=40)
@given(
    length=st.integers(1, 40),
    begin=st.integers(0, 10),
    stride=st.integers(1, 3),
    average=st.integers(1, 4),
    skipped=st.sets(st.integers(0, 36), max_size=8),
    corrupt=st.sets(st.integers(0, 36), max_size=5),
)
def test_sums_are_those_of_the_frames_that_are_there(
    length: int, begin: int, stride: int, average: int, skipped: set[int], corrupt: set[int]
) -> None:
    file = Damaged(FRAMES, sorted(corrupt))
    reader = FrameReader(
        file,
        FrameSelection(begin=begin, stride=stride, average=average),
        USED,
        skipped=skipped,
        skip_corrupt=True,
    )
    counts, raw = joined(list(reader.summed(length)))
    numbers = np.arange(begin, 37, stride)[: reader.count * average].reshape(-1, average)
    there = ~np.isin(numbers, sorted(skipped | corrupt))
    np.testing.assert_array_equal(raw, there.sum(axis=1))
    expected = (FRAMES[numbers] * there[:, :, None, None]).sum(axis=1)
    np.testing.assert_array_equal(counts, expected)
    assert reader.corrupt == tuple(sorted((corrupt & set(numbers.ravel().tolist())) - skipped))
    assert not skipped & {number for asked in file.asked for number in asked if stride == 1}


def test_a_part_of_the_run_is_that_part() -> None:
    reader = FrameReader(FRAMES, FrameSelection(begin=1, average=2), USED)
    whole, _ = joined(list(reader.summed(5)))
    part, raw = joined(list(reader.summed(4, 6, 17)))
    np.testing.assert_array_equal(part, whole[6:17])
    assert raw.tolist() == [2] * 11
    assert list(reader.summed(4, 7, 7)) == []


def test_a_corrupt_frame_is_a_fault_unless_told_otherwise() -> None:
    reader = FrameReader(Damaged(FRAMES, [9]), FrameSelection(), USED)
    with pytest.raises(CorruptFramesError, match="Frame 9 is corrupt"):
        list(reader.summed(8))
    assert reader.corrupt == ()


def test_no_more_than_two_blocks_are_read_ahead() -> None:
    file = Damaged(FRAMES, [])
    blocks = FrameReader(file, FrameSelection(), USED).summed(4)
    next(blocks)
    blocks.close()
    assert file.asked == [(0, 1, 2, 3), (4, 5, 6, 7)]


class Roomy(Damaged):
    """A file that is read into memory it is given."""

    def __init__(self, frames: np.ndarray, corrupt: Sequence[int] = ()) -> None:
        super().__init__(frames, corrupt)
        self.rooms: list[int] = []

    def read_whole(self, frames: slice, room: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.rooms.append(room.ctypes.data)
        room[:] = 999  # what was in the room is lost
        block = self[frames]
        room[: len(block)] = block
        return room[: len(block)]


def test_two_rooms_are_enough_for_blocks_that_are_let_go() -> None:
    file = Roomy(FRAMES)
    start = 0
    for block in FrameReader(file, FrameSelection(), USED).summed(4):
        np.testing.assert_array_equal(block.counts, FRAMES[start : start + 4])
        start += 4
        del block
    assert start == 40
    assert len(set(file.rooms)) <= 2
    assert len(file.rooms) == 10


@pytest.mark.parametrize("average", [1, 2])
def test_a_block_in_use_is_not_overwritten(average: int) -> None:
    reader = FrameReader(Roomy(FRAMES), FrameSelection(average=average), USED)
    expected = FRAMES[: reader.count * average].reshape(-1, average, 4, 5).sum(axis=1)
    counts, _ = joined(list(reader.summed(4)))
    np.testing.assert_array_equal(counts, expected)
    means = list(reader.blocks(4))
    np.testing.assert_array_equal(np.concatenate(means), (expected / average).astype(np.float32))
    # A view of a view holds its block as well.
    views = [block.counts[1:].T[0] for block in reader.summed(4)]
    for number, view in enumerate(views):
        part = expected[4 * number : 4 * number + 4]
        np.testing.assert_array_equal(view, part[1:].T[0])


def test_skipped_and_corrupt_frames_leave_nothing_of_the_block_before() -> None:
    file = Roomy(FRAMES, [9, 10, 21])
    reader = FrameReader(file, FrameSelection(), USED, skipped=[2, 13], skip_corrupt=True)
    there = ~np.isin(np.arange(37), [2, 9, 10, 13, 21])
    start = 0
    for block in reader.summed(8):
        here = slice(start, start + len(block.counts))
        np.testing.assert_array_equal(block.raw_frames, there[here])
        np.testing.assert_array_equal(block.counts, FRAMES[here] * there[here, None, None])
        start = here.stop
        del block
    assert reader.corrupt == (9, 10, 21)


def test_frames_that_end_early_are_one_sentence() -> None:
    class Short(Damaged):
        def __getitem__(self, key: slice) -> np.ndarray[Any, Any]:
            return super().__getitem__(key)[:3]

    reader = FrameReader(Short(FRAMES, []), FrameSelection(begin=1, stride=2), USED)
    with pytest.raises(CorrelationError, match="The run ends at frame 7, 37 were announced"):
        list(reader.summed(8))
