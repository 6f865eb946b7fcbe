"""What a file tells about the experiment, every value with the place it was read from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import isfinite, isnan, radians, tan
from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import holds, read_number, read_texts, read_unit
from napari_xpcs.io.physical_units import Place, Places, plausible, to_house_unit
from napari_xpcs.kernels.geometry import FIELD_UNITS, Geometry, KnownGeometry, Sourced

NEEDED = (
    "energy_kev",
    "distance_m",
    "pixel_row_m",
    "pixel_col_m",
    "center_row_px",
    "center_col_px",
    "frame_time_s",
)
"""Values without which no q or no delay can be told; the others have a natural default."""

SAME_VALUE = 1e-6
"""Relative difference below which two places agree: averages store 2e-5 s as float32."""

_POSITIVE = frozenset({*NEEDED, "count_time_s"} - {"center_row_px", "center_col_px"})
_PLACEHOLDER_ENERGY_KEV = 1.0
_LARGEST_TRAVEL_M = 2.0
_EIGER_PIXEL_M = 75e-6
_PIXEL_OF_DETECTOR_M = {"rigaku": 76e-6, "lambda": 55e-6}


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryReport:
    """Known values, with doubts and gaps in words."""

    known: KnownGeometry
    problems: tuple[str, ...]
    missing: tuple[str, ...]


class Collector:
    """Values in the order of their precedence; the first place that tells one wins."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[float, str]]] = {}
        self.looked_for: dict[str, list[str]] = {}
        self.problems: list[str] = []

    def read(self, file: h5py.File, path: str) -> float | None:
        """Return a number, ``None`` where there is none or it cannot be read."""
        try:
            return read_number(file, path)
        except FileFormatError as fault:
            self.problems.append(str(fault))
            return None

    def look(self, file: h5py.File, name: str, path: str, label: str) -> None:
        """Read ``name`` at ``path``, where its unit is that of :data:`FIELD_UNITS`."""
        self.looked_for.setdefault(name, []).append(path)
        value = self.read(file, path)
        if value is not None:
            self.add(name, value, f"{label}{path}")

    def add(self, name: str, value: float, origin: str) -> None:
        """Take ``value``, unless it cannot be meant."""
        if isnan(value):  # how a file says "unknown"
            return
        doubt = _doubt(name, value)
        if doubt:
            self.problems.append(f"{name} = {value:g} in {origin} is not used: {doubt}.")
        else:
            self.found.setdefault(name, []).append((value, origin))

    def best(self, name: str) -> float | None:
        """Return the value of ``name`` that counts, if any place tells one."""
        return self.found[name][0][0] if name in self.found else None

    def report(self) -> GeometryReport:
        """Return what was collected."""
        return GeometryReport(
            known=_sourced(self),
            problems=(*self.problems, *_contradictions(self)),
            missing=tuple(_gaps(self)),
        )


def _doubt(name: str, value: float) -> str:
    """Say why ``value`` cannot be meant, or return an empty string."""
    if not isfinite(value):
        return "it is not a finite number"
    if name in _POSITIVE and value <= 0:
        return "it must be positive"
    if name == "energy_kev" and value == _PLACEHOLDER_ENERGY_KEV:
        return "1 keV is the placeholder of the acquisition software"
    return ""


def read_known_geometry(
    file: h5py.File | None,
    *,
    qmap_group: str | None = None,
    metadata: h5py.File | None = None,
    places: Places | None = None,
) -> GeometryReport:
    """Collect the geometry that ``file``, if it is HDF5, and the ``metadata`` beside it tell.

    The Q-map group comes before ``/entry/instrument``: where they disagree, the bins were made
    with the former.  What other places say is kept in ``Sourced.others``.  A value that no
    place tells is unknown, one that cannot be read is told in ``problems``; nothing is assumed.
    ``places`` of other facilities are looked up in ``file`` last.

    Raises
    ------
    FileFormatError
        The Q-map group is damaged.
    """
    collector = Collector()
    if qmap_group is not None and file is not None:
        for name, path in _places_in_qmap(file, qmap_group).items():
            collector.look(file, name, path, "")
    entries = [] if file is None else [(file, "")]
    if metadata is not None:
        entries.append((metadata, f"{Path(metadata.filename).name}:"))
    for source, label in entries:
        for name, path in layouts.ENTRY_GEOMETRY.items():
            collector.look(source, name, path, label)
        _shift_center_by_stage(collector, source, label)
        _doubt_pixel_size(collector, source, label)
    if qmap_group is not None:
        _take_swing_out_of_center(collector, qmap_group)
    if file is not None:
        look_up(collector, file, places or {}, "")
    return collector.report()


