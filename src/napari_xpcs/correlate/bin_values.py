"""The values that two-time maps are products of, bin by bin."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float, Float32

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.sorted_counts import SortedCounts
from napari_xpcs.kernels.twotime import tile_products
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs._typing import Array

_PRODUCTS_AT_ONCE = 6e9
"""Multiply-adds between two looks at Cancel: 0.1 s of one core."""


_VALUES_AT_ONCE = 2**21
"""Values that are made and multiplied before the next ones: they stay in the cache."""

_FEWEST_PIXELS = 16
"""With fewer at once, bringing them takes longer than multiplying."""


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


class _DenseBin:
    """What both ways of multiplying the values of a bin share.

    Parameters
    ----------
    counts, position
        What the values are made of, and which bin it is.
    """

    def __init__(self, counts: SortedCounts, position: int) -> None:
        self._counts = counts
        self._position = position
        self._bin = counts.bins[position]
        # Whole, so that counts stay whole; 1 where they were divided by their mean.  A bright frame
        # must not move it: far from the values, it costs the digits that it is there to keep.
        self._centre = float(np.round(np.median(self._bin.totals) / self.pixels))

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self._bin.pixels

    @property
    def centre(self) -> float:
        """What is subtracted from the values before they are multiplied."""
        return self._centre

    def totals(self) -> Float[np.ndarray, " frame"]:
        """Return the sum over the pixels of every frame, of the values as they are."""
        return self._bin.totals

    def _factors(
        self, rows: slice, cols: slice
    ) -> Iterator[tuple[Float32[np.ndarray, "row pixel"], Float32[np.ndarray, "col pixel"]]]:
        """Yield the values of both ranges of frames, pixels by pixels, so that Cancel is heard.

        Where both are the same it is one array.
        """
        frames = rows.stop - rows.start, cols.stop - cols.start
        most = min(_PRODUCTS_AT_ONCE / (frames[0] * frames[1]), _VALUES_AT_ONCE / max(frames))
        parts = math.ceil(self.pixels / max(most, _FEWEST_PIXELS))
        cuts = [self.pixels * number // parts for number in range(parts + 1)]
        for start, stop in pairwise(cuts):
            some = slice(start, stop)
            left = self._counts.values(self._position, rows, some, self._centre)
            if rows == cols:
                yield left, left
            else:
                yield left, self._counts.values(self._position, cols, some, self._centre, room=1)


class BlasBin(_DenseBin):
    """Products by the BLAS of SciPy: of a tile on the diagonal it works out one half only."""

    def products(
        self, rows: slice, cols: slice, room: Float32[np.ndarray, "row col"], progress: Progress
    ) -> Steps[None]:
        """Fill ``room`` with the sums over pixels of the products of two ranges of frames."""
        from scipy.linalg.blas import sgemm, ssyrk

        beta = 0.0
        for left, right in self._factors(rows, cols):
            # Transposed, the arrays are those of Fortran, and BLAS takes them as they are.
            if left is right:
                ssyrk(1.0, left.T, trans=1, lower=1, beta=beta, c=room.T, overwrite_c=1)
            else:
                sgemm(1.0, right.T, left.T, trans_a=1, beta=beta, c=room.T, overwrite_c=1)
            beta = 1.0
            yield progress


class ArrayBin(_DenseBin):
    """Products by the array backend: on a GPU matrix products are quicker than what brings them."""

    def __init__(self, counts: SortedCounts, position: int, xp: BackendProtocol) -> None:
        super().__init__(counts, position)
        self._xp = xp

    def products(
        self, rows: slice, cols: slice, room: Float32[np.ndarray, "row col"], progress: Progress
    ) -> Steps[None]:
        """Fill ``room`` with the sums over pixels of the products of two ranges of frames."""
        xp = self._xp
        total: Array | None = None
        for one, other in self._factors(rows, cols):
            # Copies: the rooms of the values are filled again while a device still reads.
            left = xp.asarray(one.copy())
            right = left if one is other else xp.asarray(other.copy())
            part = tile_products(left, right, xp=xp)
            total = part if total is None else total + part
            yield progress
        room[:] = xp.to_numpy(total)
