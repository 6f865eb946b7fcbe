"""Passes over counts and maps of two-time correlation beside the matrix product, by Numba."""

import numpy as np

from napari_xpcs.correlate._numba_compile import compiled

_FRAMES = 4
"""Frames that are summed up and sorted together: they are still in the cache for the second."""
_PLACES = 8192
"""Places whose sums stay in the cache."""


@compiled
def sort_counts(  # type: ignore[no-untyped-def]
    frames, edge, places, groups, index, starts, begins, widths, chunk, col, sums, of_groups
):
    """Write the counts of groups of pixels one behind the other, and sum up frames and groups.

    Parameters
    ----------
    frames
        (frame, place) counts.
    places, groups
        First one, and the one behind the last, of the places that are summed up and of the groups
        that are sorted.
    index, starts
        Places of the pixels of all groups; (group + 1) the first of each, and the one behind the
        last.
    begins, widths
        (group) where the first frame of the group begins in ``chunk``, and how much further on
        each of the next ones.
    chunk, col
        Where the counts go, and how many frames are there already.
    sums
        (2, place), filled with the sums over the first ``edge`` of the frames and over the rest.
    of_groups
        (frame, group), filled with the sums over the pixels.

    Returns the largest of the sorted counts, or 0: what the type of ``chunk`` cannot hold is
    written there as another number.
    """
    largest = frames.dtype.type(0)
    sums[:, places[0] : places[1]] = 0
    for first in range(0, len(frames), _FRAMES):
        last = min(first + _FRAMES, len(frames))
        for begin in range(places[0], places[1], _PLACES):
            end = min(begin + _PLACES, places[1])
            for frame in range(first, last):
                line, total = frames[frame, begin:end], sums[int(frame >= edge), begin:end]
                for p in range(end - begin):
                    total[p] += line[p]
        for frame in range(first, last):
            line = frames[frame]
            for group in range(groups[0], groups[1]):
                some = index[starts[group] : starts[group + 1]]
                begin = begins[group] + (col + frame) * widths[group]
                into = chunk[begin : begin + len(some)]
                counts = 0
                for k in range(len(some)):
                    count = line[some[k]]
                    into[k] = count
                    counts += count
                    largest = max(largest, count)
                of_groups[frame, group] = counts
    return largest


@compiled
def fill_values(chunks, start, length, begin, width, starts, factors, centre, pixel, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` with the counts of a bin times the factor of their group, less ``centre``.

    Parameters
    ----------
    chunks
        (chunk, count) counts, each of ``length`` frames.
    start
        Frame of the first row, counted from that of the first chunk.
    begin, width
        Where the first frame of the bin begins in a chunk, and how much further on each of the
        next ones.
    starts
        (group + 1) first pixel of each group in the bin, and the one behind the last.
    factors
        (frame, group) of the rows.
    pixel
        The first of the wanted pixels in the bin.
    out
        (frame, pixel) float32.
    """
    less = np.float32(centre)
    frames, pixels = out.shape
    first = np.searchsorted(starts, pixel, side="right") - 1
    for frame in range(frames):
        place = begin + (start + frame) % length * width + pixel
        counts = chunks[(start + frame) // length, place : place + pixels]
        into, group, done = out[frame], first, 0
        while done < pixels:
            end = min(starts[group + 1] - pixel, pixels)
            factor, some, values = factors[frame, group], counts[done:end], into[done:end]
            for k in range(len(some)):
                values[k] = np.float32(some[k]) * factor - less
            group, done = group + 1, end


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
