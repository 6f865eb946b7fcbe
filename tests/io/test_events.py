"""Runs of events: five-line writers of the formats, and what the readers must give back.

``run`` is a list of frames, each a list of (pixel, count).
"""

import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.errors import FileFormatError, XpcsError
from napari_xpcs.io import events as events_module
from napari_xpcs.io.chx_cmp import is_cmp, read_cmp
from napari_xpcs.io.chx_cmp import write_cmp as write_ours
from napari_xpcs.io.describe import describe
from napari_xpcs.io.entry_group import write_entry
from napari_xpcs.io.events import (
    EventFrames,
    ThresholdedFrames,
    check_ascending,
    check_pixels,
)
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.imm import is_imm, read_imm
from napari_xpcs.io.open import open_path, sniff
from napari_xpcs.io.rigaku import is_rigaku, read_rigaku
from napari_xpcs.kernels.geometry import Sourced
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.progress import run as drain

Run = list[list[tuple[int, int]]]


def write_rigaku(path: Path, run: Run, first_pixel: int = 0) -> Path:
    words = [
        frame << 40 | (pixel + first_pixel) << 16 | count
        for frame, events in enumerate(run)
        for pixel, count in events
    ]
    np.array(words, "<u8").tofile(path)
    return path


def write_imm(path: Path, run: Run, shape: tuple[int, int], dense: bool = False) -> Path:
    with path.open("wb") as file:
        for events in run:
            image = np.zeros(shape[0] * shape[1], "<u2")
            image[[pixel for pixel, _ in events]] = [count for _, count in events]
            header = bytearray(1024)
            struct.pack_into("<ii", header, 0, 2, 0 if dense else 6)
            struct.pack_into("<iii", header, 108, *shape, 2)
            struct.pack_into("<I", header, 152, image.size if dense else len(events))
            file.write(header + (image.tobytes() if dense else _pixels_and_counts(events, "<u2")))
    return path


def write_cmp(
    path: Path, run: Run, shape: tuple[int, int], stored: str = "<i2", numbers: tuple = (0.0,) * 8
) -> Path:
    with path.open("wb") as file:
        sizes = (np.dtype(stored).itemsize, shape[1], shape[0], 0, shape[1], 0, shape[0])
        file.write(struct.pack("@16s8d7I916x", b"Version-COMP0001", *numbers, *sizes))
        for events in run:
            file.write(struct.pack("<I", len(events)) + _pixels_and_counts(events, stored))
    return path


def _pixels_and_counts(events: list[tuple[int, int]], stored: str) -> bytes:
    pixels = np.array([pixel for pixel, _ in events], "<i4")
    return pixels.tobytes() + np.array([count for _, count in events], stored).tobytes()


def dense_of(run: Run, shape: tuple[int, int]) -> np.ndarray:
    frames = np.zeros((len(run), shape[0] * shape[1]), np.uint16)
    for frame, events in enumerate(run):
        for pixel, count in events:
            frames[frame, pixel] += count
    return frames.reshape(-1, *shape)


SHAPE = (512, 1024)
RUN: Run = [
    [],
    [(0, 1), (1023, 4095), (512 * 1024 - 1, 256)],
    [],
    [],
    [(7, 300), (2048, 2)],
    [(2048, 1)],
]
"""Frames without events at the start and in between, counts above 255 and up to 4095."""


def read_any(path: Path) -> EventFrames:
    read = read_rigaku if is_rigaku(path) else read_cmp if is_cmp(path) else read_imm
    return read(path).frames


Writer = Callable[[Path, Run], Path]

WRITERS: dict[str, Writer] = {
    "run.bin": write_rigaku,
    "sparse.imm": lambda path, run: write_imm(path, run, SHAPE),
    "dense.imm": lambda path, run: write_imm(path, run, SHAPE, dense=True),
    "two.cmp": lambda path, run: write_cmp(path, run, SHAPE),
    "four.cmp": lambda path, run: write_cmp(path, run, SHAPE, "<i4"),
    "eight.cmp": lambda path, run: write_cmp(path, run, SHAPE, "<f8"),
}


