"""Momentum transfer and angles at the centre of every pixel."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from jaxtyping import Float

from napari_xpcs._typing import Array, ScalarLike
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.row_blocks import over_rows
from napari_xpcs.units import HC_KEV_ANGSTROM


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QMaps:
    r"""Maps of one detector, arrays of the backend that made them.

    Parameters
    ----------
    q
        Magnitude of the momentum transfer, 1/angstrom.
    phi_deg
        Azimuth about the direct beam, degrees in [-180, 180]: 0 along +column,
        counter-clockwise on screen (rows run downwards).
    two_theta_deg
        Scattering angle, degrees.
    qx, qy
        Components, 1/angstrom.  Transmission: along +column and up the detector.
        Grazing incidence: along the surface away from the source, and across the beam.
    qz, qr
        Grazing incidence only: along the surface normal, and the component in the surface.
    """

    q: Float[Array, "row col"]
    phi_deg: Float[Array, "row col"]
    two_theta_deg: Float[Array, "row col"]
    qx: Float[Array, "row col"]
    qy: Float[Array, "row col"]
    qz: Float[Array, "row col"] | None = None
    qr: Float[Array, "row col"] | None = None


_TURNS = ("swing_horizontal_deg", "swing_vertical_deg", "roll_deg")


def q_maps(
    geometry: Geometry,
    *,
    xp: BackendProtocol,
    convention: Literal["exact", "sin2theta"] = "exact",
) -> QMaps:
    r"""Return the maps of every pixel of ``geometry``.

    Compiled once per detector shape: all values of the geometry are traced, so that
    dragging the beam centre does not compile again.

    Parameters
    ----------
    geometry
        Detector, beam and photon energy.  A swing turns the flat detector about the
        sample; an incident angle makes it grazing incidence, with the specular beam
        taken to lie straight up the detector (towards smaller rows) from the direct beam.
    xp
        Backend to compute on; the maps stay on it.
    convention
        ``"exact"``: :math:`q = (4\pi/\lambda)\sin\theta`.  ``"sin2theta"``:
        :math:`q = (2\pi/\lambda)\sin 2\theta`, as stored by pySimpleMask before 0.3; only
        ``q`` differs.

    Returns
    -------
    QMaps
        Arrays of shape ``geometry.shape``.

    Notes
    -----
    :math:`2\theta = \mathrm{atan2}(\sqrt{x^2+y^2}, z)` of the pixel in the frame of the
    laboratory, which keeps all digits next to the beam where an arccos loses them.
    """
    names = {field.name for field in fields(QMaps)}
    return QMaps(**map_fields(geometry, names, xp=xp, convention=convention))


def map_fields(
    geometry: Geometry,
    names: Collection[str],
    *,
    xp: BackendProtocol,
    convention: Literal["exact", "sin2theta"] = "exact",
) -> dict[str, Float[Array, "row col"]]:
    """Return the fields ``names`` of what :func:`q_maps` returns, as far as there are such.

    The parameters are those of :func:`q_maps`.
    """
    values = {
        field.name: float(getattr(geometry, field.name))
        for field in fields(geometry)
        if field.name != "shape" and getattr(geometry, field.name) is not None
    }
    # Turns that are not there are left out of the formulas: half of the work on most detectors.
    values = {name: value for name, value in values.items() if value or name not in _TURNS}
    compiled = xp.jit(map_arrays, static_argnames=("shape", "convention", "names", "xp"))

    def work(rows: slice) -> tuple[dict[str, Array], None]:
        maps = compiled(
            values,
            shape=(rows.stop - rows.start, geometry.shape[1]),
            convention=convention,
            names=frozenset(names),
            first_row=float(rows.start),
            xp=xp,
        )
        return maps, None

    maps, _ = over_rows(work, geometry.shape, xp=xp)
    return maps


def map_arrays(
    values: Mapping[str, ScalarLike],
    *,
    shape: tuple[int, int],
    convention: str,
    names: Collection[str],
    first_row: ScalarLike = 0.0,
    xp: BackendProtocol,
) -> dict[str, Float[Array, "row col"]]:
    r"""Return the fields of :class:`QMaps` by name; differentiable in every value.

    Parameters
    ----------
    values
        The fields of :class:`~napari_xpcs.kernels.geometry.Geometry` by name, numbers or
        traced scalars; ``incident_angle_deg`` is left out for transmission, turns may be.
    shape, convention, xp
        As in :func:`q_maps`.
    names
        Fields that are wanted; a name that is none is passed over.
    first_row
        Row of the detector that the first row of ``shape`` is.

    Notes
    -----
    The pixel :math:`(X, Y, D)`, rows down, is turned by :math:`R_y R_x` with the vertical
    swing about x first, and at last by the roll about the beam.  With :math:`L` the distance of
    the pixel from the sample and :math:`\alpha` the incident angle, the momentum transfer in the
    frame of the surface is
    :math:`q_x = k[(z/L - 1)\cos\alpha - (y/L)\sin\alpha]`, :math:`q_y = k\,x/L`,
    :math:`q_z = -k[(z/L - 1)\sin\alpha + (y/L)\cos\alpha]`, the usual
    :math:`k(\cos\alpha_f\cos 2\theta_f - \cos\alpha)`, :math:`k\cos\alpha_f\sin 2\theta_f`,
    :math:`k(\sin\alpha + \sin\alpha_f)` without its cancellation near the beam.
    No derivative exists at the pixel that the direct beam hits exactly.
    """
    k = 2 * xp.pi * values["energy_kev"] / HC_KEV_ANGSTROM
    # One row and one column of coordinates are enough: the swings mix them by outer sums.
    across = (xp.arange(shape[1]) - values["center_col_px"]) * values["pixel_col_m"]
    rows = xp.arange(shape[0]) + first_row
    down = (rows - values["center_row_px"]) * values["pixel_row_m"]
    x, y, z = laboratory(values, down[:, None], across[None, :], xp=xp)

    off_beam_squared = x * x + y * y
    off_beam = xp.sqrt(off_beam_squared)
    length = xp.sqrt(off_beam_squared + z * z)
    k_per_length = k / length
    upward = -y * k_per_length

    def q() -> Array:
        normal = off_beam * k_per_length
        # 1/cos(theta), from cos(2 theta) = z/L: all digits at small angles, and no sine.
        return normal if convention == "sin2theta" else normal * xp.sqrt(2 * length / (length + z))

    formulas: dict[str, Callable[[], Array]] = {
        "q": q,
        "phi_deg": lambda: xp.rad2deg(-xp.arctan2(y, x)),
        "two_theta_deg": lambda: xp.rad2deg(xp.arctan2(off_beam, z)),
        "qx": lambda: x * k_per_length,
        "qy": lambda: upward,
    }
    if "incident_angle_deg" in values:
        incident = xp.deg2rad(values["incident_angle_deg"])

        def forward() -> Array:
            # k (z/L - 1), written so that it does not cancel for a pixel near the beam.
            return -k_per_length * off_beam_squared / (length + z)

        def along() -> Array:
            return forward() * xp.cos(incident) + upward * xp.sin(incident)

        formulas |= {
            "qx": along,
            "qy": lambda: x * k_per_length,
            "qz": lambda: upward * xp.cos(incident) - forward() * xp.sin(incident),
            "qr": lambda: xp.hypot(along(), x * k_per_length),
        }
    return {name: make() for name, make in formulas.items() if name in names}


def laboratory(
    values: Mapping[str, ScalarLike],
    down: Float[Array, "..."],
    across: Float[Array, "..."],
    *,
    xp: BackendProtocol,
) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    """Return x, y (down) and z (along the beam) of points of the detector from the sample, m.

    Parameters
    ----------
    values
        Distance (m), swings and roll (degrees) by the names of
        :class:`~napari_xpcs.kernels.geometry.Geometry`; a turn that is absent is 0.
    down, across
        Position on the detector from the beam at zero swing, m; they are broadcast.
    """
    x, y, z = across, down, xp.asarray(values["distance_m"])
    if "swing_vertical_deg" in values:
        turn = xp.deg2rad(values["swing_vertical_deg"])
        y, z = xp.cos(turn) * y - xp.sin(turn) * z, xp.sin(turn) * y + xp.cos(turn) * z
    if "swing_horizontal_deg" in values:
        turn = xp.deg2rad(values["swing_horizontal_deg"])
        x, z = xp.cos(turn) * x - xp.sin(turn) * z, xp.sin(turn) * x + xp.cos(turn) * z
    if "roll_deg" in values:
        turn = xp.deg2rad(values["roll_deg"])
        x, y = xp.cos(turn) * x - xp.sin(turn) * y, xp.sin(turn) * x + xp.cos(turn) * y
    return x, y, z
