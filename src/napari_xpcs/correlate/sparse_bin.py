"""Values of a bin in a run of few events, as a sparse matrix."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32, Int

from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SPARSE_BELOW = 0.03
"""Events per pixel and frame up to which products of sparse matrices are quicker."""

_ROWS_AT_ONCE = 256
"""Rows of a tile between two looks at Cancel."""


class SparseBin:
    """Values of a bin as a sparse matrix; products as sums over the pixels that both frames hit.

    Parameters
    ----------
    values
        (frame, pixel) float64.
    """

    centre = 0.0

    def __init__(self, values: "csr_array") -> None:
        self._values = values

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self._values.shape[1])

    def totals(self) -> Float[np.ndarray, " frame"]:
        """Return the sum over the pixels of every frame."""
        return np.asarray(self._values.sum(axis=1)).reshape(-1)

    def products(
        self, rows: slice, cols: slice, room: Float32[np.ndarray, "row col"], progress: Progress
    ) -> Steps[None]:
        """Fill ``room`` with the sums over pixels of the products of two ranges of frames."""
        right = self._values[cols].T.tocsr()
        for start in range(rows.start, rows.stop, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, rows.stop)
            product = self._values[start:stop] @ right
            room[start - rows.start : stop - rows.start] = product.toarray()
            yield progress


def sparse_values(
    frame: Int[np.ndarray, " event"],
    pixel: Int[np.ndarray, " event"],
    count: Float[np.ndarray, " event"],
    frames: int,
    group_starts: Int[np.ndarray, " group"] | None,
    pixels: int,
) -> "csr_array":
    """Return the values of the pixels of a bin.

    Parameters
    ----------
    frame, pixel, count
        Used frame of each event, its pixel within the bin, and its count.
    frames, pixels
        Shape of the matrix.
    group_starts
        First pixel of each group by whose mean counts are divided; ``None``: they are not.
    """
    from scipy.sparse import csr_array

    values = count.astype(np.float64)
    if group_starts is not None:
        group = np.searchsorted(group_starts, pixel, side="right") - 1
        size = np.diff(group_starts, append=pixels)
        place = frame * len(size) + group
        totals = np.bincount(place, values, frames * len(size))
        values *= size[group] / totals[place]
    # Events of a pixel that is listed twice in a frame add up.
    return csr_array((values, (frame, pixel)), shape=(frames, pixels))
