"""Multi-tau products of events, compiled by Numba.

The events of a pixel, sorted by time, are taken in pairs: two that are ``d`` frames apart belong
to the levels at which ``d`` is one of the lags, two levels at most.  Nothing is added up to sums of
neighbours for that, as sums of products are products of sums.  From a level on where many sums
are not 0, they are worked out as the engine for frames does.
"""

import numpy as np

from napari_xpcs.correlate._numba_compile import compiled
from napari_xpcs.correlate._numba_multitau import EXACT, STEP, TILE, add_tile

PLACE_BITS = 16
"""A record holds its frame above twice so many bits, the place in its bucket, and the count."""

ROWS = 256
"""Sums of a tile that are worked out together: they fit into a cache."""

FILLED = 0.125
"""Sums that may not be 0 at the highest level that is worked out from pairs of events."""


@compiled
def bucket_sizes(starts, pixel, used_frame, shift, sizes):  # type: ignore[no-untyped-def]
    """Count the events of every bucket of ``2**shift`` neighbouring pixels."""
    for raw in range(len(used_frame)):
        if used_frame[raw] >= 0:
            for event in range(starts[raw], starts[raw + 1]):
                sizes[pixel[event] >> shift] += 1


@compiled
def to_buckets(  # type: ignore[no-untyped-def]
    starts, pixel, count, used_frame, before, label, span, shift, cursor, records, per_frame, spans
):
    """Write the events of each bucket one behind the other, in the order of time.

    Parameters
    ----------
    starts
        Events before each raw frame, and in all.
    used_frame, before
        Used frame of every raw frame, -1: left out; used frames of the records before these.
    label
        Static bins of the pixels of the detector, from 1 on; 0: none.
    span
        The span of time that each used frame lies in.
    cursor
        Where each bucket begins in ``records``; after it, where it ends.
    per_frame
        Gets the counts of the used pixels of each used frame.
    spans
        Gets the counts of (span, static bin) added.

    Returns
    -------
    int
        The largest count.
    """
    inside = (1 << shift) - 1
    largest = np.int64(0)
    # A row and a column for what is in no span and no bin: to ask each event takes longer.
    of_spans = np.zeros((len(spans) + 1, spans.shape[1] + 1), np.int64)
    for raw in range(len(used_frame)):
        at = used_frame[raw]
        if at < 0:
            continue
        of_span, of_frame = of_spans[min(span[at], len(spans))], np.int64(0)
        for event in range(starts[raw], starts[raw + 1]):
            here, value = np.int64(pixel[event]), np.int64(count[event])
            of_span[label[here]] += value
            of_frame += value * (label[here] > 0)
            largest = max(largest, value)
            slot = cursor[here >> shift]
            records[slot] = before + at << (2 * PLACE_BITS) | (here & inside) << PLACE_BITS | value
            cursor[here >> shift] = slot + 1
        per_frame[at] += of_frame
    spans += of_spans[:-1, 1:]
    return largest


@compiled
def sort_bucket(  # type: ignore[no-untyped-def]
    records, begins, stops, used_pixel, before, weight, total, ends, times, values
):
    """Put the events of each used pixel of a bucket together, in the order of time.

    Parameters
    ----------
    records, begins, stops
        The events of the bucket are in some pieces of ``records``, one later than the other.
    used_pixel, before
        Number of the pixels of the bucket among the used ones, or -1; used pixels before it.
    weight
        Of every frame: the factor of its counts.
    total
        Gets the counts of all pixels of the bucket added.
    ends
        Gets where the events of each used pixel end.
    times, values
        Get these events, and behind them all others.
    """
    low = (1 << PLACE_BITS) - 1
    used = len(ends)
    # The others share a place behind them: to ask each event takes longer.
    place_of = np.empty(len(used_pixel), np.int32)
    for place in range(len(used_pixel)):
        place_of[place] = used_pixel[place] - before if used_pixel[place] >= 0 else used
    cursor = np.zeros(used + 2, np.int64)
    for piece in range(len(begins)):
        for record in records[begins[piece] : stops[piece]]:
            cursor[place_of[record >> PLACE_BITS & low] + 1] += 1
    for here in range(1, used + 1):
        cursor[here] += cursor[here - 1]
    for piece in range(len(begins)):
        for record in records[begins[piece] : stops[piece]]:
            time, place = record >> (2 * PLACE_BITS), record >> PLACE_BITS & low
            count, here = np.float64(record & low), place_of[place]
            total[place] += count
            slot = cursor[here]
            times[slot] = time
            values[slot] = count * weight[time]
            cursor[here] = slot + 1
    ends[:] = cursor[:used]


