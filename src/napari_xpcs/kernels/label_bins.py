"""Bins from label images: painted by hand, or made of regions drawn over the detector."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from napari_xpcs._typing import LabelImage, Mask
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import no_bin_left, partition_from_maps, small_bins_note
from napari_xpcs.kernels.mask import check_mask_shape
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.qmap import QMaps, q_maps
from napari_xpcs.kernels.regions import Region, RegionBins, region_mask

_LARGEST_TABLE = 20_000_000


def partition_from_labels(
    labels: Int[np.ndarray, "row col"],
    geometry: Geometry | None,
    *,
    mask: Mask | None = None,
    static: Int[np.ndarray, "row col"] | None = None,
    maps: QMaps | None = None,
    min_pixels: int = 1,
    xp: BackendProtocol,
) -> Partition:
    """Return the partition of any label image, for example one painted by hand.

    Parameters
    ----------
    labels
        Dynamic bins: 0 = not used; other numbers in any order, they are renumbered 1..N
        in their order without holes.
    geometry
        What q and phi of the bins are computed from; ``None`` leaves both NaN.
    mask
        True = the pixel is used; pixels outside are taken out of their bin.
    static
        Label image that divides the dynamic bins further, such as the static bins before
        the painting; where it is 0 inside a dynamic bin, the rest is one static bin.  Without
        it each dynamic bin is one static bin.
    maps
        Maps of ``geometry`` where they were made already.
    min_pixels
        Static bins of fewer pixels are left out, and dynamic bins that have no other.
    xp
        Backend to compute the maps on; the partition is NumPy.

    Returns
    -------
    Partition
        q of a bin is the mean over its pixels, phi the direction of the mean of their unit
        vectors; both per label, in ``Bins.label_centers``.  The edges along q are the smallest
        and largest q of each bin.

    Raises
    ------
    PartitionError
        Labels below 0, shapes that differ, or no pixel in any bin.
    """
    labels = np.asarray(labels)
    used = labels > 0
    for image in (labels, *([] if static is None else [static])):
        if image.min(initial=0) < 0:
            msg = f"Bin numbers start at 1 and 0 is no bin; got {image.min()}."
            raise PartitionError(msg)
    if mask is not None:
        check_mask_shape(mask, labels.shape)
        used = used & mask
    if static is not None and static.shape != labels.shape:
        msg = f"Static bins have the shape {static.shape}, dynamic ones {labels.shape}."
        raise PartitionError(msg)
    if geometry is not None and geometry.shape != labels.shape:
        msg = f"The labels have the shape {labels.shape}, the detector {geometry.shape}."
        raise PartitionError(msg)
    if not used.any():
        msg = "No bin holds an unmasked pixel: paint or draw one first."
        raise PartitionError(msg)
    if maps is None and geometry is not None:
        maps = q_maps(geometry, xp=xp)
    at = np.flatnonzero(used)
    dynamic, kept_dynamic = _compact(labels.ravel()[at].astype(np.int64))
    finer = np.zeros(len(at), dtype=np.int64) if static is None else static.ravel()[at]
    # Static bins that nothing was painted over keep their order.
    pairs, kept = _compact(finer * len(kept_dynamic) + dynamic)
    owner = np.zeros(len(kept), dtype=np.int64)
    owner[pairs] = dynamic
    pixels = np.bincount(pairs, minlength=len(owner))
    large_enough = pixels >= min_pixels
    if not large_enough.any():
        raise PartitionError(no_bin_left(min_pixels))
    notes = small_bins_note(
        int((~large_enough).sum()), int(pixels[~large_enough].sum()), min_pixels
    )
    keep = large_enough[pairs]
    at, pairs = at[keep], _renumbered(large_enough)[pairs[keep]]
    owner = owner[large_enough]
    owner, present = _compact(owner)
    static_bins = _label_bins(at, pairs, len(owner), labels.shape, maps)
    dynamic_bins = _label_bins(at, owner[pairs], len(present), labels.shape, maps)
    return Partition(
        mask=static_bins.labels > 0,
        dynamic=dynamic_bins,
        static=static_bins,
        geometry=geometry,
        blemish=np.ones(labels.shape, dtype=bool) if mask is None else np.array(mask),
        notes=notes,
    )


def regions_partition(
    regions: Sequence[Region],
    geometry: Geometry | None,
    mask: Mask,
    spec: PartitionSpec | None = None,
    *,
    bins: RegionBins = "each",
    maps: QMaps | None = None,
    xp: BackendProtocol,
) -> Partition:
    """Return the bins that ``regions`` make.

    Where regions overlap a pixel belongs to the last of them, the one that lies on top on
    the screen; ``Partition.notes`` tells of each overlap and of regions without pixels.

    Parameters
    ----------
    regions
        What was drawn, in order; ``Partition.regions`` of the result, saved with the file.
    geometry
        Detector; may be ``None`` for shapes in pixels with ``bins="each"`` and no ``spec``.
    mask
        True = the pixel is used.
    spec
        q/phi bins: the dynamic ones cut the regions if ``bins`` is "clip", the static ones
        divide them in both cases.  Ranges of the data are those of the whole mask, so that
        the edges are those of the bins without regions.  ``None``: no static division.
    bins
        "each": every region is one dynamic bin; "clip": every pair of a region and a
        dynamic bin of ``spec`` that share pixels is one.
    maps
        Maps of ``geometry`` where they were made already.
    xp
        Backend to compute on.

    Raises
    ------
    PartitionError
        No region, no unmasked pixel inside any, or "clip" without ``spec`` and geometry.
    """
    if not regions:
        msg = "There is no region: draw a shape first."
        raise PartitionError(msg)
    if geometry is None and (spec is not None or bins == "clip"):
        msg = "Cutting regions into q/phi bins needs the geometry; type the missing values."
        raise PartitionError(msg)
    if spec is None and bins == "clip":
        msg = "Regions are to be cut into bins, and no bins were asked for."
        raise PartitionError(msg)
    if maps is None and geometry is not None:
        maps = q_maps(geometry, xp=xp, convention="exact" if spec is None else spec.q_convention)
    if geometry is not None:
        check_mask_shape(mask, geometry.shape)
    shape = (mask.shape[0], mask.shape[1])
    number, notes = _region_numbers(regions, shape, mask, maps, xp=xp)
    if not number.any():
        msg = "No region holds an unmasked pixel: move one over the detector."
        raise PartitionError(msg)
    labels: np.ndarray = number
    static = None
    if spec is not None and geometry is not None and maps is not None:
        # The minimum holds for the bins that are kept, not for those that cut them.
        base = partition_from_maps(maps, mask, replace(spec, min_pixels=1), geometry, xp=xp)
        static = base.static.labels
        if bins == "clip":
            count = len(base.dynamic) + 1
            cut = number.astype(np.int64) * count + base.dynamic.labels
            labels = np.where((number > 0) & (base.dynamic.labels > 0), cut, 0)
        spec = replace(base.spec or spec, min_pixels=spec.min_pixels)
        notes = [*base.notes, *notes]
    partition = partition_from_labels(
        labels,
        geometry,
        mask=mask,
        static=static,
        maps=maps,
        min_pixels=1 if spec is None else spec.min_pixels,
        xp=xp,
    )
    origin = np.zeros(len(partition.dynamic) + 1, dtype=np.int64)
    origin[partition.dynamic.labels] = number
    return replace(
        partition,
        spec=spec,
        regions=tuple(regions),
        region_bins=bins,
        region_of_bin=origin[1:],
        notes=(*notes, *partition.notes),
    )


def _region_numbers(
    regions: Sequence[Region],
    shape: tuple[int, int],
    mask: Mask,
    maps: QMaps | None,
    *,
    xp: BackendProtocol,
) -> tuple[LabelImage, list[str]]:
    number = np.zeros(shape, dtype=np.int32)
    notes = []
    for position, region in enumerate(regions, start=1):
        inside = region_mask(region, shape, maps, xp=xp) & mask
        title = f"Region {position} ({region.title})"
        if not inside.any():
            notes.append(f"{title} holds no unmasked pixel and makes no bin.")
        beneath = np.bincount(number[inside], minlength=position)
        notes += [
            f"{title} covers {beneath[other]} pixels of region {other}; they belong to "
            f"region {position}, which lies on top."
            for other in np.flatnonzero(beneath[1:]) + 1
        ]
        number[inside] = position
    return number, notes


def _compact(
    values: Int[np.ndarray, " pixel"],
) -> tuple[Int[np.ndarray, " pixel"], Int[np.ndarray, " bin"]]:
    """Return 0-based positions of ``values`` among their sorted different values, and these."""
    if values.max() > _LARGEST_TABLE:
        kept, positions = np.unique(values, return_inverse=True)
        return positions, kept
    there = np.bincount(values) > 0
    return _renumbered(there)[values], np.flatnonzero(there)


def _renumbered(kept: np.ndarray) -> Int[np.ndarray, " value"]:
    positions: np.ndarray = np.cumsum(kept) - 1
    return positions


def _label_bins(
    at: Int[np.ndarray, " pixel"],
    number: Int[np.ndarray, " pixel"],
    count: int,
    shape: tuple[int, ...],
    maps: QMaps | None,
) -> Bins:
    """Return the bins of pixels ``at`` (flat positions), with the 0-based ``number`` of each."""
    labels = np.zeros(shape, dtype=np.int32)
    labels.ravel()[at] = number + 1
    pixels = np.bincount(number, minlength=count)
    q, phi = np.full(count, np.nan), np.full(count, np.nan)
    edges = None
    mean_phi = np.nan
    if maps is not None:
        q_pixels = np.asarray(ensure_numpy(maps.q)).ravel()[at]
        angle = np.radians(np.asarray(ensure_numpy(maps.phi_deg)).ravel()[at])
        q = np.bincount(number, weights=q_pixels, minlength=count) / pixels
        across = np.bincount(number, weights=np.cos(angle), minlength=count)
        up = np.bincount(number, weights=np.sin(angle), minlength=count)
        phi = np.degrees(np.arctan2(up, across))
        mean_phi = float(np.degrees(np.arctan2(up.sum(), across.sum())))
        lower, upper = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(lower, number, q_pixels)
        np.maximum.at(upper, number, q_pixels)
        edges = np.stack([lower, upper], axis=1), np.array([-180.0, 180.0])
    return Bins(
        labels=labels,
        grid=(count, 1),
        index=np.arange(count),
        centers=(q, np.array([mean_phi])),
        edges=edges,
        pixels=pixels,
        label_centers=(q, phi),
    )
