"""Passes over counts and maps of two-time correlation beside the matrix product, by Numba."""

import numpy as np

from napari_xpcs.correlate._numba_compile import compiled


@compiled
def divide_by_group(counts, begin, starts, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` with counts (frame, pixel) over the mean of the pixel's group, less 1.

    Taken are the counts from pixel ``begin`` on, as many as ``out`` has.  ``starts`` holds the
    first pixel of each group, from there; the mean of one without a count is taken as 1.
    """
    for frame in range(len(counts)):
        row = out[frame]
        line = counts[frame, begin : begin + len(row)]
        for group in range(len(starts)):
            start = starts[group]
            stop = starts[group + 1] if group + 1 < len(starts) else len(line)
            part, into = line[start:stop], row[start:stop]
            total = 0.0
            for p in range(stop - start):
                total += part[p]
            factor = np.float32((stop - start) / total) if total > 0.0 else np.float32(1.0)
            for p in range(stop - start):
                into[p] = np.float32(part[p]) * factor - np.float32(1.0)


@compiled
def add_diagonals(products, tile, row, col, of_products, of_tile, of_squares, of_blocks):  # type: ignore[no-untyped-def]
    """Add the entries of a tile on and above the diagonal to the sums of their delays.

    Parameters
    ----------
    products, tile
        (row, col) of the frames from ``row`` and ``col`` on.
    of_products, of_tile, of_squares
        (delay) sums of the products, of the tile, and of its squared distance from 1.
    of_blocks
        (block, delay) sums of the tile over equal blocks along the diagonal.
    """
    blocks, length = of_blocks.shape
    for i in range(tile.shape[0]):
        frame = row + i
        start = max(frame - col, 0)
        delay = col + start - frame
        entries, product = tile[i, start:], products[i, start:]
        number = len(entries)
        one, other = of_products[delay : delay + number], of_tile[delay : delay + number]
        squares = of_squares[delay : delay + number]
        for k in range(number):
            apart = np.float64(entries[k]) - 1.0
            one[k] += product[k]
            other[k] += entries[k]
            squares[k] += apart * apart
        block = frame // length if length else blocks
        if block < blocks:
            inside = min((block + 1) * length - col - start, number)
            into = of_blocks[block, delay:]
            for k in range(inside):
                into[k] += entries[k]
