"""Bins along one axis of a partition: where the edges lie, and the bin of every pixel.

The default rules are those of the common mask editor of the field, followed exactly so
that partitions agree label for label: the range is that of the unmasked pixels, values
and edges are compared after rounding to 12 decimals, a bin holds its lower edge, the
largest value belongs to the last bin, and what rounding leaves over to the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs._typing import Array, ScalarLike
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.row_blocks import over_rows

GRAIN = 1e12
"""Values are compared after rounding to 1/GRAIN, 12 decimals, as whole numbers of grains.

They are never divided back: compiled code may divide by multiplying with the reciprocal, and
then two equal values compare as different.
"""

AXIS_UNITS: dict[str, str] = {
    "q": "Å⁻¹",
    "phi": "deg",
    "x": "pixel",
    "y": "pixel",
    "qx": "Å⁻¹",
    "qy": "Å⁻¹",
    "tth": "deg",
    "qz": "Å⁻¹",
    "qr": "Å⁻¹",
    "eq": "1",
    "ephi": "deg",
}
"""The maps that bins can be made of: x counts columns, y rows, tth is the scattering angle.

eq is the radius relative to an ellipse, 1 on it, and ephi the angle from its first axis.
"""

Spacing: TypeAlias = Literal["linear", "log"]
Intervals: TypeAlias = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisRequest:
    """What bins are wanted along one axis.

    ``intervals`` are explicit dynamic bins and win over ``limits``, the range that equal
    steps are made over; with neither the range is that of the data.
    """

    name: str
    dynamic: int
    static: int
    spacing: Spacing = "linear"
    equal_count: bool = False
    limits: tuple[float, float] | None = None
    intervals: Intervals | None = None
    offset_deg: float | None = None
    fold: int = 1

    @property
    def period(self) -> float | None:
        """Period of the axis, degrees; ``None`` for all axes but phi."""
        return 360.0 / self.fold if self.name == "phi" else None

    @property
    def span(self) -> tuple[float, float] | None:
        """First and last value that is asked for, ``None`` where the data decide."""
        if self.intervals is not None:
            return self.intervals[0][0], self.intervals[-1][1]
        if self.limits is None or self.period is None:
            return self.limits
        # (150, -150) runs through 180 degrees: the sector is counted from its start.
        start, stop = self.limits
        return start, stop if stop > start else start + (stop - start) % self.period


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AxisBins:
    """Static bins along one axis, in the coordinate that pixels are compared in.

    ``lower`` and ``upper`` are the edges of each static bin and ``parts`` static bins make
    one dynamic bin.  ``top`` is the one value above the last edge, as far as rounding goes,
    that belongs to the last bin; ``None`` where all of them do.
    """

    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]
    parts: int
    top: float | None
    spacing: Spacing

    def __len__(self) -> int:
        return len(self.lower)

    def edges(self, parts: int = 1) -> np.ndarray:
        """Return the edges of groups of ``parts`` bins: (n + 1,), or (n, 2) if there are gaps."""
        lower, upper = self.lower[::parts], self.upper[parts - 1 :: parts]
        if np.array_equal(lower[1:], upper[:-1]):
            return np.append(lower, upper[-1])
        return np.stack([lower, upper], axis=1)

    def centers(self, parts: int = 1) -> Float[np.ndarray, " n"]:
        """Return the centres of groups of ``parts`` bins: arithmetic mean, geometric for log."""
        lower, upper = self.lower[::parts], self.upper[parts - 1 :: parts]
        log = self.spacing == "log"
        centers: np.ndarray = np.sqrt(lower * upper) if log else (lower + upper) / 2
        return centers

    def lookup(self) -> "SegmentLookup":
        """Return what a kernel needs to find the bin of a value without a search."""
        ends_run = np.append(self.upper[:-1] != self.lower[1:], True)
        lower, run_ends = np.round(self.lower * GRAIN), np.round(self.upper[ends_run] * GRAIN)
        edges = np.unique(np.append(lower, run_ends))
        numbers = np.searchsorted(lower, edges, side="right")
        # The piece after an upper edge that no bin starts at is a gap.
        numbers[np.isin(edges, run_ends)] = 0
        # Below the first and above the last edge there is nothing but what rounding put there.
        above = len(self) if self.top is None else 1
        numbers = np.concatenate([[1], numbers[:-1], [above, len(self)]])

        size = padded_length(len(edges))
        cells = 16 * size
        scale = cells / max(edges[-1] - edges[0], 1.0)
        # A value may be put into the cell beside its own: a hundredth of a cell allows for it.
        starts = edges[0] + (np.arange(cells) - 0.01) / scale
        first = np.searchsorted(edges, starts, side="right")
        last = np.searchsorted(edges, starts + 1.02 / scale, side="right")
        padded = np.full(size, np.inf)
        padded[: len(edges)] = edges
        return SegmentLookup(
            edges=padded,
            numbers=np.pad(numbers, (0, size - len(edges))).astype(np.int32),
            first=first.astype(np.int32),
            scale=float(scale),
            top=np.inf if self.top is None else self.top,
            steps=int((last - first).max()),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentLookup:
    """Tables of one axis: ``edges`` in grains, and the bin ``numbers`` of the segments between.

    Segment 0 lies before the first edge.  A value falls into one of many equal cells;
    ``first`` holds the first segment that meets a cell, and ``steps`` edges at most lie in
    one.  The arrays are padded, so that a compiled kernel serves many numbers of bins.
    Pixels of the value ``top`` belong to the segment after the last.
    """

    edges: Float[np.ndarray, " edge"]
    numbers: Int[np.ndarray, " segment"]
    first: Int[np.ndarray, " cell"]
    scale: float
    top: float
    steps: int

    def arrays(self, *, xp: BackendProtocol) -> dict[str, Array]:
        """Return the tables and numbers that are traced, by name, on the backend."""
        return {
            "edges": xp.asarray(self.edges),
            "numbers": xp.asarray(self.numbers),
            "first": xp.asarray(self.first),
            "scale": self.scale,
            "top": self.top,
        }


def padded_length(length: int) -> int:
    """Return the length that an array of ``length`` is padded to for a compiled kernel."""
    return max(16, 1 << (length - 1).bit_length())


def place(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    request: AxisRequest,
    *,
    xp: BackendProtocol,
) -> tuple[Float[Array, "row col"], Bool[Array, "row col"]]:
    """Return the coordinate that ``request`` bins along, and which pixels lie in its range.

    phi is turned by the offset, then folded; with a range or explicit edges it is counted
    from the first edge on, so that a range may cross 180 degrees.
    """
    if request.offset_deg is None and request.span is None and request.fold == 1:
        return values, used
    compiled = xp.jit(_placed, static_argnames=("period", "fold", "xp"))

    def work(rows: slice) -> tuple[dict[str, Array], None]:
        made = compiled(
            values[rows],
            used[rows],
            request.offset_deg,
            request.span,
            period=request.period,
            fold=request.fold,
            xp=xp,
        )
        return made, None

    made, _ = over_rows(work, values.shape, xp=xp)
    return made.get("values", values), made.get("used", used)


def _placed(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    offset_deg: ScalarLike | None,
    span: tuple[ScalarLike, ScalarLike] | None,
    *,
    period: float | None,
    fold: int,
    xp: BackendProtocol,
) -> dict[str, Array]:
    """Return ``values`` and ``used`` as far as they change."""
    made = {}
    if offset_deg is not None:
        made["values"] = values = turned(values, offset_deg, xp=xp)
    if span is None:
        if fold > 1:
            made["values"] = xp.mod(values + 180.0, period)
        return made
    start, stop = span
    if period is not None:
        # Rounded before the wrap: a hair below the start is the start, not a turn later.
        values = start + xp.mod(xp.round((values - start) * GRAIN), period * GRAIN) / GRAIN
        made["values"] = values
    grains = xp.round(values * GRAIN)
    first, last = (xp.round(xp.asarray(edge) * GRAIN) for edge in (start, stop))
    made["used"] = used & (grains >= first) & (grains <= last)
    return made


def turned(
    phi_deg: Float[Array, "row col"], offset_deg: ScalarLike, *, xp: BackendProtocol
) -> Float[Array, "row col"]:
    """Return ``phi_deg + offset_deg`` in [-180, 180] degrees."""
    angle = xp.deg2rad(phi_deg + offset_deg)
    return xp.rad2deg(xp.arctan2(xp.sin(angle), xp.cos(angle)))


def axis_bins(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    request: AxisRequest,
    *,
    xp: BackendProtocol,
) -> AxisBins:
    """Return the static bins of ``request`` over the ``used`` pixels of ``values``.

    ``values`` and ``used`` come from :func:`place`; at least one pixel must be used.
    """
    parts = request.static // request.dynamic
    spacing: Spacing = request.spacing
    if request.intervals is not None:
        edges = [_steps(low, high, parts, spacing) for low, high in request.intervals]
        lower = np.concatenate([piece[:-1] for piece in edges])
        upper = np.concatenate([piece[1:] for piece in edges])
        return AxisBins(lower=lower, upper=upper, parts=parts, top=None, spacing=spacing)
    if request.equal_count:
        steps = _equal_counts(values, used, request.static, xp=xp)
        if request.span is not None:
            steps[0], steps[-1] = request.span
        spacing = "linear"
    elif request.span is not None:
        steps = _steps(*request.span, request.static, spacing)
    else:
        positive = spacing == "log"
        low, high = extent(values, used, positive=positive, xp=xp)
        if low > high:
            msg = f"Log bins along {request.name} need a positive value, and no pixel has one."
            raise PartitionError(msg)
        steps = _steps(low, high, request.static, spacing)
        return AxisBins(lower=steps[:-1], upper=steps[1:], parts=parts, top=high, spacing=spacing)
    return AxisBins(lower=steps[:-1], upper=steps[1:], parts=parts, top=None, spacing=spacing)


def _steps(low: float, high: float, count: int, spacing: Spacing) -> Float[np.ndarray, " edge"]:
    if spacing == "linear":
        return np.linspace(low, high, count + 1)
    steps = np.logspace(np.log10(low), np.log10(high), count + 1)
    steps[0], steps[-1] = low, high
    return steps


def _equal_counts(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    count: int,
    *,
    xp: BackendProtocol,
) -> Float[np.ndarray, " edge"]:
    compiled = xp.jit(_sorted, static_argnames=("xp",))
    ordered, pixels = (ensure_numpy(result) for result in compiled(values, used, xp=xp))
    last = int(pixels) - 1
    positions = np.minimum(np.arange(count + 1) * int(pixels) // count, last)
    return ordered[positions]


def _sorted(
    values: Float[Array, "row col"], used: Bool[Array, "row col"], *, xp: BackendProtocol
) -> tuple[Float[Array, " pixel"], Int[Array, ""]]:
    return xp.sort(xp.ravel(xp.where(used, values, xp.inf))), xp.sum(used)


def extent(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    *,
    positive: bool = False,
    xp: BackendProtocol,
) -> tuple[float, float]:
    """Return the smallest (above 0 if ``positive``) and largest value of the ``used`` pixels.

    (inf, -inf) where no pixel is used.
    """
    compiled = xp.jit(_extent, static_argnames=("positive", "xp"))

    def work(rows: slice) -> tuple[dict[str, Array], tuple[Array, Array]]:
        return {}, compiled(values[rows], used[rows], positive=positive, xp=xp)

    _, extents = over_rows(work, values.shape, xp=xp)
    return min(float(low) for low, _ in extents), max(float(high) for _, high in extents)


def _extent(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    *,
    positive: bool,
    xp: BackendProtocol,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    if positive:
        used = used & (values > 0)
    # The value of one used pixel stands for all that are not: one pass serves both ends.
    one = xp.take(xp.ravel(values), xp.argmax(xp.ravel(used)))
    eligible = xp.where(used, values, one)
    some = xp.any(used)
    return xp.where(some, xp.min(eligible), xp.inf), xp.where(some, xp.max(eligible), -xp.inf)


def bin_axis(
    values: Float[Array, "row col"],
    tables: Mapping[str, Array],
    *,
    steps: int,
    xp: BackendProtocol,
) -> Int[Array, "row col"]:
    """Return the bin of every pixel, 0 in a gap between bins; used or not.

    The same answer as a binary search over the edges, at a tenth of its time on JAX.

    Parameters
    ----------
    values
        Coordinate from :func:`place`.
    tables, steps
        From :class:`SegmentLookup`.
    """
    edges = tables["edges"]
    grains = xp.round(values * GRAIN)
    cell = xp.clip((grains - edges[0]) * tables["scale"], 0, tables["first"].shape[0] - 1)
    segment = xp.take(tables["first"], xp.astype(cell, xp.int32))
    for _ in range(steps):
        segment = segment + (grains >= xp.take(edges, segment))
    return xp.take(tables["numbers"], segment + (values == tables["top"]))


def fold_centers(
    phi_deg: Float[Array, "row col"],
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    bins: AxisBins,
    request: AxisRequest,
    groups: tuple[int, ...],
    *,
    xp: BackendProtocol,
) -> tuple[Float[np.ndarray, " n"], ...]:
    """Return the centres of folded phi bins: the mean phi of their pixels in the first fold.

    The first fold is [0, 360/fold) degrees after the offset; a bin without pixels there
    takes the mean over all folds, one without any pixel 0.  The mean is over phi before
    the offset; ``values`` is what :func:`place` made of it.  One array for each number in
    ``groups``, of bins taken together.
    """
    lookup = bins.lookup()
    tables = lookup.arrays(xp=xp)
    compiled = xp.jit(_fold_sums, static_argnames=("steps", "period", "length", "xp"))

    def work(rows: slice) -> tuple[dict[str, Array], tuple[Array, ...]]:
        sums = compiled(
            phi_deg[rows],
            values[rows],
            used[rows],
            tables,
            request.offset_deg,
            steps=lookup.steps,
            period=request.period,
            length=padded_length(len(bins) + 1),
            xp=xp,
        )
        return {}, sums

    _, blocks = over_rows(work, values.shape, xp=xp)
    sums = [
        np.sum([ensure_numpy(part)[1 : len(bins) + 1] for part in parts], axis=0)
        for parts in zip(*blocks, strict=True)
    ]

    def centers(group: int) -> Float[np.ndarray, " n"]:
        counts_first, phi_first, counts_all, phi_all = (
            total.reshape(-1, group).sum(axis=1) for total in sums
        )
        first = counts_first > 0
        counts = np.where(first, counts_first, counts_all)
        means: np.ndarray = np.where(first, phi_first, phi_all) / np.maximum(counts, 1)
        return means

    return tuple(centers(group) for group in groups)


def _fold_sums(
    phi_deg: Float[Array, "row col"],
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    tables: Mapping[str, Array],
    offset_deg: ScalarLike | None,
    *,
    steps: int,
    period: float,
    length: int,
    xp: BackendProtocol,
) -> tuple[Array, Array, Array, Array]:
    shifted = phi_deg if offset_deg is None else turned(phi_deg, offset_deg, xp=xp)
    number = xp.ravel(xp.where(used, bin_axis(values, tables, steps=steps, xp=xp), 0))
    first = xp.where(xp.ravel((shifted >= 0) & (shifted < period)), number, 0)
    phi = xp.ravel(phi_deg)
    return (
        xp.bincount(first, length=length),
        xp.bincount(first, weights=phi, length=length),
        xp.bincount(number, length=length),
        xp.bincount(number, weights=phi, length=length),
    )
