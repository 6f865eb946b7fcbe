"""Images in files other than HDF5 open as frames, masks or calibrations."""

import pickle
from contextlib import suppress
from pathlib import Path

import fabio
import numpy as np
import pytest
import tifffile

from napari_xpcs.errors import FileFormatError, PartitionError
from napari_xpcs.io.describe import describe
from napari_xpcs.io.files import FramesFile, GeometryFile, MaskFile
from napari_xpcs.io.masks import read_mask
from napari_xpcs.io.open import open_path

FRAMES = np.random.default_rng(2).integers(0, 5000, (6, 9, 11)).astype(np.int32)


def opened(path: Path) -> FramesFile:
    run = open_path(path)
    assert isinstance(run, FramesFile)
    return run


def write_npy(path: Path, frames: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), frames)
    return path.with_suffix(".npy")


def write_tiff(path: Path, frames: np.ndarray) -> Path:
    tifffile.imwrite(path.with_suffix(".tif"), frames, photometric="minisblack")
    return path.with_suffix(".tif")


def write_packed_tiff(path: Path, frames: np.ndarray) -> Path:
    with tifffile.TiffWriter(path.with_suffix(".tif")) as tiff:
        for frame in np.atleast_3d(frames) if frames.ndim == 2 else frames:
            tiff.write(frame.squeeze(), photometric="minisblack", compression="zlib")
    return path.with_suffix(".tif")


def write_edf(path: Path, frames: np.ndarray) -> Path:
    stack = frames if frames.ndim == 3 else frames[None]
    image = fabio.edfimage.EdfImage(stack[0], {"acq_expo_time": "0.25", "acq_latency_time": "0.05"})
    for frame in stack[1:]:
        image.append_frame(data=frame)
    image.write(str(path.with_suffix(".edf")))
    return path.with_suffix(".edf")


@pytest.mark.parametrize("write", [write_npy, write_tiff, write_edf])
@pytest.mark.parametrize("stored", [FRAMES, FRAMES[0]], ids=["stack", "single"])
def test_stacks_and_single_images(tmp_path: Path, write: object, stored: np.ndarray) -> None:
    run = opened(write(tmp_path / "run", stored))
    expected = stored if stored.ndim == 3 else stored[None]
    assert (run.frames.shape, run.frames.dtype) == (expected.shape, np.int32)
    again = pickle.loads(pickle.dumps(run.frames))
    for key in (..., 0, -1, slice(None, None, -1), (slice(0, 4), [8, 2], slice(3, 9, 2)), [0]):
        np.testing.assert_array_equal(again[key], expected[key])


def test_pages_of_a_compressed_tiff(tmp_path: Path) -> None:
    run = opened(write_packed_tiff(tmp_path / "run", FRAMES))
    np.testing.assert_array_equal(run.frames[[4, 1]], FRAMES[[4, 1]])
    np.testing.assert_array_equal(run.frames[2:3], FRAMES[2:3])


def test_times_of_an_edf(tmp_path: Path) -> None:
    known = opened(write_edf(tmp_path / "run", FRAMES)).known
    assert (known["count_time_s"].value, known["frame_time_s"].value) == (0.25, 0.3)
    assert known["frame_time_s"].origin == "run.edf:acq_expo_time + acq_latency_time"


def test_pilatus_tiff_with_the_calibration_of_its_name(shared_data: Path) -> None:
    run = opened(shared_data / "geometry/CeO2_Pilatus1M.tif")
    assert (run.layout, run.frames.shape) == ("tiff-pilatus", (1, 1043, 981))
    known = run.known
    assert known["distance_m"].value == pytest.approx(0.208651380603)
    assert known["distance_m"].others == ((0.21143, "CeO2_Pilatus1M.tif:Detector_distance"),)
    assert known["pixel_row_m"].value == 172e-6
    assert (known["frame_time_s"].value, known["count_time_s"].value) == (3.0, 3.0)
    assert known["center_col_px"].others == ((498.18, "CeO2_Pilatus1M.tif:Beam_xy"),)
    assert known["energy_kev"].origin == "CeO2_Pilatus1M.poni:Wavelength"
    assert any("names no orientation" in problem for problem in run.problems)
    assert run.missing == ()
    assert run.mask is not None
    assert not run.mask[run.frames[0] < 0].any()


