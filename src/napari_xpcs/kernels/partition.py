"""Bins over the detector: dynamic bins that g2 is computed for, static bins that refine them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import LabelImage, Mask
from napari_xpcs.kernels.curves import BinTable
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.regions import Region, RegionBins


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bins:
    """One label image with its tables.

    Parameters
    ----------
    labels
        0 = not used, 1..N without holes.
    grid
        Numbers of bins along the two axes, empty ones included.
    index
        Natural 0-based position ``i0 * grid[1] + i1`` of label k in entry k-1.
    centers
        Bin centres along each axis, full length ``grid``.
    edges
        Bin edges along each axis, shape (n + 1,), or (n, 2) with the low and high edge of
        each bin where bins have gaps between them; ``None`` where a file does not hold them.
        phi edges are counted after the offset, from the start of the range on.
    pixels
        Pixel count of label k in entry k-1.
    label_centers
        Centre of every label along each axis, where bins were drawn or painted and make no
        grid; ``None`` where ``centers`` and ``index`` tell it.
    """

    labels: LabelImage
    grid: tuple[int, int]
    index: Int[np.ndarray, " bin"]
    centers: tuple[Float[np.ndarray, " n0"], Float[np.ndarray, " n1"]]
    edges: tuple[np.ndarray, np.ndarray] | None
    pixels: Int[np.ndarray, " bin"]
    label_centers: tuple[Float[np.ndarray, " bin"], Float[np.ndarray, " bin"]] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def center_of_bins(self, axis: int) -> Float[np.ndarray, " bin"]:
        """Return the centre of every label along ``axis``."""
        if self.label_centers is not None:
            return self.label_centers[axis]
        position = self.index // self.grid[1] if axis == 0 else self.index % self.grid[1]
        centers: np.ndarray = self.centers[axis][position]
        return centers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """Mask, dynamic and static bins of one detector.

    ``mask`` holds the pixels that are used: both label images are 0 outside and not 0
    inside.  ``blemish`` holds the good pixels of the detector, a larger set where a range
    leaves good pixels out; ``None`` where it is unknown.  ``names`` and ``units`` belong to
    the two axes, by default q in 1/angstrom and phi in degrees.  ``notes`` says in words
    what had to be changed about the bins that were asked for.  Bins made of ``regions`` keep
    them, in the order of drawing, with the rule they were made by (``region_bins``, see
    :func:`napari_xpcs.kernels.label_bins.regions_partition`) and the number from 1 of the
    region of dynamic label k in entry k-1 of ``region_of_bin``.  ``mask_steps`` are what the
    good pixels were found by, empty where that is not known.
    """

    mask: Mask
    dynamic: Bins
    static: Bins
    names: tuple[str, str] = ("q", "phi")
    units: tuple[str, str] = ("Å⁻¹", "deg")
    geometry: Geometry | None = None
    spec: PartitionSpec | None = None
    blemish: Mask | None = None
    notes: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    region_bins: RegionBins | None = None
    region_of_bin: Int[np.ndarray, " bin"] | None = None
    mask_steps: tuple[MaskStep, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the detector."""
        rows, cols = self.mask.shape
        return rows, cols

    def table(self) -> BinTable:
        """Return q and phi of the dynamic bins, NaN for an axis that is something else."""
        count = len(self.dynamic)
        axes = {name: axis for axis, name in enumerate(self.names)}

        def values(name: str) -> Float[np.ndarray, " bin"]:
            return (
                self.dynamic.center_of_bins(axes[name]) if name in axes else np.full(count, np.nan)
            )

        return BinTable(
            label=np.arange(1, count + 1),
            q=values("q"),
            phi_deg=values("phi"),
            pixels=self.dynamic.pixels,
        )
