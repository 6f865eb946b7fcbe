"""Bins on a grid of two axes over the detector: :func:`make_partition`."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs._typing import Array, Mask
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.axis_bins import AxisBins, axis_bins, extent
from napari_xpcs.kernels.axis_request import AXIS_UNITS, AxisRequest, place
from napari_xpcs.kernels.axis_values import MAP_FIELDS, axis_values
from napari_xpcs.kernels.bin_labels import LabelTable, labels_of, number_pixels
from napari_xpcs.kernels.ellipse import ellipse_axis, ellipse_of_mask
from napari_xpcs.kernels.fold_centers import fold_centers
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask import check_mask_shape
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.qmap import QMaps, map_fields


def make_partition(
    geometry: Geometry, mask: Mask, spec: PartitionSpec, *, xp: BackendProtocol
) -> Partition:
    """Return the bins of ``spec`` over the unmasked pixels of a detector.

    Parameters
    ----------
    geometry
        Detector, beam and photon energy.
    mask
        True = the pixel is used; of the shape of the detector.
    spec
        Bins that are wanted.
    xp
        Backend to compute on; the partition itself is NumPy.

    Raises
    ------
    PartitionError
        The mask has another shape, or no pixel is left for the bins.
    """
    check_mask_shape(mask, geometry.shape)
    # Only what the axes need: the other maps cost as much again, in time and in memory.
    fields = {MAP_FIELDS[name] for name in spec.names if name in MAP_FIELDS}
    maps = map_fields(geometry, fields, xp=xp, convention=spec.q_convention)
    return _partition(maps, mask, spec, geometry, xp=xp)


def partition_from_maps(
    maps: QMaps,
    mask: Mask,
    spec: PartitionSpec,
    geometry: Geometry,
    *,
    xp: BackendProtocol,
) -> Partition:
    """Return what :func:`make_partition` returns, from maps made earlier for ``geometry``.

    New numbers, ranges or masks need no new maps; a new ``spec.q_convention`` does.
    """
    check_mask_shape(mask, geometry.shape)
    arrays = {field: getattr(maps, field) for field in MAP_FIELDS.values()}
    present = {field: array for field, array in arrays.items() if array is not None}
    return _partition(present, mask, spec, geometry, xp=xp)


def _partition(
    maps: Mapping[str, Array],
    mask: Mask,
    spec: PartitionSpec,
    geometry: Geometry,
    *,
    xp: BackendProtocol,
) -> Partition:
    spec, notes = spec.settled()
    requests = spec.requests()
    if not np.any(mask):
        msg = "The mask leaves no pixel: unmask the part that scatters."
        raise PartitionError(msg)
    if spec.ellipse is None and {"eq", "ephi"} & {*spec.names}:
        spec = replace(spec, ellipse=ellipse_of_mask(mask))
    raw = [_values_of_axis(maps, request.name, geometry.shape, spec, xp=xp) for request in requests]
    used = xp.asarray(mask)
    values = []
    for request, pixels in zip(requests, raw, strict=True):
        placed, inside = place(pixels, used, request, xp=xp)
        if request.span is not None and not bool(xp.any(inside)):
            raise PartitionError(_nothing_inside(request, request.span, pixels, used, xp=xp))
        used = inside
        values.append(placed)

    axes = [
        axis_bins(pixels, used, request, xp=xp)
        for request, pixels in zip(requests, values, strict=True)
    ]
    natural, counts = number_pixels(values, used, axes, xp=xp)
    if not counts[1:].any():
        msg = "All unmasked pixels lie in gaps between the bins: move the edges."
        raise PartitionError(msg)
    grid = len(axes[0]), len(axes[1])
    counts, left_out = _without_small(counts, spec.min_pixels)
    static = LabelTable.of(counts[1:], grid)
    dynamic = static.grouped(axes[0].parts, axes[1].parts)

    parts = (axes[0].parts, axes[1].parts)
    first_centers, second_centers = (
        _centers(axis, request, pixels, placed, used, xp=xp)
        for axis, request, pixels, placed in zip(axes, requests, raw, values, strict=True)
    )
    static_labels, dynamic_labels = labels_of((static, dynamic), natural, xp=xp)
    static_bins = Bins(
        labels=static_labels,
        grid=static.grid,
        index=static.index,
        centers=(first_centers[0], second_centers[0]),
        edges=(axes[0].edges(), axes[1].edges()),
        pixels=static.pixels,
    )
    dynamic_bins = Bins(
        labels=dynamic_labels,
        grid=dynamic.grid,
        index=dynamic.index,
        centers=(first_centers[1], second_centers[1]),
        edges=(axes[0].edges(parts[0]), axes[1].edges(parts[1])),
        pixels=dynamic.pixels,
    )
    return Partition(
        mask=static_labels > 0,
        dynamic=dynamic_bins,
        static=static_bins,
        names=(requests[0].name, requests[1].name),
        units=(AXIS_UNITS[requests[0].name], AXIS_UNITS[requests[1].name]),
        geometry=geometry,
        spec=spec,
        blemish=np.array(mask),
        notes=(*notes, *left_out),
    )


def _without_small(
    counts: Int[np.ndarray, " position"], least: int
) -> tuple[Int[np.ndarray, " position"], tuple[str, ...]]:
    """Return ``counts`` with 0 for bins of fewer than ``least`` pixels, and that in words."""
    small = (counts > 0) & (counts < least)
    # Position 0 holds the pixels that are in no bin.
    small[0] = False
    kept = np.where(small, 0, counts)
    if not kept[1:].any():
        raise PartitionError(no_bin_left(least))
    return kept, small_bins_note(int(small.sum()), int(counts[small].sum()), least)


def small_bins_note(count: int, pixels: int, least: int) -> tuple[str, ...]:
    """Say in words that bins below the minimum were left out; nothing if none was."""
    if not count:
        return ()
    bins = "1 static bin is" if count == 1 else f"{count} static bins are"
    each = "it has" if count == 1 else "each has"
    return (f"{bins} left out, with {pixels} pixels: {each} fewer than {least} pixels.",)


def no_bin_left(least: int) -> str:
    """Return the sentence for a minimum that no bin reaches."""
    return f"No static bin has {least} pixels or more: lower the minimum, or make fewer bins."


def _values_of_axis(
    maps: Mapping[str, Array],
    name: str,
    shape: tuple[int, int],
    spec: PartitionSpec,
    *,
    xp: BackendProtocol,
) -> Float[Array, "row col"]:
    if name in {"eq", "ephi"} and spec.ellipse is not None:
        return ellipse_axis(spec.ellipse, shape, angle=name == "ephi", xp=xp)
    if name in MAP_FIELDS and MAP_FIELDS[name] not in maps:
        msg = f"{name} exists for grazing incidence only: give the incident angle."
        raise PartitionError(msg)
    return axis_values(name, maps, shape, xp=xp)


def _nothing_inside(
    request: AxisRequest,
    span: tuple[float, float],
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    *,
    xp: BackendProtocol,
) -> str:
    start, stop = span
    low, high = extent(values, used, xp=xp)
    unit = AXIS_UNITS[request.name]
    return (
        f"No unmasked pixel has {request.name} from {start:g} to {stop:g} {unit}: "
        f"they span {low:g} to {high:g}. Choose a range within."
    )


def _centers(
    axis: AxisBins,
    request: AxisRequest,
    raw: Float[Array, "row col"],
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    *,
    xp: BackendProtocol,
) -> tuple[Float[np.ndarray, " n"], ...]:
    """Return the centres of the static bins and of the dynamic bins along one axis."""
    groups = (1, axis.parts)
    if request.name != "phi" or request.span is None:
        if request.fold > 1:
            return fold_centers(raw, values, used, axis, request, groups, xp=xp)
        return tuple(axis.centers(group) for group in groups)
    # A range may run past 180 degrees; a centre is told as an angle in (-180, 180].
    return tuple(180.0 - np.mod(180.0 - axis.centers(group), 360.0) for group in groups)
