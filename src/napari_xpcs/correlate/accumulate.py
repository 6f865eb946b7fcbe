"""Adds the frames of a run, or of a part of it, to a state, block by block."""

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.array_engine import ArrayEngine
from napari_xpcs.correlate.engines import DenseEngine, NumbaEngine, plain, usable_cores
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.correlate.reading import FrameBlock, FrameReader, Frames
from napari_xpcs.correlate.run_state import RunPlan, RunState, largest_count
from napari_xpcs.correlate.run_sums import empty_sums, frame_weights
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.multitau_state import empty_state
from napari_xpcs.progress import Progress

WAIT_S = 0.1
"""While a compiler works, Cancel is looked for so often."""


class Accumulation:
    """A part of a run that is being added up; its state can be looked at after every block.

    Parameters
    ----------
    frames
        Counts (frame, row, col) of the whole run.
    pixels, plan
        What is used of them.  The states of neighbouring parts are joined with
        :func:`~napari_xpcs.correlate.run_state.merge`.
    begin, end
        Used frames; ``begin`` is a multiple of ``2**plan.alignment``.
    engine
        ``numba`` or ``array``.
    xp
        Backend of the array engine.
    block
        Frames in memory at once, rounded down to a power of two; no result depends on it.
    stops
        A power of two: a block ends after each so many frames, too.
    resumed
        What an earlier call had done of the same part when it was stopped after a block.
    skip_corrupt
        Leave out frames that cannot be read.
    threads
        By default one for each core that the process may use.
    """

    def __init__(
        self,
        frames: Frames,
        pixels: UsedPixels,
        plan: RunPlan,
        *,
        begin: int = 0,
        end: int | None = None,
        engine: str = "numba",
        xp: BackendProtocol | None = None,
        block: int = 256,
        stops: int | None = None,
        resumed: RunState | None = None,
        skip_corrupt: bool = False,
        threads: int | None = None,
    ) -> None:
        self._pixels = pixels
        self._plan = plan
        self._threads = threads or usable_cores()
        self._reader = FrameReader(
            frames, plan.selection, pixels.mask, skipped=plan.skipped, skip_corrupt=skip_corrupt
        )
        self._end = plan.frames if end is None else end
        # The array engine, too, gets blocks of one length all through the run.
        self._length = self._reader.block_length(min(block, stops or block))
        if engine == "array":
            self._length = min(self._length, 1 << plan.alignment)
        if resumed is None:
            largest = largest_count(np.dtype(frames.dtype), plan.selection.average)
            levels = empty_state(
                len(pixels.index),
                begin=begin,
                frames=self._end - begin,
                delays_per_level=plan.delays_per_level,
                alignment=plan.alignment,
                largest_count=np.inf if plan.normalize_frame else largest,
            )
            spans = max(plan.frames // plan.span, 1)
            sums = empty_sums(
                pixels, begin=begin, frames=self._end - begin, span=plan.span, spans=spans
            )
            resumed = RunState(levels=levels, sums=sums)
        self._reader.without_value |= resumed.sums.without_value
        self._sums = resumed.sums
        self._engine = _dense_engine(engine, resumed, pixels, self._length, xp, self._threads)
        self._seen = resumed.levels.frames
        self._ending = False

    @property
    def frames(self) -> int:
        """Used frames so far."""
        return self._seen

    @property
    def device(self) -> str:
        """Where it computes, in words."""
        return self._engine.device

    @property
    def corrupt(self) -> tuple[int, ...]:
        """Raw frames that could not be read so far."""
        return self._reader.corrupt

    def state(self) -> RunState:
        """Return what was added up so far; the next block changes the arrays."""
        self._sums.without_value[:] = self._reader.without_value
        return RunState(levels=self._engine.state(), sums=self._sums)

    def end_early(self) -> None:
        """Let :meth:`steps` end with what was added."""
        self._ending = True

    def close(self) -> None:
        """End the threads."""
        self._engine.close()

    def steps(self) -> Generator[Progress, None, None]:
        """Add the frames; a block ends where a yielded :class:`Progress` says."""
        total = self._end - self._sums.begin
        with ExitStack() as stack:
            pool = stack.enter_context(_Threads(self._threads))
            yield Progress(self._seen, total, "compiling")
            while_compiling = pool.submit(self._prepare)
            for _ in waiting(while_compiling):
                yield Progress(self._seen, total, "compiling")
            yield Progress(self._seen, total, "frames")
            first = self._sums.begin + self._seen
            blocks = stack.enter_context(
                closing(self._reader.summed(self._length, first, self._end))
            )
            for block in blocks:
                self._add(block, pool)
                del block  # its memory is used again
                yield Progress(self._seen, total, "frames")
                if self._ending:
                    return

    def _prepare(self) -> None:
        from napari_xpcs.correlate._numba_multitau import add_up, frame_counts

        empty = plain(np.zeros((0, 1, 1), self._reader.block_type))
        add_up(empty.reshape(0, 1), 0, 1, np.zeros(1))
        frame_counts(empty.reshape(0, 1), self._pixels.index, np.zeros(0))
        self._engine.prepare(empty.dtype, weighted=self._plan.normalize_frame)

    def _add(self, block: FrameBlock, pool: ThreadPoolExecutor) -> None:
        frames = plain(block.counts)
        flat = frames.reshape(len(frames), frames.shape[1] * frames.shape[2])
        counts = _frame_counts(flat, self._pixels, pool, self._threads)
        self._sums.add(
            self._pixels,
            block.begin,
            counts,
            block.raw_frames,
            lambda start, stop: _add_up(flat[start:stop], pool, self._threads),
        )
        weight = None
        if self._plan.normalize_frame:
            weight = frame_weights(counts, len(self._pixels.index))
        self._engine.add(frames, weight)
        self._seen += len(frames)


def waiting(job: Future[Any]) -> Iterator[None]:
    """Yield every now and then until ``job`` is done, then raise what it raised."""
    while True:
        try:
            job.result(timeout=WAIT_S)
        except TimeoutError:
            yield
        else:
            return


def _dense_engine(
    name: str,
    state: RunState,
    pixels: UsedPixels,
    length: int,
    xp: BackendProtocol | None,
    threads: int,
) -> DenseEngine:
    if name == "numba":
        return NumbaEngine(state.levels, pixels, threads=threads)
    if name == "array" and xp is not None:
        return ArrayEngine(state.levels, pixels, length, xp=xp)
    msg = f"Frames are correlated by the engines numba and array, got {name!r}."
    raise CorrelationError(msg)


class _Threads(ThreadPoolExecutor):
    """Threads that a job which is cancelled does not wait for."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="sums")

    def __exit__(self, *_: object) -> None:
        self.shutdown(wait=False, cancel_futures=True)


def _frame_counts(
    frames: Shaped[np.ndarray, "frame place"],
    pixels: UsedPixels,
    pool: ThreadPoolExecutor,
    threads: int,
) -> Float[np.ndarray, " frame"]:
    """Return the counts of the used pixels of every frame."""
    from napari_xpcs.correlate._numba_multitau import frame_counts

    counts = np.zeros(len(frames))
    length = -(-len(frames) // threads)
    starts = range(0, len(frames), length)
    list(
        pool.map(
            lambda start: frame_counts(
                frames[start : start + length], pixels.index, counts[start : start + length]
            ),
            starts,
        )
    )
    return counts


def _add_up(
    frames: Shaped[np.ndarray, "frame place"], pool: ThreadPoolExecutor, threads: int
) -> Float[np.ndarray, " place"]:
    """Return the sum over frames of every place."""
    from napari_xpcs.correlate._numba_multitau import add_up

    places = frames.shape[1]
    total = np.zeros(places)
    length = max(-(-places // (threads * 4096)), 1) * 4096
    list(
        pool.map(
            lambda start: add_up(frames, start, min(start + length, places), total),
            range(0, places, length),
        )
    )
    return total
