import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.selection import FrameSelection


@settings(max_examples=60)
@given(
    begin=st.integers(0, 30),
    length=st.integers(1, 90),
    stride=st.integers(1, 5),
    average=st.integers(1, 4),
)
def test_count_is_that_of_the_slices(begin: int, length: int, stride: int, average: int) -> None:
    selection = FrameSelection(begin=begin, end=begin + length, stride=stride, average=average)
    strided = np.arange(200)[begin : begin + length : stride]
    assert selection.count() == len(strided) // average
    assert selection.step == stride * average


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"begin": -1}, "0 or later, got -1"),
        ({"begin": 5, "end": 5}, "behind frame 5, got the end 5"),
        ({"stride": 0}, "stride must be 1 frame or more, got 0"),
        ({"average": 0}, "average must be 1 frame or more, got 0"),
    ],
)
def test_impossible_selections_are_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(CorrelationError, match=said):
        FrameSelection(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"begin": 10}, "has 10 frames; frames 10 to 10"),
        ({"end": 11}, "has 10 frames; frames 0 to 11"),
        ({"average": 6}, "make 1"),
    ],
)
def test_selections_must_fit_the_run(options: dict[str, int], said: str) -> None:
    with pytest.raises(CorrelationError, match=said):
        FrameSelection(**options).within(10)
    assert FrameSelection(stride=2, average=2).within(10).count() == 2