def test_orientation_is_added_to_an_old_calibration(tmp_path: Path, shared_data: Path) -> None:
    for suffix in (".tif", ".poni"):
        content = (shared_data / f"geometry/CeO2_Pilatus1M{suffix}").read_bytes()
        (tmp_path / f"CeO2{suffix}").write_bytes(content)
    with (tmp_path / "CeO2.poni").open("a") as file:
        file.write('\nDetector_config: {"orientation": 2}\n')
    run = opened(tmp_path / "CeO2.tif")
    row = 1043 - 0.0872948482846 / 172e-6 - 0.5
    assert run.known["center_row_px"].value == pytest.approx(row)
    assert not any("orientation" in problem for problem in run.problems)


MASKS = {
    "masks/mask_medipix2x2.edf": ("edf", (516, 516), True, "bad"),
    "masks/maxipix2x2_mask12.edf": ("edf", (516, 516), True, "good"),
    "geometry/test.mask": ("tiff", (2048, 2048), False, "bad"),
    "lambda_desy/l2_m2.mask": ("tiff", (1833, 1556), False, "bad"),
}


@pytest.mark.parametrize(("name", "expected"), MASKS.items())
def test_real_masks(shared_data: Path, name: str, expected: tuple[object, ...]) -> None:
    mask = open_path(shared_data / name)
    assert isinstance(mask, MaskFile)
    assert (mask.layout, mask.mask.shape, mask.guessed, mask.ones) == expected
    assert 0.0 < mask.bad_pixels / mask.mask.size < 0.12
    facts = describe(shared_data / name)
    assert (facts["kind"], facts["masked_pixels"]) == ("mask", mask.bad_pixels)
    assert any("a guess" in said for said in facts["problems"]) == mask.guessed
    with pytest.raises(PartitionError):
        read_mask(shared_data / name, (10, 10))


def test_fit2d_mask(tmp_path: Path) -> None:
    bad = np.zeros((37, 45), np.int8)
    bad[3, 5:9] = bad[36, 44] = 1
    fabio.fit2dmaskimage.Fit2dMaskImage(bad).write(str(tmp_path / "run.msk"))
    mask = open_path(tmp_path / "run.msk")
    assert isinstance(mask, MaskFile)
    assert (mask.ones, mask.guessed, mask.layout) == ("bad", False, "fit2d-mask")
    np.testing.assert_array_equal(mask.mask, bad == 0)


def test_a_frame_of_single_photons_is_no_mask(tmp_path: Path) -> None:
    assert opened(write_tiff(tmp_path / "run", (FRAMES[0] > 4900).astype(np.uint8)))


@pytest.mark.parametrize("name", ["CeO2_Pilatus1M", "LaB6_40keV_MarCCD_new_with_orientation"])
def test_calibration_by_itself(shared_data: Path, name: str) -> None:
    calibration = open_path(shared_data / f"geometry/{name}.poni")
    assert isinstance(calibration, GeometryFile)
    known_center = name.startswith("CeO2")
    assert (calibration.known["center_row_px"].value is not None) == known_center
    assert calibration.missing == (() if known_center else ("center_row_px", "center_col_px"))
    assert describe(calibration.path)["kind"] == "geometry"


def test_color_pictures_and_real_numbers_are_no_frames(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "photo.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(FileFormatError, match="picture in colour"):
        open_path(tmp_path / "photo.tif")
    np.save(tmp_path / "c2.npy", np.ones((5, 5)))
    with pytest.raises(FileFormatError, match="no sign of what it is"):
        open_path(tmp_path / "c2.npy")


@pytest.mark.parametrize("write", [write_npy, write_tiff, write_edf, write_packed_tiff])
def test_cut_images_are_frames_or_a_sentence(tmp_path: Path, write: object) -> None:
    path = write(tmp_path / "run", FRAMES)
    content = path.read_bytes()
    for length in range(8, len(content), len(content) // 25):
        path.write_bytes(content[:length])
        with suppress(FileFormatError):
            assert opened(path).frames[...].size > 0


def test_a_size_that_no_detector_has_is_refused_at_once(tmp_path: Path) -> None:
    path = write_packed_tiff(tmp_path / "run", FRAMES)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags["ImageWidth"]
        where = tag.valueoffset
        size = 2 if tag.dtype.name == "SHORT" else 4
    content = bytearray(path.read_bytes())
    assert size == 4
    content[where : where + 4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(FileFormatError):
        open_path(path)
