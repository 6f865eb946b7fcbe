r"""The beam from one ring: points picked on it, or its ridge near an ellipse that was drawn.

A ring of one scattering angle is where a cone meets the detector.  With the swing of the
geometry the cone has three unknowns, the beam and its opening, and the fit gives the beam
itself; that a free ellipse fits much better tells of a tilt which the geometry lacks.
"""

from collections.abc import Callable
from dataclasses import fields
from math import cos, degrees, isfinite, radians, sqrt, tan
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

from napari_xpcs._typing import Mask
from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import GeometryError
from napari_xpcs.kernels.beam_centre import WORST_ERROR_PX, BeamCentre
from napari_xpcs.kernels.ellipse import EllipseShape
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask import check_mask_shape
from napari_xpcs.kernels.qmap import laboratory
from napari_xpcs.kernels.robust import MAD_TO_SIGMA, robust_spread

Residual: TypeAlias = Callable[[np.ndarray], np.ndarray]

SECTORS = 360
"""The ridge is looked for once per degree."""
CLEAR = 5.0
"""A ridge stands out of its sector by this many standard deviations of the background."""
OUTLIER = 4.0
STEPS = 50
_POINTS_ON_ELLIPSE = 12
"""Fewer points do not tell an ellipse from an uneven circle."""


