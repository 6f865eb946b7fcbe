"""Parts of a long run on their way to ages: added up on their own, and joined as neighbours.

A level of a part has the products of its sums with each other.  It keeps its first and its last
sums for those across the seam, and hands on the sums of the level above those that it has: where
a part has fewer sums than the longest lag, the whole run works them out.

Sums of float32 depend on the shape of the matrices that are multiplied.  These are cut alike,
block by block from the start of the run, however it is divided.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Int

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.checkpoint import Checkpoint
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.correlate.reading import FrameReader, Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.correlate.run_sums import RunSums, join_sums
from napari_xpcs.correlate.sorted_counts import SortedCounts, sort_by_bin
from napari_xpcs.correlate.twotime_run import sums_of_run
from napari_xpcs.kernels.multitau import multitau_lags
from napari_xpcs.kernels.multitau_twotime import BAND, AgeLevel, lagged_products
from napari_xpcs.progress import Progress, Steps

SHORTEST_PART = 1024
"""Used frames; parts are these times a power of two, and a block is not longer."""

Rows = Float32[np.ndarray, "row pixel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeRun:
    """What all parts of a run share; small, to be sent to other processes.

    Parameters
    ----------
    plan
        The used frames, and the delays per level.
    labels
        Bins to correlate.
    smoothing
        One of :data:`~napari_xpcs.kernels.twotime.SMOOTHINGS`.
    block
        Used frames that are multiplied at once, a power of two.
    levels
        How many levels a part has; the others belong to the whole run.
    """

    plan: RunPlan
    labels: tuple[int, ...]
    smoothing: str
    block: int
    levels: int

    @property
    def centre(self) -> float:
        """What is subtracted from the values before they are multiplied."""
        return 0.0 if self.smoothing == "none" else 1.0

    def lags(self) -> list[Int[np.ndarray, " lag"]]:
        """Return the lags of every level of the run."""
        delays = multitau_lags(self.plan.frames, self.plan.delays_per_level)
        return [delays.lag[delays.level == level] for level in range(int(delays.level[-1]) + 1)]

    def in_parts(self, length: int) -> "AgeRun":
        """Return the same for parts of ``length`` used frames, a power of two."""
        longest = 2 * self.plan.delays_per_level
        return replace(self, levels=min(self.levels, (length // longest).bit_length()))

    def group(self, level: int) -> int:
        """Return how many sums of a level are multiplied at once."""
        return max(self.block >> level, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AgePart:
    """Neighbouring frames of a run; plain arrays, to be pickled.

    Parameters
    ----------
    c2
        For each level (map, lag, row): of the sum of this row with that before it by the lag.
    first, last
        For each level and map the first sums, and the last ones.
    waiting
        For each level and map the sum that waits for another one, if there is one.
    above
        For each map the sums of the level above those of a part.
    sums
        For the averages.
    corrupt
        Raw frames that could not be read.
    """

    c2: list[Float32[np.ndarray, "map lag row"]]
    first: list[list[Rows]]
    last: list[list[Rows]]
    waiting: list[list[Rows]]
    above: list[Rows]
    sums: RunSums
    corrupt: tuple[int, ...]

    @classmethod
    def in_file(cls, checkpoint: Checkpoint) -> "AgePart | None":
        """Return what was saved of a part; ``None`` if it begins."""
        stored = checkpoint.load()
        if stored is None:
            return None
        sums, corrupt = RunSums(**stored["sums"]), tuple(stored["corrupt"].tolist())
        return cls(**{**stored, "sums": sums, "corrupt": corrupt})

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.c2[0].shape[-1])

    def __sizeof__(self) -> int:
        # What dask knows of its size: it moves small things and spills when memory is short.
        rows = [
            each for kept in (*self.first, *self.last, *self.waiting, self.above) for each in kept
        ]
        return sum(each.nbytes for each in (*self.c2, *rows, self.sums.total))


def part_of_ages(
    run: AgeRun,
    frames: Frames,
    pixels: UsedPixels,
    begin: int,
    end: int,
    *,
    skip_corrupt: bool,
    checkpoint: Checkpoint | None = None,
    xp: BackendProtocol,
) -> Steps[AgePart]:
    """Correlate the used frames ``begin`` to ``end`` with each other.

    With a ``checkpoint`` what is done is saved now and then, and when this generator is closed,
    and taken up again by the same call.
    """
    plan, labels = run.plan, list(run.labels)
    reader = FrameReader(
        frames, plan.selection, pixels.mask, skipped=plan.skipped, skip_corrupt=skip_corrupt
    )
    in_order = sort_by_bin(pixels)
    widths = [in_order.width(label) for label in labels]
    saved = None if checkpoint is None else AgePart.in_file(checkpoint)
    length = end - begin
    if saved is None:
        none, whole = np.zeros(length), sums_of_run(pixels, plan.frames)
        sums = replace(whole, begin=begin, counts=none, raw_frames=none.copy())
        done = 0
    else:
        sums, done = saved.sums, saved.frames
        reader.without_value |= sums.without_value
    adding = _Adding(run, widths, sums, reader, saved, xp=xp)
    counts = SortedCounts(
        pixels,
        in_order,
        labels,
        run.smoothing,
        frames=run.block,
        dtype=reader.block_type,
    )
    yield Progress(done, length, "frames")
    with closing(counts), closing(reader.summed(run.block, begin + done, end)) as blocks:
        for block in blocks:
            count, done = len(block.counts), block.begin + len(block.counts) - begin
            counts.begin = block.begin
            counts.add(block, sums)
            del block  # its memory is used again
            bins = adding.bins(counts, count)
            try:
                for _ in bins:
                    yield Progress(done, length, "frames")
            except GeneratorExit:
                if checkpoint is not None:
                    for _ in bins:
                        pass
                    checkpoint.save(adding.part())
                raise
            if checkpoint is not None:
                checkpoint.save_in_time(adding.part)
    return adding.part()


class _Adding:
    """A part that is being added up, block by block."""

    def __init__(
        self,
        run: AgeRun,
        widths: list[int],
        sums: RunSums,
        reader: FrameReader,
        saved: AgePart | None,
        *,
        xp: BackendProtocol,
    ) -> None:
        self._run = run
        self._sums = sums
        self._reader = reader
        self._corrupt = () if saved is None else saved.corrupt
        self._above = [[] if saved is None else [saved.above[at]] for at in range(len(widths))]
        self._lines = [
            [_Line(run, level, lags, width, xp=xp) for width in widths]
            for level, lags in enumerate(run.lags()[: run.levels])
        ]
        if saved is not None:
            for level, of_bins in enumerate(self._lines):
                for position, line in enumerate(of_bins):
                    line.take_up(saved, level, position)

    def bins(self, counts: SortedCounts, count: int) -> Iterator[None]:
        """Add ``count`` frames, bin by bin; the part is whole when all bins are done."""
        for position, above in enumerate(self._above):
            every = slice(0, self._lines[0][position].pixels)
            values = counts.values(position, slice(0, self._run.block), every, self._run.centre)
            fresh = values[:count].copy()
            for of_bins in self._lines:
                fresh = of_bins[position].add(fresh)
            above.append(fresh)
            yield

    def part(self) -> AgePart:
        """Return what was added up so far; the next block changes the sums."""
        self._sums.without_value[:] = self._reader.without_value
        return AgePart(
            c2=[np.stack([line.c2() for line in of_bins]) for of_bins in self._lines],
            first=[[line.first for line in of_bins] for of_bins in self._lines],
            last=[[line.last for line in of_bins] for of_bins in self._lines],
            waiting=[[line.waiting for line in of_bins] for of_bins in self._lines],
            above=[np.concatenate(rows) for rows in self._above],
            sums=self._sums,
            corrupt=self._corrupt + self._reader.corrupt,
        )


def join_ages(run: AgeRun, earlier: AgePart, later: AgePart, *, xp: BackendProtocol) -> AgePart:
    """Return two parts of which the second starts where the first ends; neither is changed."""
    c2 = []
    for level, lags in enumerate(run.lags()[: run.levels]):
        joined = np.concatenate([earlier.c2[level], later.c2[level]], axis=-1)
        seam = earlier.c2[level].shape[-1]
        for position, head in enumerate(later.first[level]):
            line = _Line(run, level, lags, head.shape[1], xp=xp)
            line.go_on_from(earlier.last[level][position], seam)
            for start in range(0, len(head), run.group(level)):
                line.add(head[start : start + run.group(level)])
            joined[position, :, seam : seam + len(head)] = line.c2()
        c2.append(joined)
    return AgePart(
        c2=c2,
        first=earlier.first,
        last=later.last,
        waiting=later.waiting,
        above=[np.concatenate(pair) for pair in zip(earlier.above, later.above, strict=True)],
        sums=join_sums(earlier.sums, later.sums),
        corrupt=earlier.corrupt + later.corrupt,
    )


def levels_of_ages(run: AgeRun, whole: AgePart, *, xp: BackendProtocol) -> tuple[AgeLevel, ...]:
    """Return C2 of every level of a run, the upper ones worked out here."""
    lags = run.lags()
    c2 = list(whole.c2)
    upper = []
    for rows in whole.above:
        lines = [
            _Line(run, level, lags[level], rows.shape[1], xp=xp)
            for level in range(run.levels, len(lags))
        ]
        group = run.group(run.levels)
        for start in range(0, len(rows), group):
            fresh = rows[start : start + group]
            for line in lines:
                fresh = line.add(fresh)
        upper.append(lines)
    c2 += [
        np.stack([lines[level].c2() for lines in upper]) for level in range(len(lags) - run.levels)
    ]
    for of_level, values in zip(lags, c2, strict=True):
        # Until here an entry stood at the later of its two sums.
        for row, lag in enumerate(of_level):
            values[:, row] = np.roll(values[:, row], -int(lag), axis=-1)
    return tuple(
        AgeLevel(frames_per_sum=1 << level, lags=of_level, c2=values)
        for level, (of_level, values) in enumerate(zip(lags, c2, strict=True))
    )


class _Line:
    """The sums of one level of one bin, and their C2."""

    def __init__(
        self,
        run: AgeRun,
        level: int,
        lags: Int[np.ndarray, " lag"],
        pixels: int,
        *,
        xp: BackendProtocol,
    ) -> None:
        self._lags = lags
        self._centre = run.centre * (1 << level)
        self._history = int(lags[-1])
        group = run.group(level)
        self._first_sums = BAND if group >= BAND else -(-self._history // group) * group
        self.first: Rows = np.zeros((0, pixels), np.float32)
        self.last: Rows = np.zeros((self._history, pixels), np.float32)
        self.waiting: Rows = np.zeros((0, pixels), np.float32)
        self._totals = np.zeros(self._history)
        self._c2: list[Float32[np.ndarray, "lag row"]] = []
        self._xp = xp

    def c2(self) -> Float32[np.ndarray, "lag row"]:
        """Return C2 of every sum with those before it, NaN where there is none."""
        none = np.zeros((len(self._lags), 0), np.float32)
        return np.concatenate([none, *self._c2], axis=1)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.last.shape[1])

    def go_on_from(self, last: Rows, seen: int) -> None:
        """Take the last sums of those before as known, of which ``seen`` there were in all."""
        self.last = last
        self._totals = self._totals_of(last)
        self._totals[: max(self._history - seen, 0)] = 0.0

    def take_up(self, saved: AgePart, level: int, position: int) -> None:
        """Go on where a part was saved."""
        self._c2 = [saved.c2[level][position]]
        self.first = saved.first[level][position]
        self.waiting = saved.waiting[level][position]
        self.go_on_from(saved.last[level][position], self._c2[0].shape[-1])

    def add(self, fresh: Rows) -> Rows:
        """Correlate further sums with those before them; return what the next level gets."""
        if len(fresh):
            wanted = max(self._first_sums - len(self.first), 0)
            if wanted:
                self.first = np.concatenate([self.first, fresh[:wanted]])
            rows = np.concatenate([self.last, fresh])
            self._correlate(rows)
            self.last = rows[len(fresh) :].copy()
        pairs = np.concatenate([self.waiting, fresh])
        whole = len(pairs) // 2 * 2
        self.waiting = pairs[whole:].copy()
        joined: np.ndarray = pairs[0:whole:2] + pairs[1:whole:2]
        return joined

    def _totals_of(self, rows: Rows) -> Float[np.ndarray, " row"]:
        totals: np.ndarray = rows.sum(axis=1, dtype=np.float64) + self._centre * rows.shape[1]
        return totals

    def _correlate(self, rows: Rows) -> None:
        xp, lags, pixels = self._xp, self._lags, rows.shape[1]
        totals = np.concatenate([self._totals, self._totals_of(rows[self._history :])])
        found = lagged_products(xp.asarray(rows), lags, self._history, xp=xp)
        products = xp.to_numpy(found).astype(np.float64)
        later = np.arange(self._history, len(rows))
        earlier = totals[later - lags[:, None]]
        # Sum of (x - m)(y - m) = sum of xy - m (sum of x + sum of y) + m^2 pixels.
        products += self._centre * (totals[later] + earlier) - self._centre**2 * pixels
        # Sums that are not there count nothing.
        c2 = _ratio(pixels * products, totals[later] * earlier)
        self._c2.append(c2.astype(np.float32))
        self._totals = totals[len(rows) - self._history :]


def _ratio(
    numerator: Float[np.ndarray, "lag sum"], denominator: Float[np.ndarray, "lag sum"]
) -> Float[np.ndarray, "lag sum"]:
    there = denominator > 0.0
    return np.where(there, numerator / np.where(there, denominator, 1.0), np.nan)