def look_up(collector: Collector, file: h5py.File, places: Places, label: str = "") -> None:
    """Read values whose units the file may tell: its attribute counts where it can be true."""
    for name in FIELD_UNITS:  # pixels come before the beam centre, which may be a length
        for place in places.get(name, ()):
            collector.looked_for.setdefault(name, []).append(f"{label}{place.path}")
            value = _in_house_unit(collector, file, name, place, label)
            if value is not None:
                collector.add(name, value, f"{label}{place.path}")


def look_up_sum(collector: Collector, file: h5py.File, name: str, *parts: Place) -> None:
    """Read a time that is the sum of several, all of which must be there."""
    origin = " + ".join(part.path for part in parts)
    collector.looked_for.setdefault(name, []).append(origin)
    values = [_in_house_unit(collector, file, name, part, "") for part in parts]
    known = [value for value in values if value is not None]
    if len(known) == len(parts):
        collector.add(name, sum(known), origin)


def _in_house_unit(
    collector: Collector, file: h5py.File, name: str, place: Place, label: str
) -> float | None:
    stored = collector.read(file, place.path)
    if stored is None or not isfinite(stored):
        return stored
    origin = f"{label}{place.path} = {stored:g}"
    pixel_m = collector.best(name.replace("center", "pixel").replace("_px", "_m"))
    told = read_unit(file, place.path)
    value = to_house_unit(name, stored, told, pixel_m)
    if value is None or not plausible(name, value):
        value = to_house_unit(name, stored, place.unit, pixel_m)
        if told and value is not None and plausible(name, value):
            collector.problems.append(
                f"{origin} cannot be in {told!r}; it is read in {place.unit}."
            )
    if value is not None and not plausible(name, value) and not _doubt(name, value):
        collector.problems.append(f"{origin} ({told or place.unit}) is not used: it cannot be.")
        return None
    return value


def _places_in_qmap(file: h5py.File, group: str) -> dict[str, str]:
    """Return where a Q-map group holds geometry: complete in our own extras, or the shared part."""
    own = f"{group}/{layouts.OWN_EXTRAS}/geometry"
    if holds(file, own):
        names = (field.name for field in fields(Geometry) if field.name != "shape")
        return {name: f"{own}/{name}" for name in names}
    return {name: f"{group}/{leaf}" for name, leaf in layouts.QMAP_GEOMETRY.items()}


def known_values(found: Mapping[str, tuple[float, str]]) -> dict[str, Sourced]:
    """Return every value that a file can tell, from (value, origin) of those that it tells."""
    unknown: tuple[None, str] = (None, "")
    known = {}
    for name, unit in FIELD_UNITS.items():
        value, origin = found.get(name, unknown)
        known[name] = Sourced(value=value, unit=unit, origin=origin)
    return known


