"""From q and phi to a place on the detector, and back for a single place."""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float

from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.qmap import laboratory, q_maps
from napari_xpcs.units import HC_KEV_ANGSTROM


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceValues:
    """What is scattered to one place: q (1/angstrom), phi and 2 theta (degrees)."""

    q: float
    phi_deg: float
    two_theta_deg: float


def place_values(geometry: Geometry, row: float, col: float, *, xp: BackendProtocol) -> PlaceValues:
    """Return q, phi and 2 theta at (``row``, ``col``), which may lie off the detector."""
    alone = replace(
        geometry,
        shape=(1, 1),
        center_row_px=geometry.center_row_px - row,
        center_col_px=geometry.center_col_px - col,
        incident_angle_deg=None,
    )
    maps = q_maps(alone, xp=xp)
    return PlaceValues(
        q=float(ensure_numpy(maps.q)[0, 0]),
        phi_deg=float(ensure_numpy(maps.phi_deg)[0, 0]),
        two_theta_deg=float(ensure_numpy(maps.two_theta_deg)[0, 0]),
    )


def detector_position(
    geometry: Geometry,
    q: Float[np.ndarray, " point"],
    phi_deg: Float[np.ndarray, " point"],
    *,
    xp: BackendProtocol,
) -> Float[np.ndarray, "point 2"]:
    """Return the (row, column) that photons of ``q`` and ``phi_deg`` hit, in pixel index.

    The inverse of :func:`napari_xpcs.kernels.qmap.q_maps`: the ray is turned back with the
    detector and meets its plane.  NaN where it does not, for rays that leave backwards or q
    beyond what the photon energy allows.

    Parameters
    ----------
    geometry
        Detector and beam.
    q, phi_deg
        1/angstrom and degrees.
    xp
        Backend that the geometry is turned on.
    """
    values = {
        field.name: float(getattr(geometry, field.name))
        for field in fields(geometry)
        if field.name not in ("shape", "incident_angle_deg")
    }
    sine = np.asarray(q) * HC_KEV_ANGSTROM / geometry.energy_kev / (4 * np.pi)
    two_theta = 2 * np.arcsin(np.where(np.abs(sine) <= 1, sine, np.nan))
    phi = np.radians(phi_deg)
    ray = np.stack(
        [
            np.sin(two_theta) * np.cos(phi),
            -np.sin(two_theta) * np.sin(phi),
            np.cos(two_theta) * np.ones_like(phi),
        ]
    )
    # Where one metre across, down and along the normal of the detector lies in the laboratory.
    unit = np.eye(3)
    turned = laboratory(values | {"distance_m": 0.0}, unit[1], unit[0], xp=xp)
    normal = laboratory(values | {"distance_m": 1.0}, np.zeros(1), np.zeros(1), xp=xp)
    axes = np.stack([ensure_numpy(one) for one in turned], axis=1)
    axes[2] = [float(ensure_numpy(one)[0]) for one in normal]
    across, down, depth = axes @ ray
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(depth > 0, geometry.distance_m / depth, np.nan)
    return np.stack(
        [
            geometry.center_row_px + down * scale / geometry.pixel_row_m,
            geometry.center_col_px + across * scale / geometry.pixel_col_m,
        ],
        axis=1,
    )
