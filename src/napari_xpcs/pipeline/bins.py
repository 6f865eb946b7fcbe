"""Bins from frames, geometry and mask files into a Q-map file, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_xpcs._typing import Mask
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FileFormatError, PartitionError
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.files import (
    FramesFile,
    GeometryFile,
    MaskFile,
    PartitionFile,
    ResultFile,
    XpcsFile,
)
from napari_xpcs.io.masks import read_mask, read_mask_step
from napari_xpcs.io.open import open_path
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.kernels.geometry import (
    Geometry,
    KnownGeometry,
    beam_on_detector,
    complete_geometry,
    override,
)
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.label_bins import regions_partition
from napari_xpcs.kernels.mask import marked_pixels
from napari_xpcs.kernels.mask_inputs import MaskInputs
from napari_xpcs.kernels.mask_of_steps import MaskResult, mask_of_steps
from napari_xpcs.kernels.mask_painting import painted_difference
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.kernels.regions import Region, RegionBins

OPTION = "option"
"""Origin of a value that was given as an option."""


def partition_file(
    output: Path,
    *,
    frames: Path | None = None,
    dataset: str | None = None,
    shape: tuple[int, int] | None = None,
    values: Mapping[str, float | None],
    mask: Path | None = None,
    mask_ones: Literal["good", "bad"] | None = None,
    mask_steps: Sequence[MaskStep] = (),
    spec: PartitionSpec,
    regions: Sequence[Region] = (),
    region_bins: RegionBins = "each",
    xp: BackendProtocol,
    force: bool = False,
) -> Partition:
    """Make bins and write them to ``output``.

    Parameters
    ----------
    frames
        File to take shape and geometry from.
    dataset
        HDF5 path of its frames where that is unusual.
    shape
        Detector shape where there is no file.
    values
        Geometry by the names of :data:`~napari_xpcs.kernels.geometry.FIELD_UNITS`; these
        win over the file.
    mask
        Mask file; without one the pixels are left out that the frames file marks as bad or,
        where it marks none, those that hold no value in one of some frames.
    mask_ones
        What pixels that are not 0 mean in it; by default what its format says, or a guess.
    mask_steps
        What is masked on top of that; saved with the bins.
    regions, region_bins
        Shapes that make the bins, with ``spec`` to cut them, as in
        :func:`~napari_xpcs.kernels.label_bins.regions_partition`; without shapes the bins
        are those of ``spec``.

    Raises
    ------
    XpcsError
        A file is not what it should be or exists already, the geometry is incomplete, or the
        bins or the mask cannot be made.
    """
    refuse_input_as_output(output, *(path for path in (frames, mask) if path is not None))
    run_frames = None
    known: KnownGeometry = {}
    in_file = None
    if frames is not None:
        opened = open_path(frames, dataset)
        known = opened.known
        run_frames = opened.frames if isinstance(opened, FramesFile) else None
        found = _detector(opened)
        if shape is not None and found is not None and shape != found:
            msg = (
                f"The shape {shape[0]} x {shape[1]} was asked for, but {frames} has "
                f"{found[0]} x {found[1]} pixels."
            )
            raise PartitionError(msg)
        shape = shape or found
        in_file = opened.mask if isinstance(opened, FramesFile) else None
    if shape is None:
        msg = "The shape of the detector is unknown: name a frames file, or give --shape ROWS COLS."
        raise PartitionError(msg)
    geometry = complete_geometry(override(known, values, OPTION), shape)
    used, said = _used_pixels(mask, mask_ones, in_file, run_frames, shape)
    if mask_steps:
        result = _after_steps(mask_steps, used, geometry, run_frames, spec, xp=xp)
        mask_steps, used = result.steps, result.mask
        said += tuple(outcome.note for outcome in result.outcomes if outcome.note)
    partition = (
        regions_partition(regions, geometry, used, spec, bins=region_bins, xp=xp)
        if regions
        else make_partition(geometry, used, spec, xp=xp)
    )
    partition = replace(partition, notes=(*partition.notes, *said), mask_steps=tuple(mask_steps))
    write_partition(output, partition, source="" if frames is None else str(frames), force=force)
    return partition


def _used_pixels(
    mask: Path | None,
    mask_ones: Literal["good", "bad"] | None,
    in_file: Mask | None,
    run_frames: Any,
    shape: tuple[int, int],
) -> tuple[Mask, tuple[str, ...]]:
    """Return the mask before the steps, and in words where it comes from."""
    if mask is not None:
        mask_file = read_mask(mask, shape, ones=mask_ones)
        return mask_file.mask, (f"{mask.name}: {mask_file}",)
    if in_file is not None:
        return in_file, ()
    marked = np.zeros(shape, dtype=bool) if run_frames is None else marked_pixels(run_frames)
    if not marked.any():
        return ~marked, ()
    number = int(marked.sum())
    said = f"Pixels marked as dead or saturated in the frames looked at, left out: {number}."
    return ~marked, (said,)


def _after_steps(
    steps: Sequence[MaskStep],
    used: Mask,
    geometry: Geometry,
    run_frames: Any,
    spec: PartitionSpec,
    *,
    xp: BackendProtocol,
) -> MaskResult:
    """Return what the steps make of the mask of the files."""
    # What the files mask comes first, so that growing and copying take it along.
    found_bad = painted_difference(np.ones_like(used), used, source="in the file")
    inputs = MaskInputs(
        shape=geometry.shape,
        frames=run_frames,
        maps=q_maps(geometry, xp=xp, convention=spec.q_convention),
        center_px=beam_on_detector(geometry),
        read_file=partial(read_mask_step, shape=geometry.shape),
    )
    return mask_of_steps(steps if used.all() else (found_bad, *steps), inputs, xp=xp)


def read_bins(qmap: Path) -> Partition:
    """Return the bins in a Q-map or result file.

    Raises
    ------
    FileFormatError
        There are none.
    """
    opened = open_path(qmap)
    partition = opened.partition if isinstance(opened, PartitionFile | ResultFile) else None
    if partition is None:
        msg = (
            f"{qmap} holds no bins: expected the group /qmap or /xpcs/qmap. "
            "Make them with `napari-xpcs qmap`."
        )
        raise FileFormatError(msg)
    return partition


def same_bins(one: Partition, other: Partition) -> bool:
    """Return whether two partitions have the same mask and labels at the same centres."""
    return all(
        np.array_equal(*arrays, equal_nan=True)
        for arrays in zip(
            (*bin_arrays(one), *one.dynamic.centers),
            (*bin_arrays(other), *other.dynamic.centers),
            strict=True,
        )
    )


def bin_arrays(partition: Partition) -> tuple[np.ndarray, ...]:
    """Return what tells partitions apart: the mask, and the dynamic and static labels."""
    return partition.mask, partition.dynamic.labels, partition.static.labels


def _detector(opened: XpcsFile) -> tuple[int, int] | None:
    if isinstance(opened, FramesFile):
        return opened.frames.shape[-2], opened.frames.shape[-1]
    if isinstance(opened, MaskFile):
        return opened.mask.shape
    if isinstance(opened, GeometryFile):
        return opened.shape
    return None if opened.partition is None else opened.partition.shape
