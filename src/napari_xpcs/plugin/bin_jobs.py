"""What the dock of the bins computes in a thread."""

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np

from napari_xpcs._typing import LabelImage, Mask
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.qmap import QMaps
from napari_xpcs.kernels.regions import Region, RegionBins
from napari_xpcs.progress import Progress, Steps

PREVIEW_SIDE = 512
"""Pixels on the longer side of the bins that are shown while something is dragged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinRequest:
    """Bins that are wanted; ``maps`` are those of the geometry where they were made already."""

    shape: tuple[int, int]
    geometry: Geometry | None
    mask: Mask | None
    spec: PartitionSpec
    regions: tuple[Region, ...] = ()
    rule: RegionBins = "each"
    mask_steps: tuple[MaskStep, ...] = ()
    maps: QMaps | None = None

    def used(self) -> Mask:
        """Return the mask, all of the detector where there is none."""
        return np.ones(self.shape, dtype=bool) if self.mask is None else self.mask

    @property
    def preview_factor(self) -> int:
        """How many pixels on a side one pixel of the preview stands for."""
        return ceil(max(self.shape) / PREVIEW_SIDE)

    def coarse(self) -> "BinRequest":
        """Return the same bins on a detector of fewer, larger pixels."""
        factor = self.preview_factor
        if factor == 1 or self.geometry is None:
            return self
        shape = tuple(-(-length // factor) for length in self.shape)
        geometry = replace(
            self.geometry,
            shape=(shape[0], shape[1]),
            pixel_row_m=self.geometry.pixel_row_m * factor,
            pixel_col_m=self.geometry.pixel_col_m * factor,
            center_row_px=(self.geometry.center_row_px + 0.5) / factor - 0.5,
            center_col_px=(self.geometry.center_col_px + 0.5) / factor - 0.5,
        )
        mask = None
        if self.mask is not None:
            pad = [(0, shape[axis] * factor - self.shape[axis]) for axis in (0, 1)]
            middle = slice(factor // 2, None, factor)
            mask = np.pad(self.mask, pad, mode="edge")[middle, middle]
        regions = tuple(
            replace(
                region,
                vertices=tuple(
                    ((row + 0.5) / factor - 0.5, (col + 0.5) / factor - 0.5)
                    for row, col in region.vertices
                ),
                width_px=region.width_px / factor,
            )
            for region in self.regions
        )
        spec = replace(self.spec, sq=self.spec.dq, sp=self.spec.dp, min_pixels=1)
        return replace(
            self,
            shape=geometry.shape,
            geometry=geometry,
            mask=mask,
            spec=spec,
            regions=regions,
            maps=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinResult:
    """Bins that were made, with the maps they were made from and what was asked for."""

    request: BinRequest
    maps: QMaps | None
    partition: Partition


def bins_steps(request: BinRequest) -> Steps[BinResult]:
    """Make the Q-map (unless there is one) and the bins."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.grid_bins import partition_from_maps
    from napari_xpcs.kernels.label_bins import regions_partition
    from napari_xpcs.kernels.qmap import q_maps

    xp, maps, geometry = get_backend(), request.maps, request.geometry
    if maps is None and geometry is not None:
        yield Progress(0, 2, "Q-map")
        maps = q_maps(geometry, xp=xp, convention=request.spec.q_convention)
    yield Progress(1, 2, "bins")
    if request.regions:
        partition = regions_partition(
            request.regions,
            geometry,
            request.used(),
            None if geometry is None else request.spec,
            bins=request.rule,
            maps=maps,
            xp=xp,
        )
    else:
        assert geometry is not None
        assert maps is not None
        partition = partition_from_maps(maps, request.used(), request.spec, geometry, xp=xp)
    partition = replace(partition, mask_steps=request.mask_steps)
    return BinResult(request=request, maps=maps, partition=partition)


def preview_steps(request: BinRequest) -> Steps[LabelImage]:
    """Make the dynamic bins at reduced resolution, as labels of the full detector."""
    coarse = request.coarse()
    result = yield from bins_steps(coarse)
    labels, factor = result.partition.dynamic.labels, request.preview_factor
    if coarse is not request:
        labels = np.repeat(np.repeat(labels, factor, axis=0), factor, axis=1)
    rows, cols = request.shape
    return labels[:rows, :cols]


def painted_steps(request: BinRequest, labels: LabelImage, before: Partition) -> Steps[BinResult]:
    """Make the tables of bins that were painted by hand over ``before``."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.label_bins import partition_from_labels

    yield Progress(0, 1, "painted bins")
    partition = partition_from_labels(
        labels,
        request.geometry,
        mask=request.mask,
        static=before.static.labels,
        maps=request.maps,
        xp=get_backend(),
    )
    partition = replace(partition, mask_steps=request.mask_steps)
    return BinResult(request=request, maps=request.maps, partition=partition)


def save_steps(path: Path, partition: Partition, source: str) -> Steps[Path]:
    """Write a Q-map file."""
    yield Progress(0, 1, "files")
    refuse_input_as_output(path, Path(source))
    write_partition(path, partition, source=source, force=True)
    return path


def partition_summary(partition: Partition) -> str:
    """Return in one line how many bins there are and what they cover."""
    table = partition.table()
    text = (
        f"{len(partition.dynamic)} dynamic and {len(partition.static)} static bins, "
        f"{int(table.pixels.sum())} pixels"
    )
    if partition.names[0] == "q" and np.isfinite(table.q).any():
        text += f", q {np.nanmin(table.q):.4g} to {np.nanmax(table.q):.4g} 1/Å"
    return " ".join([text + ".", *partition.notes])