@pytest.fixture(params=WRITERS)
def frames(request: pytest.FixtureRequest, tmp_path: Path) -> EventFrames:
    return read_any(WRITERS[request.param](tmp_path / request.param, RUN))


def test_every_frame_comes_back(frames: EventFrames) -> None:
    expected = dense_of(RUN, SHAPE)
    assert frames.shape == expected.shape
    assert frames[:].dtype == frames.dtype
    np.testing.assert_array_equal(frames[:], expected)
    np.testing.assert_array_equal(frames[1], expected[1])
    np.testing.assert_array_equal(frames[-1], expected[-1])
    np.testing.assert_array_equal(frames[2:5], expected[2:5])
    assert frames[2:2].shape == (0, *SHAPE)


INDICES = (
    np.s_[4, 0, 5:9],
    np.s_[np.int64(4)],
    np.s_[::-2],
    np.s_[1:6:3],
    np.s_[[4, 1, 4], :2],
    np.s_[..., 7],
    np.s_[np.array([False, True, False, False, True, False])],
    np.s_[:],
)


@pytest.mark.parametrize("key", INDICES, ids=str)
def test_indexing_is_that_of_numpy(tmp_path: Path, key: object) -> None:
    frames = read_rigaku(write_rigaku(tmp_path / "run.bin", RUN)).frames
    expected = dense_of(RUN, SHAPE)[key]
    np.testing.assert_array_equal(frames[key], expected)
    assert frames[key].shape == expected.shape


@pytest.mark.parametrize("key", [6, -7, np.s_[0, 0, 0, 0], [6]])
def test_an_index_outside_is_an_index_error(tmp_path: Path, key: object) -> None:
    frames = read_rigaku(write_rigaku(tmp_path / "run.bin", RUN)).frames
    with pytest.raises(IndexError):
        frames[key]


def test_events_of_a_range(frames: EventFrames) -> None:
    events = frames.events(1, 5)
    assert events.frame.tolist() == [1, 1, 1, 4, 4]
    assert events.pixel.tolist() == [0, 1023, 512 * 1024 - 1, 7, 2048]
    assert events.count.tolist() == [1, 4095, 256, 300, 2]
    assert frames.events(2, 4).frame.tolist() == []


def test_a_block_of_events_is_what_was_counted(frames: EventFrames) -> None:
    starts, pixel, count = frames.block(1, 5)
    assert (starts.dtype, pixel.dtype, count.dtype) == (np.int64, np.int32, np.uint16)
    assert starts.tolist() == [0, 3, 3, 3, 5]
    assert pixel.tolist() == [0, 1023, 512 * 1024 - 1, 7, 2048]
    assert count.tolist() == [1, 4095, 256, 300, 2]
    assert [part.tolist() for part in frames.block(2, 4)] == [[0, 0, 0], [], []]


@pytest.mark.parametrize(("stored", "count"), [("<i4", 70_000), ("<f8", 1.5)])
def test_a_count_that_the_event_engine_cannot_hold_is_one_sentence(
    tmp_path: Path, stored: str, count: float
) -> None:
    frames = read_cmp(write_cmp(tmp_path / "a.cmp", [[], [(3, count)]], SHAPE, stored)).frames  # type: ignore[list-item]
    assert frames[1].max() == count
    with pytest.raises(FileFormatError, match=f"the count {count} in frame 1"):
        frames.block(0, 2)


def test_a_sum_of_frames_is_the_sum(frames: EventFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "EVENTS_AT_ONCE", 2)
    expected = dense_of(RUN, SHAPE).sum(axis=0, dtype=np.int64)
    np.testing.assert_array_equal(frames.sum_of(0, len(frames)), expected)
    np.testing.assert_array_equal(frames.sum_of(2, 4), np.zeros(SHAPE))


def test_a_run_can_be_sent_to_another_process(frames: EventFrames) -> None:
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(frames))[1], frames[1])


