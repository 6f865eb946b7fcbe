"""Coordinates that follow an ellipse, for scattering that is stretched along one direction."""

from math import isfinite
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from napari_xpcs._typing import Array, Mask, ScalarLike
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import PartitionError

EllipseShape: TypeAlias = tuple[float, float, float, float, float]
"""Row and column of the centre (px), the two half axes (px), and the angle of the first from
+column towards larger rows (degrees)."""


def check_ellipse(ellipse: EllipseShape) -> None:
    """Raise :class:`PartitionError` unless ``ellipse`` is five numbers with positive half axes."""
    if len(ellipse) != 5 or not all(isfinite(value) for value in ellipse) or min(ellipse[2:4]) <= 0:
        msg = (
            "An ellipse is ROW COL HALF_AXIS HALF_AXIS ANGLE in pixels and degrees, with "
            f"positive half axes; got {ellipse}."
        )
        raise PartitionError(msg)


def ellipse_of_mask(mask: Mask) -> EllipseShape:
    """Return the ellipse with the centre and the second moments of the pixels of ``mask``.

    A half axis is twice the square root of the variance along it: a filled ellipse is found
    again.

    Raises
    ------
    PartitionError
        The pixels lie on one line.
    """
    in_row, in_col = mask.sum(axis=1), mask.sum(axis=0)
    rows, cols = np.arange(mask.shape[0]), np.arange(mask.shape[1])
    total = in_row.sum()
    row, col = in_row @ rows / total, in_col @ cols / total
    of_rows = in_row @ (rows - row) ** 2 / total
    of_cols = in_col @ (cols - col) ** 2 / total
    mixed = (rows - row) @ (mask @ (cols - col)) / total
    spread = np.hypot(of_rows - of_cols, 2 * mixed)
    first, second = (of_rows + of_cols + spread) / 2, (of_rows + of_cols - spread) / 2
    if second <= np.finfo(float).eps * first:
        msg = "The unmasked pixels lie on one line, so they make no ellipse; give one."
        raise PartitionError(msg)
    angle = np.degrees(np.arctan2(2 * mixed, of_cols - of_rows)) / 2
    return float(row), float(col), 2 * float(np.sqrt(first)), 2 * float(np.sqrt(second)), angle


def ellipse_axis(
    ellipse: EllipseShape, shape: tuple[int, int], *, angle: bool, xp: BackendProtocol
) -> Float[Array, "row col"]:
    """Return the radius in units of the ellipse, 1 on it, or the angle in its frame in degrees.

    Parameters
    ----------
    ellipse
        Centre, half axes and angle; traced, so that turning it does not compile again.
    shape
        Rows and columns of the detector.
    angle
        Return the angle from the first axis, in (-180, 180], towards larger rows.
    """
    compiled = xp.jit(_ellipse_axis, static_argnames=("shape", "angle", "xp"))
    return compiled(*(float(value) for value in ellipse), shape=shape, angle=angle, xp=xp)


def _ellipse_axis(
    row: ScalarLike,
    col: ScalarLike,
    half_first: ScalarLike,
    half_second: ScalarLike,
    angle_deg: ScalarLike,
    *,
    shape: tuple[int, int],
    angle: bool,
    xp: BackendProtocol,
) -> Float[Array, "row col"]:
    turn = xp.deg2rad(xp.asarray(angle_deg))
    down = (xp.arange(shape[0]) - row)[:, None]
    across = (xp.arange(shape[1]) - col)[None, :]
    first = across * xp.cos(turn) + down * xp.sin(turn)
    second = -across * xp.sin(turn) + down * xp.cos(turn)
    if angle:
        return xp.rad2deg(xp.arctan2(second, first))
    return xp.sqrt((first / half_first) ** 2 + (second / half_second) ** 2)
