"""Writing frames as the APS writes them: one bitshuffle+LZ4 chunk per frame, metadata beside."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from napari_xpcs.backends.io_adapter import hdf5_adapter
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.atomic import atomic_path, refuse_to_overwrite, require_place
from napari_xpcs.io.chx_cmp import require_cmp_name, write_event_blocks
from napari_xpcs.io.entry_group import copy_entry, write_entry
from napari_xpcs.io.events import Events, ThresholdedFrames
from napari_xpcs.io.known_geometry import geometry_as_known
from napari_xpcs.io.new_hdf5 import NewFile, new_hdf5
from napari_xpcs.kernels.geometry import FIELD_UNITS, Geometry, KnownGeometry, Sourced
from napari_xpcs.progress import Progress, Steps


def write_raw(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    *,
    frames: int,
    geometry: Geometry,
    frame_time_s: float,
    count_time_s: float | None = None,
    truth: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Steps[Path]:
    """Write ``blocks`` of frames to ``path`` and the geometry to ``*_metadata.hdf`` beside it.

    Memory holds one block at a time.  Both files appear when all frames are written; a run
    that is cancelled or fails leaves neither.

    Parameters
    ----------
    blocks
        Arrays (frame, row, col) of one integer type, ``frames`` frames in all.
    frames
        Number of frames.
    geometry
        Its ``shape`` is the shape of a frame.
    frame_time_s, count_time_s
        Period and exposure of a frame, s.
    truth
        What the run was simulated from, by name; goes to ``/simulation``.
    force
        Replace files that are there.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    FileFormatError
        A file is there already, or the blocks do not fit the shape or the number of frames.
    """
    known = _known(geometry, frame_time_s, count_time_s)
    shape = (frames, *geometry.shape)
    return (
        yield from write_frames(path, blocks, shape=shape, known=known, truth=truth, force=force)
    )


def write_simulated_events(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    *,
    frames: int,
    geometry: Geometry,
    frame_time_s: float,
    truth: Mapping[str, Any],
    force: bool = False,
) -> Steps[Path]:
    """Write what was counted in ``blocks`` of frames as the ``.cmp`` of NSLS-II CHX.

    Its header holds the geometry; ``truth`` goes to ``/simulation`` of ``*_metadata.hdf``.
    Takes and raises what :func:`write_raw` does.
    """
    path = Path(path)
    require_cmp_name(path)
    require_place(path, force)
    metadata = path.with_name(path.stem + layouts.METADATA_SUFFIX)
    refuse_to_overwrite(metadata, force)
    known = _known(geometry, frame_time_s, None)
    shape = (frames, *geometry.shape)
    listed = _events(blocks)
    written = yield from write_event_blocks(
        path, listed, shape=shape, dtype=np.dtype(np.uint16), known=known, force=force
    )
    with atomic_path(metadata, force) as described, new_hdf5(described) as file:
        write_entry(file, known, identifier=path.stem)
        _write_truth(file, truth)
    return written


def _events(blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, Events]]:
    done = 0
    for block in blocks:
        found = ThresholdedFrames(frames=block).read(0, len(block))
        yield done + len(block), replace(found, begin=done)
        done += len(block)


def _known(geometry: Geometry, frame_time_s: float, count_time_s: float | None) -> KnownGeometry:
    known = geometry_as_known(geometry, "simulation")
    times = {"frame_time_s": frame_time_s, "count_time_s": count_time_s}
    for name, value in times.items():
        known[name] = Sourced(value=value, unit=FIELD_UNITS[name], origin="simulation")
    return known


def _write_truth(file: h5py.File, truth: Mapping[str, Any]) -> None:
    for name, value in truth.items():
        file[f"{layouts.SIMULATION}/{name}"] = value


def write_frames(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    *,
    shape: tuple[int, int, int],
    known: KnownGeometry,
    metadata_path: Path | None = None,
    truth: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Steps[Path]:
    """Do what :func:`write_raw` does, for a run whose geometry may be unknown in part.

    Parameters
    ----------
    shape
        Frames, rows, columns.
    known
        What is known of the geometry; what is not is left out of the metadata, or NaN.
    metadata_path
        Metadata of the run to copy.  Where they stand at the place of the new ones already,
        they are left as they are.
    """
    path = Path(path)
    require_place(path, force)
    metadata = path.with_name(path.stem + layouts.METADATA_SUFFIX)
    in_place = metadata_path is not None and metadata.resolve() == metadata_path.resolve()
    if not in_place:
        refuse_to_overwrite(metadata, force)
    with atomic_path(path, force) as unfinished:
        with new_hdf5(unfinished) as file:
            yield from _write_frames(file, path.name, blocks, shape)
            _write_truth(file, truth or {})
        if in_place:
            return path
        with atomic_path(metadata, force) as described, new_hdf5(described) as file:
            if metadata_path is not None:
                copy_entry(metadata_path, file)
            write_entry(file, known, identifier=path.stem)
    return path


def _write_frames(
    file: NewFile, name: str, blocks: Iterable[np.ndarray], shape: tuple[int, int, int]
) -> Steps[None]:
    dataset: h5py.Dataset | None = None
    done = 0
    for given in blocks:
        block = hdf5_adapter.to_numpy(given)
        if dataset is None:
            dataset = file.create_dataset(
                layouts.FRAMES,
                shape=shape,
                dtype=block.dtype,
                chunks=(1, *shape[1:]),
                **hdf5plugin.Bitshuffle(),
            )
        if block.ndim != 3 or block.shape[1:] != shape[1:] or block.dtype != dataset.dtype:
            msg = (
                f"{name}: a block of {block.dtype} with the shape {block.shape} does not fit "
                f"frames of {dataset.dtype} with the shape {shape[1:]}."
            )
            raise FileFormatError(msg)
        if done + len(block) > shape[0]:
            msg = f"{name}: {done + len(block)} frames came, {shape[0]} were announced."
            raise FileFormatError(msg)
        dataset[done : done + len(block)] = block
        file.check()
        done += len(block)
        yield Progress(done, shape[0], "frames")
    if done != shape[0]:
        msg = f"{name}: {done} frames came, {shape[0]} were announced."
        raise FileFormatError(msg)
