"""Two-time correlation of some bins of a run."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from jaxtyping import Float, Float32, Int

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.means import RunMeans
from napari_xpcs.correlate.multitau_run import check_frame_time
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.reading import FrameReader, Frames
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import (
    SEGMENTS,
    SMOOTHINGS,
    TwoTimeResult,
    diagonal_means,
    divide_by_group_mean,
    two_time,
)
from napari_xpcs.progress import Progress, Steps

MEAN_SEGMENTS = 10
"""I(q) is given for so many equal spans of the run."""


def correlate_twotime(
    frames: Frames,
    partition: Partition,
    *,
    frame_time_s: float,
    xp: BackendProtocol,
    bins: Sequence[int] | None = None,
    selection: FrameSelection | None = None,
    smoothing: str = "sqmap",
    block: int = 256,
    memory_bytes: float = 4e9,
) -> Steps[TwoTimeResult]:
    """Correlate every frame with every other one, bin by bin.

    The counts of as many bins as fit are read at a time, so the run may be read repeatedly.

    Parameters
    ----------
    frames
        Counts (frame, row, col): an array, or anything that returns ``frames[a:b]``.
    frame_time_s
        Time between raw frames, s.
    bins
        Labels of the dynamic bins, by default all.
    selection
        The frames to use, all by default.
    smoothing
        One of :data:`~napari_xpcs.kernels.twotime.SMOOTHINGS`.
    block
        Frames read at once.
    memory_bytes
        What maps and counts may take together.

    Raises
    ------
    CorrelationError
        Frames, bins and options do not fit each other or the memory, the run ends early, or
        a used pixel holds what stands for a masked or saturated value.
    """
    if smoothing not in SMOOTHINGS:
        msg = f"There is no smoothing {smoothing!r}; choose {', '.join(SMOOTHINGS)}."
        raise CorrelationError(msg)
    check_frame_time(frame_time_s)
    pixels = used_pixels(partition, frames.shape[1:])
    reader = FrameReader(frames, selection or FrameSelection(), pixels.mask)
    labels = _labels_with_pixels(pixels, bins)
    groups = _groups_that_fit(labels, pixels, reader.count, memory_bytes)
    means = RunMeans(pixels, reader.count, max(reader.count // MEAN_SEGMENTS, 1))
    steps = len(groups) * reader.count + len(labels)
    done = 0
    maps: list[Float32[np.ndarray, "frame frame"]] = []
    yield Progress(0, steps, "frames")
    for number, group in enumerate(groups):
        places = [np.flatnonzero(pixels.dynamic == label - 1) for label in group]
        values = [np.empty((reader.count, len(place)), np.float32) for place in places]
        start = 0
        with closing(reader.blocks(reader.block_length(block))) as blocks:
            for frames_of_block in blocks:
                counts = pixels.take(frames_of_block)
                if number == 0:
                    means.add(frames_of_block, counts)
                for place, value in zip(places, values, strict=True):
                    value[start : start + len(counts)] = _smooth(
                        counts[:, place].astype(np.float32), pixels.static[place], smoothing, xp=xp
                    )
                start += len(counts)
                yield Progress(done + start, steps, "frames")
        done += reader.count
        while values:
            # Taken off the list: the counts of a bin go when its map is there.
            maps.append(xp.to_numpy(two_time(xp.asarray(values.pop(0)), xp=xp)))
            done += 1
            yield Progress(done, steps, "maps")
    length = reader.count // SEGMENTS
    parts = [slice(part * length, (part + 1) * length) for part in range(SEGMENTS)]
    whole = [xp.to_numpy(diagonal_means(xp.asarray(half), xp=xp)) for half in maps]
    in_parts = [
        [xp.to_numpy(diagonal_means(xp.asarray(half[part, part]), xp=xp)) for part in parts]
        for half in maps
    ]
    return TwoTimeResult(
        maps=tuple(maps),
        processed_bins=np.array(labels),
        g2=np.stack(whole, axis=1),
        segments=np.transpose(np.array(in_parts), (2, 1, 0)),
        mean_frame=means.mean_frame(reader.without_value),
        scattering_1d=means.scattering_1d(),
        scattering_1d_segments=means.segments(),
        intensity_vs_time=means.intensity_vs_time(),
        selection=reader.selection,
        frame_time_s=frame_time_s,
        normalization=smoothing,
    )


def _smooth(
    counts: Float32[np.ndarray, "frame pixel"],
    static: Int[np.ndarray, " pixel"],
    smoothing: str,
    *,
    xp: BackendProtocol,
) -> Float[np.ndarray, "frame pixel"]:
    if smoothing == "none":
        return counts
    if smoothing == "dqmap":
        static = np.zeros_like(static)
    here, group = np.unique(static, return_inverse=True)
    smoothed = divide_by_group_mean(xp.asarray(counts), xp.asarray(group), len(here), xp=xp)
    return np.asarray(xp.to_numpy(smoothed))


def _labels_with_pixels(pixels: UsedPixels, bins: Sequence[int] | None) -> list[int]:
    """Return the labels to correlate, checked."""
    counts = np.bincount(pixels.dynamic, minlength=pixels.bins)
    if bins is None:
        return [int(label) for label in np.flatnonzero(counts) + 1]
    labels = list(dict.fromkeys(int(label) for label in bins))
    if not labels:
        msg = "No bin was chosen; name the labels to correlate, or none at all for every bin."
        raise CorrelationError(msg)
    for label in labels:
        if not 1 <= label <= pixels.bins:
            msg = f"There is no bin {label}; the partition has the bins 1 to {pixels.bins}."
            raise CorrelationError(msg)
        if counts[label - 1] == 0:
            msg = f"Bin {label} has no pixel inside the mask; leave it out."
            raise CorrelationError(msg)
    return labels


def _groups_that_fit(
    labels: list[int], pixels: UsedPixels, frames: int, memory_bytes: float
) -> list[list[int]]:
    """Divide ``labels`` so that all maps and the counts of one group fit into the memory."""
    counts = np.bincount(pixels.dynamic, minlength=pixels.bins)
    bytes_of = {label: 4.0 * frames * counts[label - 1] for label in labels}
    # While a map is made there are its product, its scaled and its cut copy.
    maps = 4.0 * frames**2 * (len(labels) + 3)
    needed = maps + max(bytes_of.values())
    if needed > memory_bytes:
        msg = (
            f"Two-time maps of {len(labels)} bins and {frames} frames need "
            f"{needed / 1e9:.3g} GB, {memory_bytes / 1e9:.3g} GB are allowed; choose fewer bins, "
            "or fewer frames by a stride or an average."
        )
        raise CorrelationError(msg)
    groups: list[list[int]] = [[]]
    room = memory_bytes - maps
    for label in labels:
        if bytes_of[label] > room:
            groups.append([])
            room = memory_bytes - maps
        room -= bytes_of[label]
        groups[-1].append(label)
    return groups