def test_a_large_run_is_not_made_dense_unasked(tmp_path: Path) -> None:
    frames = read_rigaku(write_rigaku(tmp_path / "run.bin", [*RUN, *[[]] * 5000, [(0, 1)]])).frames
    assert len(frames) == 5007
    with pytest.raises(XpcsError, match=r"4\.9 GiB"):
        np.asarray(frames)


# -- damage


def test_a_cut_record_at_the_end_is_left_out(tmp_path: Path) -> None:
    rigaku = write_rigaku(tmp_path / "run.bin", RUN)
    rigaku.write_bytes(rigaku.read_bytes()[:-3])
    opened = read_rigaku(rigaku)
    assert opened.frames.shape[0] == 5
    assert opened.problems == (
        "run.bin ends in the middle of an event; the last 5 bytes are left out.",
    )
    for name in ("sparse.imm", "dense.imm"):
        imm = WRITERS[name](tmp_path / name, RUN)
        imm.write_bytes(imm.read_bytes()[:-3])
        opened = read_imm(imm)
        np.testing.assert_array_equal(opened.frames[:], dense_of(RUN[:-1], SHAPE))
        assert opened.problems == (f"The last frame of {name} is cut short and left out.",)
    cmp = WRITERS["two.cmp"](tmp_path / "two.cmp", RUN)
    cmp.write_bytes(cmp.read_bytes()[:-3])
    run = read_cmp(cmp)
    np.testing.assert_array_equal(run.frames[:], dense_of(RUN[:-1], SHAPE))
    assert run.problems[0] == "The last frame of two.cmp is cut short and left out."


WRONG_PIXELS = {
    "run.bin": (512 * 1024, "holds the pixel number 524288"),
    "sparse.imm": (512 * 1024, "holds the pixel number 524288"),
    "two.cmp": (-1, "holds the pixel number -1"),
}


@pytest.mark.parametrize("name", WRONG_PIXELS)
def test_a_pixel_off_the_detector_is_one_sentence(tmp_path: Path, name: str) -> None:
    pixel, sentence = WRONG_PIXELS[name]
    path = WRITERS[name](tmp_path / name, [[(0, 1)]])
    if name == "sparse.imm":
        path.write_bytes(path.read_bytes()[:1024] + struct.pack("<iH", pixel, 1))
    else:
        WRITERS[name](path, [[(pixel, 1)]])
    with pytest.raises(FileFormatError, match=sentence):
        np.asarray(read_any(path))


def test_frames_that_fall_are_one_sentence(tmp_path: Path) -> None:
    path = write_rigaku(tmp_path / "run.bin", RUN)
    words = np.fromfile(path, "<u8")
    words[::-1].tofile(path)
    with pytest.raises(FileFormatError, match="an event of frame 4 after one of frame 5"):
        read_rigaku(path)


def test_frames_that_fall_between_two_blocks_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_xpcs.io.rigaku._WORDS_AT_ONCE", 2)
    path = write_rigaku(tmp_path / "run.bin", RUN)
    np.testing.assert_array_equal(read_rigaku(path).frames[:], dense_of(RUN, SHAPE))
    words = np.fromfile(path, "<u8")
    words[[0, 1, 4, 5, 2, 3]].tofile(path)
    with pytest.raises(FileFormatError, match="an event of frame 1 after one of frame 5"):
        read_rigaku(path)


@pytest.mark.parametrize("name", ["run.bin", "sparse.imm", "two.cmp"])
def test_a_file_that_shrinks_while_open_is_one_sentence(tmp_path: Path, name: str) -> None:
    frames = read_any(WRITERS[name](tmp_path / name, RUN))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:1030] if name != "run.bin" else b"")
    with pytest.raises(FileFormatError, match="cut while it was open"):
        frames[4]


