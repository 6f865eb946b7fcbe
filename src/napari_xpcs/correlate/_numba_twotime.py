"""Passes over counts and maps of two-time correlation beside the matrix product, by Numba.

Counts are turned round once, so that the frames of a pixel lie together: what follows goes along
frames, and the matrices are laid out as the matrix product likes them best.
"""

import numpy as np

from napari_xpcs.correlate._numba_compile import compiled

_PLACES = 512
"""Places that are turned round together: with fewer, reading jumps too often."""


@compiled
def turn_round(frames, edge, start, stop, rank, chunk, col, sums):  # type: ignore[no-untyped-def]
    """Write frames as (pixel, frame), for places ``start`` to ``stop``.

    Parameters
    ----------
    frames
        (frame, place) counts.
    rank
        (place) row of a place in ``chunk``, negative for one that is not wanted.
    chunk
        (pixel, frame), filled from column ``col`` on.
    sums
        (2, place), filled with the sums over the first ``edge`` of the frames and over the rest.
    """
    # A longer row than is used: places of a power of two would fall on each other in the cache.
    count = len(frames)
    part = np.empty((count, _PLACES + 8), chunk.dtype)
    for begin in range(start, stop, _PLACES):
        places = min(_PLACES, stop - begin)
        for side in range(2):
            total = sums[side, begin : begin + places]
            total[:] = 0
            for frame in range(edge if side else 0, count if side else edge):
                line, into = frames[frame, begin : begin + places], part[frame]
                for p in range(places):
                    into[p] = line[p]
                    total[p] += line[p]
        for p in range(places):
            row = rank[begin + p]
            if row >= 0:
                series = chunk[row, col : col + count]
                for frame in range(count):
                    series[frame] = part[frame, p]


@compiled
def add_groups(chunk, starts, col, scale, divide, factors, totals, counts):  # type: ignore[no-untyped-def]
    """Sum up the pixels of the groups of a bin and store the factors of their counts.

    Parameters
    ----------
    chunk
        (pixel, frame) counts, of which the frames from column ``col`` on are looked at.
    starts
        (group + 1) first pixel of each group, and the one behind the last.
    scale
        (frame) factor of the counts where they are not divided; its length tells how many frames.
    divide
        Whether the counts are divided by their mean over the group in the same frame.  The mean
        of pixels without a count is taken as 1.
    factors
        (group, frame) of these frames, filled.
    totals, counts
        (frame) of these frames: the sums over the pixels of counts times their factor, and of
        counts, are added.
    """
    count = len(scale)
    for group in range(len(starts) - 1):
        total = np.zeros(count)
        for pixel in range(starts[group], starts[group + 1]):
            series = chunk[pixel, col : col + count]
            for frame in range(count):
                total[frame] += series[frame]
        pixels = starts[group + 1] - starts[group]
        into = factors[group]
        for frame in range(count):
            counts[frame] += total[frame]
            if divide:
                there = total[frame] > 0.0
                into[frame] = pixels / total[frame] if there else 1.0
                totals[frame] += pixels if there else 0
            else:
                into[frame] = scale[frame]
                totals[frame] += total[frame] * scale[frame]


@compiled
def fill_values(chunks, start, starts, factors, centre, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` with the counts of the pixels from ``start`` on times factor, less centre.

    Parameters
    ----------
    chunks
        (chunk, pixel, frame) counts.
    starts
        (group + 1) first pixel of each group, and the one behind the last.
    factors
        (group, frame) of the frames from those of the first chunk on.
    out
        (pixel, frame) float32.
    """
    pixels, frames = out.shape
    length, less = chunks.shape[2], np.float32(centre)
    group = np.searchsorted(starts, start, side="right") - 1
    for pixel in range(pixels):
        while start + pixel >= starts[group + 1]:
            group += 1
        for first in range(0, frames, length):
            count = min(length, frames - first)
            series = chunks[first // length, start + pixel]
            factor, into = factors[group, first : first + count], out[pixel, first : first + count]
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
