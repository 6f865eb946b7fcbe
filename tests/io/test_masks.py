"""Masks of both polarities, in every format."""

import h5py
import numpy as np
import pytest
import tifffile

from napari_xpcs.errors import FileFormatError, PartitionError
from napari_xpcs.io.masks import read_mask, read_mask_step
from napari_xpcs.kernels.mask_steps import FileStep

SHAPE = (6, 8)
GOOD = np.ones(SHAPE, dtype=bool)
GOOD[1, 2] = GOOD[4, 7] = False


def save(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        tifffile.imwrite(path, values)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
@pytest.mark.parametrize("ones", ["good", "bad"])
def test_the_rarer_value_is_bad(suffix, ones, tmp_path):
    stored = GOOD if ones == "good" else ~GOOD
    found = read_mask(save(tmp_path / f"mask{suffix}", stored.astype(np.uint8)), SHAPE)
    np.testing.assert_array_equal(found.mask, GOOD)
    assert found.ones == ones
    assert found.guessed
    assert found.bad_pixels == 2
    assert str(found).startswith("2 of 48 pixels are bad")


def test_the_user_knows_better(tmp_path):
    path = save(tmp_path / "mask.npy", GOOD)
    found = read_mask(path, SHAPE, ones="bad")
    np.testing.assert_array_equal(found.mask, ~GOOD)
    assert not found.guessed


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_of_one_value_has_no_bad_pixel(value, tmp_path):
    found = read_mask(save(tmp_path / "mask.npy", np.full(SHAPE, value)), SHAPE)
    assert found.bad_pixels == 0


@pytest.mark.parametrize("ones", ["good", "bad", None])
def test_what_is_no_number_is_no_good_pixel(ones, tmp_path):
    stored = (GOOD if ones == "good" else ~GOOD).astype(np.float32)
    stored[0, 0] = np.nan
    found = read_mask(save(tmp_path / "mask.npy", stored), SHAPE, ones=ones)
    expected = GOOD.copy()
    expected[0, 0] = False
    np.testing.assert_array_equal(found.mask, expected)


def test_a_negative_mark_is_a_mark(tmp_path):
    stored = np.where(GOOD, 0, -1).astype(np.int8)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "mask.npy", stored)).mask, GOOD)


def test_q_map_files_say_what_they_mean(tmp_path):
    path = tmp_path / "qmap.hdf"
    with h5py.File(path, "w") as file:
        file["/qmap/mask"] = ~GOOD
    found = read_mask(path, SHAPE)
    np.testing.assert_array_equal(found.mask, ~GOOD)
    assert not found.guessed


def test_pixel_mask_is_a_bit_field(tmp_path):
    path = tmp_path / "master.h5"
    flags = np.where(GOOD, 1 << 31, 9).astype(np.uint32)
    with h5py.File(path, "w") as file:
        file["/entry/instrument/detector/pixel_mask"] = flags[None]
    found = read_mask(path, SHAPE)
    np.testing.assert_array_equal(found.mask, GOOD)
    assert found.ones == "bad"
    assert not found.guessed


def test_dataset_at_another_place(tmp_path):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        file["/my/mask"] = GOOD
    np.testing.assert_array_equal(read_mask(path, SHAPE, dataset="/my/mask").mask, GOOD)
    with pytest.raises(FileFormatError, match=r"mine\.h5 holds no mask at /qmap/mask"):
        read_mask(path, SHAPE)


def test_masks_of_pyfai_and_of_a_result_file(shared_data):
    dioptas = read_mask(shared_data / "geometry" / "test.mask", (2048, 2048))
    assert dioptas.ones == "bad"
    assert dioptas.bad_pixels == 452016
    results = shared_data / "synthetic" / "Z0001_multitau_results.hdf"
    assert read_mask(results, (128, 192)).ones == "good"


def test_another_shape_is_refused(tmp_path):
    path = save(tmp_path / "mask.npy", GOOD.T)
    with pytest.raises(PartitionError, match="8 x 6 pixels, the detector 6 x 8"):
        read_mask(path, SHAPE)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mask.txt", b"0 1 0 1 0 1", "neither .npy, TIFF, EDF"),
        ("mask.npy", b"\x93NUMPY\x01\x00v\x00", "cannot be read"),
        ("mask.tif", b"II*\0\xff\xff", "cannot be read"),
    ],
)
def test_files_that_are_no_mask(name, content, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=words):
        read_mask(path, SHAPE)


def test_a_stack_is_no_mask(tmp_path):
    with pytest.raises(FileFormatError, match="an image of numbers"):
        read_mask(save(tmp_path / "stack.npy", np.ones((3, *SHAPE))), SHAPE)


def test_absent_file(tmp_path):
    with pytest.raises(FileFormatError, match="There is no file"):
        read_mask(tmp_path / "mask.npy", SHAPE)


def test_a_step_of_a_mask_reads_its_file(tmp_path):
    path = save(tmp_path / "mask.npy", GOOD)
    for ones, expected in (("auto", GOOD), ("good", GOOD), ("bad", ~GOOD)):
        step = FileStep(path=str(path), ones=ones)
        np.testing.assert_array_equal(read_mask_step(step, shape=SHAPE), expected)
    with pytest.raises(PartitionError, match="fits when transposed"):
        read_mask_step(FileStep(path=str(path)), shape=SHAPE[::-1])
