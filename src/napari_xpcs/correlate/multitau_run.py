"""Multi-tau correlation of a run of any number of frames."""

from contextlib import closing
from math import isfinite
from typing import cast

import numpy as np
from jaxtyping import Shaped

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.means import RunMeans
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.reading import FrameReader, Frames
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.g2_covariance import g2_covariance
from napari_xpcs.kernels.multitau import (
    NORMALIZATIONS,
    TILE_PIXELS,
    MultiTauResult,
    Normalization,
    add_block,
    binned_g2,
    empty_state,
    multitau_lags,
)
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import Progress, Steps

MOST_SEGMENTS = 16
"""I(q) is given for at most so many equal spans of a run."""


def correlate_multitau(
    frames: Frames,
    partition: Partition,
    *,
    frame_time_s: float,
    xp: BackendProtocol,
    selection: FrameSelection | None = None,
    normalization: str = "symmetric",
    normalize_frame: bool = False,
    delays_per_level: int = 4,
    block: int = 256,
) -> Steps[MultiTauResult]:
    """Correlate a run in the bins of ``partition``; memory does not grow with the frames.

    Parameters
    ----------
    frames
        Counts (frame, row, col): an array, or anything that returns ``frames[a:b]``.
    frame_time_s
        Time between raw frames, s.
    selection
        The frames to use, all by default.
    normalization
        One of :data:`~napari_xpcs.kernels.multitau.NORMALIZATIONS`.
    normalize_frame
        Divide every frame by its mean over the used pixels.  A frame without a count stays
        zero, which leaves g2 unchanged to first order in the fraction of such frames.
    delays_per_level
        4 as in the programs of APS 8-ID, or 8.
    block
        Frames in memory at once, rounded down to a power of two; no result depends on it.

    Raises
    ------
    CorrelationError
        Frames, bins and options do not fit each other, the run ends early, or a used pixel
        holds what stands for a masked or saturated value.
    """
    if normalization not in NORMALIZATIONS:
        msg = f"There is no normalization {normalization!r}; choose {', '.join(NORMALIZATIONS)}."
        raise CorrelationError(msg)
    if delays_per_level not in (4, 8):
        msg = f"There are 4 or 8 delays per level, got {delays_per_level}."
        raise CorrelationError(msg)
    check_frame_time(frame_time_s)
    pixels = used_pixels(partition, frames.shape[1:])
    reader = FrameReader(frames, selection or FrameSelection(), pixels.mask)
    length = reader.block_length(block)
    levels = max(multitau_lags(reader.count, delays_per_level).level[-1] + 1, length.bit_length())
    tiles = -(-len(pixels.index) // TILE_PIXELS)
    state = empty_state(tiles, int(levels), delays_per_level=delays_per_level, xp=xp)
    means = RunMeans(pixels, reader.count, segment_length(reader.count))
    empty_frames = 0
    yield Progress(0, reader.count, "frames")
    with closing(reader.blocks(length)) as blocks:
        for frames_of_block in blocks:
            counts = pixels.take(frames_of_block)
            mean = means.add(frames_of_block, counts)
            empty_frames += int((mean == 0.0).sum())
            if normalize_frame:
                weight = np.where(mean > 0.0, 1.0 / np.where(mean > 0.0, mean, 1.0), 0.0)
                counts = counts * weight[:, None].astype(np.float32)
            state = add_block(state, _tiles(counts, length, tiles), len(counts), xp=xp)
            yield Progress(state.frames, reader.count, "frames")
    binned = binned_g2(
        state,
        pixels.static,
        pixels.dynamic,
        pixels.dynamic_of_static,
        pixels.bins,
        normalization=cast("Normalization", normalization),
        xp=xp,
    )
    covariance = g2_covariance(
        state,
        binned.static_sums,
        pixels.static,
        pixels.dynamic_of_static,
        pixels.bins,
        normalization=cast("Normalization", normalization),
    )
    mean_frame = means.mean_frame(reader.without_value)
    scattering = means.scattering_1d()
    return MultiTauResult(
        delay_frames=multitau_lags(reader.count, delays_per_level).delay_frames,
        g2=binned.g2,
        g2_err=binned.g2_err,
        mean_frame=mean_frame,
        scattering_1d=scattering,
        scattering_1d_segments=means.segments(),
        intensity_vs_time=means.intensity_vs_time(),
        selection=reader.selection,
        frame_time_s=frame_time_s,
        normalization=normalization,
        normalize_frame=normalize_frame,
        empty_static_bins=int((~(scattering > 0.0)).sum()),
        empty_frames=empty_frames,
        silent_pixels=int((mean_frame[pixels.mask] == 0.0).sum()),
        covariance=covariance,
    )


def check_frame_time(frame_time_s: float) -> None:
    """Raise :class:`CorrelationError` where no run can have this time between frames."""
    if not (isfinite(frame_time_s) and frame_time_s > 0.0):
        msg = f"The time between frames must be positive, got {frame_time_s} s."
        raise CorrelationError(msg)


def segment_length(frames: int) -> int:
    """Return the smallest power of two of which a run has :data:`MOST_SEGMENTS` at most."""
    length = 1
    while frames // length > MOST_SEGMENTS:
        length *= 2
    return length


def _tiles(
    counts: Shaped[np.ndarray, "frame pixel"], length: int, tiles: int
) -> list[Shaped[np.ndarray, "frame pixel"]]:
    """Cut a block into tiles of one shape, filled up with zeros."""
    cut = []
    for start in range(0, tiles * TILE_PIXELS, TILE_PIXELS):
        part = counts[:, start : start + TILE_PIXELS]
        if part.shape == (length, TILE_PIXELS):
            cut.append(part)
            continue
        tile = np.zeros((length, TILE_PIXELS), counts.dtype)
        tile[: len(part), : part.shape[1]] = part
        cut.append(tile)
    return cut
