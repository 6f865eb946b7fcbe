"""Regions of a detector drawn by hand: shapes in pixels, rings and sectors in q and phi."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from napari_xpcs._typing import Mask
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.qmap import QMaps
from napari_xpcs.units import LARGEST

RegionKind: TypeAlias = Literal["rectangle", "ellipse", "polygon", "line", "path", "sector"]
"""The first five are the shape types of a napari Shapes layer."""

RegionBins: TypeAlias = Literal["each", "clip"]
"""Each region is one bin, or each is cut into the q/phi bins that it meets."""

_LEAST_VERTICES = {"rectangle": 4, "ellipse": 4, "polygon": 3, "line": 2, "path": 2, "sector": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One shape, in data coordinates, so that it can be drawn and edited again.

    Parameters
    ----------
    kind
        "rectangle" and "ellipse" have the four corners of the shape or of the box around it,
        in order (they may be turned); "polygon" its corners; "line" and "path" the points
        they run through, with a width; "sector" has ranges of q and phi instead.
    vertices
        (row, column) in pixel index: an integer is the centre of a pixel.
    width_px
        Full width of a line or path, pixels.
    q_range
        Sector: from q, up to but without q, 1/angstrom; ``None`` for all q.
    phi_range_deg
        Sector: from phi counter-clockwise to phi, degrees; (150, -150) runs through 180.
        ``None`` for a whole ring.
    name
        What a person calls it.

    Raises
    ------
    PartitionError
        Too few vertices, something else than pairs of finite numbers, or a sector without a
        range.
    """

    kind: RegionKind
    vertices: tuple[tuple[float, float], ...] = ()
    width_px: float = 1.0
    q_range: tuple[float, float] | None = None
    phi_range_deg: tuple[float, float] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _LEAST_VERTICES:
            msg = f"A region is one of {', '.join(_LEAST_VERTICES)}; got {self.kind!r}."
            raise PartitionError(msg)
        least = _LEAST_VERTICES[self.kind]
        exact = self.kind in {"rectangle", "ellipse", "line", "sector"}
        if len(self.vertices) < least or (exact and len(self.vertices) != least):
            wanted = f"{least}" if exact else f"{least} or more"
            msg = f"A {self.kind} has {wanted} vertices, got {len(self.vertices)}."
            raise PartitionError(msg)
        ranges = [limits for limits in (self.q_range, self.phi_range_deg) if limits is not None]
        pairs = (*self.vertices, *ranges)
        if any(len(pair) != 2 for pair in pairs):
            msg = f"Vertices and ranges of a {self.kind} are pairs of numbers, got {pairs}."
            raise PartitionError(msg)
        numbers = [value for pair in pairs for value in pair]
        if not all(abs(value) < LARGEST for value in (*numbers, self.width_px)):
            msg = f"The numbers of a {self.kind} must be finite, got {numbers}."
            raise PartitionError(msg)
        if self.width_px <= 0:
            msg = f"width_px of a {self.kind} must be positive, got {self.width_px:g}."
            raise PartitionError(msg)
        if (self.kind == "sector") != bool(ranges):
            msg = (
                "A sector needs q_range or phi_range_deg."
                if self.kind == "sector"
                else f"q_range and phi_range_deg belong to a sector, this is a {self.kind}."
            )
            raise PartitionError(msg)
        if self.q_range is not None and not self.q_range[0] < self.q_range[1]:
            msg = f"q_range of a sector must increase, got {self.q_range}."
            raise PartitionError(msg)

    @property
    def title(self) -> str:
        """Name if it has one, else its kind."""
        return self.name or self.kind