def test_nothing_in_a_file_is_one_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty.bin"
    empty.write_bytes(b"")
    with pytest.raises(FileFormatError, match="holds no event"):
        read_rigaku(empty)
    with pytest.raises(FileFormatError, match="holds no whole IMM frame"):
        read_imm(empty)
    with pytest.raises(FileFormatError, match="does not begin with Version-COMP0001"):
        read_cmp(empty)
    with pytest.raises(FileFormatError, match="a header and no whole frame"):
        read_cmp(write_cmp(tmp_path / "no-frames.cmp", [], SHAPE))


def test_a_damaged_header_is_one_sentence(tmp_path: Path) -> None:
    imm = write_imm(tmp_path / "run.imm", RUN, SHAPE)
    with imm.open("r+b") as file:
        file.seek(1024 + 152)
        file.write(b"\xff\xff\xff\xff")
    with pytest.raises(FileFormatError, match=r"The header of frame 1 of run\.imm is damaged"):
        read_imm(imm)
    cmp = write_cmp(tmp_path / "run.cmp", RUN, SHAPE)
    with cmp.open("r+b") as file:
        file.seek(1024)
        file.write(b"\xff\xff\xff\xff")
    with pytest.raises(FileFormatError, match=r"Frame 0 of run\.cmp lists 4294967295 pixels"):
        read_cmp(cmp)
    with cmp.open("r+b") as file:
        file.seek(80)
        file.write(b"\x03\0\0\0")
    with pytest.raises(FileFormatError, match="3 bytes per count"):
        read_cmp(cmp)
    huge = write_cmp(tmp_path / "huge.cmp", RUN, (1 << 31, 1 << 31))
    with pytest.raises(FileFormatError, match="2147483648 x 2147483648 pixels"):
        read_cmp(huge)


def test_a_negative_count_is_one_sentence(tmp_path: Path) -> None:
    frames = read_cmp(write_cmp(tmp_path / "run.cmp", [[(3, -2)]], SHAPE)).frames
    with pytest.raises(FileFormatError, match="holds the count -2"):
        frames[0]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(WRITERS)),
    changes=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=4),
    length=st.integers(0, 4096),
)
def test_damage_is_a_sentence_or_a_run(
    tmp_path: Path, name: str, changes: list[tuple[int, int]], length: int
) -> None:
    path = WRITERS[name](tmp_path / name, RUN[:2])
    raw = bytearray(path.read_bytes()[:4096])
    for place, value in changes:
        raw[place % len(raw)] = value
    path.write_bytes(raw[:length])
    sentences: list[str] = []
    try:
        frames = read_any(path)
        if frames.shape[1] * frames.shape[2] < 1 << 22:
            frames.events(0, len(frames))
    except FileFormatError as fault:
        sentences.append(str(fault))
    assert all(len(sentence.splitlines()) == 1 for sentence in sentences)


# -- the six modules of a 3M


def write_3m(folder: Path, runs: list[Run], offset: int = 0) -> Path:
    for number, run in enumerate(runs):
        write_rigaku(folder / f"run.bin.{number:03d}", run, offset)
    return folder / "run.bin.000"


@pytest.mark.parametrize("offset", [0, 1 << 20])
def test_modules_stand_where_the_programs_of_the_beamline_put_them(
    tmp_path: Path, offset: int
) -> None:
    runs: list[Run] = [[[(0, 10 + number)], [(512 * 1024 - 1, 4095)]] for number in range(6)]
    run = read_rigaku(write_3m(tmp_path, runs, offset))
    frames, mask = run.frames, run.mask
    assert frames.shape == (2, 1676, 2100)
    corners = frames[0][::582, ::1076]
    assert corners.tolist() == [[15, 10], [14, 11], [13, 12]]
    assert frames[1][511::582, 1023::1076].tolist() == [[4095, 4095]] * 3
    assert mask is not None
    assert mask.sum() == 6 * 512 * 1024
    assert not mask[512:582].any()
    assert not mask[:, 1024:1076].any()
    assert mask[582, 1076]


