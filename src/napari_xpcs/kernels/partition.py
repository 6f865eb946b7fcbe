"""Bins over the detector: dynamic bins that g2 is computed for, static bins that refine them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs._typing import Array, LabelImage, Mask
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.axis_bins import (
    AXIS_UNITS,
    AxisBins,
    AxisRequest,
    Intervals,
    Spacing,
    axis_bins,
    extent,
    fold_centers,
    place,
)
from napari_xpcs.kernels.bin_labels import LabelTable, labels_of, number_pixels
from napari_xpcs.kernels.curves import BinTable
from napari_xpcs.kernels.ellipse import (
    EllipseShape,
    check_ellipse,
    ellipse_axis,
    ellipse_of_mask,
)
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask import check_mask_shape
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.qmap import QMaps, map_fields
from napari_xpcs.kernels.regions import Region, RegionBins
from napari_xpcs.units import LARGEST

_MAP_FIELDS = {
    "q": "q",
    "phi": "phi_deg",
    "tth": "two_theta_deg",
    "qx": "qx",
    "qy": "qy",
    "qz": "qz",
    "qr": "qr",
}
"""The field of :class:`~napari_xpcs.kernels.qmap.QMaps` that an axis is."""

MOST_BINS = 1_000_000
MOST_FOLDS = 360


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpec:
    """What bins are wanted; the options of ``napari-xpcs qmap``.

    Options named q belong to the first axis of ``mode`` and options named phi to the
    second, whatever these axes are called, in the unit of the axis: 1/angstrom, degrees,
    pixels.

    Parameters
    ----------
    dq, dp
        Numbers of dynamic bins along the first and second axis.
    sq, sp
        Numbers of static bins; raised to the next multiple of ``dq``, ``dp``.
    mode
        Two of q, phi, x (column), y (row), qx, qy, qz, qr (grazing incidence only), tth
        (scattering angle), eq, ephi (radius relative to an ellipse, and angle in its frame),
        joined by "-".
    spacing, spacing_phi
        Equal steps or equal ratios along each axis.  Ratios over the range of the data are
        made along q only; other axes need a range for them.
    edges
        "data": equal steps from the smallest to the largest unmasked value;
        "equal-count": about equally many pixels in each bin of an axis.
    q_range, phi_range_deg
        Pixels outside are left out.  (150, -150) along phi is the sector through 180.
    edges_q, edges_phi
        Dynamic bins themselves: increasing edges, or (low, high) pairs with gaps between.
        They replace ``dq`` or ``dp``; static bins divide each of them evenly.
    phi_offset_deg
        Added to phi before anything else; ranges and edges along phi count it in.
    phi_fold
        Fold of the symmetry: phi and phi + 360/fold fall into the same bin.
    min_pixels
        Bins of fewer pixels are left out: static ones first, then dynamic ones of what
        remains.  Labels stay without holes.
    ellipse
        The ellipse of the axes eq and ephi: row and column of its centre, its two half axes
        in pixels, and the angle of the first from +column towards larger rows, degrees.
        ``None``: the ellipse with the second moments of the mask.
    q_convention
        As in :func:`napari_xpcs.kernels.qmap.q_maps`.

    Raises
    ------
    PartitionError
        An option is impossible or contradicts another.
    """

    dq: int = 36
    sq: int = 360
    dp: int = 1
    sp: int = 1
    mode: str = "q-phi"
    spacing: Spacing = "linear"
    spacing_phi: Spacing = "linear"
    edges: Literal["data", "equal-count"] = "data"
    q_range: tuple[float, float] | None = None
    phi_range_deg: tuple[float, float] | None = None
    edges_q: tuple[float, ...] | Intervals | None = None
    edges_phi: tuple[float, ...] | Intervals | None = None
    phi_offset_deg: float | None = None
    phi_fold: int = 1
    min_pixels: int = 1
    ellipse: EllipseShape | None = None
    q_convention: Literal["exact", "sin2theta"] = "exact"

    def __post_init__(self) -> None:
        for name in ("dq", "sq", "dp", "sp", "phi_fold", "min_pixels"):
            if getattr(self, name) < 1:
                msg = f"{name} must be 1 or more, got {getattr(self, name)}."
                raise PartitionError(msg)
        if (
            len(set(self.names)) != 2
            or len(self.names) != 2
            or not set(self.names) <= {*AXIS_UNITS}
        ):
            known = ", ".join(AXIS_UNITS)
            msg = f"A mode is two of {known} joined by '-', such as q-phi; got {self.mode!r}."
            raise PartitionError(msg)
        if self.edges not in {"data", "equal-count"}:
            msg = f"Edges are made from 'data' or 'equal-count', got {self.edges!r}."
            raise PartitionError(msg)
        if self.phi_offset_deg is not None and not isfinite(self.phi_offset_deg):
            msg = f"phi_offset_deg must be a finite number, got {self.phi_offset_deg}."
            raise PartitionError(msg)
        if self.ellipse is not None:
            check_ellipse(self.ellipse)
        total = 1
        for request in self.requests():
            _check_request(request)
            total *= request.static
        if total > MOST_BINS:
            msg = f"{total} static bins are asked for, at most {MOST_BINS} can be made."
            raise PartitionError(msg)
        if self.phi_fold > MOST_FOLDS:
            msg = f"phi_fold must be {MOST_FOLDS} or less, got {self.phi_fold}."
            raise PartitionError(msg)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the two axes."""
        return tuple(self.mode.split("-"))

    def requests(self) -> tuple[AxisRequest, AxisRequest]:
        """Return what is wanted along each axis, static numbers raised to nest in dynamic ones."""
        first = self._request(0, self.dq, self.sq, self.spacing, self.q_range, self.edges_q)
        second = self._request(
            1, self.dp, self.sp, self.spacing_phi, self.phi_range_deg, self.edges_phi
        )
        return first, second

    def _request(
        self,
        axis: int,
        dynamic: int,
        static: int,
        spacing: Spacing,
        limits: tuple[float, float] | None,
        edges: tuple[float, ...] | Intervals | None,
    ) -> AxisRequest:
        name = self.names[axis]
        if limits is not None and edges is not None:
            msg = f"Bins along {name} have both a range and explicit edges; give one of them."
            raise PartitionError(msg)
        intervals = None if edges is None else _intervals(edges)
        dynamic = dynamic if intervals is None else len(intervals)
        if name != "q" and limits is None and intervals is None:
            spacing = "linear"
        return AxisRequest(
            name=name,
            dynamic=dynamic,
            static=-(-static // dynamic) * dynamic,
            spacing=spacing,
            equal_count=self.edges == "equal-count",
            limits=limits,
            intervals=intervals,
            offset_deg=self.phi_offset_deg if name == "phi" else None,
            fold=self.phi_fold if name == "phi" else 1,
        )

    def settled(self) -> tuple["PartitionSpec", tuple[str, ...]]:
        """Return the options that bins can be made with, and in words what had to be changed."""
        first, second = self.requests()
        changes = []
        for request, static, spacing in zip(
            (first, second), (self.sq, self.sp), (self.spacing, self.spacing_phi), strict=True
        ):
            if request.static != static:
                changes.append(
                    f"The number of static bins along {request.name} was raised from {static} to "
                    f"{request.static}, a multiple of the {request.dynamic} dynamic bins."
                )
            if request.spacing != spacing:
                changes.append(
                    f"Bins along {request.name} are linear: log bins there need a range."
                )
        spec = replace(
            self,
            dq=first.dynamic,
            sq=first.static,
            dp=second.dynamic,
            sp=second.static,
            spacing=first.spacing,
            spacing_phi=second.spacing,
        )
        return spec, tuple(changes)


def _intervals(edges: tuple[float, ...] | Intervals) -> Intervals:
    pairs = [edge for edge in edges if isinstance(edge, tuple)]
    single = [edge for edge in edges if not isinstance(edge, tuple)]
    intervals = tuple(pairwise(single)) if single else tuple(pairs)
    if not intervals or (single and pairs):
        msg = f"Give two edges or more, or (low, high) pairs, got {edges}."
        raise PartitionError(msg)
    return intervals


def _check_request(request: AxisRequest) -> None:
    name, unit = request.name, AXIS_UNITS[request.name]
    if request.span is None:
        return
    start, stop = request.span
    if request.intervals is not None:
        flat = [edge for pair in request.intervals for edge in pair]
        rising = all(low < high for low, high in request.intervals) and flat == sorted(flat)
    else:
        flat = [start, stop]
        rising = start < stop
    if not all(abs(edge) < LARGEST for edge in flat) or not rising:
        msg = f"Edges along {name} must be finite and increase, got {flat} {unit}."
        raise PartitionError(msg)
    if request.spacing == "log" and start <= 0:
        msg = f"Log bins along {name} must start above 0, got {start} {unit}."
        raise PartitionError(msg)
    if request.period is not None and stop - start > request.period:
        msg = (
            f"A range along {name} covers at most one period of {request.period:g} deg, "
            f"got {start:g} to {stop:g}."
        )
        raise PartitionError(msg)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bins:
    """One label image with its tables.

    Parameters
    ----------
    labels
        0 = not used, 1..N without holes.
    grid
        Numbers of bins along the two axes, empty ones included.
    index
        Natural 0-based position ``i0 * grid[1] + i1`` of label k in entry k-1.
    centers
        Bin centres along each axis, full length ``grid``.
    edges
        Bin edges along each axis, shape (n + 1,), or (n, 2) with the low and high edge of
        each bin where bins have gaps between them; ``None`` where a file does not hold them.
        phi edges are counted after the offset, from the start of the range on.
    pixels
        Pixel count of label k in entry k-1.
    label_centers
        Centre of every label along each axis, where bins were drawn or painted and make no
        grid; ``None`` where ``centers`` and ``index`` tell it.
    """

    labels: LabelImage
    grid: tuple[int, int]
    index: Int[np.ndarray, " bin"]
    centers: tuple[Float[np.ndarray, " n0"], Float[np.ndarray, " n1"]]
    edges: tuple[np.ndarray, np.ndarray] | None
    pixels: Int[np.ndarray, " bin"]
    label_centers: tuple[Float[np.ndarray, " bin"], Float[np.ndarray, " bin"]] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def center_of_bins(self, axis: int) -> Float[np.ndarray, " bin"]:
        """Return the centre of every label along ``axis``."""
        if self.label_centers is not None:
            return self.label_centers[axis]
        position = self.index // self.grid[1] if axis == 0 else self.index % self.grid[1]
        centers: np.ndarray = self.centers[axis][position]
        return centers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """Mask, dynamic and static bins of one detector.

    ``mask`` holds the pixels that are used: both label images are 0 outside and not 0
    inside.  ``blemish`` holds the good pixels of the detector, a larger set where a range
    leaves good pixels out; ``None`` where it is unknown.  ``names`` and ``units`` belong to
    the two axes, by default q in 1/angstrom and phi in degrees.  ``notes`` says in words
    what had to be changed about the bins that were asked for.  Bins made of ``regions`` keep
    them, in the order of drawing, with the rule they were made by (``region_bins``, see
    :func:`napari_xpcs.kernels.label_bins.regions_partition`) and the number from 1 of the
    region of dynamic label k in entry k-1 of ``region_of_bin``.  ``mask_steps`` are what the
    good pixels were found by, empty where that is not known.
    """

    mask: Mask
    dynamic: Bins
    static: Bins
    names: tuple[str, str] = ("q", "phi")
    units: tuple[str, str] = ("Å⁻¹", "deg")
    geometry: Geometry | None = None
    spec: PartitionSpec | None = None
    blemish: Mask | None = None
    notes: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    region_bins: RegionBins | None = None
    region_of_bin: Int[np.ndarray, " bin"] | None = None
    mask_steps: tuple[MaskStep, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the detector."""
        rows, cols = self.mask.shape
        return rows, cols

    def table(self) -> BinTable:
        """Return q and phi of the dynamic bins, NaN for an axis that is something else."""
        count = len(self.dynamic)
        axes = {name: axis for axis, name in enumerate(self.names)}

        def values(name: str) -> Float[np.ndarray, " bin"]:
            return (
                self.dynamic.center_of_bins(axes[name]) if name in axes else np.full(count, np.nan)
            )

        return BinTable(
            label=np.arange(1, count + 1),
            q=values("q"),
            phi_deg=values("phi"),
            pixels=self.dynamic.pixels,
        )


def make_partition(
    geometry: Geometry, mask: Mask, spec: PartitionSpec, *, xp: BackendProtocol
) -> Partition:
    """Return the bins of ``spec`` over the unmasked pixels of a detector.

    Parameters
    ----------
    geometry
        Detector, beam and photon energy.
    mask
        True = the pixel is used; of the shape of the detector.
    spec
        Bins that are wanted.
    xp
        Backend to compute on; the partition itself is NumPy.

    Raises
    ------
    PartitionError
        The mask has another shape, or no pixel is left for the bins.
    """
    check_mask_shape(mask, geometry.shape)
    # Only what the axes need: the other maps cost as much again, in time and in memory.
    fields = {_MAP_FIELDS[name] for name in spec.names if name in _MAP_FIELDS}
    maps = map_fields(geometry, fields, xp=xp, convention=spec.q_convention)
    return _partition(maps, mask, spec, geometry, xp=xp)


def partition_from_maps(
    maps: QMaps,
    mask: Mask,
    spec: PartitionSpec,
    geometry: Geometry,
    *,
    xp: BackendProtocol,
) -> Partition:
    """Return what :func:`make_partition` returns, from maps made earlier for ``geometry``.

    New numbers, ranges or masks need no new maps; a new ``spec.q_convention`` does.
    """
    check_mask_shape(mask, geometry.shape)
    arrays = {field: getattr(maps, field) for field in _MAP_FIELDS.values()}
    present = {field: array for field, array in arrays.items() if array is not None}
    return _partition(present, mask, spec, geometry, xp=xp)


def _partition(
    maps: Mapping[str, Array],
    mask: Mask,
    spec: PartitionSpec,
    geometry: Geometry,
    *,
    xp: BackendProtocol,
) -> Partition:
    spec, notes = spec.settled()
    requests = spec.requests()
    if not np.any(mask):
        msg = "The mask leaves no pixel: unmask the part that scatters."
        raise PartitionError(msg)
    if spec.ellipse is None and {"eq", "ephi"} & {*spec.names}:
        spec = replace(spec, ellipse=ellipse_of_mask(mask))
    raw = [_axis_values(maps, request.name, geometry.shape, spec, xp=xp) for request in requests]
    used = xp.asarray(mask)
    values = []
    for request, pixels in zip(requests, raw, strict=True):
        placed, inside = place(pixels, used, request, xp=xp)
        if request.span is not None and not bool(xp.any(inside)):
            raise PartitionError(_nothing_inside(request, request.span, pixels, used, xp=xp))
        used = inside
        values.append(placed)

    axes = [
        axis_bins(pixels, used, request, xp=xp)
        for request, pixels in zip(requests, values, strict=True)
    ]
    natural, counts = number_pixels(values, used, axes, xp=xp)
    if not counts[1:].any():
        msg = "All unmasked pixels lie in gaps between the bins: move the edges."
        raise PartitionError(msg)
    grid = len(axes[0]), len(axes[1])
    counts, left_out = _without_small(counts, grid, (axes[0].parts, axes[1].parts), spec.min_pixels)
    static = LabelTable.of(counts[1:], grid)
    dynamic = static.grouped(axes[0].parts, axes[1].parts)

    parts = (axes[0].parts, axes[1].parts)
    first_centers, second_centers = (
        _centers(axis, request, pixels, placed, used, xp=xp)
        for axis, request, pixels, placed in zip(axes, requests, raw, values, strict=True)
    )
    static_labels, dynamic_labels = labels_of((static, dynamic), natural, xp=xp)
    static_bins = Bins(
        labels=static_labels,
        grid=static.grid,
        index=static.index,
        centers=(first_centers[0], second_centers[0]),
        edges=(axes[0].edges(), axes[1].edges()),
        pixels=static.pixels,
    )
    dynamic_bins = Bins(
        labels=dynamic_labels,
        grid=dynamic.grid,
        index=dynamic.index,
        centers=(first_centers[1], second_centers[1]),
        edges=(axes[0].edges(parts[0]), axes[1].edges(parts[1])),
        pixels=dynamic.pixels,
    )
    return Partition(
        mask=static_labels > 0,
        dynamic=dynamic_bins,
        static=static_bins,
        names=(requests[0].name, requests[1].name),
        units=(AXIS_UNITS[requests[0].name], AXIS_UNITS[requests[1].name]),
        geometry=geometry,
        spec=spec,
        blemish=np.array(mask),
        notes=(*notes, *left_out),
    )


def _without_small(
    counts: Int[np.ndarray, " position"],
    grid: tuple[int, int],
    parts: tuple[int, int],
    least: int,
) -> tuple[Int[np.ndarray, " position"], tuple[str, ...]]:
    """Return ``counts`` with 0 for bins of fewer than ``least`` pixels, and that in words."""
    if least == 1:
        return counts, ()
    static = np.where(counts[1:] >= least, counts[1:], 0).reshape(grid)
    # One row and one column a dynamic bin: (bins 0, parts 0, bins 1, parts 1).
    nested = static.reshape(grid[0] // parts[0], parts[0], grid[1] // parts[1], parts[1])
    dynamic = nested.sum(axis=(1, 3), keepdims=True)
    kept = np.append(0, np.where(dynamic >= least, nested, 0).ravel())
    if not kept.any():
        raise PartitionError(no_bin_left(least))
    dropped = (kept == 0) & (counts > 0)
    dropped[0] = False
    return kept, small_bins_note(int(dropped.sum()), int(counts[dropped].sum()), least)


def small_bins_note(count: int, pixels: int, least: int) -> tuple[str, ...]:
    """Say in words that bins below the minimum were left out; nothing if none was."""
    if not count:
        return ()
    return (
        f"{count} static bins are left out, with {pixels} pixels: they or their dynamic bin "
        f"have fewer than {least} pixels.",
    )


def no_bin_left(least: int) -> str:
    """Return the sentence for a minimum that no bin reaches."""
    return f"No static bin has {least} pixels or more: lower the minimum, or make fewer bins."


def _axis_values(
    maps: Mapping[str, Array],
    name: str,
    shape: tuple[int, int],
    spec: PartitionSpec,
    *,
    xp: BackendProtocol,
) -> Float[Array, "row col"]:
    rows, cols = shape
    if name in {"eq", "ephi"} and spec.ellipse is not None:
        return ellipse_axis(spec.ellipse, shape, angle=name == "ephi", xp=xp)
    if name == "x":
        return xp.broadcast_to(xp.arange(cols, dtype=xp.float64)[None, :], shape)
    if name == "y":
        return xp.broadcast_to(xp.arange(rows, dtype=xp.float64)[:, None], shape)
    if _MAP_FIELDS[name] not in maps:
        msg = f"{name} exists for grazing incidence only: give the incident angle."
        raise PartitionError(msg)
    return maps[_MAP_FIELDS[name]]


def _nothing_inside(
    request: AxisRequest,
    span: tuple[float, float],
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    *,
    xp: BackendProtocol,
) -> str:
    start, stop = span
    low, high = extent(values, used, xp=xp)
    unit = AXIS_UNITS[request.name]
    return (
        f"No unmasked pixel has {request.name} from {start:g} to {stop:g} {unit}: "
        f"they span {low:g} to {high:g}. Choose a range within."
    )


def _centers(
    axis: AxisBins,
    request: AxisRequest,
    raw: Float[Array, "row col"],
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    *,
    xp: BackendProtocol,
) -> tuple[Float[np.ndarray, " n"], ...]:
    """Return the centres of the static bins and of the dynamic bins along one axis."""
    groups = (1, axis.parts)
    if request.name != "phi" or request.span is None:
        if request.fold > 1:
            return fold_centers(raw, values, used, axis, request, groups, xp=xp)
        return tuple(axis.centers(group) for group in groups)
    # A range may run past 180 degrees; a centre is told as an angle in (-180, 180].
    return tuple(180.0 - np.mod(180.0 - axis.centers(group), 360.0) for group in groups)
