"""Bins along one axis of a partition: where the edges lie.

The default rules are those of the common mask editor of the field, followed exactly so
that partitions agree label for label: the range is that of the unmasked pixels, values
and edges are compared after rounding to 12 decimals, a bin holds its lower edge, the
largest value belongs to the last bin, and what rounding leaves over to the first.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.axis_request import GRAIN, AxisRequest, Spacing
from napari_xpcs.kernels.padding import padded_length
from napari_xpcs.kernels.row_blocks import over_rows
from napari_xpcs.kernels.segment_lookup import SegmentLookup


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


def axis_bins(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    request: AxisRequest,
    *,
    xp: BackendProtocol,
) -> AxisBins:
    """Return the static bins of ``request`` over the ``used`` pixels of ``values``.

    ``values`` and ``used`` come from :func:`~napari_xpcs.kernels.axis_request.place`; at least
    one pixel must be used.
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