@compiled
def dense_level(events, pixels, frames, seen, levels):  # type: ignore[no-untyped-def]
    """Return from which level on sums are worked out whether they are 0 or not.

    A fresh sum below it must not have begun in frames that were seen.
    """
    level = 0
    while (
        level < levels - 1
        and seen >> level & 1 == 0
        and np.int64(events) << (level + 1) <= FILLED * pixels * frames
    ):
        level += 1
    return level


@compiled
def level_of_distance(dense, delays):  # type: ignore[no-untyped-def]
    """Return the lowest level at which two events may be a lag apart, for every distance."""
    history = 2 * delays
    lowest = np.zeros((history + 1) << max(dense - 1, 0), np.uint8)
    for level in range(1, dense):
        lowest[(history + 1) << (level - 1) :] = level
    return lowest


@compiled
def add_pairs(times, values, starts, ends, lowest, complete, delays, later, pixel, found):  # type: ignore[no-untyped-def]
    """Add the products of the events of each pixel that lie close to each other.

    Parameters
    ----------
    starts, ends
        Where the events of each pixel are.
    lowest
        See :func:`level_of_distance`.
    complete
        Frames in the complete sums of each level: what is behind them is in no pair yet.
    later, pixel
        Room for as many numbers as there are events.
    found
        (level, lag, pixel) get the products; those of other lags than the level has mean nothing.
    """
    dense, reach = len(complete), len(lowest)
    # Pairs are listed first: whether an event has a neighbour cannot be foretold by a processor.
    pairs = np.int64(0)
    for p in range(len(ends)):
        for event in range(starts[p] + 1, ends[p]):
            later[pairs], pixel[pairs] = event, p
            pairs += np.int64(times[event] - times[event - 1] < reach)
    back = 1
    while pairs > 0:
        further = np.int64(0)
        for pair in range(pairs):
            event, p = later[pair], pixel[pair]
            time, past = times[event], times[event - back]
            product = values[event] * values[event - back]
            level = np.int64(lowest[time - past])
            if time < complete[level]:
                found[level, (time >> level) - (past >> level), p] += product
            level += 1
            if time - past > delays << level and level < dense and time < complete[level]:
                found[level, (time >> level) - (past >> level), p] += product
            later[further], pixel[further] = event, p
            before = event - back - 1
            near = time - times[max(before, 0)] < reach
            further += np.int64((before >= starts[p]) & near)
        pairs = further
        back += 1


@compiled
def add_past(times, values, starts, ends, start, last, complete, found):  # type: ignore[no-untyped-def]
    """Add the products of the first events of each pixel with the last sums before them."""
    history = last.shape[1]
    limit = history << (len(complete) - 1)
    for p in range(len(ends)):
        for event in range(starts[p], ends[p]):
            time, value = times[event], values[event]
            if time >= limit:
                break
            for level in range(len(complete)):
                at = time >> level
                if at < history and time < complete[level]:
                    for back in range(1, history - at + 1):
                        past = last[level, history - back, start + p]
                        found[level, at + back, p] += value * past


@compiled
def forget(last, fresh, start, stop):  # type: ignore[no-untyped-def]
    """Make room for ``fresh`` sums at the end of the last ones of a level."""
    history = len(last)
    for slot in range(history):
        line = last[slot, start:stop]
        if slot + fresh < history:
            line[:] = last[slot + fresh, start:stop]
        else:
            line[:] = 0


@compiled
def store(times, values, begin, end, seen, fresh, p, dense, first, last):  # type: ignore[no-untyped-def]
    """Add the events of a pixel to the first and the last sums of the levels below ``dense``."""
    history = first.shape[1]
    for level in range(dense):
        before, sums = seen >> level, fresh >> level
        for event in range(begin, end):
            slot = times[event] >> level
            if before + slot >= history or slot >= sums:
                break
            first[level, before + slot, p] += values[event]
        for event in range(end - 1, begin - 1, -1):
            slot = (times[event] >> level) - sums + history
            if slot < 0:
                break
            if slot < history:
                last[level, slot, p] += values[event]


@compiled
def add_sparse_levels(  # type: ignore[no-untyped-def]
    times, values, starts, ends, seen, fresh, dense, start, products, first, last, later, pixel
):
    """Add the events of a tile of pixels to its levels below ``dense``."""
    _, history, _ = first.shape
    delays, width = history // 2, len(ends)
    complete = np.empty(dense, np.int64)
    for level in range(dense):
        complete[level] = fresh >> level << level
    # Rows of a length that is no power of two do not compete for the same places in a cache.
    found = np.zeros((dense, history + 2, TILE + STEP))
    lowest = level_of_distance(dense, delays)
    add_pairs(times, values, starts, ends, lowest, complete, delays, later, pixel, found)
    if seen:
        add_past(times, values, starts, ends, start, last, complete, found)
    row = 0
    for level in range(dense):
        for lag in range(1 if level == 0 else delays + 1, history + 1):
            line, part = products[row, start : start + width], found[level, lag]
            for p in range(width):
                line[p] += part[p]
            row += 1
        forget(last[level], fresh >> level, start, start + width)
    for p in range(width):
        store(times, values, starts[p], ends[p], seen, fresh, start + p, dense, first, last)


