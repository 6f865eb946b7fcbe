"""Where the detector stands: a complete :class:`Geometry`, or what is known of one."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from math import isfinite, radians, tan
from typing import TypeAlias

from napari_xpcs.errors import GeometryError

FIELD_UNITS: dict[str, str] = {
    "energy_kev": "keV",
    "distance_m": "m",
    "pixel_row_m": "m",
    "pixel_col_m": "m",
    "center_row_px": "px",
    "center_col_px": "px",
    "swing_horizontal_deg": "deg",
    "swing_vertical_deg": "deg",
    "roll_deg": "deg",
    "incident_angle_deg": "deg",
    "frame_time_s": "s",
    "count_time_s": "s",
}
"""Unit of every value that a file can tell about an experiment."""

POSSIBLE: dict[str, tuple[float, float]] = {
    "energy_kev": (1e-3, 1e3),
    "distance_m": (1e-3, 1e3),
    "pixel_row_m": (1e-7, 1e-2),
    "pixel_col_m": (1e-7, 1e-2),
    "center_row_px": (-1e7, 1e7),
    "center_col_px": (-1e7, 1e7),
    "swing_horizontal_deg": (-179.0, 179.0),
    "swing_vertical_deg": (-179.0, 179.0),
    "roll_deg": (-360.0, 360.0),
    "incident_angle_deg": (0.0, 89.0),
}
"""What each value of a :class:`Geometry` can be, both ends included.

Wide for any experiment, yet eV in the place of keV and mm or um in the place of m fall outside,
and so does what would leave the digits of a real number and make bins of nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """A value with the place it was read from; ``None`` where it is unknown.

    ``others`` holds what other places of the same file say, as (value, origin),
    where that differs from ``value``.
    """

    value: float | None
    unit: str
    origin: str
    others: tuple[tuple[float, str], ...] = ()


KnownGeometry: TypeAlias = Mapping[str, Sourced]
"""Values by the names of :data:`FIELD_UNITS`; unknown ones have value ``None`` or are absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A flat detector behind a sample, complete and checked.

    Parameters
    ----------
    shape
        Rows and columns of the detector.
    energy_kev, distance_m
        Photon energy, keV; sample to detector along the direct beam at zero swing, m.
    pixel_row_m, pixel_col_m
        Pitch from row to row and from column to column, m.
    center_row_px, center_col_px
        Direct beam at zero swing, in pixel index (an integer is a pixel centre).
    swing_horizontal_deg, swing_vertical_deg
        Rotation of the detector about the sample, degrees.
    roll_deg
        Rotation of the swung detector about the direct beam, degrees: phi falls by it, q stays.
    incident_angle_deg
        Grazing-incidence angle, degrees; ``None`` for transmission.

    Raises
    ------
    GeometryError
        A value is not finite or lies outside :data:`POSSIBLE`.
    """

    shape: tuple[int, int]
    energy_kev: float
    distance_m: float
    pixel_row_m: float
    pixel_col_m: float
    center_row_px: float
    center_col_px: float
    swing_horizontal_deg: float = 0.0
    swing_vertical_deg: float = 0.0
    roll_deg: float = 0.0
    incident_angle_deg: float | None = None

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            msg = f"A detector has rows and columns, got the shape {self.shape}."
            raise GeometryError(msg)
        for name, (low, high) in POSSIBLE.items():
            value = getattr(self, name)
            if value is None and name == "incident_angle_deg":
                continue
            if not isfinite(value):
                msg = f"{name} must be a finite number, got {value}."
                raise GeometryError(msg)
            if not low <= value <= high:
                msg = (
                    f"{name} must lie between {low:g} and {high:g} {FIELD_UNITS[name]}, "
                    f"got {value:g}."
                )
                raise GeometryError(msg)


def beam_on_detector(geometry: Geometry) -> tuple[float, float]:
    """Return row and column, in pixel index, where the direct beam meets the swung detector."""
    down, across = (
        geometry.distance_m * tan(radians(swing))
        for swing in (geometry.swing_vertical_deg, geometry.swing_horizontal_deg)
    )
    return (
        geometry.center_row_px + down / geometry.pixel_row_m,
        geometry.center_col_px + across / geometry.pixel_col_m,
    )


def complete_geometry(known: KnownGeometry, shape: tuple[int, int]) -> Geometry:
    """Return the :class:`Geometry` that ``known`` describes.

    Raises
    ------
    GeometryError
        A value that has no default is unknown; the message names all of them.
    """
    values = {
        field.name: known[field.name].value
        for field in fields(Geometry)
        if field.name in known and known[field.name].value is not None
    }
    missing = missing_values(known)
    if missing:
        msg = f"The geometry is incomplete: {', '.join(missing)} unknown. Type the missing values."
        raise GeometryError(msg)
    return Geometry(shape=shape, **values)  # type: ignore[arg-type]


def missing_values(known: KnownGeometry) -> list[str]:
    """Return the names of values that a Q-map needs and ``known`` does not hold."""
    needed = [f.name for f in fields(Geometry) if f.name != "shape" and f.default is MISSING]
    return [name for name in needed if name not in known or known[name].value is None]


def override(
    known: KnownGeometry, values: Mapping[str, float | None], origin: str
) -> dict[str, Sourced]:
    """Return ``known`` with ``values`` in front; what stood there before moves to ``others``.

    Parameters
    ----------
    known
        Values with their origins.
    values
        New values in the units of :data:`FIELD_UNITS`; ``None`` makes a value unknown.
    origin
        Where the new values come from, for example "typed by hand".
    """
    merged = dict(known)
    for name, value in values.items():
        before = known.get(name)
        differs = before is not None and before.value is not None and before.value != value
        others = ((before.value, before.origin), *before.others) if before and differs else ()
        merged[name] = Sourced(
            value=value,
            unit=FIELD_UNITS[name],
            origin=origin,
            others=others,  # type: ignore[arg-type]
        )
    return merged
