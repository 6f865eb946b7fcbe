"""What bins are wanted along one axis of a partition, and the coordinate they are laid along."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from jaxtyping import Bool, Float

from napari_xpcs._typing import Array, ScalarLike
from napari_xpcs.backends import BackendProtocol
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
