"""From one file format to another, told by what the source holds and how the target is named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from napari_xpcs._typing import Mask
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.chx_cmp import SUFFIX as EVENTS_SUFFIX
from napari_xpcs.io.chx_cmp import require_cmp_name, write_cmp
from napari_xpcs.io.events import EventFrames, ThresholdedFrames
from napari_xpcs.io.files import (
    FramesFile,
    MaskFile,
    PartitionFile,
    ResultFile,
    XpcsFile,
)
from napari_xpcs.io.hdf5 import HDF5_SUFFIXES
from napari_xpcs.io.mask_writer import ONES, write_mask
from napari_xpcs.io.open import open_path
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.io.raw_file import write_frames
from napari_xpcs.io.result_copy import copy_result
from napari_xpcs.progress import Progress, Steps

Target: TypeAlias = Literal["frames", "events", "results", "partition", "mask"]

_BLOCK_BYTES = 1 << 26


def convert(
    source: Path,
    target: Path,
    *,
    to: Target | None = None,
    dataset: str | None = None,
    threshold: float = 0.0,
    force: bool = False,
) -> Steps[Path]:
    """Write what ``source`` holds to ``target``.

    Parameters
    ----------
    to
        What the target shall be.  By default its ending tells: ``.cmp`` events, ``.npy``,
        ``.tif`` and ``.edf`` a mask, HDF5 what the source is.
    dataset
        HDF5 path of the frames where it is unusual.
    threshold
        Counts above it are events.
    force
        Replace a file that is there.

    Returns
    -------
    Path
        ``target``.  Frames have a ``*_metadata.hdf`` beside.

    Raises
    ------
    FileFormatError
        The source cannot be read or does not hold what is asked for, or the target cannot be
        written.
    """
    opened = open_path(source, dataset)
    wanted = to or _named(target, opened)
    refuse_input_as_output(target, source)
    if wanted in ("frames", "events") and isinstance(opened, FramesFile):
        if wanted == "events":
            return (yield from _write_events(target, opened, threshold, force))
        return (yield from _write_frames(target, opened, force))
    if wanted == "results" and isinstance(opened, ResultFile):
        _require_ending(target, HDF5_SUFFIXES, "results")
        return (yield from copy_result(target, opened, force=force))
    partition = opened.partition if isinstance(opened, PartitionFile | ResultFile) else None
    if wanted == "partition" and partition is not None:
        _require_ending(target, HDF5_SUFFIXES, "bins")
        write_partition(target, partition, source=str(source), force=force)
    elif wanted == "mask" and (mask := _mask_of(opened)) is not None:
        write_mask(target, mask, force=force)
    else:
        msg = f"{source.name} holds {_held(opened)}; it cannot become {_IN_WORDS[wanted]}."
        raise FileFormatError(msg)
    yield Progress(1, 1, _IN_WORDS[wanted])
    return target


_IN_WORDS: dict[Target, str] = {
    "frames": "frames",
    "events": "events",
    "results": "results",
    "partition": "bins",
    "mask": "a mask",
}


def _named(target: Path, opened: XpcsFile) -> Target:
    """Return what the ending of ``target`` asks for."""
    suffix = target.suffix.lower()
    if suffix == EVENTS_SUFFIX:
        return "events"
    if suffix in HDF5_SUFFIXES:
        if isinstance(opened, FramesFile):
            return "frames"
        if isinstance(opened, MaskFile):
            return "mask"
        return "partition" if isinstance(opened, PartitionFile) else "results"
    if suffix in ONES:
        return "mask"
    endings = ", ".join(sorted({*HDF5_SUFFIXES, EVENTS_SUFFIX, *ONES}))
    msg = f"{target} names no format to convert to; choose an ending of {endings}."
    raise FileFormatError(msg)


def _require_ending(target: Path, endings: frozenset[str], what: str) -> None:
    if target.suffix.lower() not in endings:
        msg = f"{target.name}: {what} are written as HDF5; choose an ending such as .hdf."
        raise FileFormatError(msg)


def _held(opened: XpcsFile) -> str:
    if isinstance(opened, FramesFile):
        return "events" if isinstance(opened.frames, EventFrames) else "frames"
    if isinstance(opened, ResultFile):
        return "results" if opened.partition is not None else "results without bins"
    if isinstance(opened, PartitionFile):
        return "bins"
    return "a mask" if isinstance(opened, MaskFile) else "geometry only"


def _mask_of(opened: XpcsFile) -> Mask | None:
    if isinstance(opened, FramesFile | MaskFile):
        return opened.mask
    partition = opened.partition if isinstance(opened, PartitionFile | ResultFile) else None
    return None if partition is None else partition.mask


def _write_events(target: Path, opened: FramesFile, threshold: float, force: bool) -> Steps[Path]:
    require_cmp_name(target)
    frames = opened.frames
    if not isinstance(frames, EventFrames) or threshold > 0:
        dense = ThresholdedFrames(frames=frames, threshold=threshold, mask=opened.mask)
        frames = EventFrames.of(opened.path, dense)
    return (yield from write_cmp(target, frames, known=opened.known, force=force))


def _write_frames(target: Path, opened: FramesFile, force: bool) -> Steps[Path]:
    _require_ending(target, HDF5_SUFFIXES, "frames")
    return (
        yield from write_frames(
            target,
            _blocks(opened),
            shape=opened.frames.shape,
            known=opened.known,
            metadata_path=opened.metadata_path,
            truth=opened.truth,
            force=force,
        )
    )


def _blocks(opened: FramesFile) -> Iterator[np.ndarray]:
    """Yield the frames; gaps of a detector of events get the number that marks them in frames."""
    frames = opened.frames
    count, rows, cols = frames.shape
    length = max(_BLOCK_BYTES // (rows * cols * frames.dtype.itemsize), 1)
    gaps = opened.mask if isinstance(frames, EventFrames) else None
    for first in range(0, count, length):
        block = frames[first : first + length]
        if gaps is not None and block.dtype.kind == "u":
            block[:, ~gaps] = np.iinfo(block.dtype).max
        yield block
