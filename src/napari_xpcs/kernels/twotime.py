r"""Two-time correlation: how alike the speckle of any two frames is.

For a bin of P pixels with values :math:`x_p(t)`

.. math:: C_2(t_1, t_2) = P \frac{\sum_p x_p(t_1) x_p(t_2)}{\sum_p x_p(t_1) \sum_p x_p(t_2)},

where x is the counts, or the counts divided by the mean of the pixel's static or dynamic bin
in the same frame, which takes the form factor and changes of the beam out (``sqmap`` and
``dqmap`` of boost_corr).

A map is made in tiles of some frames by some others, so it may be larger than the memory.
From its diagonals g2 follows in two ways, the mean of the ratios along a diagonal, as boost_corr
takes it, and the ratio of the sums

.. math:: g_2(k) = P \frac{\sum_t \sum_p x_p(t) x_p(t+k)}{\sum_t S(t) S(t+k)},
    \quad S(t) = \sum_p x_p(t),

as xpcs-correlator and dynamix take it.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Float32, Int

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.run_averages import RunAverages, first_numbers

Smoothing: TypeAlias = Literal["static", "dynamic", "none"]
SMOOTHINGS: tuple[str, ...] = get_args(Smoothing)
"""Bin whose mean, frame by frame, counts are divided by; ``none``: they stay counts."""

SEGMENTS = 5
"""Blocks along the diagonal that g2 is given for besides the whole run."""

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoTimeResult(RunAverages):
    """Two-time maps of some bins with the averages of the same frames.

    Parameters
    ----------
    maps
        C2 of each bin, zero below the diagonal, NaN for pairs with a frame that is left out or
        empty in the bin; none where they went into a file tile by tile.
    processed_bins
        Label of each map.
    g2, g2_err
        Mean of C2 along its diagonals and its standard error over time; row k belongs to a
        delay of k used frames, row 0 is the diagonal, which holds the noise of counting.  NaN
        where no pair is left.
    g2_ratio
        g2 as the ratio of sums along the diagonals.
    segments
        ``g2`` of 5 equal blocks along the diagonal; frames behind the fifth are left out.
    normalization
        One of :data:`SMOOTHINGS`.
    engine
        What multiplied, and why it was chosen.
    empty_frames
        Used frames that counted nothing in one of the bins, each by its first raw frame.
    """

    maps: tuple[Float32[np.ndarray, "frame frame"], ...]
    processed_bins: Int[np.ndarray, " map"]
    g2: Float[np.ndarray, "frame map"]
    g2_err: Float[np.ndarray, "frame map"]
    g2_ratio: Float[np.ndarray, "frame map"]
    segments: Float[np.ndarray, "delay 5 map"]
    normalization: str = "static"
    engine: str = ""
    empty_frames: tuple[int, ...] = ()

    @property
    def delay_s(self) -> Float[np.ndarray, " frame"]:
        """Delays of the rows of ``g2`` in s."""
        return np.arange(len(self.g2)) * self.step_s

    def remarks(self) -> tuple[str, ...]:
        """Return in words what has no place in the maps; nothing for a run in good order."""
        empty = self.empty_frames
        if not empty:
            return self.left_out()
        said = f"Frames without a count in a bin, NaN in its map ({first_numbers(empty)})"
        return (*self.left_out(), f"{said}: {len(empty)}.")


def tile_products(
    rows: Float32[Array, "row pixel"], cols: Float32[Array, "col pixel"], *, xp: BackendProtocol
) -> Float32[Array, "row col"]:
    """Return the sums over pixels of the products of every frame with every other.

    Given one array twice, the BLAS of NumPy works out one half only.
    """
    if rows is cols:
        square: Array = xp.jit(_square, static_argnames=("xp",))(rows, xp=xp)
        return square
    products: Array = xp.jit(_products, static_argnames=("xp",))(rows, cols, xp=xp)
    return products


def _square(rows: Float32[Array, "row pixel"], *, xp: BackendProtocol) -> Array:
    return _products(rows, rows, xp=xp)


def _products(
    rows: Float32[Array, "row pixel"], cols: Float32[Array, "col pixel"], *, xp: BackendProtocol
) -> Float32[Array, "row col"]:
    product: Array = xp.matmul(rows, xp.transpose(cols))
    return product


def diagonal_sums(
    tile: Float32[Array, "row col"], *, xp: BackendProtocol
) -> Float[Array, " diagonal"]:
    """Return the sums along the diagonals of a tile, from that of its last row's first entry on.

    Entry ``rows - 1 + k`` belongs to ``tile[i, i + k]``.
    """
    compiled = xp.jit(_diagonal_sums, static_argnames=("xp",))
    sums: Array = compiled(tile, xp=xp)
    return sums


def _diagonal_sums(
    tile: Float32[Array, "row col"], *, xp: BackendProtocol
) -> Float[Array, " diagonal"]:
    rows, cols = tile.shape
    sums = xp.zeros(rows + cols - 1)
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = xp.flip(tile[start : start + _ROWS_AT_ONCE], axis=0)
        # Padded to cols + rows and read with one entry fewer to the row, every row of the
        # part begins one column further right than the one before: diagonals are columns.
        count = len(part)
        width = cols + count - 1
        padded = xp.ravel(xp.pad(part, ((0, 0), (0, count))))[: count * width]
        skewed = xp.sum(xp.astype(xp.reshape(padded, (count, width)), xp.float64), axis=0)
        first = rows - start - count
        sums = sums + xp.pad(skewed, (first, rows + cols - 1 - first - width))
    return sums


def diagonal_means(
    half: Float32[Array, "frame frame"], *, xp: BackendProtocol
) -> Float[Array, " frame"]:
    """Return the means along the diagonals of a map, from the main one upwards."""
    count = len(half)
    means: Array = diagonal_sums(half, xp=xp)[count - 1 :] / xp.arange(count, 0, -1)
    return means
