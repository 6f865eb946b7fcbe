"""Calibrations of pyFAI (``.poni``, versions 1 to 3) as a geometry."""

import json
import math
from dataclasses import dataclass, replace
from math import asin, atan2, cos, degrees, isfinite, sin
from pathlib import Path

from napari_xpcs.errors import FileFormatError, GeometryError
from napari_xpcs.io.files import GeometryFile
from napari_xpcs.io.known_geometry import known_values
from napari_xpcs.kernels.geometry import FIELD_UNITS, Sourced
from napari_xpcs.units import ANGSTROM_M, HC_KEV_ANGSTROM

DEFAULT_ORIENTATION = 3
"""What pyFAI takes where a file names none: rows and columns count along axes 1 and 2."""

_COUNTS_BACKWARDS = {1: (True, True), 2: (True, False), 3: (False, False), 4: (False, True)}
"""By orientation: whether rows and columns run against axes 1 and 2 of the calibration."""

_PIXEL_M = {
    "eiger": 75e-6,
    "pilatus": 172e-6,
    "lambda": 55e-6,
    "maxipix": 55e-6,
    "rigaku": 76e-6,
    "jungfrau": 75e-6,
    "pixirad": 60e-6,
}
"""Pixels of detectors that a calibration names without saying how large theirs are."""

