"""Frame numbers as people write them, in a field or in a file."""

import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.number_lists import frame_numbers, number_list


def test_list_with_ranges_keeps_its_order():
    assert number_list("7, 3,10-12\n1") == [7, 3, 10, 11, 12, 1]
    assert number_list("") == []


def test_a_slip_of_the_finger_does_not_fill_the_memory():
    with pytest.raises(FileFormatError, match="more than 10000000 frame numbers"):
        frame_numbers("3,10-99999999999")


def test_numbers_may_stand_in_a_file(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("3\n10-12\n")
    assert frame_numbers(str(path)) == [3, 10, 11, 12]


@pytest.mark.parametrize("text", ["3;4", "12-10", "no such file", "1.5", "-3"])
def test_what_is_no_list_is_named(text):
    with pytest.raises(FileFormatError, match=r"as 3,10-20|low to high"):
        frame_numbers(text)
