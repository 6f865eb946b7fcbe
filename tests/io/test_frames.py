"""Frames behave like the array that was stored, without being loaded."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xpcs.errors import FileFormatError, XpcsError
from napari_xpcs.io import frames as frames_module
from napari_xpcs.io.hdf5_frames import HDF5Frames

STORED = np.arange(7 * 5 * 6, dtype=np.uint16).reshape(7, 5, 6)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "run.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "entry/data/data", data=STORED, chunks=(1, 5, 6), **hdf5plugin.Bitshuffle()
        )
        file["one"] = STORED[3].astype(">i4")
        file["curve"] = STORED[0, 0]
        file["empty"] = np.empty((0, 5, 6), np.uint16)
        file["text"] = [[b"a", b"b"]]
    return path


@pytest.fixture(scope="module")
def frames(path: Path) -> HDF5Frames:
    return HDF5Frames.open(path, "/entry/data/data")


def test_looks_like_an_array(frames: HDF5Frames) -> None:
    assert (frames.shape, frames.ndim, frames.size, len(frames)) == ((7, 5, 6), 3, 210, 7)
    assert frames.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(frames), STORED)
    np.testing.assert_array_equal(np.stack(list(frames)), STORED)


KEYS = [
    3,
    -1,
    np.int64(2),
    slice(2, 5),
    slice(None, None, -2),
    slice(6, 1, -1),
    slice(4, 4),
    (2, slice(None), slice(None)),
    (slice(1, 3), 2),
    (..., 4),
    (slice(None), slice(3, None, -1), -2),
    [5, 0, 5],
    (np.array([True, False] * 3 + [True]), 1),
    (slice(None), [3, -1, 0], slice(1, 3)),
    (),
    ...,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexes_like_numpy(frames: HDF5Frames, key: object) -> None:
    got = frames[key]
    expected = STORED[key]
    assert got.shape == expected.shape
    assert got.dtype == STORED.dtype
    np.testing.assert_array_equal(got, expected)


axis_slice = st.slices(7) | st.integers(-5, 4)


@settings(max_examples=40, deadline=None)
@given(key=st.tuples(axis_slice, axis_slice, axis_slice))
def test_any_slices_agree_with_numpy(frames: HDF5Frames, key: tuple[object, ...]) -> None:
    np.testing.assert_array_equal(frames[key], STORED[key])


@pytest.mark.parametrize(
    "key", [7, -8, (0, 0, 0, 0), "a", (0, 1.5), np.ones(3, bool), (..., 0, ...)]
)
def test_wrong_index_is_refused(frames: HDF5Frames, key: object) -> None:
    with pytest.raises(IndexError):
        frames[key]


def test_two_axes_are_one_native_frame(path: Path) -> None:
    one = HDF5Frames.open(path, "one")
    assert one.shape == (1, 5, 6)
    assert one.dtype.isnative
    np.testing.assert_array_equal(one[0], STORED[3])
    np.testing.assert_array_equal(one[:, 2:4, ::-1], STORED[3:4, 2:4, ::-1])


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        ("curve", "shape"),
        ("empty", "is empty"),
        ("text", "numbers"),
        ("entry", "is a group"),
        ("absent", "holds no absent"),
    ],
)
def test_what_cannot_be_frames(path: Path, dataset: str, sentence: str) -> None:
    with pytest.raises(FileFormatError, match=sentence):
        HDF5Frames.open(path, dataset)


def test_threads_and_processes_may_share_it(frames: HDF5Frames) -> None:
    again = pickle.loads(pickle.dumps(frames))
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(again.__getitem__, range(7)))
    np.testing.assert_array_equal(np.stack(got), STORED)


def test_a_large_run_is_not_loaded_unasked(
    frames: HDF5Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "WHOLE_RUN_LIMIT_BYTES", 100)
    with pytest.raises(XpcsError, match=r"frames\[a:b\]"):
        np.asarray(frames)
    np.testing.assert_array_equal(frames[:], STORED)


def test_no_handle_stays_open(path: Path, frames: HDF5Frames) -> None:
    frames[0]
    with h5py.File(path, "r+"):
        pass


def test_a_file_that_vanished_is_named(tmp_path: Path, path: Path) -> None:
    copy = tmp_path / "gone.h5"
    copy.write_bytes(path.read_bytes())
    frames = HDF5Frames.open(copy, "/entry/data/data")
    copy.unlink()
    with pytest.raises(FileFormatError, match=r"gone\.h5"):
        frames[0]


WRITER = """
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], "w", libver="latest" if sys.argv[2] == "swmr" else None) as file:
    data = file.create_dataset("d", (6, 4, 5), np.uint16, chunks=(1, 4, 5), maxshape=(None, 4, 5))
    if sys.argv[2] == "swmr":
        file.swmr_mode = True
    for frame in range(4):
        data[frame] = frame + 1
    file.flush()
    print("written", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("mode", ["plain", "swmr"])
def test_file_that_another_program_is_writing(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "run.h5"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        try:
            frames = HDF5Frames.open(path, "d")
            np.testing.assert_array_equal(frames[:, 0, 0], [1, 2, 3, 4])
        finally:
            writer.communicate("\n")
