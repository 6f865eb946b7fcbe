r"""Two-time correlation: how alike the speckle of any two frames is.

For a bin of P pixels with values :math:`x_p(t)`

.. math:: C_2(t_1, t_2) = P \frac{\sum_p x_p(t_1) x_p(t_2)}{\sum_p x_p(t_1) \sum_p x_p(t_2)},

where x is the counts, or the counts divided by the mean of the pixel's static or dynamic bin
in the same frame, which takes the form factor and changes of the beam out (``sqmap`` and
``dqmap`` of boost_corr).
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Float32, Int

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.selection import FrameSelection

Smoothing: TypeAlias = Literal["sqmap", "dqmap", "none"]
SMOOTHINGS: tuple[str, ...] = get_args(Smoothing)
"""Mean that counts are divided by: of the static bin, of the dynamic bin, or none."""

SEGMENTS = 5
"""Blocks along the diagonal that g2 is given for besides the whole run."""

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoTimeResult:
    """Two-time maps of some bins with the averages of the same frames.

    Parameters
    ----------
    maps
        C2 of each bin, zero below the diagonal.
    processed_bins
        Label of each map.
    g2
        Mean of C2 along its diagonals; row k belongs to a delay of k used frames, row 0 is
        the diagonal, which holds the noise of counting.
    segments
        The same for 5 equal blocks along the diagonal; frames behind the fifth are left out.
    mean_frame, scattering_1d, scattering_1d_segments, intensity_vs_time
        As in :class:`~napari_xpcs.kernels.multitau.MultiTauResult`, over all used pixels; up
        to 10 segments.
    selection
        The used frames, with ``end`` filled in.
    frame_time_s
        Time between raw frames, s.
    normalization
        One of :data:`SMOOTHINGS`.
    """

    maps: tuple[Float32[np.ndarray, "frame frame"], ...]
    processed_bins: Int[np.ndarray, " map"]
    g2: Float[np.ndarray, "frame map"]
    segments: Float[np.ndarray, "delay 5 map"]
    mean_frame: Float32[np.ndarray, "row col"]
    scattering_1d: Float[np.ndarray, " sbin"]
    scattering_1d_segments: Float[np.ndarray, "segment sbin"]
    intensity_vs_time: Float[np.ndarray, "2 frame"]
    selection: FrameSelection
    frame_time_s: float
    normalization: str = "sqmap"

    @property
    def delay_s(self) -> Float[np.ndarray, " frame"]:
        """Delays of the rows of ``g2`` in s."""
        return np.arange(len(self.g2)) * (self.frame_time_s * self.selection.step)


def divide_by_group_mean(
    counts: Float32[Array, "frame pixel"],
    group: Int[Array, " pixel"],
    groups: int,
    *,
    xp: BackendProtocol,
) -> Float32[Array, "frame pixel"]:
    """Divide counts by the mean of the pixel's group in the same frame; by 1 where that is 0.

    ``group`` counts from 0.
    """
    compiled = xp.jit(_divide_by_group_mean, static_argnames=("groups", "xp"))
    divided: Array = compiled(counts, group, groups=groups, xp=xp)
    return divided


def _divide_by_group_mean(
    counts: Float32[Array, "frame pixel"],
    group: Int[Array, " pixel"],
    *,
    groups: int,
    xp: BackendProtocol,
) -> Float32[Array, "frame pixel"]:
    pixels = xp.bincount(group, length=groups)[:, None]
    total = xp.segment_sum(xp.astype(xp.transpose(counts), xp.float64), group, groups)
    mean = total / xp.maximum(pixels, 1)
    factor = xp.astype(xp.where(mean > 0.0, 1.0 / xp.where(mean > 0.0, mean, 1.0), 1.0), xp.float32)
    return counts * xp.transpose(xp.take(factor, group, axis=0))


def two_time(
    values: Float32[Array, "frame pixel"], *, xp: BackendProtocol
) -> Float32[Array, "frame frame"]:
    """Return C2 of the pixels of a bin, zero below the diagonal and where a frame is empty."""
    compiled = xp.jit(_two_time, static_argnames=("xp",))
    half: Array = compiled(values, xp=xp)
    return half


def _two_time(
    values: Float32[Array, "frame pixel"], *, xp: BackendProtocol
) -> Float32[Array, "frame frame"]:
    frames, pixels = values.shape
    total = xp.sum(xp.astype(values, xp.float64), axis=1)
    scale = xp.where(total > 0.0, pixels**0.5 / xp.where(total > 0.0, total, 1.0), 0.0)
    scale = xp.astype(scale, xp.float32)
    # A matrix times its own transpose: BLAS works out one half only.
    product = xp.matmul(values, xp.transpose(values)) * scale[:, None] * scale
    frame = xp.arange(frames)
    return xp.where(frame[:, None] <= frame, product, xp.zeros((), xp.float32))


def diagonal_means(
    half: Float32[Array, "frame frame"], *, xp: BackendProtocol
) -> Float[Array, " frame"]:
    """Return the means along the diagonals of a map that is zero below the main one."""
    compiled = xp.jit(_diagonal_means, static_argnames=("xp",))
    means: Array = compiled(half, xp=xp)
    return means


def _diagonal_means(
    half: Float32[Array, "frame frame"], *, xp: BackendProtocol
) -> Float[Array, " frame"]:
    # Read with rows of n + 1, the k-th diagonal of an n x n matrix is the k-th column; what
    # follows it there comes from below the main diagonal.
    count = len(half)
    skewed = xp.reshape(xp.pad(xp.ravel(half), (0, count)), (count, count + 1))
    sums = xp.zeros(count)
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = skewed[start : start + _ROWS_AT_ONCE, :count]
        sums = sums + xp.sum(xp.astype(rows, xp.float64), axis=0)
    return sums / xp.arange(count, 0, -1)
