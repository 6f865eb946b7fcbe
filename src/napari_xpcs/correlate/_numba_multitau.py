"""Multi-tau products of tiles of pixels, compiled by Numba.

A tile of pixels stays in the cache of a core while all its levels are worked out.  Products are
formed for four lags and eight sums at a time, pixel beside pixel: 19 loads and 4 stores make 32
multiplications with as many additions, in vector registers.

Whole counts are worked out in float32 as long as no sum of products can reach 2^24, above that
in float64: the result is exact either way, and does not tell how the run was cut.
"""

import numpy as np

from napari_xpcs.correlate._numba_compile import compiled

TILE = 256
"""Pixels of a tile; with 256 frames its rows take 280 kB of float32."""

STEP = 8
"""Sums that are multiplied at a time; rows behind the last one are zero."""

SHORT = 8
"""Runs of neighbouring pixels that are shorter on average are taken pixel by pixel."""

EXACT = 2.0**24
"""Whole numbers below this are exact in float32."""


@compiled
def four_lags(rows, start, stop, lag, sums):  # type: ignore[no-untyped-def]
    """Add to ``sums`` (4, pixel) the products of ``rows[start:stop]`` with lag + 1 ... lag + 4."""
    of_1, of_2, of_3, of_4 = sums[0], sums[1], sums[2], sums[3]
    for row in range(start, stop, 8):
        x0, x1, x2, x3 = rows[row], rows[row + 1], rows[row + 2], rows[row + 3]
        x4, x5, x6, x7 = rows[row + 4], rows[row + 5], rows[row + 6], rows[row + 7]
        past = row - lag - 4
        y0, y1, y2, y3 = rows[past], rows[past + 1], rows[past + 2], rows[past + 3]
        y4, y5, y6, y7 = rows[past + 4], rows[past + 5], rows[past + 6], rows[past + 7]
        y8, y9, y10 = rows[past + 8], rows[past + 9], rows[past + 10]
        for p in range(rows.shape[1]):
            a, b, c, d = x0[p], x1[p], x2[p], x3[p]
            e, f, g, h = x4[p], x5[p], x6[p], x7[p]
            i, j, k, m, n, o = y0[p], y1[p], y2[p], y3[p], y4[p], y5[p]
            q, r, s, t, u = y6[p], y7[p], y8[p], y9[p], y10[p]
            of_4[p] += a * i + b * j + c * k + d * m + e * n + f * o + g * q + h * r
            of_3[p] += a * j + b * k + c * m + d * n + e * o + f * q + g * r + h * s
            of_2[p] += a * k + b * m + c * n + d * o + e * q + f * r + g * s + h * t
            of_1[p] += a * m + b * n + c * o + d * q + e * r + f * s + g * t + h * u


@compiled
def load_last(rows, last, start, stop, high):  # type: ignore[no-untyped-def]
    """Put the last sums of a level in front of its new ones; return the largest of them.

    ``high`` (pixel) is room: a maximum for each pixel is a vector instruction, one of all is not.
    """
    high[:] = 0
    for slot in range(len(last)):
        line, row = last[slot, start:stop], rows[slot]
        for p in range(stop - start):
            row[p] = line[p]
            high[p] = line[p] if line[p] > high[p] else high[p]
    largest = 0.0
    for p in range(stop - start):
        largest = max(largest, float(high[p]))
    return largest


@compiled
def add_level(rows, fresh, seen, shortest, products, first, last, start, stop, sums):  # type: ignore[no-untyped-def]
    """Add ``fresh`` sums to a level of a tile that has ``seen`` so many.

    ``rows``: the last sums of the level, the fresh ones, room for :data:`STEP` more.
    """
    history, pixels = len(last), stop - start
    for row in range(history + fresh, history + fresh + STEP):
        rows[row] = 0
    behind = history + (fresh + STEP - 1) // STEP * STEP
    for group in range(0, len(products), 4):
        sums[:] = 0
        four_lags(rows, history, behind, shortest - 1 + group, sums)
        for lag in range(4):
            line, part = products[group + lag, start:stop], sums[lag]
            for p in range(pixels):
                line[p] += part[p]
    for slot in range(seen, min(seen + fresh, history)):
        line, row = first[slot, start:stop], rows[history + slot - seen]
        for p in range(pixels):
            line[p] = row[p]
    for slot in range(history):
        line, row = last[slot, start:stop], rows[fresh + slot]
        for p in range(pixels):
            line[p] = row[p]


