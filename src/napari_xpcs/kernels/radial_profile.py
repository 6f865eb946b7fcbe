"""Means of what a run stores in fine steps, over those steps that are to be shown as one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RadialProfile:
    """Mean intensity of rings.

    Parameters
    ----------
    q
        Of each ring, 1/angstrom, increasing.
    intensity
        Mean counts per pixel and frame; NaN for a ring without a value.
    pixels
        Of each ring.
    """

    q: Float[np.ndarray, " q"]
    intensity: Float[np.ndarray, " q"]
    pixels: Int[np.ndarray, " q"]


def ring_means(
    values: Float[np.ndarray, "*part sbin"],
    q: Float[np.ndarray, " sbin"],
    pixels: Int[np.ndarray, " sbin"],
) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "*part q"], Int[np.ndarray, " q"]]:
    """Return q, the mean over all bins at that q weighted by their pixels, and the pixels.

    Bins without a q, and values that are no numbers, do not count; NaN where none is left.
    """
    known = np.isfinite(q)
    rings, ring = np.unique(q[known], return_inverse=True)

    def added(weights: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(ring, row, len(rings)) for row in weights])

    rows = np.atleast_2d(values)[:, known]
    there = np.isfinite(rows)
    number = added(there * pixels[known])
    total = added(np.where(there, rows, 0.0) * pixels[known])
    mean = np.where(number > 0, total / np.maximum(number, 1.0), np.nan)
    return (
        rings,
        mean.reshape(*values.shape[:-1], len(rings)),
        np.bincount(ring, pixels[known], len(rings)).astype(np.int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntensityInTime:
    """Mean counts of a run over time.

    Parameters
    ----------
    time_s
        Middle of each block of frames, s from the first frame.
    mean
        Counts per pixel and frame.
    error
        Standard error of the mean from the scatter within the block, NaN for single frames.
    """

    time_s: Float[np.ndarray, " block"]
    mean: Float[np.ndarray, " block"]
    error: Float[np.ndarray, " block"]


def block_means(
    time_s: Float[np.ndarray, " frame"], counts: Float[np.ndarray, " frame"], most: int
) -> IntensityInTime:
    """Return the means of equal blocks of frames, at most ``most`` of them.

    Frames behind the last full block are left out.
    """
    size = max(-(-len(counts) // most), 1)
    full = len(counts) // size * size
    blocks = counts[:full].reshape(-1, size).astype(np.float64)
    error = np.full(len(blocks), np.nan)
    if size > 1:
        error = blocks.std(axis=1, ddof=1) / np.sqrt(size)
    return IntensityInTime(
        time_s=time_s[:full].reshape(-1, size).mean(axis=1),
        mean=blocks.mean(axis=1),
        error=error,
    )
