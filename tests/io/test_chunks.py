"""Chunks unpacked around HDF5 give what HDF5 gives, and damage is told by the frame."""

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_xpcs.errors import CorruptFramesError, FileFormatError
from napari_xpcs.io import chunk_codecs
from napari_xpcs.io.chunk_codecs import DamagedChunkError, decoder_of
from napari_xpcs.io.chunks import read_chunks
from napari_xpcs.io.hdf5_frames import HDF5Frames
from napari_xpcs.io.open import open_path

RNG = np.random.default_rng(11)
COUNTS = RNG.poisson(0.7, (13, 37, 53)).astype(np.uint16)

FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "bslz4": dict(hdf5plugin.Bitshuffle()),
    "bslz4, small blocks": dict(hdf5plugin.Bitshuffle(nelems=64)),
    "bszstd": dict(hdf5plugin.Bitshuffle(cname="zstd")),
    "lz4": dict(hdf5plugin.LZ4()),
    "lz4, blocks": dict(hdf5plugin.LZ4(nbytes=1000)),
    "zstd": dict(hdf5plugin.Zstd()),
    "gzip": {"compression": "gzip"},
    "shuffle, gzip": {"compression": "gzip", "shuffle": True},
    "shuffle, zstd": {"shuffle": True, **hdf5plugin.Zstd()},
}
BY_HDF5: dict[str, dict[str, Any]] = {
    "bitshuffle alone": dict(hdf5plugin.Bitshuffle(cname="none")),
    "blosc": dict(hdf5plugin.Blosc()),
    "lzf": {"compression": "lzf"},
    "checksum": {"fletcher32": True, "compression": "gzip"},
}


def write(path: Path, counts: np.ndarray, chunk: tuple[int, ...], **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=counts, chunks=chunk, **options)
    return path


def direct(path: Path, frames: slice | np.ndarray, channel: int = 0) -> np.ndarray | None:
    with h5py.File(path, "r") as file:
        return read_chunks(file["entry/data/data"], frames, channel)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f8"])
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("per_chunk", [1, 4])
def test_every_filter_gives_what_was_stored(
    tmp_path: Path, name: str, dtype: str, per_chunk: int
) -> None:
    counts = COUNTS.astype(dtype)
    path = write(tmp_path / "a.h5", counts, (per_chunk, 37, 53), **FILTERS[name])
    for frames in (slice(0, 13), slice(3, 4), slice(2, 12, 3), np.array([0, 5, 6, 12])):
        np.testing.assert_array_equal(direct(path, frames), counts[frames])


@pytest.mark.parametrize("name", ["none", "bslz4", "gzip", "shuffle, zstd"])
@pytest.mark.parametrize("per_chunk", [1, 4])
def test_frames_are_unpacked_into_the_room_that_is_given(
    tmp_path: Path, name: str, per_chunk: int
) -> None:
    path = write(tmp_path / "a.h5", COUNTS, (per_chunk, 37, 53), **FILTERS[name])
    frames = HDF5Frames.open(path, "entry/data/data")
    for wanted in (slice(0, 13), slice(3, 4), slice(2, 12, 3)):
        room = np.full((13, 37, 53), 7, np.uint16)
        found = frames.read_whole(wanted, room)
        np.testing.assert_array_equal(found, COUNTS[wanted])
        assert found.ctypes.data == room.ctypes.data
        assert (room[len(found) :] == 7).all()
    for room in (np.full((2, 37, 53), 7, np.uint16), np.full((13, 37, 53), 7, np.uint32)):
        np.testing.assert_array_equal(frames.read_whole(slice(1, 5), room), COUNTS[1:5])
        assert (room == 7).all()


