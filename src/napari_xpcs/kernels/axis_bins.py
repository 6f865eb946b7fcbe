"""Bins along one axis of a partition: where the edges lie, and the bin of every pixel.

The default rules are those of the common mask editor of the field, followed exactly so
that partitions agree label for label: the range is that of the unmasked pixels, values
and edges are compared after rounding to 12 decimals, a bin holds its lower edge, the
largest value belongs to the last bin, and what rounding leaves over to the first.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs._typing import Array, ScalarLike
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.errors import PartitionError

DECIMALS = 12
"""Values closer than this many decimals count as equal when they are sorted into bins."""

AXIS_UNITS: dict[str, str] = {
    "q": "Å⁻¹",
    "phi": "deg",
    "x": "pixel",
    "y": "pixel",
    "qx": "Å⁻¹",
    "qy": "Å⁻¹",
    "tth": "deg",
}
"""The maps that bins can be made of: x counts columns, y rows, tth is the scattering angle."""

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
    one dynamic bin.  ``top`` is the value that still belongs to the last bin.
    """

    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]
    parts: int
    top: float
    spacing: Spacing

    def __len__(self) -> int:
        return len(self.lower)

    def edges(self, parts: int = 1) -> np.ndarray:
        """Return the edges of groups of ``parts`` bins: (n + 1,), or (n, 2) where bins have gaps."""
        lower, upper = self.lower[::parts], self.upper[parts - 1 :: parts]
        if np.array_equal(lower[1:], upper[:-1]):
            return np.append(lower, upper[-1])
        return np.stack([lower, upper], axis=1)

    def centers(self, parts: int = 1) -> Float[np.ndarray, " n"]:
        """Return the centres of groups of ``parts`` bins: arithmetic mean, geometric for log."""
        lower, upper = self.lower[::parts], self.upper[parts - 1 :: parts]
        return np.sqrt(lower * upper) if self.spacing == "log" else (lower + upper) / 2

    def segments(self) -> tuple[Float[np.ndarray, " edge"], Int[np.ndarray, " segment"]]:
        """Return all edges in order, padded, and the bin of each segment between them.

        Segment 0 lies before the first edge.  Both arrays are padded to a power of two, so
        that a compiled kernel serves many numbers of bins.
        """
        starts_gap = np.append(self.upper[:-1] != self.lower[1:], True)
        edges = np.sort(np.concatenate([self.lower, self.upper[starts_gap]]))
        numbers = np.searchsorted(self.lower, edges, side="right")
        # The piece after an upper edge that no bin starts at is a gap.
        numbers[np.isin(edges, self.upper[starts_gap])] = 0
        # Values outside by rounding only: everything else outside is not used at all.
        numbers = np.concatenate([[1], numbers[:-1], [1]])
        size = padded_length(len(edges))
        padded = np.full(size, np.inf)
        padded[: len(edges)] = np.round(edges, DECIMALS)
        numbers = np.pad(numbers, (0, size + 1 - len(numbers)), constant_values=1)
        return padded, numbers.astype(np.int32)


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
    if request.offset_deg is not None:
        values = xp.jit(turned, static_argnames=("xp",))(values, request.offset_deg, xp=xp)
    if request.span is not None:
        start, stop = request.span
        compiled = xp.jit(_inside, static_argnames=("period", "xp"))
        return compiled(values, used, start, stop, period=request.period, xp=xp)
    if request.fold > 1:
        return xp.mod(values + 180.0, request.period), used
    return values, used


def turned(
    phi_deg: Float[Array, "row col"], offset_deg: ScalarLike, *, xp: BackendProtocol
) -> Float[Array, "row col"]:
    """Return ``phi_deg + offset_deg`` in [-180, 180] degrees."""
    angle = xp.deg2rad(phi_deg + offset_deg)
    return xp.rad2deg(xp.arctan2(xp.sin(angle), xp.cos(angle)))