def region_mask(
    region: Region, shape: tuple[int, int], maps: QMaps | None, *, xp: BackendProtocol
) -> Mask:
    """Return the pixels whose centre lies in ``region``.

    The edges towards small rows and columns belong to a shape and the others do not, so
    that shapes that share an edge share no pixel and leave none out.  A line holds the
    centres within half its width.

    Parameters
    ----------
    region
        What was drawn.
    shape
        Rows and columns of the detector.
    maps
        q and phi of the pixels; needed for a sector only.

    Raises
    ------
    PartitionError
        A sector, and ``maps`` is ``None``.
    """
    if region.kind == "sector":
        if maps is None:
            msg = f"The region {region.title!r} is given in q and phi, and the geometry is unknown."
            raise PartitionError(msg)
        return _sector(region, maps, xp=xp)
    inside = np.zeros(shape, dtype=bool)
    vertices = np.asarray(region.vertices, dtype=np.float64)
    margin = region.width_px / 2 if region.kind in {"line", "path"} else 0.0
    # Only the box around the shape is looked at: a small shape costs little on any detector.
    first = np.clip(np.floor(vertices.min(axis=0) - margin), 0, shape).astype(int)
    last = np.clip(np.ceil(vertices.max(axis=0) + margin) + 1, 0, shape).astype(int)
    if np.any(first >= last):
        return inside
    rows = np.arange(first[0], last[0], dtype=np.float64)
    cols = np.arange(first[1], last[1], dtype=np.float64)
    draw = {"ellipse": _ellipse, "line": _stroke, "path": _stroke}.get(region.kind, _polygon)
    inside[first[0] : last[0], first[1] : last[1]] = draw(vertices, rows, cols, margin)
    return inside


def _polygon(vertices: np.ndarray, rows: np.ndarray, cols: np.ndarray, _: float) -> Mask:
    """Even-odd rule: a pixel is inside if an odd number of sides cross its row at or before it."""
    crossings = np.zeros((len(rows), len(cols) + 1), dtype=np.int32)
    for side in zip(vertices.tolist(), np.roll(vertices, -1, axis=0).tolist(), strict=True):
        # From one end whichever way it runs: a side that two shapes share is rounded alike.
        (low, col0), (high, col1) = sorted(side)
        if low == high:
            continue
        crossed = np.flatnonzero((rows >= low) & (rows < high))
        at = col0 + (rows[crossed] - low) * ((col1 - col0) / (high - low))
        column = np.clip(np.ceil(at - cols[0]), 0, len(cols)).astype(int)
        crossings[crossed, column] += 1
    inside: Mask = np.cumsum(crossings[:, :-1], axis=1) % 2 == 1
    return inside


def _ellipse(vertices: np.ndarray, rows: np.ndarray, cols: np.ndarray, _: float) -> Mask:
    """Inside where the pixel, in half sides of the box, is less than 1 from the centre."""
    center = vertices.mean(axis=0)
    sides = np.stack([vertices[1] - vertices[0], vertices[3] - vertices[0]], axis=1) / 2
    if abs(np.linalg.det(sides)) < np.finfo(float).tiny:
        return np.zeros((len(rows), len(cols)), dtype=bool)
    inverse = np.linalg.inv(sides)
    down, across = rows[:, None] - center[0], cols[None, :] - center[1]
    first = inverse[0, 0] * down + inverse[0, 1] * across
    second = inverse[1, 0] * down + inverse[1, 1] * across
    within: Mask = first**2 + second**2 < 1
    return within


def _stroke(vertices: np.ndarray, rows: np.ndarray, cols: np.ndarray, half: float) -> Mask:
    inside = np.zeros((len(rows), len(cols)), dtype=bool)
    for start, stop in pairwise(vertices):
        along = stop - start
        down, across = rows[:, None] - start[0], cols[None, :] - start[1]
        length = max(float(along @ along), np.finfo(float).tiny)
        nearest = np.clip((down * along[0] + across * along[1]) / length, 0, 1)
        inside |= (down - nearest * along[0]) ** 2 + (across - nearest * along[1]) ** 2 <= half**2
    return inside


def _sector(region: Region, maps: QMaps, *, xp: BackendProtocol) -> Mask:
    q, phi = xp.asarray(maps.q), xp.asarray(maps.phi_deg)
    inside = q >= -xp.inf
    if region.q_range is not None:
        low, high = region.q_range
        inside = (q >= low) & (q < high)
    if region.phi_range_deg is not None:
        start, stop = region.phi_range_deg
        turn = (stop - start) % 360.0 or 360.0
        inside = inside & (xp.mod(phi - start, 360.0) < turn)
    return np.array(ensure_numpy(inside))