@compiled
def add_pairs(rows, above, history, fresh, seen):  # type: ignore[no-untyped-def]
    """Make the sums of the next level out of those of a level; return how many there are.

    ``above`` is another array: in place it would take three times as long.
    """
    start = history - seen % 2
    pairs = (seen + fresh) // 2 - seen // 2
    for pair in range(pairs):
        one, other, into = rows[start + 2 * pair], rows[start + 2 * pair + 1], above[history + pair]
        for p in range(rows.shape[1]):
            into[p] = one[p] + other[p]
    return pairs


@compiled
def one_level(  # type: ignore[no-untyped-def]
    rows, above, fresh, seen, level, products, first, last, kept, start, stop, sums
):
    """Add ``fresh`` sums to a level and make those of the next one; return how many there are.

    Those of the highest level go into ``kept`` as far as there is room.
    """
    history = first.shape[1]
    delays = history // 2
    shortest = 1 if level == 0 else delays + 1
    top = (level + 2) * delays
    of_level = products[top - (history - shortest + 1) : top]
    add_level(rows, fresh, seen, shortest, of_level, first[level], last[level], start, stop, sums)
    if level < len(first) - 1:
        return add_pairs(rows, above, history, fresh, seen)
    for slot in range(min(fresh, len(kept))):
        line, row = kept[slot, start:stop], rows[history + slot]
        for p in range(stop - start):
            line[p] = row[p]
    return 0


@compiled
def add_tile(  # type: ignore[no-untyped-def]
    narrow, wide, whole, largest, most, seen, fresh, level, products, first, last, kept, start, stop
):
    """Add sums to a level of the pixels ``start`` to ``stop``, and to those above it.

    Parameters
    ----------
    narrow, wide
        Rows in float32 and in float64, two sets for levels that take turns: the new sums are in
        ``narrow[level % 2]`` where ``whole``, else in ``wide``, behind room for the last ones.
    seen, fresh, level
        Sums that the level has seen, new ones, and the level: 0 for frames.
    largest, most
        The largest new sum, and the largest of all new ones added up, of any pixel of the tile.
    kept
        Gets the sums of the highest level; no room in it: none are wanted.
    """
    history = first.shape[1]
    sums_narrow = np.empty((4, narrow.shape[2]), np.float32)
    sums_wide = np.empty((4, wide.shape[2]), np.float64)
    high = np.empty(stop - start, last.dtype)
    while fresh > 0:
        here, above = level % 2, 1 - level % 2
        if whole:
            before = load_last(narrow[here], last[level], start, stop, high)
            most += before
            largest = max(largest, before)
            if largest * most >= EXACT:
                whole = False
                for row in range(history, history + fresh):
                    one, other = narrow[here, row], wide[here, row]
                    for p in range(narrow.shape[2]):
                        other[p] = one[p]
        if whole:
            pairs = one_level(
                narrow[here], narrow[above], fresh, seen, level, products, first, last, kept,
                start, stop, sums_narrow,
            )  # fmt: skip
            largest = min(2.0 * largest, most)
        else:
            load_last(wide[here], last[level], start, stop, high)
            pairs = one_level(
                wide[here], wide[above], fresh, seen, level, products, first, last, kept, start,
                stop, sums_wide,
            )  # fmt: skip
        seen, fresh, level = seen // 2, pairs, level + 1


@compiled
def find_runs(index, offset, place):  # type: ignore[no-untyped-def]
    """Find the runs of neighbouring places in ``index``; return how many there are.

    ``offset`` (pixel + 1) gets where they start in ``index`` and where the last one ends, ``place``
    (pixel) where they start in a frame.
    """
    runs = 0
    for p in range(len(index)):
        if p == 0 or index[p] != index[p - 1] + 1:
            offset[runs], place[runs] = p, index[p]
            runs += 1
    offset[runs] = len(index)
    return runs


@compiled
def take_line(line, index, runs, offset, place, raw):  # type: ignore[no-untyped-def]
    """Copy the counts of some places of a frame."""
    if runs * SHORT > len(index):
        for p in range(len(index)):
            raw[p] = line[np.uint64(index[p])]
        return
    for run in range(runs):
        start, length = offset[run], offset[run + 1] - offset[run]
        into, part = raw[start : start + length], line[place[run] : place[run] + length]
        for p in range(length):
            into[p] = part[p]


