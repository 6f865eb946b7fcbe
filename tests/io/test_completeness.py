"""Frames that were never written, or whose file is gone, are not shown as zeros."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.hdf5_frames import HDF5Frames

FRAMES = np.arange(1, 12 * 4 * 5 + 1, dtype=np.uint16).reshape(12, 4, 5)


def stored(path: Path, written: list[int], chunks: tuple[int, int, int] = (1, 4, 5)) -> Path:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("d", shape=FRAMES.shape, dtype=FRAMES.dtype, chunks=chunks)
        for frame in written:
            data[frame] = FRAMES[frame]
    return path


@pytest.mark.parametrize("chunks", [(1, 4, 5), (1, 2, 5), (3, 4, 5)])
def test_run_that_is_still_being_written(tmp_path: Path, chunks: tuple[int, int, int]) -> None:
    frames = HDF5Frames.open(stored(tmp_path / "run.h5", [*range(6), 9], chunks), "d")
    assert frames.shape == (6, 4, 5)
    assert "announces 12 frames" in frames.remarks[0]
    np.testing.assert_array_equal(frames[:], FRAMES[:6])


def test_half_a_frame_does_not_count(tmp_path: Path) -> None:
    path = stored(tmp_path / "run.h5", [0, 1, 2], (1, 2, 5))
    with h5py.File(path, "r+") as file:
        file["d"][3, :2] = 1
    assert len(HDF5Frames.open(path, "d")) == 3


def test_not_one_frame(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"Not one frame of d in run\.h5"):
        HDF5Frames.open(stored(tmp_path / "run.h5", []), "d")
    with h5py.File(tmp_path / "contiguous.h5", "w") as file:
        file.create_dataset("d", shape=FRAMES.shape, dtype=FRAMES.dtype)
    with pytest.raises(FileFormatError, match="Not one frame"):
        HDF5Frames.open(tmp_path / "contiguous.h5", "d")


def master(folder: Path, layout: h5py.VirtualLayout) -> Path:
    with h5py.File(folder / "master.h5", "w") as file:
        file.create_virtual_dataset("d", layout)
    return folder / "master.h5"


def blocks(folder: Path, there: list[int]) -> Path:
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    for number in range(3):
        part = slice(4 * number, 4 * number + 4)
        layout[part] = h5py.VirtualSource(f"part{number}.h5", "d", (4, 4, 5))
        if number in there:
            with h5py.File(folder / f"part{number}.h5", "w") as file:
                file["d"] = FRAMES[part]
    return master(folder, layout)


def test_virtual_dataset_ends_before_the_first_missing_file(tmp_path: Path) -> None:
    frames = HDF5Frames.open(blocks(tmp_path, [0, 1]), "d")
    assert frames.shape == (8, 4, 5)
    assert "part2.h5 cannot be found" in frames.remarks[0]
    np.testing.assert_array_equal(frames[:], FRAMES[:8])


def test_virtual_dataset_without_its_first_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"part0\.h5 cannot be found"):
        HDF5Frames.open(blocks(tmp_path, [1, 2]), "d")


def test_file_that_goes_later_is_named_not_read_as_zeros(tmp_path: Path) -> None:
    frames = HDF5Frames.open(blocks(tmp_path, [0, 1, 2]), "d")
    assert len(frames) == 12
    (tmp_path / "part1.h5").unlink()
    np.testing.assert_array_equal(frames[[0, 3]], FRAMES[[0, 3]])
    np.testing.assert_array_equal(frames[8:], FRAMES[8:])
    for key in (4, slice(0, 6), [7, 9]):
        with pytest.raises(FileFormatError, match=r"part1\.h5"):
            frames[key]


def test_source_that_is_shorter_than_its_place(tmp_path: Path) -> None:
    path = blocks(tmp_path, [0, 1, 2])
    with h5py.File(tmp_path / "part1.h5", "w") as file:
        file["d"] = FRAMES[4:6]
    assert len(HDF5Frames.open(path, "d")) == 6


def test_frames_dealt_to_two_files_in_turn(tmp_path: Path) -> None:
    """As several writers of one detector do."""
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    for number, count in ((0, 6), (1, 4)):
        layout[number::2] = h5py.VirtualSource(f"part{number}.h5", "d", (6, 4, 5))
        with h5py.File(tmp_path / f"part{number}.h5", "w") as file:
            file["d"] = FRAMES[number::2][:count]
    frames = HDF5Frames.open(master(tmp_path, layout), "d")
    assert len(frames) == 9
    np.testing.assert_array_equal(frames[:], FRAMES[:9])


def test_modules_side_by_side_with_a_gap(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((12, 9, 5), FRAMES.dtype, maxshape=(None, 9, 5))
    for number, count in ((0, 12), (1, 7)):
        layout[:, 5 * number : 5 * number + 4] = h5py.VirtualSource(
            f"part{number}.h5", "d", (12, 4, 5)
        )
        with h5py.File(tmp_path / f"part{number}.h5", "w") as file:
            file["d"] = FRAMES[:count]
    frames = HDF5Frames.open(master(tmp_path, layout), "d")
    assert frames.shape == (7, 9, 5)
    np.testing.assert_array_equal(frames[:, 5:], FRAMES[:7])


def test_virtual_dataset_of_itself_ends(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((2, 3, 4), np.uint8)
    layout[:] = h5py.VirtualSource(".", "d", (2, 3, 4))
    with pytest.raises(FileFormatError):
        HDF5Frames.open(master(tmp_path, layout), "d")
