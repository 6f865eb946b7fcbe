"""Reading whole frames by their chunks: unpacked by several threads, outside the lock of HDF5."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import h5py
import numpy as np

from napari_xpcs.io.chunk_codecs import DamagedChunkError, Decoder, decoder_of

_MOST_THREADS = 16


class DamagedFramesError(ValueError):
    """Frames at ``positions`` lie in chunks that cannot be unpacked."""

    def __init__(self, positions: tuple[int, ...]) -> None:
        super().__init__(positions)
        self.positions = positions


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A stored chunk and the frames that are wanted of it: ``inside`` is ``None`` for all."""

    coordinates: tuple[int, ...]
    start: int
    size: int
    inside: np.ndarray | None
    target: slice
    frames: tuple[int, ...]


def read_chunks(
    dataset: h5py.Dataset,
    frames: slice | np.ndarray,
    channel: int = 0,
    room: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return whole frames, or ``None`` where the dataset is stored in a way that HDF5 must read.

    Read in this way are chunks of one or several whole frames of one channel, packed by a
    filter that :mod:`~napari_xpcs.io.chunk_codecs` knows, written by no optional filter that
    was left out.

    Parameters
    ----------
    dataset
        (frame, row, col) or (frame, channel, row, col); its file is open for reading.
    frames
        A forward slice within bounds, or ascending positions.
    room
        (frame, row, col) memory whose first frames become the result where it has the type of
        ``dataset`` and is large enough; otherwise the result has memory of its own.

    Raises
    ------
    DamagedFramesError
        With all the wanted frames that cannot be unpacked.
    """
    decoder = _decoder(dataset)
    if decoder is None:
        return None
    positions = np.arange(dataset.shape[0])[frames] if isinstance(frames, slice) else frames
    chunks = _find(dataset, positions, channel)
    if chunks is None or positions[-1] >= dataset.shape[0]:
        return None
    shape = (len(positions), *dataset.shape[-2:])
    out = None if room is None or room.dtype != dataset.dtype else room[: len(positions)]
    if out is None or out.shape != shape:
        out = np.empty(shape, dataset.dtype)
    damaged = _unpack_all(dataset, chunks, decoder, out)
    if damaged:
        raise DamagedFramesError(damaged)
    return out


def _decoder(dataset: h5py.Dataset) -> Decoder | None:
    """Return what unpacks the chunks, ``None`` where a chunk is not a stack of whole frames."""
    chunks = dataset.chunks
    if chunks is None or dataset.ndim not in (3, 4) or chunks[-2:] != dataset.shape[-2:]:
        return None
    if (dataset.ndim == 4 and chunks[1] != 1) or not dataset.dtype.isnative:
        return None
    return decoder_of(dataset)


def _find(dataset: h5py.Dataset, positions: np.ndarray, channel: int) -> list[_Chunk] | None:
    """Return where the chunks are; ``None`` where one was not written, or not by all filters."""
    per_chunk = dataset.chunks[0]
    behind = (channel, 0, 0) if dataset.ndim == 4 else (0, 0)
    numbers = positions // per_chunk
    firsts = np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()
    found = []
    for first, last in zip(firsts, [*firsts[1:], len(positions)], strict=True):
        corner = int(numbers[first]) * per_chunk
        stored = dataset.id.get_chunk_info_by_coord((corner, *behind))
        if stored.byte_offset is None or stored.filter_mask:
            return None
        wanted = positions[first:last]
        whole = len(wanted) == per_chunk
        found.append(
            _Chunk(
                coordinates=(corner, *behind),
                start=stored.byte_offset,
                size=stored.size,
                inside=None if whole else wanted - corner,
                target=slice(first, last),
                frames=tuple(wanted.tolist()),
            )
        )
    return found


def _unpack_all(
    dataset: h5py.Dataset, chunks: list[_Chunk], decoder: Decoder, out: np.ndarray
) -> tuple[int, ...]:
    """Fill ``out`` and return the frames that could not be unpacked."""
    descriptor = _descriptor(dataset.file)
    largest = max(chunk.size for chunk in chunks)
    shape = (dataset.chunks[0], *dataset.shape[-2:])
    waiting = iter(chunks)

    def work() -> list[int]:
        damaged: list[int] = []
        # New memory for every chunk would cost as much as a fifth of the unpacking.
        room = np.empty(largest, np.uint8)
        for chunk in waiting:
            if descriptor is None:
                packed = np.frombuffer(dataset.id.read_direct_chunk(chunk.coordinates)[1], np.uint8)
            else:
                packed = room[: os.preadv(descriptor, [room.data[: chunk.size]], chunk.start)]
            target = out[chunk.target]
            whole = target if chunk.inside is None else np.empty(shape, out.dtype)
            try:
                decoder(packed, whole.reshape(-1).view(np.uint8))
            except DamagedChunkError:
                damaged += chunk.frames
            else:
                if chunk.inside is not None:
                    target[:] = whole[chunk.inside]
        return damaged

    workers = min(_MOST_THREADS, _cores(), len(chunks))
    if workers < 2:
        return tuple(work())
    with ThreadPoolExecutor(workers, thread_name_prefix="unpack") as pool:
        jobs = [pool.submit(work) for _ in range(workers)]
        return tuple(sorted(frame for job in jobs for frame in job.result()))


def _descriptor(file: h5py.File) -> int | None:
    """Return what the operating system reads ``file`` by, ``None`` where offsets do not count."""
    plain = file.driver == "sec2" and file.userblock_size == 0 and file.mode == "r"
    return file.id.get_vfd_handle() if plain and hasattr(os, "preadv") else None


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