def test_room_does_not_change_what_hdf5_reads(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", COUNTS.astype(">u2"), (1, 37, 53), **FILTERS["bslz4"])
    found = HDF5Frames.open(path, "entry/data/data").read_whole(
        slice(2, 9, 2), np.empty((8, 37, 53), np.uint16)
    )
    np.testing.assert_array_equal(found, COUNTS[2:9:2])
    assert found.dtype.isnative


@pytest.mark.parametrize("name", BY_HDF5)
def test_what_only_hdf5_can_read_is_read_by_hdf5(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.h5", COUNTS, (1, 37, 53), **BY_HDF5[name])
    assert direct(path, slice(0, 13)) is None
    np.testing.assert_array_equal(HDF5Frames.open(path, "entry/data/data")[2:9:2], COUNTS[2:9:2])


@pytest.mark.parametrize("chunk", [(1, 10, 53), (2, 37, 20)])
def test_tiles_of_a_frame_are_left_to_hdf5(tmp_path: Path, chunk: tuple[int, ...]) -> None:
    path = write(tmp_path / "a.h5", COUNTS, chunk, **FILTERS["bslz4"])
    assert direct(path, slice(0, 13)) is None
    np.testing.assert_array_equal(HDF5Frames.open(path, "entry/data/data")[:], COUNTS)


def test_other_byte_order_and_filters_left_out_are_left_to_hdf5(tmp_path: Path) -> None:
    big = write(tmp_path / "big.h5", COUNTS.astype(">u2"), (1, 37, 53), **FILTERS["bslz4"])
    assert direct(big, slice(0, 13)) is None
    mixed = write(tmp_path / "mixed.h5", COUNTS, (1, 37, 53), **FILTERS["bslz4"])
    with h5py.File(mixed, "r+") as file:
        file["entry/data/data"].id.write_direct_chunk((4, 0, 0), COUNTS[4].tobytes(), 1)
    assert direct(mixed, slice(0, 13)) is None
    assert direct(mixed, slice(5, 13)) is not None
    np.testing.assert_array_equal(HDF5Frames.open(mixed, "entry/data/data")[:], COUNTS)


def test_one_channel_of_four_axes(tmp_path: Path) -> None:
    both = np.stack([COUNTS, COUNTS + 7], axis=1)
    path = write(tmp_path / "a.h5", both, (1, 1, 37, 53), **FILTERS["bslz4"])
    np.testing.assert_array_equal(direct(path, slice(1, 9), 1), COUNTS[1:9] + 7)
    together = write(tmp_path / "b.h5", both, (1, 2, 37, 53), **FILTERS["bslz4"])
    assert direct(together, slice(1, 9), 1) is None
    frames = HDF5Frames.open(together, "entry/data/data", "1")
    np.testing.assert_array_equal(frames[1:9, 3:5, :4], COUNTS[1:9, 3:5, :4] + 7)


@pytest.mark.parametrize("userblock", [0, 512])
def test_a_block_of_others_before_the_file_does_not_matter(tmp_path: Path, userblock: int) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file.create_dataset("entry/data/data", data=COUNTS, chunks=(1, 37, 53), **FILTERS["bslz4"])
    np.testing.assert_array_equal(direct(path, slice(0, 13)), COUNTS)


def test_without_the_functions_of_the_library_hdf5_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_codecs, "_function", lambda *_: None)
    for name in ("bslz4", "bszstd", "lz4", "zstd", "shuffle, zstd"):
        path = write(tmp_path / "a.h5", COUNTS, (1, 37, 53), **FILTERS[name])
        assert direct(path, slice(0, 13)) is None


def test_links_to_data_files_are_read_by_their_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "run_master.h5", "w") as master:
        for number in (1, 2):
            name = f"run_data_{number:06d}.h5"
            write(tmp_path / name, COUNTS, (1, 37, 53), **FILTERS["bslz4"])
            link = h5py.ExternalLink(name, "/entry/data/data")
            master[f"entry/data/data_{number:06d}"] = link
    run = open_path(tmp_path / "run_master.h5").frames
    blocks = []

    def remembered(*given: Any) -> np.ndarray | None:
        blocks.append(read_chunks(*given))
        return blocks[-1]

    monkeypatch.setattr("napari_xpcs.io.hdf5_frames.read_chunks", remembered)
    np.testing.assert_array_equal(run[10:16], np.concatenate([COUNTS[10:], COUNTS[:3]]))
    assert [len(block) for block in blocks] == [3, 3]
    room = np.empty((20, 37, 53), np.uint16)
    for wanted in (slice(10, 16), slice(2, 5), slice(1, 20, 4)):
        found = run.read_whole(wanted, room)
        np.testing.assert_array_equal(found, np.concatenate([COUNTS, COUNTS])[wanted])
        assert found.ctypes.data == room.ctypes.data
    through_link = HDF5Frames.open(tmp_path / "run_master.h5", "entry/data/data_000001")
    np.testing.assert_array_equal(through_link[:], COUNTS)
    damage(tmp_path / "run_data_000002.h5", 1)
    with pytest.raises(CorruptFramesError, match=r"Frame 14 of run_master\.h5") as caught:
        run[10:16]
    assert caught.value.frames == (14,)
    assert "stored in run_data_000002.h5 as number 1" in str(caught.value)


# -- damage


def damage(path: Path, frame: int, at: int = 16) -> None:
    """Overwrite some bytes of the chunk of ``frame``."""
    with h5py.File(path, "r") as file:
        start = file["entry/data/data"].id.get_chunk_info_by_coord((frame, 0, 0)).byte_offset
    with path.open("r+b") as file:
        file.seek(start + at)
        file.write(b"\xff" * 12)


@pytest.mark.parametrize(("options", "at"), [(FILTERS["bslz4"], 16), (BY_HDF5["checksum"], 30)])
def test_corrupt_frames_are_named(tmp_path: Path, options: dict[str, Any], at: int) -> None:
    path = write(tmp_path / "run.h5", COUNTS, (1, 37, 53), **options)
    damage(path, 5, at)
    damage(path, 8, at)
    frames = HDF5Frames.open(path, "entry/data/data")
    with pytest.raises(CorruptFramesError, match=r"^Frame 5 and 1 more of run\.h5") as caught:
        frames[2:12]
    assert caught.value.frames == (5, 8)
    np.testing.assert_array_equal(frames[[4, 6, 7]], COUNTS[[4, 6, 7]])
    with pytest.raises(FileFormatError, match=r"^Frame 8 of run\.h5"):
        frames[8]


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "none"])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cuts=st.integers(0, 4000),
    flips=st.lists(st.tuples(st.integers(0, 3999), st.integers(1, 255)), max_size=4),
)
def test_damaged_bytes_are_found_or_harmless(
    tmp_path: Path, name: str, cuts: int, flips: list[tuple[int, int]]
) -> None:
    """Lengths inside a chunk are followed by C code: no damage may lead it out of the chunk."""
    path = tmp_path / "one.h5"
    if not path.exists():
        write(path, COUNTS[:1], (1, 37, 53), **FILTERS[name])
    with h5py.File(path, "r") as file:
        dataset = file["entry/data/data"]
        decode = decoder_of(dataset)
        chunk = np.frombuffer(dataset.id.read_direct_chunk((0, 0, 0))[1], np.uint8).copy()
    for at, bits in flips:
        chunk[at % chunk.size] ^= bits
    chunk = chunk[: max(chunk.size - cuts, 0)] if cuts < 2000 else chunk
    out = np.zeros(COUNTS[0].nbytes, np.uint8)
    assert decode is not None
    try:
        decode(chunk, out)
    except DamagedChunkError:
        return
    if not flips and not cuts:
        np.testing.assert_array_equal(out.view(np.uint16), COUNTS[0].ravel())
