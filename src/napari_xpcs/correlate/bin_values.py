"""The values that two-time maps are products of, bin by bin, in memory or in a scratch file."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.twotime import tile_products
from napari_xpcs.progress import Progress, Steps

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

    def take(
        self, frames: Shaped[np.ndarray, "frame row col"]
    ) -> Shaped[np.ndarray, "frame pixel"]:
        """Return the counts of these pixels."""
        return np.take(frames.reshape(len(frames), -1), self.index, axis=1, mode="clip")


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


def fluctuations(
    counts: Shaped[np.ndarray, "frame pixel"],
    where: slice,
    starts: Int[np.ndarray, " group"],
    out: Float32[np.ndarray, "frame bin_pixel"],
) -> None:
    """Divide counts by the mean of the pixel's group in the same frame, and subtract 1.

    The mean of a group without a count is taken to be 1.

    Parameters
    ----------
    where
        The pixels of ``counts`` that are wanted.
    starts
        First pixel of each group, counted from the first of these.
    """
    from napari_xpcs.correlate._numba_twotime import divide_by_group

    divide_by_group(counts, where.start, starts, out)


class BinValues(Protocol):
    """The values x of the pixels of a bin in all frames."""

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        ...

    def totals(self) -> Float[np.ndarray, " frame"]:
        """Return the sum over the pixels of every frame."""
        ...

    def products(self, rows: slice, cols: slice, progress: Progress) -> Steps[Array]:
        """Return sums over pixels of the products of two ranges of frames.

        ``progress`` is yielded whenever the work can be cancelled.
        """
        ...


class DenseBin:
    """Values of a bin as a matrix (frame, pixel); products are matrix products.

    Parameters
    ----------
    values
        In memory or mapped from a file.
    centred
        1 was subtracted from the values.  Sums of products of fluctuations of either sign keep
        digits in float32 that sums of large values of one sign lose.
    """

    def __init__(
        self, values: Float32[np.ndarray, "frame pixel"], centred: bool, xp: BackendProtocol
    ) -> None:
        self._values = values
        self._centred = centred
        self._xp = xp
        self._totals: Float[np.ndarray, " frame"] = np.asarray(
            values.sum(axis=1, dtype=np.float64) + (self.pixels if centred else 0)
        )

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self._values.shape[1])

    def totals(self) -> Float[np.ndarray, " frame"]:
        """Return the sum over the pixels of every frame."""
        return self._totals

    def products(self, rows: slice, cols: slice, progress: Progress) -> Steps[Array]:
        """Return sums over pixels of the products of two ranges of frames."""
        xp, values = self._xp, self._values
        pairs = (rows.stop - rows.start) * (cols.stop - cols.start)
        width = max(int(_PRODUCTS_AT_ONCE / pairs), 16)
        total: Array | None = None
        for start in range(0, self.pixels, width):
            left = xp.asarray(values[rows, start : start + width])
            right = left if rows == cols else xp.asarray(values[cols, start : start + width])
            part = tile_products(left, right, xp=xp)
            total = part if total is None else total + part
            yield progress
        if self._centred:
            # Sum of (x - 1)(y - 1) = sum of xy - (sum of x) - (sum of y) + pixels.
            rest = (self._totals - self.pixels / 2).astype(np.float32)
            total = total + xp.asarray(rest[rows])[:, None] + xp.asarray(rest[cols])
        return total


def room_for_values(
    frames: int, widths: Sequence[int], memory_bytes: float
) -> list[Float32[np.ndarray, "frame pixel"]]:
    """Return a matrix (frame, pixel) for every bin, in a scratch file where memory is short.

    The file lies in the folder for temporary files (``TMPDIR``) and is gone when the matrices
    are.

    Raises
    ------
    CorrelationError
        The disk has no room for it either.
    """
    needed = 4 * frames * sum(widths)
    if needed <= memory_bytes:
        return [np.empty((frames, width), np.float32) for width in widths]
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        msg = (
            f"The counts of {sum(widths)} pixels in {frames} frames need {needed / 1e9:.3g} GB in "
            f"{tempfile.gettempdir()}, {free / 1e9:.3g} GB are free there; choose fewer bins or "
            "frames, or name a larger folder in TMPDIR."
        )
        raise CorrelationError(msg)
    matrices = []
    with tempfile.TemporaryFile(prefix="napari-xpcs-") as file:
        offset = 0
        for width in widths:
            matrix = np.memmap(file, np.float32, "w+", offset=offset, shape=(frames, width))
            matrices.append(matrix.view(np.ndarray))
            offset += matrix.nbytes
    return matrices
