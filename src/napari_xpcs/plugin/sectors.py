"""Rings and sectors of q and phi as shapes with handles, and back."""

from dataclasses import replace
from math import ceil, isfinite

import numpy as np
import pandas as pd
from napari.layers import Shapes

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.regions import Region
from napari_xpcs.kernels.rings import detector_position, place_values
from napari_xpcs.plugin.drawn_regions import drawn_regions

STEP_DEG = 7.5
"""Handles of an arc are about this far apart."""
MOVED_PX = 0.3
RANGES = ("q_min", "q_max", "phi_min", "phi_max")
"""Columns of the features of a Shapes layer that make a shape a ring or a sector."""
NAME = "name"
"""Column of what a person calls a region."""


def sector_angles(region: Region) -> np.ndarray:
    """Return the azimuths of the handles of a sector, degrees, counter-clockwise."""
    start, stop = region.phi_range_deg or (-180.0, 180.0)
    span = (stop - start) % 360.0 or 360.0
    return np.linspace(start, start + span, max(ceil(span / STEP_DEG), 2) + 1)


def sector_outline(region: Region, geometry: Geometry) -> np.ndarray:
    """Return (row, column) of the handles: the outer arc, then the inner one backwards.

    A sector without a range of q reaches to the corner of the detector that is farthest from
    the beam.  A handle that no photon can reach lies at the next one that can be reached.
    """
    low, high = region.q_range or (0.0, largest_q(geometry))
    phi = sector_angles(region)
    arcs = [
        detector_position(geometry, np.full(len(phi), q), phi, xp=NumPyBackend())
        for q in (high, max(low, 1e-9))
    ]
    outline = np.concatenate([arcs[0], arcs[1][::-1]])
    there = np.flatnonzero(np.isfinite(outline).all(axis=1))
    if not there.size:
        return np.zeros_like(outline)
    nearest = np.abs(np.arange(len(outline))[:, None] - there[None, :]).argmin(axis=1)
    reached: np.ndarray = outline[there[nearest]]
    return reached


def largest_q(geometry: Geometry) -> float:
    """Return the largest q at a corner of the detector, 1/angstrom."""
    last_row, last_col = (length - 1.0 for length in geometry.shape)
    corners = [(row, col) for row in (0.0, last_row) for col in (0.0, last_col)]
    return max(place_values(geometry, row, col, xp=NumPyBackend()).q for row, col in corners)


def features_of(region: Region) -> dict[str, float | str]:
    """Return the row of features of a shape: its name, and what makes it this sector.

    The ranges are NaN for shapes that are drawn freely.
    """
    pairs = (region.q_range or (np.nan, np.nan), region.phi_range_deg or (np.nan, np.nan))
    ranges = dict(zip(RANGES, (value for pair in pairs for value in pair), strict=True))
    return {**ranges, NAME: region.name}


def sector_of(features: pd.DataFrame, position: int) -> Region | None:
    """Return the ring or sector that a shape is, ``None`` for one that is drawn freely."""
    if not set(RANGES) <= set(features.columns):
        return None
    q_min, q_max, phi_min, phi_max = (float(features[name].iloc[position]) for name in RANGES)
    q = (q_min, q_max) if isfinite(q_min) and isfinite(q_max) else None
    phi = (phi_min, phi_max) if isfinite(phi_min) and isfinite(phi_max) else None
    return (
        None if q is None and phi is None else Region(kind="sector", q_range=q, phi_range_deg=phi)
    )


def _name_of(features: pd.DataFrame, position: int) -> str:
    name = features[NAME].iloc[position] if NAME in features else ""
    return name if isinstance(name, str) else ""


def regions_of(layer: Shapes, dragged_in: Geometry | None = None) -> tuple[Region, ...]:
    """Return what is drawn in ``layer``, rings and sectors as what they are.

    With the geometry that they are ``dragged_in``, rings and sectors have the limits that their
    handles show, which the layer takes over when the mouse lets go (:func:`follow_handles`).
    """
    regions = []
    for position, region in enumerate(drawn_regions(layer) if layer.nshapes else ()):
        sector = sector_of(layer.features, position)
        if sector is not None and dragged_in is not None:
            vertices = np.asarray(layer.data[position])[:, -2:]
            sector = moved_sector(sector, vertices, dragged_in) or sector
        regions.append(replace(sector or region, name=_name_of(layer.features, position)))
    return tuple(regions)


