"""The values that two-time maps are products of, bin by bin, in memory or in a scratch file."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float, Float32, Int

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.twotime import tile_products
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs._typing import Array

_PRODUCTS_AT_ONCE = 6e9
"""Multiply-adds between two looks at Cancel: 0.1 s of one core."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SortedPixels:
    """The used pixels, those of a bin together and in it those of a static bin.

    Parameters
    ----------
    index
        Their places in the flattened detector.
    bins
        Where each dynamic bin lies in ``index``, counted from 0.
    static_starts
        First pixel of each static bin with pixels, from the start of its dynamic bin.
    """

    index: Int[np.ndarray, " pixel"]
    bins: tuple[slice, ...]
    static_starts: tuple[Int[np.ndarray, " sbin"], ...]

    def width(self, label: int) -> int:
        """Return the number of pixels of the dynamic bin ``label``."""
        here = self.bins[label - 1]
        return int(here.stop - here.start)


def sort_by_bin(pixels: UsedPixels) -> SortedPixels:
    """Return the used pixels in the order of their bins."""
    order = np.lexsort((pixels.static, pixels.dynamic))
    ends = np.cumsum(np.bincount(pixels.dynamic, minlength=pixels.bins))
    bins = tuple(slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True))
    static = pixels.static[order]
    return SortedPixels(
        index=pixels.index[order],
        bins=bins,
        static_starts=tuple(np.flatnonzero(np.diff(static[here], prepend=-1)) for here in bins),
    )


class BinValues(Protocol):
    """The values x of the pixels of a bin in all frames."""

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        ...

    @property
    def centre(self) -> float:
        """What was subtracted from the values before they are multiplied.

        Sums of products of fluctuations of either sign keep digits in float32 that sums of
        large values of one sign lose.
        """
        ...

    def totals(self) -> Float[np.ndarray, " frame"]:
        """Return the sum over the pixels of every frame, of the values as they are."""
        ...

    def products(
        self, rows: slice, cols: slice, room: Float32[np.ndarray, "row col"], progress: Progress
    ) -> Steps[None]:
        """Fill ``room`` with the sums over pixels of the products of two ranges of frames.

        What is below the diagonal of the map means nothing.  ``progress`` is yielded whenever
        the work can be cancelled.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseValues:
    """Values of a bin in panels of some frames each.

    Parameters
    ----------
    panels
        (pixel, frame) of the frames of each tile of a map, in memory or mapped from a file.
    totals
        Sum over the pixels of every frame, of the values as they are.
    centre
        What was subtracted from the values in the panels.
    begin
        First used frame of the first panel.
    """

    panels: list[Float32[np.ndarray, "pixel frame"]]
    totals: Float[np.ndarray, " frame"]
    centre: float
    begin: int = 0

    def panel(self, frame: int) -> Float32[np.ndarray, "pixel frame"]:
        """Return the panel with a used frame."""
        number: int = (frame - self.begin) // self.panels[0].shape[1]
        return self.panels[number]

    def left_in_panel(self, frame: int) -> int:
        """Return how many frames from a used frame on lie in the same panel."""
        length: int = self.panels[0].shape[1]
        return length - (frame - self.begin) % length

    def place(
        self, frame: int, count: int
    ) -> tuple[Float32[np.ndarray, "pixel frame"], int, Float[np.ndarray, " frame"]]:
        """Return panel and column of a used frame, and the totals of ``count`` from it on."""
        at = frame - self.begin
        return self.panel(frame), at % self.panels[0].shape[1], self.totals[at : at + count]


class _DenseBin:
    """What both ways of multiplying the values of a bin share."""

    def __init__(self, values: DenseValues) -> None:
        self._values = values

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self._values.panels[0].shape[0])

    @property
    def centre(self) -> float:
        """What was subtracted from the values before they are multiplied."""
        return self._values.centre

    def totals(self) -> Float[np.ndarray, " frame"]:
        """Return the sum over the pixels of every frame, of the values as they are."""
        return self._values.totals

    def _parts(self, rows: slice, cols: slice) -> list[slice]:
        """Divide the pixels so that Cancel is heard."""
        pairs = (rows.stop - rows.start) * (cols.stop - cols.start)
        width = max(int(_PRODUCTS_AT_ONCE / pairs), 16)
        return [slice(start, start + width) for start in range(0, self.pixels, width)]


class BlasBin(_DenseBin):
    """Products by the BLAS of SciPy: of a tile on the diagonal it works out one half only."""

    def products(
        self, rows: slice, cols: slice, room: Float32[np.ndarray, "row col"], progress: Progress
    ) -> Steps[None]:
        """Fill ``room`` with the sums over pixels of the products of two ranges of frames."""
        from scipy.linalg.blas import sgemm, ssyrk

        left, right = self._values.panel(rows.start), self._values.panel(cols.start)
        for part in self._parts(rows, cols):
            # Transposed, the arrays are those of Fortran, and BLAS takes them as they are.
            more = {"beta": 1.0 if part.start else 0.0, "c": room.T, "overwrite_c": 1}
            if rows == cols:
                ssyrk(1.0, left[part].T, lower=1, **more)
            else:
                sgemm(1.0, right[part].T, left[part].T, trans_b=1, **more)
            yield progress


class ArrayBin(_DenseBin):
    """Products by the array backend: on a GPU matrix products are quicker than what brings them."""

    def __init__(self, values: DenseValues, xp: BackendProtocol) -> None:
        super().__init__(values)
        self._xp = xp

    def products(
        self, rows: slice, cols: slice, room: Float32[np.ndarray, "row col"], progress: Progress
    ) -> Steps[None]:
        """Fill ``room`` with the sums over pixels of the products of two ranges of frames."""
        xp = self._xp
        total: Array | None = None
        for pixels in self._parts(rows, cols):
            left = xp.asarray(self._values.panel(rows.start)[pixels])
            right = left if rows == cols else xp.asarray(self._values.panel(cols.start)[pixels])
            part = tile_products(left, right, xp=xp)
            total = part if total is None else total + part
            yield progress
        room[:] = xp.to_numpy(total)


def room_for_values(
    frames: int, tile: int, widths: Sequence[int], memory_bytes: float
) -> list[list[Float32[np.ndarray, "pixel frame"]]]:
    """Return the panels of every bin, in a scratch file where memory is short.

    The file lies in the folder for temporary files (``TMPDIR``) and is gone when the panels are.

    Parameters
    ----------
    tile
        Frames of a panel; the last one may be shorter.
    widths
        Pixels of every bin.

    Raises
    ------
    CorrelationError
        The disk has no room for it either.
    """
    lengths = [min(tile, frames - start) for start in range(0, frames, tile)]
    needed = 4 * frames * sum(widths)
    if needed <= memory_bytes:
        return [[np.empty((width, one), np.float32) for one in lengths] for width in widths]
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        msg = (
            f"The counts of {sum(widths)} pixels in {frames} frames need {needed / 1e9:.3g} GB in "
            f"{tempfile.gettempdir()}, {free / 1e9:.3g} GB are free there; choose fewer bins or "
            "frames, or name a larger folder in TMPDIR."
        )
        raise CorrelationError(msg)
    bins = []
    with tempfile.TemporaryFile(prefix="napari-xpcs-") as file:
        offset = 0
        for width in widths:
            panels = []
            for one in lengths:
                panel = np.memmap(file, np.float32, "w+", offset=offset, shape=(width, one))
                panels.append(panel.view(np.ndarray))
                offset += panel.nbytes
            bins.append(panels)
    return bins