@compiled
def fill_rows(times, values, cursor, ends, dense, begin, rows, total):  # type: ignore[no-untyped-def]
    """Add up the events of a tile in rows of ``2**dense`` frames, from row ``begin`` on.

    Returns the largest sum, and the largest of all of a pixel added up.  ``cursor`` goes on, and
    ``total`` gets the values of every pixel added.
    """
    rows[:] = 0.0
    limit = (begin + len(rows)) << dense
    largest, most = 0.0, 0.0
    for p in range(len(ends)):
        event, of_pixel = cursor[p], 0.0
        while event < ends[p] and times[event] < limit:
            row = (times[event] >> dense) - begin
            rows[row, p] += values[event]
            largest = max(largest, np.float64(rows[row, p]))
            of_pixel += values[event]
            event += 1
        cursor[p] = event
        total[p] += of_pixel
        most = max(most, of_pixel)
    return largest, most


@compiled
def add_buckets(  # type: ignore[no-untyped-def]
    records, bounds, pixel_bounds, start, stop, shift, largest_count, used_pixel, weight, seen,
    fresh, total, products, first, last, level_total, kept,
):  # fmt: skip
    """Add the events of the buckets ``start`` to ``stop`` to the levels of their pixels.

    Parameters
    ----------
    records, bounds, pixel_bounds
        The events, see :func:`to_buckets`; (piece, bucket) where each bucket begins and the last
        one ends; where the used pixels of each bucket begin, and the last ones end.
    largest_count
        No event has a larger count; infinite where counts are weighted.
    used_pixel
        Number of every pixel of the detector among the used ones, or -1.
    weight
        Of every fresh frame: the factor of its counts.
    seen, fresh
        Frames that the levels have seen, and frames of the events.
    total
        Gets the counts of every pixel added.
    products, first, last, level_total, kept
        Of :class:`~napari_xpcs.kernels.multitau_state.MultiTauState`, changed in place; ``kept``
        gets the fresh sums of the highest level, or has no room.
    """
    levels, history, _ = first.shape
    size = 0
    for bucket in range(start, stop):
        size = max(size, (bounds[:, bucket + 1] - bounds[:, bucket]).sum())
    times, values = np.empty(size, np.int32), np.empty(size, np.float64)
    later, pixel = np.empty(size, np.int32), np.empty(size, np.int32)
    narrow = np.zeros((2, history + ROWS + STEP, TILE), np.float32)
    wide = np.zeros((2, history + ROWS + STEP, TILE), np.float64)
    for bucket in range(start, stop):
        of_bucket = slice(bucket << shift, (bucket + 1) << shift)
        begin, end = pixel_bounds[bucket], pixel_bounds[bucket + 1]
        starts, ends = np.zeros(end - begin, np.int64), np.empty(end - begin, np.int64)
        sort_bucket(
            records, bounds[:, bucket], bounds[:, bucket + 1], used_pixel[of_bucket], begin,
            weight, total[of_bucket], ends, times, values,
        )  # fmt: skip
        if begin == end:
            continue
        starts[1:] = ends[:-1]
        dense = dense_level(ends[-1], end - begin, fresh, seen, levels)
        before, rows = seen >> dense, fresh >> dense
        for tile in range(begin, end, TILE):
            until = min(tile + TILE, end)
            here = slice(tile - begin, until - begin)
            if dense > 0:
                add_sparse_levels(
                    times, values, starts[here], ends[here], seen, fresh, dense, tile, products,
                    first, last, later, pixel,
                )  # fmt: skip
            narrow_enough = largest_count * (ends[here] - starts[here]).max() < EXACT
            for row in range(0, rows, ROWS):
                number = min(ROWS, rows - row)
                if narrow_enough:
                    largest, most = fill_rows(
                        times, values, starts[here], ends[here], dense, row,
                        narrow[dense % 2, history : history + number], level_total[tile:until],
                    )  # fmt: skip
                else:
                    largest, most = fill_rows(
                        times, values, starts[here], ends[here], dense, row,
                        wide[dense % 2, history : history + number], level_total[tile:until],
                    )  # fmt: skip
                top = levels - 1
                done = ((before + row) << dense >> top) - (seen >> top)
                add_tile(
                    narrow, wide, narrow_enough, largest, most, before + row, number, dense,
                    products, first, last, kept[done:], tile, until,
                )  # fmt: skip
            for p in range(tile, until):
                level_total[p] += values[starts[p - begin] : ends[p - begin]].sum()
        begin = end
