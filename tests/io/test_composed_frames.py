"""Parts in a row and modules side by side read like one array."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.composed_frames import ConcatenatedFrames, StitchedFrames
from napari_xpcs.io.hdf5_frames import HDF5Frames

STORED = np.arange(11 * 4 * 6, dtype=np.int16).reshape(11, 4, 6)
CUTS = (0, 3, 4, 9, 11)


def frames_of(folder: Path, name: str, values: np.ndarray) -> HDF5Frames:
    path = folder / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file["d"] = values
    return HDF5Frames.open(path, "d")


@pytest.fixture(scope="module")
def concatenated(tmp_path_factory: pytest.TempPathFactory) -> ConcatenatedFrames:
    folder = tmp_path_factory.mktemp("parts")
    parts = [
        frames_of(folder, f"part{number}", STORED[CUTS[number] : CUTS[number + 1]])
        for number in range(4)
    ]
    return ConcatenatedFrames.join(folder / "master.h5", parts)


axis = st.slices(11) | st.integers(-4, 3)
listed = st.lists(st.integers(-11, 10), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(key=st.tuples(st.slices(11) | st.integers(-11, 10), axis, axis) | listed)
def test_parts_read_like_one_array(concatenated: ConcatenatedFrames, key: object) -> None:
    np.testing.assert_array_equal(concatenated[key], STORED[key])


def test_only_the_parts_asked_for_are_opened(concatenated: ConcatenatedFrames) -> None:
    gone = concatenated.parts[1].path
    content = gone.read_bytes()
    gone.unlink()
    np.testing.assert_array_equal(concatenated[4:11:2], STORED[4:11:2])
    with pytest.raises(FileFormatError, match=r"part1\.h5"):
        concatenated[2:5]
    gone.write_bytes(content)


def test_survives_pickling(concatenated: ConcatenatedFrames) -> None:
    again = pickle.loads(pickle.dumps(concatenated))
    np.testing.assert_array_equal(np.asarray(again), STORED)


def test_parts_of_different_runs_are_refused(tmp_path: Path) -> None:
    parts = [frames_of(tmp_path, "a", STORED), frames_of(tmp_path, "b", STORED[:, :3])]
    with pytest.raises(FileFormatError, match=r"a\.h5 holds frames of 4 x 6 int16, b\.h5 of 3 x 6"):
        ConcatenatedFrames.join(tmp_path, parts)
    parts[1] = frames_of(tmp_path, "c", STORED.astype(np.int32))
    with pytest.raises(FileFormatError, match="int32"):
        ConcatenatedFrames.join(tmp_path, parts)


@pytest.fixture(scope="module")
def stitched(tmp_path_factory: pytest.TempPathFactory) -> StitchedFrames:
    folder = tmp_path_factory.mktemp("modules")
    modules = [frames_of(folder, "m1", STORED), frames_of(folder, "m2", STORED[:9] + 1000)]
    return StitchedFrames.stitch(folder / "run.h5", modules, [(0, 2), (5, -1)], fill=-1)


def canvas() -> np.ndarray:
    expected = np.full((9, 9, 9), -1, np.int16)
    expected[:, :4, 3:] = STORED[:9]
    expected[:, 5:, :6] = STORED[:9] + 1000
    return expected


def test_canvas(stitched: StitchedFrames) -> None:
    assert stitched.shape == (9, 9, 9)
    assert stitched.remarks == (
        "The modules of run.h5 hold 9 to 11 frames; the 9 that all of them have are used.",
    )
    for key in (..., 3, [8, 1], (slice(1, 8, 3), [0, -1], slice(None, None, -2))):
        np.testing.assert_array_equal(stitched[key], canvas()[key])


def test_overlapping_modules_are_refused(tmp_path: Path) -> None:
    modules = [frames_of(tmp_path, "m1", STORED), frames_of(tmp_path, "m2", STORED)]
    with pytest.raises(FileFormatError, match="overlap"):
        StitchedFrames.stitch(tmp_path / "run.h5", modules, [(0, 0), (3, 5)], fill=-1)
    StitchedFrames.stitch(tmp_path / "run.h5", modules, [(0, 0), (4, 0)], fill=-1)
