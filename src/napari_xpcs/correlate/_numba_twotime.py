"""Passes over counts and maps of two-time correlation beside the matrix product, by Numba.

Counts are turned round once, so that the frames of a pixel lie together: what follows goes along
frames, and the matrices are laid out as the matrix product likes them best.
"""

import numpy as np

from napari_xpcs.correlate._numba_compile import compiled

FRAMES = 128
"""Most frames that are turned round together."""

_PLACES = 512
"""Places that are turned round together: with fewer, reading jumps too often."""


@compiled
def turn_round(frames, first, edge, count, start, stop, rank, turned, sums):  # type: ignore[no-untyped-def]
    """Write ``count`` frames from ``first`` on as (pixel, frame), for places ``start`` to ``stop``.

    Parameters
    ----------
    frames
        (frame, place) counts.
    rank
        (place) row of a place in ``turned``, negative for one that is not used.
    turned
        (pixel, frame), of which the first ``count`` columns are filled.
    sums
        (2, place), filled with the sums over the first ``edge`` of the frames and over the rest.
    """
    # A longer row than is used: places of a power of two would fall on each other in the cache.
    part = np.empty((FRAMES, _PLACES + 8), frames.dtype)
    for begin in range(start, stop, _PLACES):
        places = min(_PLACES, stop - begin)
        for side in range(2):
            total = sums[side, begin : begin + places]
            total[:] = 0
            for frame in range(edge if side else 0, count if side else edge):
                line, into = frames[first + frame, begin : begin + places], part[frame]
                for p in range(places):
                    into[p] = line[p]
                    total[p] += line[p]
        for p in range(places):
            row = rank[begin + p]
            if row >= 0:
                series = turned[row]
                for frame in range(count):
                    series[frame] = part[frame, p]


@compiled
def add_pixels(turned, start, stop, count, counts):  # type: ignore[no-untyped-def]
    """Add the pixels ``start`` to ``stop`` of ``turned`` (pixel, frame) to ``counts`` (frame)."""
    for pixel in range(start, stop):
        series = turned[pixel]
        for frame in range(count):
            counts[frame] += series[frame]


@compiled
def values_of_bin(  # type: ignore[no-untyped-def]
    turned, begin, starts, count, scale, divide, centre, out, col, totals, counts
):
    """Fill ``out`` with the values of the pixels of a bin.

    Parameters
    ----------
    turned
        (pixel, frame) counts, ``count`` frames of them; the bin begins at pixel ``begin``.
    starts
        (group + 1) first pixel of each group, from there, and the pixels of the bin.
    scale
        (frame) factor of the counts where they are not divided.
    divide
        Whether the values are the counts over their mean over the group in the same frame.  The
        mean of pixels without a count is taken as 1.
    centre
        Is subtracted from the values.
    out
        (pixel, frame) float32, filled from column ``col`` on.
    totals, counts
        (frame) the sums over the pixels of values as they are, and of counts, are added.
    """
    factor, less = np.empty(count, np.float32), np.float32(centre)
    for group in range(len(starts) - 1):
        start, stop = starts[group], starts[group + 1]
        total = np.zeros(count)
        for pixel in range(start, stop):
            series = turned[begin + pixel]
            for frame in range(count):
                total[frame] += series[frame]
        for frame in range(count):
            counts[frame] += total[frame]
            if divide:
                there = total[frame] > 0.0
                factor[frame] = (stop - start) / total[frame] if there else 1.0
                totals[frame] += stop - start if there else 0
            else:
                factor[frame] = scale[frame]
                totals[frame] += total[frame] * scale[frame]
        for pixel in range(start, stop):
            series, into = turned[begin + pixel], out[pixel, col : col + count]
            for frame in range(count):
                into[frame] = np.float32(series[frame]) * factor[frame] - less


@compiled
def leave_out(line, col, above, counts, begins, ends):  # type: ignore[no-untyped-def]
    """Make NaN of the entries of a row of a tile, from ``above`` on, that are no pair.

    ``counts`` tells whether the frame of the row makes pairs; other names as in
    :func:`finish_tile`.
    """
    at = above
    for s in range(len(begins) if counts else 0):
        line[at : max(begins[s] - col, at)] = np.nan
        at = max(min(ends[s] - col, len(line)), at)
    line[at:] = np.nan


@compiled
def finish_tile(  # type: ignore[no-untyped-def]
    tile, row, col, shift, scale, begins, ends, of_products, of_tile, of_squares, of_blocks
):
    """Turn products into C2 and add what is above the diagonal to the sums of its delays.

    Parameters
    ----------
    tile
        (row, col) sums of products of the frames from ``row`` and ``col`` on; filled with C2,
        NaN for frames that do not count, 0 below the diagonal.
    shift, scale
        (frame) what is added to the products of a frame, and its factor after that; C2 is
        (product + shift + shift) scale scale.
    begins, ends
        (span) the frames that count.
    of_products, of_tile, of_squares
        (delay) sums of the products, of C2, and of its squared distance from 1.
    of_blocks
        (block, delay) sums of C2 over equal blocks along the diagonal.
    """
    blocks, length = of_blocks.shape
    rows, cols = tile.shape
    every = len(begins) == 1 and begins[0] <= col and ends[0] >= col + cols
    for i in range(rows):
        frame = row + i
        above = min(max(frame - col, 0), cols)
        tile[i, :above] = 0.0
        block = frame // length if length else blocks
        inside = (block + 1) * length - col if block < blocks else 0
        if not every:
            leave_out(tile[i], col, above, scale[frame] > 0.0, begins, ends)
        if scale[frame] == 0.0:
            continue
        for s in range(len(begins)):
            start, stop = max(begins[s] - col, above), min(ends[s] - col, cols)
            if start >= stop:
                continue
            entries, number = tile[i, start:stop], stop - start
            added, factors = shift[col + start : col + stop], scale[col + start : col + stop]
            delay = col + start - frame
            one, other = of_products[delay : delay + number], of_tile[delay : delay + number]
            squares = of_squares[delay : delay + number]
            for k in range(number):
                product = entries[k] + (shift[frame] + added[k])
                value = product * (scale[frame] * factors[k])
                entries[k] = value
                one[k] += product
                other[k] += value
                squares[k] += (value - 1.0) * (value - 1.0)
            into = of_blocks[min(block, blocks - 1), delay:]
            for k in range(min(inside - start, number)):
                into[k] += entries[k]
