"""Multi-tau products of events, pixel by pixel, compiled by Numba.

The events of a pixel, sorted by time, are looked at level by level: every event looks ahead as
far as the longest lag reaches, then sums of neighbours in time become the events of the next
level.  The work goes with the number of events, not with that of frames.  Levels where many sums
are not 0 are worked out as the engine for frames does.
"""

import numpy as np

from napari_xpcs.correlate._numba_compile import compiled
from napari_xpcs.correlate._numba_multitau import STEP, TILE, add_tile

PLACE_BITS = 16
"""A record holds its frame above twice so many bits, the place in its bucket, and the count."""


@compiled
def bucket_sizes(frame, pixel, used_frame, shift, sizes):  # type: ignore[no-untyped-def]
    """Count the events of every bucket of ``2**shift`` neighbouring pixels."""
    for event in range(len(frame)):
        if used_frame[frame[event]] >= 0:
            sizes[pixel[event] >> shift] += 1


@compiled
def to_buckets(frame, pixel, count, used_frame, used, shift, cursor, records, per_frame):  # type: ignore[no-untyped-def]
    """Write the events of each bucket one behind the other, in the order of time.

    Parameters
    ----------
    used_frame
        Used frame of every raw frame, -1: left out.
    used
        Whether a pixel of the detector lies in a bin.
    cursor
        Where each bucket begins in ``records``; after it, where it ends.
    per_frame
        Gets the counts of the used pixels of each used frame.
    """
    inside = (1 << shift) - 1
    for event in range(len(frame)):
        at = used_frame[frame[event]]
        if at < 0:
            continue
        here, value = pixel[event], np.int64(count[event])
        if used[here]:
            per_frame[at] += value
        bucket = here >> shift
        slot = cursor[bucket]
        place = np.int64(here & inside)
        records[slot] = np.int64(at) << (2 * PLACE_BITS) | place << PLACE_BITS | value
        cursor[bucket] = slot + 1


@compiled
def sort_bucket(records, ends, times, counts):  # type: ignore[no-untyped-def]
    """Put the events of each pixel of a bucket together; ``ends`` gets where they end."""
    low = (1 << PLACE_BITS) - 1
    ends[:] = 0
    for record in records:
        place = record >> PLACE_BITS & low
        if place + 1 < len(ends):
            ends[place + 1] += 1
    for place in range(1, len(ends)):
        ends[place] += ends[place - 1]
    for record in records:
        place = record >> PLACE_BITS & low
        slot = ends[place]
        times[slot] = record >> (2 * PLACE_BITS)
        counts[slot] = record & low
        ends[place] = slot + 1


@compiled
def add_counts(times, counts, start, stop, span, label, spans):  # type: ignore[no-untyped-def]
    """Add the events of a pixel to the spans of its static bin, if any; return their counts."""
    counted = 0
    for event in range(start, stop):
        counted += counts[event]
        if label >= 0 and span[times[event]] < len(spans):
            spans[span[times[event]], label] += counts[event]
    return counted


@compiled
def load_pixel(times, counts, weight, start, stop, seen, at, value, begin):  # type: ignore[no-untyped-def]
    """Copy the events of a pixel behind ``begin``, those of one frame joined; return the end."""
    end = begin
    for event in range(start, stop):
        frame = times[event]
        weighted = counts[event] * weight[frame]
        if end > begin and at[end - 1] == frame + seen:
            value[end - 1] += weighted
        else:
            at[end] = frame + seen
            value[end] = weighted
            end += 1
    return end


@compiled
def load_last(last, level, before, p, at, value, begin):  # type: ignore[no-untyped-def]
    """Move the last sums of a level that are not 0 in front of ``begin``; return their start."""
    history = last.shape[1]
    if before == 0:
        return begin
    for slot in range(history - 1, -1, -1):
        past = last[level, slot, p]
        if past != 0:
            begin -= 1
            at[begin] = before - history + slot
            value[begin] = past
            last[level, slot, p] = 0
    return begin


@compiled
def look_ahead(at, value, old, begin, end, shortest, products, row, p, sums):  # type: ignore[no-untyped-def]
    """Add the products of the events from ``begin`` on with those up to the longest lag before.

    Those of ``lag`` go into row ``row + lag``; lags below ``shortest`` belong to the level below.
    """
    history = len(sums) - 1
    sums[:] = 0.0
    for one in range(old, end):
        for other in range(max(one + 1, begin), end):
            lag = at[other] - at[one]
            if lag > history:
                break
            sums[lag] += value[one] * value[other]
    for lag in range(shortest, history + 1):
        if sums[lag] != 0.0:
            products[row + lag, p] += sums[lag]


@compiled
def store(at, value, old, begin, end, level, after, p, first, last):  # type: ignore[no-untyped-def]
    """Keep the first and the last sums of a level that has ``after`` so many now."""
    history = first.shape[1]
    for event in range(begin, end):
        if at[event] >= history:
            break
        first[level, at[event], p] = value[event]
    for event in range(end - 1, old - 1, -1):
        slot = at[event] - after + history
        if slot < 0:
            break
        last[level, slot, p] = value[event]


@compiled
def join_pairs(at, value, begin, end):  # type: ignore[no-untyped-def]
    """Turn the events of a level into those of the next one, in place; return the end."""
    into, event = begin, begin
    while event < end:
        pair, joined = at[event] >> 1, value[event]
        event += 1
        if event < end and at[event] >> 1 == pair:
            joined += value[event]
            event += 1
        at[into] = pair
        value[into] = joined
        into += 1
    return into


