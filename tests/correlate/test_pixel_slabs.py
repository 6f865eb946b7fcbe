import numpy as np
import pytest

from napari_xpcs.correlate.pixel_slabs import cut_slabs

PLACES = 400
INDEX = {
    "runs": np.r_[3:90, 120:260, 300:399],
    "scattered": np.arange(1, PLACES, 3),
    "both": np.r_[0:100, 100:200:2, 210:300],
}


@pytest.mark.parametrize("pixels", list(INDEX))
@pytest.mark.parametrize(("dtype", "room"), [("u1", "u2"), ("u2", "u2"), ("f8", "f8")])
def test_tiles_hold_the_counts_of_the_pixels(pixels: str, dtype: str, room: str) -> None:
    index = INDEX[pixels]
    frames = np.random.default_rng(0).integers(0, 200, (6, PLACES)).astype(dtype)
    tiles, width = 2, 30
    expected = frames[:, index]
    found = np.full((6, len(index)), np.nan)
    for slab in cut_slabs(index, tiles, width):
        into = np.zeros((tiles, 6, width), room)
        slab.fill(frames, None, into)
        for rows, there in slab.pairs(found, into):
            rows[:] = there
        for rows, there in slab.pairs(found.reshape(2, 3, -1), into.reshape(2, 2, 3, -1)):
            np.testing.assert_array_equal(rows, there)
    np.testing.assert_array_equal(found, expected)


def test_counts_are_weighted_frame_by_frame() -> None:
    frames = np.full((3, 5), 60000, np.uint16)
    (slab,) = cut_slabs(np.array([1, 2, 4]), 1, 4)
    room = np.zeros((1, 3, 4))
    slab.fill(frames, np.array([0.5, 0.0, 1.0]), room)
    np.testing.assert_array_equal(room[0, :, :3], np.outer([30000.0, 0.0, 60000.0], np.ones(3)))
