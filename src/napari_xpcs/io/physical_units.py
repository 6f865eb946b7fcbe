"""Units as files write them, and the numbers that can be meant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from napari_xpcs.units import ANGSTROM_M, HC_KEV_ANGSTROM


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, and its unit where the file tells none (or one that cannot be)."""

    path: str
    unit: str


Places: TypeAlias = Mapping[str, tuple[Place, ...]]
"""Places by the names of :data:`~napari_xpcs.kernels.geometry.FIELD_UNITS`, best first."""

_PER_M = {
    **dict.fromkeys(("m", "meter", "metre"), 1.0),
    "cm": 1e2,
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("um", "µm", "μm", "micron", "micrometer", "micrometre"), 1e6),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e9),
    **dict.fromkeys(("angstrom", "ångström", "å", "a"), 1 / ANGSTROM_M),
}
_PER_KEV = {"mev": 1e-3, "kev": 1.0, "ev": 1e3}
_PER_S = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("ms", "millisecond"), 1e3),
    **dict.fromkeys(("us", "µs", "μs", "microsecond"), 1e6),
    **dict.fromkeys(("ns", "nanosecond"), 1e9),
}
"""How many of a unit make one of ours: 55 / 1e6 is 5.5e-5, 55 * 1e-6 is not quite."""
_PIXEL = {"px", "pixel"}
_ANGLE = {"deg", "degree"}

_CAN_BE = {
    "energy_kev": (0.05, 1e3),
    "distance_m": (1e-3, 200.0),
    "pixel_row_m": (1e-7, 1e-2),
    "pixel_col_m": (1e-7, 1e-2),
    "center_row_px": (-1e5, 1e5),
    "center_col_px": (-1e5, 1e5),
    "frame_time_s": (0.0, 1e6),
    "count_time_s": (0.0, 1e6),
}
"""Wide ranges that a number read in the wrong unit leaves."""


def to_house_unit(name: str, value: float, unit: str, pixel_m: float | None) -> float | None:
    """Return ``value``, told in ``unit``, in the unit of ``name``; ``None`` for another kind.

    A wavelength becomes an energy, a beam centre given as a length a pixel index.
    """
    unit = _singular(unit)
    if name == "energy_kev":
        if unit in _PER_KEV:
            return value / _PER_KEV[unit]
        if unit in _PER_M and value > 0:
            return HC_KEV_ANGSTROM * ANGSTROM_M * _PER_M[unit] / value
        return None
    if name.startswith("center_"):
        if unit in _PIXEL:
            return value
        return value / _PER_M[unit] / pixel_m if unit in _PER_M and pixel_m else None
    if name.endswith("_deg"):
        return value if unit in _ANGLE else None
    table = _PER_M if name.endswith("_m") else _PER_S
    return value / table[unit] if unit in table else None


def plausible(name: str, value: float) -> bool:
    """Say whether ``value``, in the unit of ``name``, can be meant."""
    low, high = _CAN_BE.get(name, (-360.0, 360.0))
    return low <= value <= high


def _singular(unit: str) -> str:
    unit = unit.strip().lower()
    return unit[:-1] if len(unit) > 2 and unit.endswith("s") else unit
