"""From the state of a multi-tau run to g2 in bins."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from napari_xpcs.correlate.engines import usable_cores
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.kernels.multitau import PairNumbers, multitau_lags, pair_numbers
from napari_xpcs.kernels.multitau_state import MultiTauState

PART = 1 << 14
"""Pixels that are added up together; the same on every computer, as the sums are not exact."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinSums:
    """What g2 in bins is made of.

    Parameters
    ----------
    frames
        Used frames so far.
    static_sums
        Sums over pixels and pairs of products, past and future.
    pixel_sums
        Sums over pixels of their own g2 and of its square.
    numbers
        Raw frames in the pairs of every delay.
    """

    frames: int
    static_sums: Float[np.ndarray, "sbin 3 delay"]
    pixel_sums: Float[np.ndarray, "bin 2 delay"]
    numbers: PairNumbers


def bin_sums(
    state: MultiTauState, raw_frames: Float[np.ndarray, " frame"], pixels: UsedPixels
) -> BinSums:
    """Return the sums over the bins of the frames so far; the state stays as it is.

    Parameters
    ----------
    raw_frames
        Raw frames in each used frame so far; 0 for one that is left out.
    """
    from napari_xpcs.correlate._numba_binning import add_level_to_bins

    lags = multitau_lags(state.frames, state.delays_per_level)
    numbers = pair_numbers(raw_frames, lags)
    pairs = numbers.effective
    levels = []
    for level in range(int(lags.level[-1]) + 1):
        here = state.rows(level)
        shortest = 2 * state.delays_per_level - (here.stop - here.start) + 1
        arrays = state.products[here], state.first[level], state.last[level]
        levels.append(
            (*arrays, state.total_at(level), shortest, int(np.argmax(lags.level == level)), pairs)
        )
    sbins = len(pixels.dynamic_of_static)
    static_sums = np.zeros((len(pairs), sbins, 3))
    pixel_sums = np.zeros((len(pairs), pixels.bins, 2))

    def part(start: int) -> tuple[np.ndarray, np.ndarray]:
        stop = min(start + PART, len(pixels.index))
        sums = np.zeros_like(static_sums), np.zeros_like(pixel_sums)
        for level in levels:
            add_level_to_bins(*level, pixels.static, pixels.dynamic, start, stop, *sums)
        return sums

    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="bins") as pool:
        for of_static, of_pixels in pool.map(part, range(0, len(pixels.index), PART)):
            static_sums += of_static
            pixel_sums += of_pixels
    return BinSums(
        frames=state.frames,
        static_sums=np.transpose(static_sums, (1, 2, 0)),
        pixel_sums=np.transpose(pixel_sums, (1, 2, 0)),
        numbers=numbers,
    )
