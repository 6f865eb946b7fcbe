"""Bins over the detector: dynamic bins that g2 is computed for, static bins that refine them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import LabelImage, Mask
from napari_xpcs.kernels.curves import BinTable
from napari_xpcs.kernels.geometry import Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpec:
    """What bins are wanted; the options of ``napari-xpcs qmap``.

    ``dq dp`` dynamic and ``sq sp`` static numbers along the first and second axis.
    Ranges in 1/angstrom and degrees.
    """

    dq: int = 36
    sq: int = 360
    dp: int = 1
    sp: int = 1
    mode: str = "q-phi"
    spacing: Literal["linear", "log"] = "linear"
    edges: Literal["data", "equal-count"] = "data"
    q_range: tuple[float, float] | None = None
    phi_range_deg: tuple[float, float] | None = None
    phi_offset_deg: float | None = None
    phi_fold: int = 1
    q_convention: Literal["exact", "sin2theta"] = "exact"


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
        Bin edges along each axis, or ``None`` where a file does not hold them.
    pixels
        Pixel count of label k in entry k-1.
    """

    labels: LabelImage
    grid: tuple[int, int]
    index: Int[np.ndarray, " bin"]
    centers: tuple[Float[np.ndarray, " n0"], Float[np.ndarray, " n1"]]
    edges: tuple[np.ndarray, np.ndarray] | None
    pixels: Int[np.ndarray, " bin"]

    def __len__(self) -> int:
        return len(self.index)

    def center_of_bins(self, axis: int) -> Float[np.ndarray, " bin"]:
        """Return the centre of every label along ``axis``."""
        position = self.index // self.grid[1] if axis == 0 else self.index % self.grid[1]
        return self.centers[axis][position]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """Mask, dynamic and static bins of one detector.

    ``names`` and ``units`` belong to the two axes, by default q in 1/angstrom and phi in degrees.
    """

    mask: Mask
    dynamic: Bins
    static: Bins
    names: tuple[str, str] = ("q", "phi")
    units: tuple[str, str] = ("Å⁻¹", "deg")
    geometry: Geometry | None = None
    spec: PartitionSpec | None = None

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
            return self.dynamic.center_of_bins(axes[name]) if name in axes else np.full(count, np.nan)

        return BinTable(
            label=np.arange(1, count + 1),
            q=values("q"),
            phi_deg=values("phi"),
            pixels=self.dynamic.pixels,
        )
