"""What bins are wanted over the detector, as numbers and words: :class:`PartitionSpec`."""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import Literal

from napari_xpcs.errors import ChoiceError, PartitionError
from napari_xpcs.kernels.axis_request import AXIS_UNITS, AxisRequest, Intervals, Spacing
from napari_xpcs.kernels.ellipse import EllipseShape, check_ellipse
from napari_xpcs.units import LARGEST

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
        Static bins of fewer pixels are left out, and dynamic bins that have no other.  Labels
        stay without holes.
    ellipse
        The ellipse of the axes eq and ephi: row and column of its centre, its two half axes
        in pixels, and the angle of the first from +column towards larger rows, degrees.
        ``None``: the ellipse with the second moments of the mask.
    q_convention
        As in :func:`napari_xpcs.kernels.qmap.q_maps`.

    Raises
    ------
    ChoiceError
        There is no such mode.
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
            raise ChoiceError(msg)
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