def unknown_values(known: Mapping[str, Sourced], places: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values that are needed and unknown, with the place where each was looked for."""
    return tuple(
        f"{name} (looked for {places[name]})" if name in places else name
        for name in NEEDED
        if known[name].value is None
    )


def geometry_as_known(geometry: Geometry, origin: str) -> dict[str, Sourced]:
    """Return the values of a complete geometry with one origin for all."""
    values = {name: getattr(geometry, name, None) for name in FIELD_UNITS}
    return {
        name: Sourced(value=float(value), unit=FIELD_UNITS[name], origin=origin)
        for name, value in values.items()
        if value is not None
    }


def _shift_center_by_stage(collector: Collector, file: h5py.File, label: str) -> None:
    """Move the beam centre of the metadata by what the detector stage moved since it was set.

    8-ID: centre = beam_center + (position - beam_center_position) / pixel, all lengths in m.
    Files of 2025 hold pixels and mm in these places; a travel of metres shows it.
    """
    for name, axis in (("center_row_px", "y"), ("center_col_px", "x")):
        path = layouts.ENTRY_GEOMETRY[name]
        base = layouts.DETECTOR
        values = collector.found.get(name, [])
        at = [i for i, (_, origin) in enumerate(values) if origin == f"{label}{path}"]
        if not at:
            continue
        moved = collector.read(file, f"{base}/position_{axis}")
        reference = collector.read(file, f"{base}/beam_center_position_{axis}")
        pixel_m = collector.read(file, f"{base}/{axis}_pixel_size")
        if moved is None or reference is None or not pixel_m or moved == reference:
            continue
        travel = moved - reference
        if not isfinite(travel) or abs(travel) > _LARGEST_TRAVEL_M:
            if at[0] == 0:
                collector.problems.append(
                    f"The stage position {label}{base}/position_{axis} = {moved:g} and its "
                    f"reference {reference:g} cannot both be in m: {name} is not corrected for "
                    "stage travel."
                )
            continue
        value, origin = values[at[0]]
        values[at[0]] = (value + travel / pixel_m, f"{origin}, moved by the stage {travel:g} m")


def _doubt_pixel_size(collector: Collector, file: h5py.File, label: str) -> None:
    """Point out the Eiger's pixel written for another detector, as 8-ID did before 2026-09."""
    detector = " ".join(read_texts(file, layouts.DETECTOR_NAME))
    for pixel_m, origin in collector.found.get("pixel_row_m", [])[:1]:
        for maker, right_m in _PIXEL_OF_DETECTOR_M.items():
            if maker in detector.lower() and _same(pixel_m, _EIGER_PIXEL_M):
                collector.problems.append(
                    f"The pixel in {origin} is 75 um, that of an Eiger, but the detector is named "
                    f"{detector} in {label}{layouts.DETECTOR_NAME}, whose pixels are "
                    f"{right_m * 1e6:.0f} um: check q."
                )


def _take_swing_out_of_center(collector: Collector, qmap_group: str) -> None:
    """Undo the shift of a swung detector in the Q-map's beam centre.

    The Q-map stores centre + distance tan(swing) / pixel; our geometry holds the
    centre at zero swing.
    """
    for center, swing, pixel in (
        ("center_row_px", "swing_vertical_deg", "pixel_row_m"),
        ("center_col_px", "swing_horizontal_deg", "pixel_col_m"),
    ):
        values = collector.found.get(center, [])
        swing_deg = collector.found.get(swing, [(0.0, "")])[0][0]
        needed = [collector.found.get(name) for name in ("distance_m", pixel)]
        stored = f"{qmap_group}/{layouts.QMAP_GEOMETRY[center]}"
        if not values or values[0][1] != stored or swing_deg == 0 or not all(needed):
            continue
        distance_m, pixel_m = (found[0][0] for found in needed if found)
        shift = distance_m * tan(radians(swing_deg)) / pixel_m
        values[0] = (values[0][0] - shift, f"{stored} less the swing of {swing_deg:g} deg")


def _sourced(collector: Collector) -> dict[str, Sourced]:
    known = {}
    for name, unit in FIELD_UNITS.items():
        values = collector.found.get(name)
        if not values:
            known[name] = Sourced(value=None, unit=unit, origin="")
            continue
        value, origin = values[0]
        others = tuple(other for other in values[1:] if not _same(other[0], value))
        known[name] = Sourced(value=value, unit=unit, origin=origin, others=others)
    return known


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= SAME_VALUE * max(abs(a), abs(b))


def _contradictions(collector: Collector) -> Iterable[str]:
    for name, (first, *rest) in collector.found.items():
        value, origin = first
        for other, place in rest:
            if not _same(other, value):
                yield (
                    f"{name} is {value:g} in {origin} and {other:g} in {place}; the first is used."
                )


def _gaps(collector: Collector) -> Iterable[str]:
    for name in NEEDED:
        if name not in collector.found:
            places = " and ".join(dict.fromkeys(collector.looked_for.get(name, [])))
            yield f"{name} (looked for {places})" if places else name