@compiled
def take_whole(frames, index, raw, high, sums, rows, history, total):  # type: ignore[no-untyped-def]
    """Fill rows with whole counts; return the largest, and the largest sum over the frames.

    ``total`` (pixel) gets the sums over frames added.  Counts that are too large for float32 are
    told by a largest of 2^24 or more.  The others are room: ``raw`` and ``high`` of the type of a
    count, ``sums`` of one that holds sums over the frames.
    """
    pixels = len(index)
    offset, place = np.empty(pixels + 1, np.int64), np.empty(pixels, np.int64)
    runs = find_runs(index, offset, place)
    high[:] = 0
    sums[:] = 0
    for frame in range(len(frames)):
        take_line(frames[frame], index, runs, offset, place, raw)
        row = rows[history + frame]
        for p in range(pixels):
            value = raw[p]
            row[p] = value
            sums[p] += value
            high[p] = value if value > high[p] else high[p]
    largest, most = 0.0, 0.0
    for p in range(pixels):
        total[p] += sums[p]
        largest = max(largest, float(high[p]))
        most = max(most, float(sums[p]))
    return largest, most


@compiled
def take_weighted(frames, weight, index, rows, history, total):  # type: ignore[no-untyped-def]
    """Fill rows with counts times the weights of their frames, and add these to ``total``."""
    pixels = len(index)
    for frame in range(len(frames)):
        line, row = frames[frame], rows[history + frame]
        for p in range(pixels):
            value = line[index[p]] * weight[frame]
            row[p] = value
            total[p] += value


@compiled
def add_whole(frames, sums, index, start, stop, seen, total, products, first, last, kept):  # type: ignore[no-untyped-def]
    """Add frames (frame, place) of whole counts to the pixels ``start`` to ``stop``.

    ``index`` holds the place of every pixel, ``seen`` is the number of frames so far, ``sums``
    (:data:`TILE`) is room of a type that holds the sum of a pixel over the frames.
    """
    history, fresh = first.shape[1], len(frames)
    narrow = np.zeros((2, history + fresh + STEP, TILE), np.float32)
    wide = np.zeros((2, history + fresh + STEP, TILE), np.float64)
    raw, high = np.zeros(TILE, frames.dtype), np.zeros(TILE, frames.dtype)
    for begin in range(start, stop, TILE):
        end = min(begin + TILE, stop)
        if end - begin < TILE:
            narrow[:] = 0.0
            wide[:] = 0.0
        largest, most = take_whole(
            frames, index[begin:end], raw, high, sums, narrow[0], history, total[begin:end]
        )
        whole = largest < EXACT
        if not whole:
            for frame in range(fresh):
                for p in range(end - begin):
                    wide[0, history + frame, p] = frames[frame, index[begin + p]]
        add_tile(
            narrow, wide, whole, largest, most, seen, fresh, 0, products, first, last, kept,
            begin, end,
        )  # fmt: skip


@compiled
def add_weighted(  # type: ignore[no-untyped-def]
    frames, weight, index, start, stop, seen, total, products, first, last, kept
):
    """Add frames times their weights, in float64, as :func:`add_whole` does with whole counts."""
    history, fresh = first.shape[1], len(frames)
    narrow = np.zeros((2, 1, TILE), np.float32)
    wide = np.zeros((2, history + fresh + STEP, TILE), np.float64)
    for begin in range(start, stop, TILE):
        end = min(begin + TILE, stop)
        if end - begin < TILE:
            wide[:] = 0.0
        take_weighted(frames, weight, index[begin:end], wide[0], history, total[begin:end])
        add_tile(
            narrow, wide, False, 0.0, 0.0, seen, fresh, 0, products, first, last, kept, begin, end
        )


@compiled
def add_up(frames, start, stop, total):  # type: ignore[no-untyped-def]
    """Add frames (frame, place) to ``total`` (place), from place ``start`` to ``stop``."""
    for begin in range(start, stop, 4 * TILE):
        end = min(begin + 4 * TILE, stop)
        sums = total[begin:end]
        for frame in range(len(frames)):
            line = frames[frame, begin:end]
            for p in range(end - begin):
                sums[p] += line[p]


@compiled
def frame_counts(frames, index, counts):  # type: ignore[no-untyped-def]
    """Fill ``counts`` (frame) with the sums of ``frames`` (frame, place) over the pixels."""
    for frame in range(len(frames)):
        line, total = frames[frame], 0.0
        for p in range(len(index)):
            total += line[index[p]]
        counts[frame] = total
