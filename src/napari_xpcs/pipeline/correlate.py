"""Frames and bins in, a result file out: :func:`correlate_file`."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from napari_xpcs import __version__
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.correlate.checkpoint import EVERY_S, Checkpoint, array_hash, run_key
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.multitau_twotime_run import (
    ages_instead_of_maps,
    correlate_multitau_twotime,
)
from napari_xpcs.correlate.twotime_maps import MapSink
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.distributed.ages import correlate_ages_on
from napari_xpcs.distributed.cluster import Cluster
from napari_xpcs.distributed.multitau import correlate_multitau_on
from napari_xpcs.distributed.twotime import correlate_twotime_on
from napari_xpcs.errors import FileFormatError, XpcsError
from napari_xpcs.io.atomic import refuse_input_as_output, refuse_to_overwrite
from napari_xpcs.io.files import FramesFile, ResultFile
from napari_xpcs.io.open import open_path
from napari_xpcs.io.result_writer import unfinished_result
from napari_xpcs.kernels.geometry import override
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.pipeline.bins import OPTION, bin_arrays, read_bins
from napari_xpcs.progress import Steps

RUN_KEY = "run_sha256"
"""In a result file: the hash of all that the numbers in it depend on."""


class SameResultError(FileFormatError):
    """The result is there already, made from the same files with the same options."""


def correlate_file(
    frames: Path,
    qmap: Path,
    output: Path,
    *,
    multitau: bool = True,
    twotime: bool = False,
    bins: Sequence[int] | None = None,
    selection: FrameSelection,
    normalization: str,
    normalize_frame: bool = False,
    skipped: Iterable[int] = (),
    skip_corrupt: bool = False,
    delays_per_level: int = 4,
    errors: str = "pixel",
    partials: int = 0,
    pixel_averages: bool = False,
    engine: str = "auto",
    checkpoint_s: float = EVERY_S,
    smoothing: str = "static",
    maps: str = "auto",
    frame_time_s: float | None = None,
    dataset: str | None = None,
    xp: BackendProtocol,
    cluster: Cluster | None = None,
    force: bool = False,
) -> Steps[tuple[str, ...]]:
    """Correlate the frames of a file in the bins of another and write a result file.

    ``bins`` are the labels of the two-time maps, all of them by default, and ``smoothing`` how
    these are normalised; the maps go into the file while they are made.  ``maps`` is one of
    :data:`~napari_xpcs.correlate.multitau_twotime_run.MAPS`.  ``frame_time_s`` wins over what the
    file says.  With ``skip_corrupt`` frames that cannot be read are left out.
    The options from ``skipped`` to ``engine`` are those of
    :func:`~napari_xpcs.correlate.multitau_run.correlate_multitau`.  Every ``checkpoint_s`` seconds
    the state of g2, or of ages, is saved beside ``output`` (:func:`checkpoint_paths`), and the same
    call goes on from there if the last one was killed; maps, and on a ``cluster`` all parts, are
    made again.  Returns the engine, what is
    wrong with the file of frames, and what was left out or looks wrong, in words.

    Raises
    ------
    SameResultError
        Without ``force``: ``output`` was made by the same call.
    XpcsError
        A file is not what it should be, exists already, or cannot be correlated as asked.
    """
    refuse_input_as_output(output, frames, qmap)
    if not output.is_file():
        refuse_to_overwrite(output, force)
    opened = open_path(frames, dataset)
    if not isinstance(opened, FramesFile):
        msg = f"{frames} holds no frames to correlate; `napari-xpcs info` tells what it holds."
        raise FileFormatError(msg)
    partition = read_bins(qmap)
    known = (
        opened.known
        if frame_time_s is None
        else override(opened.known, {"frame_time_s": frame_time_s}, OPTION)
    )
    sourced = known.get("frame_time_s")
    if sourced is None or sourced.value is None:
        msg = f"{frames} does not tell the time between frames; give it with --frame-time, in s."
        raise FileFormatError(msg)
    common: dict[str, Any] = {"frame_time_s": sourced.value, "xp": xp, "selection": selection}
    options: dict[str, Any] = {
        "normalize_frame": normalize_frame,
        "skipped": tuple(skipped),
        "skip_corrupt": skip_corrupt,
        "delays_per_level": delays_per_level,
        "errors": errors,
        "partials": partials,
        "engine": engine,
    }
    # A file of links does not change when what it links to gets longer.
    used = {"dataset": dataset, "selection": selection.within(len(opened.frames))}
    of_g2, of_ages = checkpoint_paths(output)
    checkpoint = Checkpoint(
        path=of_g2,
        key=_run_key(frames, partition, {**options, **used}),
        every_s=checkpoint_s,
        at_end=twotime,
    )
    in_time: dict[str, Any] = {
        "bins": bins,
        "smoothing": smoothing,
        "skipped": options["skipped"],
        "skip_corrupt": skip_corrupt,
    }
    of_backend = {"delays_per_level": delays_per_level, "backend": xp.name}
    ages_checkpoint = Checkpoint(
        path=of_ages,
        key=_run_key(frames, partition, {**in_time, **used, **of_backend}),
        every_s=checkpoint_s,
    )
    made_from = _result_key(
        frames,
        opened,
        partition,
        {
            **{name: value for name, value in options.items() if name != "engine"},
            "frame_time_s": sourced.value,
            **used,
            "multitau": (normalization, pixel_averages) if multitau else None,
            "twotime": (bins, smoothing, maps) if twotime else None,
        },
    )
    if output.is_file() and not force and _stored_key(output) == made_from:
        msg = (
            f"{output} exists already, made from the same files with the same options; allow "
            "overwriting (force) to make it again."
        )
        raise SameResultError(msg)
    refuse_to_overwrite(output, force)
    results: dict[str, Any] = {}
    with unfinished_result(output, force) as result_file:
        if multitau and cluster is not None:
            results["multitau"] = yield from correlate_multitau_on(
                cluster,
                frames,
                opened.frames,
                partition,
                dataset=dataset,
                frame_time_s=sourced.value,
                selection=selection,
                normalization=normalization,
                pixel_averages=pixel_averages,
                **options,
            )
        elif multitau:
            results["multitau"] = yield from correlate_multitau(
                opened.frames,
                partition,
                normalization=normalization,
                pixel_averages=pixel_averages,
                checkpoint=checkpoint,
                **options,
                **common,
            )
        if twotime:
            results |= yield from _correlate_in_time(
                frames,
                opened,
                partition,
                result_file.maps,
                dataset=dataset,
                maps=maps,
                delays_per_level=delays_per_level,
                engine=engine,
                cluster=cluster,
                checkpoint=ages_checkpoint,
                options={**in_time, **common},
            )
        result_file.write(
            source=str(frames),
            partition=partition,
            known=known,
            metadata_path=opened.metadata_path,
            config={
                "qmap": str(qmap),
                "output": str(output),
                RUN_KEY: made_from,
                **_as_written(options),
                **({"dq_selection": bins, "maps": maps} if twotime else {}),
                "dataset": dataset,
                **_provenance(partition, xp),
            },
            **results,
        )
    checkpoint.remove()
    ages_checkpoint.remove()
    # What was left out of g2 and of maps is the same.
    said = (remark for result in results.values() for remark in result.remarks())
    unsaved = (each.fault for each in (checkpoint, ages_checkpoint) if each.fault)
    remarks = dict.fromkeys((*opened.problems, *said, *unsaved))
    if multitau:
        made_by = "Engine {engine} on {device}: {engine_reason}."
        return (made_by.format_map(results["multitau"].engine), *remarks)
    return tuple(remarks)


def checkpoint_paths(output: Path) -> tuple[Path, Path]:
    """Return where g2, and ages, of an unfinished run are saved."""
    return output.with_name(f"{output.name}.part"), output.with_name(f"{output.name}.ages.part")


def _correlate_in_time(
    path: Path,
    opened: FramesFile,
    partition: Partition,
    sink: MapSink,
    *,
    dataset: str | None,
    maps: str,
    delays_per_level: int,
    engine: str,
    cluster: Cluster | None,
    checkpoint: Checkpoint,
    options: Mapping[str, Any],
) -> Steps[dict[str, Any]]:
    """Return two-time maps, or ages of a long run, by their name in the result file."""
    run = opened.frames
    # Workers choose their own backend.
    on_workers = {name: value for name, value in options.items() if name != "xp"}
    if ages_instead_of_maps(maps, options["selection"].within(len(run)).count()):
        of_ages: dict[str, Any] = {"delays_per_level": delays_per_level}
        if cluster is None:
            ages = yield from correlate_multitau_twotime(
                run, partition, checkpoint=checkpoint, **of_ages, **options
            )
        else:
            ages = yield from correlate_ages_on(
                cluster, path, run, partition, dataset=dataset, **of_ages, **on_workers
            )
        return {"ages": ages}
    if cluster is None:
        twotime = yield from correlate_twotime(run, partition, sink=sink, engine=engine, **options)
    else:
        twotime = yield from correlate_twotime_on(
            cluster, path, run, partition, sink=sink, dataset=dataset, engine=engine, **on_workers
        )
    return {"twotime": twotime}


def _run_key(frames: Path, partition: Partition, options: Mapping[str, Any]) -> str:
    """Return a hash of a run: the file, the bins, and how it is correlated."""
    stat = frames.stat()
    of_file = {"path": str(frames.resolve()), "bytes": stat.st_size, "time": stat.st_mtime_ns}
    return run_key(bin_arrays(partition), {**options, **of_file, "version": __version__})


def _result_key(
    frames: Path, opened: FramesFile, partition: Partition, options: Mapping[str, Any]
) -> str:
    """Return a hash of all that the numbers of a result depend on."""
    known = {name: sourced.value for name, sourced in opened.known.items()}
    centers = [np.asarray(axis).tolist() for axis in partition.dynamic.centers]
    return _run_key(frames, partition, {**options, "known": known, "centers": centers})


def _stored_key(result: Path) -> str | None:
    """Return the hash in a result file; ``None`` where there is none."""
    try:
        opened = open_path(result)
    except XpcsError:
        return None
    return opened.config.get(RUN_KEY) if isinstance(opened, ResultFile) else None


def _as_written(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that no result tells of itself, for the result file."""
    return {
        "delays_per_level": options["delays_per_level"],
        "partials": options["partials"],
        "engine_asked": options["engine"],
        "skip_frames": options["skipped"] or None,
        "skip_corrupt": options["skip_corrupt"],
    }


def _provenance(partition: Partition, xp: BackendProtocol) -> dict[str, str]:
    """Return what a result depends on beside its options, for the result file."""
    mask, dynamic, static = (array_hash(array) for array in bin_arrays(partition))
    used = ("numpy", "numba", "h5py", *(("jax",) if xp.name == "jax" else ()))
    packages = {f"{name}_version": version(name) for name in used}
    return {
        "mask_sha256": mask,
        "dynamic_roi_map_sha256": dynamic,
        "static_roi_map_sha256": static,
        "python_version": platform.python_version(),
        "host": platform.platform(),
        **packages,
    }