def ridge_points(
    image: Shaped[np.ndarray, "row col"], mask: Mask, ellipse: EllipseShape, *, width_px: float
) -> Float[np.ndarray, "point 2"]:
    """Return where a bright ring near ``ellipse`` has its ridge: (row, column), one a sector.

    Parameters
    ----------
    image
        Counts.
    mask
        True = the pixel is used.
    ellipse
        The ring as it was drawn.
    width_px
        How far to both sides the ridge is looked for.

    Raises
    ------
    GeometryError
        Fewer than three sectors show a ridge.
    """
    check_mask_shape(mask, image.shape)
    row, col, first, second, angle = ellipse
    turn = np.radians(angle)
    size = sqrt(first * second)
    down = np.arange(image.shape[0])[:, None] - row
    across = np.arange(image.shape[1])[None, :] - col
    along = (across * np.cos(turn) + down * np.sin(turn)) / first
    beside = (-across * np.sin(turn) + down * np.cos(turn)) / second
    offset = (np.hypot(along, beside) - 1.0) * size
    counts = np.asarray(image)
    near = np.flatnonzero((np.abs(offset) < width_px) & mask & (counts >= 0))
    rows, cols = np.divmod(near, image.shape[1])
    offset, counts = offset.ravel()[near], counts.ravel()[near].astype(np.float64)
    sector = ((np.arctan2(beside, along).ravel()[near] + np.pi) / (2 * np.pi) * SECTORS).astype(int)
    sector %= SECTORS
    bins = max(int(2 * width_px), 3)
    cell = np.minimum(((offset + width_px) / (2 * width_px) * bins).astype(int), bins - 1)
    flat = sector * bins + cell
    pixels = np.bincount(flat, minlength=SECTORS * bins).reshape(SECTORS, bins)
    total = np.bincount(flat, counts, SECTORS * bins).reshape(SECTORS, bins)
    profile = np.where(pixels > 0, total / np.maximum(pixels, 1), np.nan)
    points = []
    for number in np.flatnonzero((pixels > 0).sum(axis=1) > bins // 2):
        found = _peak(profile[number])
        if found is None:
            continue
        peak, level = found
        at = np.flatnonzero((sector == number) & (np.abs(cell - peak) <= 3))
        weight = np.clip(counts[at] - level, 0.0, None)
        if weight.sum() > 0:
            points.append((weight @ rows[at] / weight.sum(), weight @ cols[at] / weight.sum()))
    if len(points) < 3:
        msg = (
            f"No ring stands out within {width_px:.0f} px of the ellipse: draw it closer along a "
            "bright ring, or pick points on the ring."
        )
        raise GeometryError(msg)
    return np.array(points)


def _peak(profile: Float[np.ndarray, " cell"]) -> tuple[int, float] | None:
    """Return the cell of a peak that stands out, away from the ends, and the level around it."""
    known = profile[np.isfinite(profile)]
    level = float(np.median(known))
    peak = int(np.nanargmax(profile))
    high = profile[peak] - level > CLEAR * max(robust_spread(known), sqrt(max(level, 1.0)) / 4)
    inside = 2 <= peak < len(profile) - 2
    return (peak, level) if high and inside else None


def fit_ring(points: Float[np.ndarray, "point 2"], geometry: Geometry) -> BeamCentre:
    """Return the beam about which ``points`` lie on one ring.

    Parameters
    ----------
    points
        (row, column) in pixel index, three or more, spread along the ring.
    geometry
        Swings, distance and pixels; its centre is not used.

    Returns
    -------
    BeamCentre
        The direct beam at zero swing.  The error is that of the scatter of the points about
        the ring; of an ellipse that the geometry does not explain it holds, in addition, the
        distance from the centre of the ellipse to the beam.

    Raises
    ------
    GeometryError
        Fewer than three points, points on one line, or on so short an arc that they do not tell
        the centre to 2 px.
    """
    if len(points) < 3:
        msg = f"A ring needs three points or more, got {len(points)}: pick more of them."
        raise GeometryError(msg)
    points, cone, covariance, spread = _fit_cone(points, geometry)
    error = np.sqrt(np.diag(covariance))[:2]
    how = f"ring of {len(points)} points, {spread:.2f} px about it"
    if len(points) >= _POINTS_ON_ELLIPSE:
        ellipse, ellipse_error, ellipse_spread = _fit_ellipse(points)
        # Two numbers more always fit a little better; this much better means a tilt.
        if ellipse_spread < 0.7 * spread and max(ellipse_error) < WORST_ERROR_PX:
            tilt_deg, shift_px = _tilt(ellipse, geometry)
            cone = np.array([ellipse[0], ellipse[1], cone[2]])
            error = np.hypot(ellipse_error, shift_px)
            how = (
                f"ellipse of {ellipse[2]:.1f} x {ellipse[3]:.1f} px: the detector seems tilted by "
                f"{tilt_deg:.2f} deg more than the geometry says, which moves the beam up to "
                f"{shift_px:.2f} px along {ellipse[4]:.0f} deg"
            )
    if not np.isfinite(error).all() or max(error) > WORST_ERROR_PX:
        msg = (
            f"The ring leaves the beam uncertain by {error[0]:.2g} (row) and {error[1]:.2g} "
            f"(column) px ({how}). Pick points on more of its circumference."
        )
        raise GeometryError(msg)
    return BeamCentre(
        row_px=float(cone[0]),
        col_px=float(cone[1]),
        row_err_px=float(error[0]),
        col_err_px=float(error[1]),
        how=how,
    )


def circle_through(points: Float[np.ndarray, "point 2"]) -> EllipseShape:
    """Return the circle through ``points`` by least squares of its equation (Kasa, 1976).

    Raises
    ------
    GeometryError
        The points lie on one line.
    """
    middle = points.mean(axis=0)
    shifted = points - middle
    equations = np.column_stack([2 * shifted, np.ones(len(points))])
    answer, _, rank, _ = np.linalg.lstsq(equations, (shifted**2).sum(axis=1), rcond=1e-9)
    if rank < 3:
        msg = "The points lie on one line and so on no ring: pick them around the beam."
        raise GeometryError(msg)
    radius = sqrt(answer[2] + answer[0] ** 2 + answer[1] ** 2)
    return float(middle[0] + answer[0]), float(middle[1] + answer[1]), radius, radius, 0.0


def _fit_cone(
    points: Float[np.ndarray, "point 2"], geometry: Geometry
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the points that were kept, (row, column, radius) in px, its covariance, the spread."""
    xp = NumPyBackend()
    values = {
        field.name: float(getattr(geometry, field.name))
        for field in fields(geometry)
        if field.name not in ("shape", "incident_angle_deg")
    }
    pitch = sqrt(geometry.pixel_row_m * geometry.pixel_col_m)

    def residual(parameters: np.ndarray) -> np.ndarray:
        down = (kept[:, 0] - parameters[0]) * geometry.pixel_row_m
        across = (kept[:, 1] - parameters[1]) * geometry.pixel_col_m
        x, y, z = laboratory(values, down, across, xp=xp)
        radius = np.arctan2(np.hypot(x, y), z) * geometry.distance_m / pitch
        return np.asarray(radius - parameters[2])

    kept = points
    row, col, radius, _, _ = circle_through(points)
    start, length = np.array([row, col, radius]), geometry.distance_m
    if geometry.swing_horizontal_deg or geometry.swing_vertical_deg:
        # The direct beam at zero swing lies off the middle of the rings by the swing.
        start[0] -= tan(radians(geometry.swing_vertical_deg)) * length / geometry.pixel_row_m
        start[1] -= tan(radians(geometry.swing_horizontal_deg)) * length / geometry.pixel_col_m
    # Found once without regard to how far off the odd ones are, then without them.
    found, _, _ = _least_squares(residual, start, loss="soft_l1")
    off = np.abs(residual(found))
    inside = off <= OUTLIER * max(MAD_TO_SIGMA * float(np.median(off)), 0.05)
    if inside.sum() >= 3:
        kept = points[inside]
    found, covariance, spread = _least_squares(residual, found)
    return kept, found, covariance, spread


def _fit_ellipse(
    points: Float[np.ndarray, "point 2"],
) -> tuple[EllipseShape, np.ndarray, float]:
    """Return the ellipse, the errors of its centre, and the spread of the points about it."""

    def residual(parameters: np.ndarray) -> np.ndarray:
        row, col, first, second, turn = parameters
        down, across = points[:, 0] - row, points[:, 1] - col
        along = (across * np.cos(turn) + down * np.sin(turn)) / first
        beside = (-across * np.sin(turn) + down * np.cos(turn)) / second
        return np.asarray((np.hypot(along, beside) - 1.0) * np.sqrt(np.abs(first * second)))

    row, col, radius, _, _ = circle_through(points)
    down, across = points[:, 0] - row, points[:, 1] - col
    azimuth, length = np.arctan2(down, across), np.hypot(down, across)
    design = np.column_stack([np.ones(len(points)), np.cos(2 * azimuth), np.sin(2 * azimuth)])
    _, even, odd = np.linalg.lstsq(design, length, rcond=None)[0]
    stretch, turn = np.hypot(even, odd), np.arctan2(odd, even) / 2
    start = np.array([row, col, radius + stretch, max(radius - stretch, 1.0), turn])
    found, covariance, spread = _least_squares(residual, start)
    first, second, turn = abs(found[2]), abs(found[3]), found[4]
    if first < second:
        first, second, turn = second, first, turn + np.pi / 2
    angle = (degrees(turn) + 90.0) % 180.0 - 90.0
    ellipse = (float(found[0]), float(found[1]), float(first), float(second), angle)
    return ellipse, np.sqrt(np.diag(covariance))[:2], spread


def _least_squares(
    residual: Residual, start: Float[np.ndarray, " n"], loss: str = "linear"
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the parameters of least squares, their covariance, and the spread of a residual."""
    from scipy.optimize import least_squares

    solution = least_squares(residual, start, x_scale="jac", loss=loss, max_nfev=STEPS * len(start))
    free = max(len(solution.fun) - len(start), 1)
    spread = sqrt(float(solution.fun @ solution.fun) / free)
    curvature = solution.jac.T @ solution.jac
    if np.linalg.matrix_rank(curvature) < len(start):
        return solution.x, np.full_like(curvature, np.inf), spread
    # Three points lie on a circle exactly; nobody picks better than to a quarter of a pixel.
    exact = len(solution.fun) == len(start)
    scatter = 0.25 if exact else spread
    return solution.x, np.linalg.inv(curvature) * scatter**2, spread


def _tilt(ellipse: EllipseShape, geometry: Geometry) -> tuple[float, float]:
    r"""Return the tilt (deg) that makes a ring this ellipse, and the shift of its centre (px).

    A plane tilted by :math:`\tau` cuts the cone :math:`2\theta` in an ellipse of the
    eccentricity :math:`\sin\tau/\cos 2\theta`; the ends of its long axis lie
    :math:`L\sin 2\theta/\cos(2\theta \pm \tau)` from the beam.
    """
    _, _, first, second, _ = ellipse
    length = geometry.distance_m / sqrt(geometry.pixel_row_m * geometry.pixel_col_m)
    opening = float(np.arctan(second / length))
    tilt = float(np.arcsin(min(sqrt(1 - (second / first) ** 2) * cos(opening), 1.0)))
    ends = [
        length * tan(opening) * cos(opening) / cos(opening + side * tilt) for side in (1.0, -1.0)
    ]
    shift = abs(ends[0] - ends[1]) / 2
    return degrees(tilt), shift if isfinite(shift) else np.inf