@compiled
def add_pixel(  # type: ignore[no-untyped-def]
    at, value, begin, end, seen, fresh, dense, p, products, first, last, kept, sums
):
    """Add the events of a pixel, those from ``begin`` to ``end``, to its levels below ``dense``.

    Returns where those of that level begin and end.
    """
    levels, history, _ = first.shape
    delays = history // 2
    for level in range(dense):
        before, after = seen >> level, (seen + fresh) >> level
        if after == before:
            return end, end
        # A sum that is not complete waits in the last sums of the level below.
        if end > begin and at[end - 1] >= after:
            end -= 1
        old = load_last(last, level, before, p, at, value, begin)
        if end == old and before == 0:
            return end, end
        shortest = 1 if level == 0 else delays + 1
        row = (level + 2) * delays - history - 1
        look_ahead(at, value, old, begin, end, shortest, products, row, p, sums)
        store(at, value, old, begin, end, level, after, p, first, last)
        if level == levels - 1:
            for event in range(begin, end):
                if at[event] - before < len(kept):
                    kept[at[event] - before, p] = value[event]
            return end, end
        # An odd sum that waited makes a pair with the first fresh one.
        if before % 2 == 1 and old < begin and at[begin - 1] == before - 1:
            begin -= 1
        end = join_pairs(at, value, begin, end)
    if end > begin and at[end - 1] >= (seen + fresh) >> dense:
        end -= 1
    return begin, end


@compiled
def fill_column(at, value, begin, end, before, rows, column):  # type: ignore[no-untyped-def]
    """Write the events of a pixel into rows; return the largest, and all of them added up."""
    largest, most = 0.0, 0.0
    for event in range(begin, end):
        rows[at[event] - before, column] = value[event]
        largest = max(largest, value[event])
        most += value[event]
    return largest, most


@compiled
def add_buckets(  # type: ignore[no-untyped-def]
    records, bounds, start, stop, shift, used_pixel, static, weight, span, seen, fresh, dense,
    total, spans, products, first, last, level_total, kept,
):  # fmt: skip
    """Add the events of the buckets ``start`` to ``stop`` to the levels of their pixels.

    Parameters
    ----------
    records, bounds
        The events, see :func:`to_buckets`, and where each bucket begins.
    used_pixel, static
        Number of every pixel of the detector among the used ones, or -1; their static bins.
    weight, span
        Of every fresh frame: the factor of its counts, and the span of time that it lies in.
    seen, fresh
        Frames that the levels have seen, and frames of the events.
    dense
        From this level on sums are worked out for tiles of pixels, 0 or not, as the engine for
        frames does: counts are whole then, and no sum of this level reaches 2^24.
    total, spans
        Get the counts of every pixel, and of (span, static bin).
    products, first, last, level_total, kept
        Of :class:`~napari_xpcs.kernels.multitau_state.MultiTauState`, changed in place; ``kept``
        gets the fresh sums of the highest level, or has no room.
    """
    levels, history, _ = first.shape
    size = 0
    for bucket in range(start, stop):
        size = max(size, bounds[bucket + 1] - bounds[bucket])
    times, counts = np.empty(size, np.int32), np.empty(size, np.int32)
    ends = np.empty(1 << shift, np.int64)
    # Every level may move the first event of a pixel forward by one, and puts its last sums there.
    head = history + levels + 1
    at, value = np.empty(head + size, np.int64), np.empty(head + size, np.float64)
    sums = np.zeros(history + 1)
    before = seen >> dense
    rows = (seen + fresh >> dense) - before if dense < levels else 0
    narrow = np.zeros((2, history + rows + STEP, TILE), np.float32)
    wide = np.zeros((2, history + rows + STEP, TILE), np.float64)
    here_rows = narrow[dense % 2, history:]
    tile, width, largest, most = 0, 0, 0.0, 0.0
    for bucket in range(start, stop):
        sort_bucket(records[bounds[bucket] : bounds[bucket + 1]], ends, times, counts)
        pixel = bucket << shift
        begin = 0
        pixels = min(1 << shift, len(used_pixel) - pixel)
        for place in range(pixels):
            here, until = used_pixel[pixel + place], ends[place]
            label = static[here] if here >= 0 else -1
            total[pixel + place] += add_counts(times, counts, begin, until, span, label, spans)
            if here >= 0:
                end = load_pixel(times, counts, weight, begin, until, seen, at, value, head)
                for event in range(head, end):
                    level_total[here] += value[event]
                low, high = add_pixel(
                    at, value, head, end, seen, fresh, dense, here, products, first, last, kept,
                    sums,
                )  # fmt: skip
                if rows:
                    if width == 0:
                        tile, largest, most = here, 0.0, 0.0
                        here_rows[:] = 0.0
                    top, whole = fill_column(at, value, low, high, before, here_rows, width)
                    largest, most = max(largest, top), max(most, whole)
                    width += 1
            begin = until
            if width == TILE or (width and place + 1 == pixels):
                add_tile(
                    narrow, wide, True, largest, most, before, rows, dense, products, first,
                    last, kept, tile, tile + width,
                )  # fmt: skip
                width = 0