def test_a_module_may_end_early_or_hold_nothing(tmp_path: Path) -> None:
    runs: list[Run] = [[[(0, 1)]], [], [[], [], [(5, 7)]], [[(0, 1)]], [[(0, 1)]], [[(1, 2)]]]
    frames = read_rigaku(write_3m(tmp_path, runs)).frames
    assert frames.shape[0] == 3
    assert frames[0].sum() == 5
    assert frames[1].sum() == 0
    assert frames[2][1164, 1076 + 5] == 7
    assert frames.events(0, 3).frame.tolist() == [0, 0, 0, 0, 2]


def test_missing_modules_are_named(tmp_path: Path) -> None:
    path = write_3m(tmp_path, [[[(0, 1)]]] * 6)
    (tmp_path / "run.bin.003").unlink()
    with pytest.raises(FileFormatError, match=r"run\.bin\.003 cannot be found"):
        read_rigaku(path)


# -- one door for all files


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_told_and_described(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, RUN)
    assert sniff(path) == "events"
    facts = describe(path)
    assert facts["kind"] == "events"
    assert facts["shape"] == [6, *SHAPE]
    assert "frame_time_s" in " ".join(facts["missing"])


def test_foreign_files_with_the_same_ending_are_left_alone(tmp_path: Path) -> None:
    firmware = tmp_path / "firmware.bin"
    firmware.write_bytes(bytes(range(256)) * 10)
    image = tmp_path / "image.imm"
    image.write_bytes(b"not IMM at all" * 100)
    assert sniff(firmware) is None
    assert sniff(image) is None


@pytest.mark.parametrize("name", ["run.bin", "run.bin.002", "run.imm"])
def test_geometry_stands_in_the_metadata_beside(tmp_path: Path, name: str) -> None:
    write_3m(tmp_path, [RUN] * 6)
    write_rigaku(tmp_path / "run.bin", RUN)
    write_imm(tmp_path / "run.imm", RUN, SHAPE)
    known = {"frame_time_s": Sourced(value=2e-5, unit="s", origin="test")}
    with h5py.File(tmp_path / "run_metadata.hdf", "w") as file:
        write_entry(file, known, identifier="run")
    opened = open_path(tmp_path / name)
    assert isinstance(opened, FramesFile)
    assert opened.known["frame_time_s"].value == 2e-5
    assert opened.known["frame_time_s"].origin.startswith("run_metadata.hdf:/entry")
    assert opened.problems == ()
    assert (opened.mask is None) == (name != "run.bin.002")


# -- real and other runs


def test_real_imm(shared_data: Path) -> None:
    path = shared_data / "aps_imm/B020_bluesky_demo_00001-00021.imm"
    assert is_imm(path)
    run = read_imm(path)
    frames = run.frames
    assert (frames.shape, run.problems) == ((21, 516, 1556), ())
    events = frames.events(0, 21)
    assert np.bincount(events.frame)[:4].tolist() == [6, 10, 10, 8]
    assert events.pixel[:5].tolist() == [26707, 26708, 26709, 35824, 257535]
    assert frames[:].sum() == events.count.sum() == frames.sum_of(0, 21).sum()


def test_header_of_cmp_is_geometry(tmp_path: Path) -> None:
    numbers = (1143.0, 1229.0, 0.001997, 16235.55, 0.002, 1.28507668, 7.5e-05, 75.0)
    run = read_cmp(write_cmp(tmp_path / "run.cmp", RUN, SHAPE, numbers=numbers))
    known = {name: sourced.value for name, sourced in run.known.items()}
    assert known["center_col_px"] == 1143.0
    assert known["center_row_px"] == 1229.0
    assert known["frame_time_s"] == 0.002
    assert known["distance_m"] == pytest.approx(16.23555)
    assert known["energy_kev"] == pytest.approx(9.648, abs=1e-3)
    assert known["pixel_row_m"] == pytest.approx(75e-6)
    assert [text.split()[0] for text in run.problems] == ["3", "distance_m", "pixel_row_m"]
    unknown = read_cmp(write_cmp(tmp_path / "bare.cmp", RUN, SHAPE)).known
    assert all(sourced.value is None for sourced in unknown.values())


