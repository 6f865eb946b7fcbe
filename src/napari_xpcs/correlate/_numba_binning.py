"""Reduction of a multi-tau state to sums over bins, compiled by Numba.

What :func:`~napari_xpcs.kernels.multitau.pair_sums` gives for single pixels, added up over
millions of them in a tenth of a second, for curves that are shown while frames come in.
"""

from napari_xpcs.correlate._numba_compile import compiled


@compiled
def add_level_to_bins(  # type: ignore[no-untyped-def]
    products, first, last, total, shortest, row, pairs, static, dynamic, start, stop,
    static_sums, pixel_sums,
):  # fmt: skip
    """Add the pixels ``start`` to ``stop`` of a level to the sums of their bins.

    Parameters
    ----------
    products, first, last
        (lag, pixel) and (history, pixel) of the level.
    total
        (pixel) counts in complete sums of the level.
    shortest, row
        First lag of the level, and its row among the delays; lags without a row are ignored.
    pairs
        (row) effective number of pairs.
    static, dynamic
        (pixel) bins.
    static_sums, pixel_sums
        (row, sbin, 3) and (row, bin, 2) of :func:`~napari_xpcs.kernels.multitau.g2_of_sums`.
    """
    pixels = stop - start
    past, future = total[start:stop].copy(), total[start:stop].copy()
    sbin, dbin = static[start:stop], dynamic[start:stop]
    for lag in range(1, shortest + len(products)):
        newest, oldest = last[len(last) - lag, start:stop], first[lag - 1, start:stop]
        for p in range(pixels):
            past[p] -= newest[p]
            future[p] -= oldest[p]
        here = row + lag - shortest
        if lag < shortest or here >= len(pairs):
            continue
        product = products[lag - shortest, start:stop]
        of_static, of_dynamic = static_sums[here], pixel_sums[here]
        for p in range(pixels):
            bin_ = sbin[p]
            of_static[bin_, 0] += product[p]
            of_static[bin_, 1] += past[p]
            of_static[bin_, 2] += future[p]
            both = past[p] * future[p]
            if both > 0.0:
                g2 = pairs[here] * product[p] / both
                of_dynamic[dbin[p], 0] += g2
                of_dynamic[dbin[p], 1] += g2 * g2