def _inside(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    start: ScalarLike,
    stop: ScalarLike,
    *,
    period: float | None,
    xp: BackendProtocol,
) -> tuple[Float[Array, "row col"], Bool[Array, "row col"]]:
    if period is not None:
        # Rounded before the wrap: a hair below the start is the start, not a turn later.
        values = start + xp.mod(xp.round(values - start, DECIMALS), period)
    values = xp.round(values, DECIMALS)
    first, last = xp.round(xp.asarray(start), DECIMALS), xp.round(xp.asarray(stop), DECIMALS)
    return values, used & (values >= first) & (values <= last)


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
        top = float(np.round(upper[-1], DECIMALS))
        return AxisBins(lower=lower, upper=upper, parts=parts, top=top, spacing=spacing)
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
    top = float(np.round(steps[-1], DECIMALS))
    return AxisBins(lower=steps[:-1], upper=steps[1:], parts=parts, top=top, spacing=spacing)


def _steps(low: float, high: float, count: int, spacing: Spacing) -> Float[np.ndarray, " edge"]:
    if spacing == "log":
        return np.logspace(np.log10(low), np.log10(high), count + 1)
    return np.linspace(low, high, count + 1)


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
    rounded = xp.round(xp.where(used, values, xp.inf), DECIMALS)
    return xp.sort(xp.ravel(rounded)), xp.sum(used)


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
    low, high = compiled(values, used, positive=positive, xp=xp)
    return float(low), float(high)


def _extent(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    *,
    positive: bool,
    xp: BackendProtocol,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    eligible = used & (values > 0) if positive else used
    low = xp.min(xp.where(eligible, values, xp.inf))
    return low, xp.max(xp.where(used, values, -xp.inf))


def bin_axis(
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    edges: Float[Array, " edge"],
    numbers: Int[Array, " segment"],
    top: ScalarLike,
    last: Int[Array, ""] | int,
    *,
    xp: BackendProtocol,
) -> Int[Array, "row col"]:
    """Return the bin 1..``last`` of every pixel, 0 where it is not used or lies in a gap.

    Parameters
    ----------
    values, used
        From :func:`place`.
    edges, numbers
        From :meth:`AxisBins.segments`.
    top
        Pixels of exactly this value belong to bin ``last``.
    """
    segment = xp.digitize(xp.round(values, DECIMALS), edges)
    inside = xp.where(values == top, last, xp.take(numbers, segment))
    return xp.where(used, inside, 0)


def fold_centers(
    phi_deg: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    bins: AxisBins,
    request: AxisRequest,
    parts: int,
    *,
    xp: BackendProtocol,
) -> Float[np.ndarray, " n"]:
    """Return the centres of folded phi bins: the mean phi of their pixels in the first fold.

    The first fold is [0, 360/fold) degrees after the offset; a bin without pixels there
    takes the mean over all folds, one without any pixel 0.  The mean is over phi before
    the offset.
    """
    edges, numbers = bins.segments()
    compiled = xp.jit(_fold_sums, static_argnames=("period", "length", "xp"))
    sums = compiled(
        phi_deg,
        used,
        xp.asarray(edges),
        xp.asarray(numbers),
        bins.top,
        len(bins),
        request.offset_deg,
        period=request.period,
        length=len(edges) + 1,
        xp=xp,
    )
    counts_first, phi_first, counts_all, phi_all = (
        ensure_numpy(values)[1 : len(bins) + 1].reshape(-1, parts).sum(axis=1) for values in sums
    )
    first = counts_first > 0
    counts = np.where(first, counts_first, counts_all)
    return np.where(first, phi_first, phi_all) / np.maximum(counts, 1)


def _fold_sums(
    phi_deg: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    edges: Float[Array, " edge"],
    numbers: Int[Array, " segment"],
    top: ScalarLike,
    last: Int[Array, ""] | int,
    offset_deg: ScalarLike | None,
    *,
    period: float,
    length: int,
    xp: BackendProtocol,
) -> tuple[Array, Array, Array, Array]:
    shifted = phi_deg if offset_deg is None else turned(phi_deg, offset_deg, xp=xp)
    folded = xp.mod(shifted + 180.0, period)
    number = xp.ravel(bin_axis(folded, used, edges, numbers, top, last, xp=xp))
    first = xp.where(xp.ravel((shifted >= 0) & (shifted < period)), number, 0)
    phi = xp.ravel(phi_deg)
    return (
        xp.bincount(first, length=length),
        xp.bincount(first, weights=phi, length=length),
        xp.bincount(number, length=length),
        xp.bincount(number, weights=phi, length=length),
    )
