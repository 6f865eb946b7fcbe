"""Reading whole frames by their chunks: unpacked by several threads, outside the lock of HDF5."""

import os
from collections.abc import Iterator
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
    if positions[-1] >= dataset.shape[0]:
        return None
    shape = (len(positions), *dataset.shape[-2:])
    out = None if room is None or room.dtype != dataset.dtype else room[: len(positions)]
    if out is None or out.shape != shape:
        out = np.empty(shape, dataset.dtype)
    damaged = _unpack_all(dataset, _find(dataset, positions, channel), decoder, out)
    if damaged is None:
        return None
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


def _find(dataset: h5py.Dataset, positions: np.ndarray, channel: int) -> list[_Chunk]:
    """Return which chunks hold the wanted frames, and where these go."""
    per_chunk = dataset.chunks[0]
    behind = (channel, 0, 0) if dataset.ndim == 4 else (0, 0)
    numbers = positions // per_chunk
    firsts = np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()
    found = []
    for first, last in zip(firsts, [*firsts[1:], len(positions)], strict=True):
        corner = int(numbers[first]) * per_chunk
        wanted = positions[first:last]
        found.append(
            _Chunk(
                coordinates=(corner, *behind),
                inside=None if len(wanted) == per_chunk else wanted - corner,
                target=slice(first, last),
                frames=tuple(wanted.tolist()),
            )
        )
    return found


def _unpack_all(
    dataset: h5py.Dataset, chunks: list[_Chunk], decoder: Decoder, out: np.ndarray
) -> tuple[int, ...] | None:
    """Fill ``out`` and return the frames that could not be unpacked.

    ``None`` where a chunk was not written, or not by all filters: HDF5 must read.
    """
    waiting = iter(chunks)
    workers = min(_MOST_THREADS, _cores(), len(chunks))
    if workers < 2:
        parts = [_unpack(dataset, waiting, decoder, out)]
    else:
        with ThreadPoolExecutor(workers, thread_name_prefix="unpack") as pool:
            jobs = [pool.submit(_unpack, dataset, waiting, decoder, out) for _ in range(workers)]
            parts = [job.result() for job in jobs]
    if any(part is None for part in parts):
        return None
    return tuple(sorted(frame for part in parts if part is not None for frame in part))


def _unpack(
    dataset: h5py.Dataset, waiting: Iterator[_Chunk], decoder: Decoder, out: np.ndarray
) -> list[int] | None:
    """Unpack chunks until none is waiting; what is returned is as of :func:`_unpack_all`."""
    shape = (dataset.chunks[0], *dataset.shape[-2:])
    damaged: list[int] = []
    for chunk in waiting:
        target = out[chunk.target]
        whole = target if chunk.inside is None else np.empty(shape, out.dtype)
        # By its place in the index.  To ask for the offset in the file walks all chunks before
        # it: 3 ms a frame in the middle of 100 000.
        try:
            left_out, packed = dataset.id.read_direct_chunk(chunk.coordinates)
            if left_out:
                return None
            decoder(np.frombuffer(packed, np.uint8), whole.reshape(-1).view(np.uint8))
        except RuntimeError:  # no storage: never written
            return None
        except (OSError, DamagedChunkError):
            damaged += chunk.frames
            continue
        if chunk.inside is not None:
            target[:] = whole[chunk.inside]
    return damaged


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