_NUMBERS = ("distance", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")


@dataclass(frozen=True, slots=True, kw_only=True)
class Poni:
    """What a ``.poni`` file says: lengths in m, angles in rad, ``None`` where it is silent.

    Axis 1 counts along slow pixels, axis 2 along fast ones, both from the outer corner of
    pixel (0, 0).
    """

    path: Path
    distance: float | None = None
    poni1: float | None = None
    poni2: float | None = None
    rot1: float | None = None
    rot2: float | None = None
    rot3: float | None = None
    wavelength: float | None = None
    pixel1: float | None = None
    pixel2: float | None = None
    shape: tuple[int, int] | None = None
    orientation: int | None = None
    problems: tuple[str, ...] = ()


def read_poni(path: str | Path) -> Poni:
    """Return the newest calibration in ``path``; pyFAI appends to its files.

    Raises
    ------
    FileFormatError
        No text of this kind, or a value in it that is no number.
    """
    path = Path(path)
    values = _last_values(path)
    if not {"distance", "poni1", "poni2"} <= values.keys():
        msg = f"{path.name} is no calibration of pyFAI: it lacks Distance, Poni1 or Poni2."
        raise FileFormatError(msg)
    numbers = {name: _number(path, name, values[name]) for name in _NUMBERS if name in values}
    config = _detector_config(path, values)
    problems = []
    if values.get("parallax", "").lower() == "true":
        problems.append(
            f"{path.name} was calibrated with pyFAI's correction for parallax in the sensor, "
            "which is not applied here: rings at wide angle may lie a pixel off."
        )
    spline = values.get("splinefile", "none")
    if spline.lower() not in {"none", ""}:
        problems.append(f"{path.name} names the distortion {spline}, which is not applied here.")
    pixel1, pixel2 = (
        _number(path, name, config[name]) if config.get(name) is not None else None
        for name in ("pixel1", "pixel2")
    )
    named = next(
        (
            size
            for maker, size in _PIXEL_M.items()
            if values.get("detector", "").lower().startswith(maker)
        ),
        None,
    )
    return Poni(
        path=path,
        **numbers,
        pixel1=pixel1 if pixel1 is not None else named,
        pixel2=pixel2 if pixel2 is not None else named,
        shape=_shape(config.get("max_shape")),
        orientation=_orientation(path, config.get("orientation")),
        problems=tuple(problems),
    )


def _last_values(path: Path) -> dict[str, str]:
    """Return the lines ``Name: value`` by lower-case name, later ones winning."""
    if not path.is_file():
        msg = f"There is no file {path}."
        raise FileFormatError(msg)
    try:
        text = path.read_bytes()[:1_000_000].decode("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        msg = f"{path.name} is no text and so no calibration of pyFAI."
        raise FileFormatError(msg) from fault
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            values[name.strip().lower()] = value.strip()
    return values


def _number(path: Path, name: str, text: object) -> float | None:
    if text in ("None", "", None):
        return None
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if not isfinite(value):
        msg = f"{name} in {path.name} must be a number, got {text!r}."
        raise FileFormatError(msg)
    return value


def _detector_config(path: Path, values: dict[str, str]) -> dict[str, object]:
    """Return the detector of version 2 on, or the pixel sizes of version 1, by the new names."""
    config: object = {}
    if "detector_config" in values:
        try:
            config = json.loads(values["detector_config"])
        except (ValueError, RecursionError) as fault:
            msg = f"Detector_config in {path.name} is no JSON: {values['detector_config']!r:.60}."
            raise FileFormatError(msg) from fault
    if not isinstance(config, dict):
        msg = f"Detector_config in {path.name} must name values, got {config!r:.60}."
        raise FileFormatError(msg)
    old = (("pixel1", "pixelsize1"), ("pixel2", "pixelsize2"))
    merged: dict[str, object] = {new: values[name] for new, name in old if name in values}
    return merged | config


def _shape(value: object) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(n, int) for n in value):
        return (value[0], value[1])
    return None


def _orientation(path: Path, value: object) -> int | None:
    if value is None or value == 0:
        return None
    if not isinstance(value, int) or value not in _COUNTS_BACKWARDS:
        msg = f"The orientation in {path.name} must be 1, 2, 3 or 4, got {value!r}."
        raise FileFormatError(msg)
    return value


def poni_to_known(poni: Poni, shape: tuple[int, int] | None = None) -> dict[str, Sourced]:
    r"""Return the values of ``poni`` by the names of :data:`FIELD_UNITS`, exact for any tilt.

    Parameters
    ----------
    poni
        The calibration.
    shape
        Rows and columns of the frames; needed for orientations 1, 2 and 4, which count
        pixels from another corner.

    Raises
    ------
    GeometryError
        The orientation needs a shape and there is none, or the file is for another shape.

    Notes
    -----
    The calibration turns the detector by :math:`R = R_3(r_3) R_2(-r_2) R_1(-r_1)` about the
    sample.  With axis 3 along the beam the same :math:`R` is a vertical and a horizontal swing
    followed by a roll about the beam: :math:`\sin h = R_{32}`,
    :math:`\tan v = R_{31}/R_{33}`, :math:`\tan c = R_{12}/R_{22}`.  The point of normal
    incidence, at :math:`p/\text{pixel} - 1/2` because pixel indices count from the centre of
    the first pixel, is the beam centre at zero swing.  Where rows (columns) run against their
    axis, the mirror turns the sign of :math:`r_2` (:math:`r_1`) and of :math:`r_3`.
    """
    orientation = poni.orientation or DEFAULT_ORIENTATION
    rows_back, cols_back = _COUNTS_BACKWARDS[orientation]
    shape = _checked_shape(poni, shape, needed=rows_back or cols_back, orientation=orientation)
    origin = f"{poni.path.name}"
    flip = "" if orientation == DEFAULT_ORIENTATION else f", orientation {orientation}"
    values: dict[str, tuple[float, str]] = {}
    if poni.wavelength:
        energy = HC_KEV_ANGSTROM / (poni.wavelength / ANGSTROM_M)
        values["energy_kev"] = (energy, f"{origin}:Wavelength")
    if poni.distance is not None:
        values["distance_m"] = (poni.distance, f"{origin}:Distance")
    for name, axis, back, point, pixel, length in (
        ("row", 1, rows_back, poni.poni1, poni.pixel1, shape and shape[0]),
        ("col", 2, cols_back, poni.poni2, poni.pixel2, shape and shape[1]),
    ):
        if not pixel:
            continue
        values[f"pixel_{name}_m"] = (pixel, f"{origin}:pixel{axis}")
        if point is not None:
            along = (length or 0) - point / pixel if back else point / pixel
            values[f"center_{name}_px"] = (along - 0.5, f"{origin}:Poni{axis}{flip}")
    if poni.rot1 is not None and poni.rot2 is not None:
        angles = _swings(
            -poni.rot1 if cols_back else poni.rot1,
            -poni.rot2 if rows_back else poni.rot2,
            (poni.rot3 or 0.0) * (-1 if rows_back != cols_back else 1),
        )
        for name, angle in angles.items():
            values[name] = (degrees(angle), f"{origin}:Rot1, Rot2, Rot3{flip}")
    return {
        name: Sourced(value=values[name][0], unit=unit, origin=values[name][1])
        for name, unit in FIELD_UNITS.items()
        if name in values
    }


def open_poni(path: Path, _: None) -> GeometryFile:
    """Open a calibration by itself; without its beam where that depends on unknown frames."""
    poni = read_poni(path)
    problems = poni.problems
    try:
        known = poni_to_known(poni)
    except GeometryError as fault:
        known = poni_to_known(replace(poni, poni1=None, poni2=None, orientation=None))
        turned = ("swing_horizontal_deg", "swing_vertical_deg", "roll_deg")
        known = {name: value for name, value in known.items() if name not in turned}
        problems = (*problems, str(fault))
    complete = known_values({}) | known
    return GeometryFile(
        path=path,
        layout="poni",
        known=complete,
        shape=poni.shape,
        problems=problems,
        missing=tuple(name for name in _TOLD if complete[name].value is None),
    )


_TOLD = (
    "energy_kev",
    "distance_m",
    "pixel_row_m",
    "pixel_col_m",
    "center_row_px",
    "center_col_px",
)
"""What a calibration is expected to tell."""


def _checked_shape(
    poni: Poni, shape: tuple[int, int] | None, *, needed: bool, orientation: int
) -> tuple[int, int] | None:
    if shape is not None and poni.shape is not None and shape != poni.shape:
        msg = (
            f"{poni.path.name} is for {poni.shape[0]} x {poni.shape[1]} pixels, the frames have "
            f"{shape[0]} x {shape[1]}."
        )
        raise GeometryError(msg)
    shape = shape or poni.shape
    if needed and shape is None:
        msg = (
            f"{poni.path.name} counts pixels from another corner (orientation {orientation}): "
            "the shape of the frames is needed to find the beam."
        )
        raise GeometryError(msg)
    return shape


def _swings(rot1: float, rot2: float, rot3: float) -> dict[str, float]:
    """Return the swings and the roll, rad, that turn the detector like three rotations of pyFAI."""
    c1, s1, c2, s2, c3, s3 = (f(r) for r in (rot1, rot2, rot3) for f in (cos, sin))
    # Rows of the rotation that are needed: where columns (2), rows (1) and the normal (3) go.
    columns_to = (c1 * c3 + s1 * s2 * s3, c3 * s1 * s2 - c1 * s3, -c2 * s1)
    rows_to_beam, normal_to_beam = s2, c1 * c2
    return {
        "swing_horizontal_deg": asin(max(-1.0, min(1.0, columns_to[2]))),
        "swing_vertical_deg": atan2(rows_to_beam, normal_to_beam),
        "roll_deg": atan2(columns_to[1], columns_to[0]),
    }