def shape_of(region: Region, geometry: Geometry | None) -> tuple[np.ndarray, str]:
    """Return vertices and kind of the shape that shows a region."""
    if region.kind != "sector":
        return np.array(region.vertices), region.kind
    if geometry is None:
        return np.zeros((3, 2)), "polygon"
    return sector_outline(region, geometry), "polygon"


def add_region(layer: Shapes, region: Region, geometry: Geometry) -> None:
    """Draw one more region into a layer."""
    vertices, kind = shape_of(region, geometry)
    layer.add(vertices, shape_type=kind)
    features = layer.features.copy()
    for name, value in features_of(region).items():
        if name not in features:
            features[name] = "" if name == NAME else np.nan
        features.loc[features.index[-1], name] = value
    layer.features = features


def moved_sector(region: Region, vertices: np.ndarray, geometry: Geometry) -> Region | None:
    """Return the sector whose handles were moved to ``vertices``; ``None`` if none was.

    A handle of the outer arc sets the largest q, one of the inner arc the smallest; those at
    the ends of an arc set the limit of phi too.  A sector moved as a whole keeps its widths.
    """
    before = sector_outline(region, geometry)
    if vertices.shape != before.shape:
        return None
    off = np.hypot(*(vertices - before).T)
    moved = np.flatnonzero(off > MOVED_PX)
    if not moved.size:
        return None
    xp = NumPyBackend()
    arc = len(before) // 2
    low, high = region.q_range or (0.0, largest_q(geometry))
    phi = region.phi_range_deg
    if len(moved) > 2:
        index = arc // 2
        old = place_values(geometry, *(float(one) for one in before[index]), xp=xp)
        new = place_values(geometry, *(float(one) for one in vertices[index]), xp=xp)
        step, turn = new.q - old.q, new.phi_deg - old.phi_deg
        low, high = max(low + step, 0.0), high + step
        phi = None if phi is None else (phi[0] + turn, phi[1] + turn)
    else:
        index = int(moved[np.argmax(off[moved])])
        new = place_values(geometry, *(float(one) for one in vertices[index]), xp=xp)
        low, high = (low, new.q) if index < arc else (new.q, high)
        if phi is not None:
            along = index if index < arc else 2 * arc - 1 - index
            # Counted from the limit before, so that a sector may run through 180 degrees.
            if along == 0:
                phi = (phi[0] + _turn(new.phi_deg - phi[0]), phi[1])
            elif along == arc - 1:
                phi = (phi[0], phi[1] + _turn(new.phi_deg - phi[1]))
    if not low < high:
        low, high = min(low, high), max(low, high) + 1e-9
    return replace(region, q_range=region.q_range and (low, high), phi_range_deg=phi)


def _turn(angle_deg: float) -> float:
    return (angle_deg + 180.0) % 360.0 - 180.0


def follow_handles(layer: Shapes, geometry: Geometry) -> None:
    """Make sectors whose handles were dragged sectors again, with the new limits."""
    features, shapes, changed = layer.features.copy(), list(layer.data), False
    for position, vertices in enumerate(shapes):
        region = sector_of(features, position)
        if region is None:
            continue
        after = moved_sector(region, np.asarray(vertices)[:, -2:], geometry)
        if after is None:
            continue
        shapes[position] = sector_outline(after, geometry)
        for name, value in features_of(after).items():
            if name in RANGES:
                features.loc[features.index[position], name] = value
        changed = True
    if changed:
        selected, mode = set(layer.selected_data), layer.mode
        layer.data = shapes
        layer.features = features
        layer.mode = mode
        layer.selected_data = selected


def redraw_sectors(layer: Shapes, geometry: Geometry) -> None:
    """Draw rings and sectors where a changed geometry puts them."""
    shapes = [
        np.asarray(vertices) if region is None else sector_outline(region, geometry)
        for vertices, region in (
            (vertices, sector_of(layer.features, position))
            for position, vertices in enumerate(layer.data)
        )
    ]
    if any(
        new.shape != old.shape or not np.allclose(new, old, atol=1e-3)
        for new, old in zip(shapes, layer.data, strict=True)
    ):
        features = layer.features.copy()
        layer.data = shapes
        layer.features = features
