"""What goes from one format to another is the same afterwards."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.chx_cmp import write_cmp
from napari_xpcs.io.convert import convert
from napari_xpcs.io.events import EventFrames, ThresholdedFrames
from napari_xpcs.io.files import FramesFile, MaskFile, PartitionFile, ResultFile
from napari_xpcs.io.mask_writer import write_mask
from napari_xpcs.io.masks import read_mask
from napari_xpcs.io.open import open_path
from napari_xpcs.io.raw_file import write_frames
from napari_xpcs.kernels.geometry import Sourced
from napari_xpcs.progress import Progress, run

MULTITAU = "synthetic/Z0001_multitau_results.hdf"
TWOTIME = "synthetic/Z0001_twotime_results.hdf"
QMAP = "synthetic/synthetic_qmap.hdf"

DENSE = np.random.default_rng(0).poisson(0.2, (30, 6, 8)).astype(np.uint16)
DENSE[4] = 0
KNOWN = {
    "energy_kev": Sourced(value=8.0, unit="keV", origin="test"),
    "distance_m": Sourced(value=4.0, unit="m", origin="test"),
    "center_row_px": Sourced(value=-2.5, unit="px", origin="test"),
    "frame_time_s": Sourced(value=2e-3, unit="s", origin="test"),
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return run(write_frames(tmp_path / "run.h5", [DENSE], shape=DENSE.shape, known=KNOWN))


def test_dense_to_events_and_back(tmp_path: Path, raw: Path) -> None:
    seen: list[Progress] = []
    events = run(convert(raw, tmp_path / "run.cmp"), seen.append)
    assert seen[-1] == Progress(30, 30, "frames")
    between = open_path(events)
    assert isinstance(between, FramesFile)
    assert isinstance(between.frames, EventFrames)
    np.testing.assert_array_equal(between.frames[:], DENSE)
    back = open_path(run(convert(events, tmp_path / "back.h5")))
    assert isinstance(back, FramesFile)
    np.testing.assert_array_equal(back.frames[:], DENSE)
    assert back.frames.dtype == np.uint16
    for name, sourced in KNOWN.items():
        assert back.known[name].value == pytest.approx(sourced.value), name
    assert back.known["pixel_row_m"].value is None


def test_counts_up_to_a_threshold_are_no_events(tmp_path: Path, raw: Path) -> None:
    events = open_path(run(convert(raw, tmp_path / "run.cmp", threshold=1.5)))
    assert isinstance(events, FramesFile)
    np.testing.assert_array_equal(events.frames[:], np.where(DENSE > 1, DENSE, 0))


def test_gaps_of_a_3m_are_marked_in_dense_frames(tmp_path: Path) -> None:
    for number in range(6):
        words = np.array([0 << 40 | 5 << 16 | 300 + number, 1 << 40 | 7 << 16 | 1], "<u8")
        words.tofile(tmp_path / f"run.bin.00{number}")
    dense = open_path(run(convert(tmp_path / "run.bin.000", tmp_path / "dense.h5")))
    assert isinstance(dense, FramesFile)
    events = open_path(tmp_path / "run.bin.000")
    np.testing.assert_array_equal(dense.mask, events.mask)
    np.testing.assert_array_equal(dense.frames[0][dense.mask], events.frames[0][events.mask])
    assert dense.frames[0][0, 5] == 305


def test_metadata_of_the_run_are_kept(tmp_path: Path, raw: Path) -> None:
    metadata = raw.with_name("run_metadata.hdf")
    with h5py.File(metadata, "r+") as file:
        file["/entry/sample/temperature"] = 293.0
    other = tmp_path / "other"
    other.mkdir()
    run(convert(raw, other / "copy.h5"))
    with h5py.File(other / "copy_metadata.hdf") as file:
        assert file["/entry/sample/temperature"][()] == 293.0
    before = metadata.read_bytes()
    events = EventFrames.of(raw, ThresholdedFrames(frames=DENSE))
    run(write_cmp(tmp_path / "run.cmp", events, known=KNOWN))
    imm = tmp_path / "run.bin"
    np.array([1 << 16 | 1], "<u8").tofile(imm)
    run(convert(imm, raw, force=True))
    assert metadata.read_bytes() == before


@pytest.mark.parametrize(
    "name", ["mask.tif", "mask.tiff", "mask.npy", "mask.edf", "mask.hdf", "mask.h5"]
)
def test_masks_come_back(tmp_path: Path, name: str) -> None:
    mask = np.random.default_rng(1).random((7, 9)) > 0.2
    write_mask(tmp_path / name, mask)
    np.testing.assert_array_equal(read_mask(tmp_path / name, (7, 9)).mask, mask)
    with pytest.raises(FileFormatError, match="exists already"):
        write_mask(tmp_path / name, mask)


def test_edf_is_what_its_readers_expect(tmp_path: Path) -> None:
    mask = np.random.default_rng(1).random((7, 9)) > 0.2
    write_mask(tmp_path / "mask.edf", mask)
    raw = (tmp_path / "mask.edf").read_bytes()
    header, data = raw[:512], raw[512:]
    assert header.startswith(b"{")
    assert header.endswith(b"}\n")
    assert b"Dim_1 = 9 ;" in header
    assert b"Dim_2 = 7 ;" in header
    np.testing.assert_array_equal(np.frombuffer(data, np.uint8).reshape(7, 9) == 0, mask)


def test_a_mask_of_no_format_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"mask\.jpg names no format of masks"):
        write_mask(tmp_path / "mask.jpg", np.ones((2, 2), bool))


@pytest.mark.parametrize("name", ["mask.tif", "mask.npy"])
def test_masks_of_results_and_bins(tmp_path: Path, shared_data: Path, name: str) -> None:
    opened = open_path(shared_data / QMAP)
    assert isinstance(opened, PartitionFile)
    mask = run(convert(shared_data / QMAP, tmp_path / name))
    np.testing.assert_array_equal(
        read_mask(mask, opened.partition.shape, ones="good").mask, opened.partition.mask
    )


def test_bins_of_results_are_a_partition_file(tmp_path: Path, shared_data: Path) -> None:
    path = run(convert(shared_data / MULTITAU, tmp_path / "bins.hdf", to="partition"))
    bins, result = open_path(path), open_path(shared_data / MULTITAU)
    assert isinstance(bins, PartitionFile)
    np.testing.assert_array_equal(bins.partition.dynamic.labels, result.partition.dynamic.labels)
    np.testing.assert_allclose(bins.partition.table().q, result.partition.table().q)


@pytest.mark.parametrize("name", [MULTITAU, TWOTIME])
def test_results_come_back(tmp_path: Path, shared_data: Path, name: str) -> None:
    before = open_path(shared_data / name)
    after = open_path(run(convert(shared_data / name, tmp_path / "copy.hdf")))
    assert isinstance(before, ResultFile)
    assert isinstance(after, ResultFile)
    assert (before.curves is None) == (after.curves is None)
    if before.curves is not None:
        np.testing.assert_array_equal(after.curves.g2, before.curves.g2)
        np.testing.assert_array_equal(after.curves.error, before.curves.error)
        np.testing.assert_allclose(after.curves.delay_s, before.curves.delay_s)
    if before.twotime is not None:
        np.testing.assert_array_equal(after.twotime.bins, before.twotime.bins)
        np.testing.assert_array_equal(after.twotime.read(2), before.twotime.read(2))
        np.testing.assert_array_equal(after.twotime.g2, before.twotime.g2)
        assert after.twotime.frame_time_s == before.twotime.frame_time_s
    np.testing.assert_array_equal(after.partition.static.labels, before.partition.static.labels)
    np.testing.assert_array_equal(after.scattering, before.scattering)
    np.testing.assert_array_equal(after.scattering_1d, before.scattering_1d)
    np.testing.assert_array_equal(after.intensity_vs_time, before.intensity_vs_time)
    for field, sourced in before.known.items():
        # Written without a swing or a roll, bins are read as having none.
        assert after.known[field].value in (sourced.value, 0.0), field


def test_results_of_chx_become_a_file_of_8id(tmp_path: Path) -> None:
    labels = np.array([[1, 1, 2], [1, 2, 2]])
    g2 = 1 + np.random.default_rng(0).random((4, 2))
    full = np.random.default_rng(0).random((10, 10, 2))
    full += full.transpose(1, 0, 2)
    with h5py.File(tmp_path / "chx.h5", "w") as file:
        file["g2"], file["taus"] = g2, np.array([0, 1, 2, 4]) * 0.1
        file["roi_mask"], file["avg_img"] = labels, np.arange(6.0).reshape(2, 3)
        file["g12b"] = full
        file.create_dataset("md", data=0).attrs["frame_time"] = 0.1
        values = file.create_dataset("qval_dict", data=0)
        values.attrs["0"], values.attrs["1"] = [0.01], [0.02]
    ours = open_path(run(convert(tmp_path / "chx.h5", tmp_path / "ours.hdf")))
    assert isinstance(ours, ResultFile)
    assert ours.layout == "aps-results"
    np.testing.assert_allclose(ours.curves.g2, g2[1:], rtol=1e-6)
    np.testing.assert_allclose(ours.curves.delay_s, [0.1, 0.2, 0.4])
    np.testing.assert_allclose(ours.curves.bins.q, [0.01, 0.02])
    np.testing.assert_allclose(ours.scattering_1d, [4 / 3, 11 / 3])
    np.testing.assert_allclose(ours.twotime.read(1), full[..., 1], rtol=1e-6)
    np.testing.assert_allclose(ours.twotime.g2[3, 0], full[..., 0].diagonal(3).mean(), rtol=1e-6)
    assert ours.twotime.segments.shape == (2, 5, 2)


REFUSED = {
    "run.xyz": (None, "names no format to convert to"),
    "run.npy": (None, "run.h5 holds frames; it cannot become a mask"),
    "bins.hdf": ("partition", "run.h5 holds frames; it cannot become bins"),
    "run.hdf": ("events", "events are written as .cmp"),
    "run.h5": (None, "is read by this job and is not overwritten"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, raw: Path, name: str) -> None:
    to, sentence = REFUSED[name]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FileFormatError, match=sentence):
        run(convert(raw, tmp_path / name, to=to, force=True))
    assert sorted(tmp_path.iterdir()) == before


def test_a_mask_file_changes_its_format(tmp_path: Path) -> None:
    mask = np.random.default_rng(1).random((7, 9)) > 0.2
    write_mask(tmp_path / "mask.hdf", mask)
    opened = open_path(tmp_path / "mask.hdf")
    assert isinstance(opened, MaskFile)
    run(convert(tmp_path / "mask.hdf", tmp_path / "mask.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "mask.npy") == 1, mask)
