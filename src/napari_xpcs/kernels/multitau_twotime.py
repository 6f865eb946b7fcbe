r"""Two-time correlation of long runs on the delays of multi-tau: g2 of every delay over the age.

Level :math:`L` has the sums :math:`x_{L,p}(j)` of :math:`2^L` frames of every pixel p.  Where
multi-tau sums the products of a lag over time, these are kept for every time,

.. math:: C_L(j, k) = P \frac{\sum_p x_{L,p}(j)\, x_{L,p}(j + k)}{S_L(j)\, S_L(j + k)},
    \quad S_L(j) = \sum_p x_{L,p}(j),

about 16 numbers for each frame and bin instead of a row of the full map (Brugnara et al.,
J. Synchrotron Rad. 33 (2026) 698).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.run_averages import RunAverages

BAND = 32
"""Sums whose products are one matrix product: of 40 x 32, a quarter is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AgeLevel:
    """C2 of one level.

    Parameters
    ----------
    frames_per_sum
        2^level used frames.
    lags
        In sums.
    c2
        Entry (map, lag, j) of the sums j and j + lag; NaN where the later one does not exist or
        nothing was counted.
    """

    frames_per_sum: int
    lags: Int[np.ndarray, " lag"]
    c2: Float32[np.ndarray, "map lag sum"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiTauTwoTime:
    """Age-resolved g2 of some bins, level by level.

    Parameters
    ----------
    levels
        From single frames upwards.
    processed_bins
        Label of each map.
    frame_time_s
        Time between used frames, s.
    """

    levels: tuple[AgeLevel, ...]
    processed_bins: Int[np.ndarray, " map"]
    frame_time_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiTauTwoTimeResult(RunAverages):
    """Age-resolved g2 with the averages of the same frames.

    Parameters
    ----------
    ages
        The maps.
    normalization
        As in :class:`~napari_xpcs.kernels.twotime.TwoTimeResult`.

    A sum with frames that were left out is that of the others.
    """

    ages: MultiTauTwoTime
    normalization: str = "static"

    def remarks(self) -> tuple[str, ...]:
        """Return in words what was left out."""
        return self.left_out()


def lagged_products(
    rows: Float32[Array, "row pixel"],
    lags: Int[np.ndarray, " lag"],
    history: int,
    *,
    xp: BackendProtocol,
) -> Float32[Array, "lag fresh"]:
    """Return the sums over pixels of ``rows[j] * rows[j - lag]`` for every row behind history.

    Parameters
    ----------
    rows
        ``history`` rows that are known already, at least the longest lag, and the fresh ones.
    """
    compiled = xp.jit(_lagged_products, static_argnames=("history", "xp"))
    products: Array = compiled(rows, xp.asarray(lags), history=history, xp=xp)
    return products


def _lagged_products(
    rows: Float32[Array, "row pixel"],
    lags: Int[Array, " lag"],
    *,
    history: int,
    xp: BackendProtocol,
) -> Float32[Array, "lag fresh"]:
    parts = []
    for start in range(history, len(rows), BAND):
        fresh = rows[start : start + BAND]
        band = xp.matmul(fresh, xp.transpose(rows[start - history : start + len(fresh)]))
        row = xp.arange(len(fresh))
        parts.append(band[row, row + history - lags[:, None]])
    products: Array = xp.concatenate(parts, axis=1)
    return products