def test_what_we_write_is_what_we_read(tmp_path: Path, frames: EventFrames) -> None:
    numbers = (10.5, 20.25, 0.001, 5.0, 0.002, 1.25, 7.5e-05, 5.5e-5)
    known = read_cmp(write_cmp(tmp_path / "known.cmp", RUN, SHAPE, numbers=numbers)).known
    path = drain(write_ours(tmp_path / "ours.cmp", frames, known=known))
    again = read_cmp(path)
    np.testing.assert_array_equal(again.frames[:], frames[:])
    assert again.known["energy_kev"].value == pytest.approx(known["energy_kev"].value)
    for name in ("center_row_px", "pixel_row_m", "distance_m", "frame_time_s"):
        assert again.known[name].value == known[name].value
    with pytest.raises(FileFormatError, match="exists already"):
        drain(write_ours(path, frames, known=known))


def thresholded(dense: np.ndarray, threshold: float = 0.0) -> EventFrames:
    return EventFrames.of(Path("dense.h5"), ThresholdedFrames(frames=dense, threshold=threshold))


def test_a_count_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    frames = thresholded(np.full((1, 2, 3), 40000, np.uint16))
    with pytest.raises(FileFormatError, match="40000 in the frames 0 to 0 does not fit"):
        drain(write_ours(tmp_path / "run.cmp", frames, known={}))
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25)
@given(
    dense=st.integers(1, 5).flatmap(
        lambda frames: st.lists(
            st.lists(st.integers(0, 4095), min_size=6, max_size=6), min_size=frames, max_size=frames
        )
    ),
    threshold=st.integers(0, 40),
)
def test_dense_to_events_and_back(dense: list[list[int]], threshold: int) -> None:
    given_frames = np.array(dense, np.uint16).reshape(-1, 2, 3)
    frames = thresholded(given_frames, threshold)
    kept = np.where(given_frames > threshold, given_frames, 0)
    np.testing.assert_array_equal(frames[:], kept)
    assert frames.dtype == np.uint16
    assert (frames.events(0, len(frames)).count > threshold).all()


def test_masked_pixels_and_no_values_are_no_events() -> None:
    dense = np.array([[[3, -1], [7, 0]]], np.int16)
    mask = np.array([[True, True], [False, True]])
    frames = EventFrames.of(Path("dense.h5"), ThresholdedFrames(frames=dense, mask=mask))
    assert frames[0].tolist() == [[3, 0], [0, 0]]
    largest = thresholded(np.array([[[65535, 4095]]], np.uint16))
    assert largest[0].tolist() == [[0, 4095]]
    assert thresholded(np.array([[[255]]], np.uint8))[0].tolist() == [[255]]


def test_lists_of_events_are_checked() -> None:
    with pytest.raises(FileFormatError, match="frame 0 after one of frame 1"):
        check_ascending(np.array([1, 0]), "The run")
    with pytest.raises(FileFormatError, match="pixel number 4"):
        check_pixels(np.array([0, 4]), (2, 2), "The run")


def test_events_correlate_as_the_dense_frames_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    dense = rng.poisson(0.3, (40, 8, 10)).astype(np.uint16)
    labels = np.repeat([[1, 2]], 8, axis=0).repeat(5, axis=1).astype(np.int32)
    bins = Bins(
        labels=labels,
        grid=(2, 1),
        index=np.arange(2),
        centers=(np.array([0.1, 0.2]), np.zeros(1)),
        edges=None,
        pixels=np.array([40, 40]),
    )
    partition = Partition(mask=labels > 0, dynamic=bins, static=replace(bins))
    path = drain(write_ours(tmp_path / "run.cmp", thresholded(dense), known={}))
    results = [
        drain(correlate_multitau(run, partition, frame_time_s=1e-3, xp=get_backend(), block=8))
        for run in (dense, read_cmp(path).frames)
    ]
    np.testing.assert_array_equal(results[0].g2, results[1].g2)
    np.testing.assert_array_equal(results[0].mean_frame, results[1].mean_frame)
