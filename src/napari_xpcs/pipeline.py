"""The main job, one function a step, from file to file and without a screen.

The commands of the command line and the demonstration are these functions; the docks do
the same steps on layers.  Long ones are generators of :class:`~napari_xpcs.progress.Progress`.
"""

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

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
from napari_xpcs.distributed.cluster import Cluster
from napari_xpcs.distributed.multitau import correlate_multitau_on
from napari_xpcs.distributed.twotime import correlate_twotime_on
from napari_xpcs.errors import FileFormatError, FitError, PartitionError, XpcsError
from napari_xpcs.fitting.dispersion import Dispersion, fit_dispersion
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.io.atomic import refuse_input_as_output, refuse_to_overwrite
from napari_xpcs.io.curves_csv import is_curves_csv, read_curves_csv
from napari_xpcs.io.files import (
    FramesFile,
    GeometryFile,
    MaskFile,
    PartitionFile,
    ResultFile,
    XpcsFile,
)
from napari_xpcs.io.masks import read_mask, read_mask_step
from napari_xpcs.io.open import open_path
from napari_xpcs.io.partition_file import write_partition
from napari_xpcs.io.raw_file import write_raw, write_simulated_events
from napari_xpcs.io.result_file import unfinished_result
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.geometry import (
    KnownGeometry,
    beam_on_detector,
    complete_geometry,
    override,
)
from napari_xpcs.kernels.label_bins import regions_partition
from napari_xpcs.kernels.mask import marked_pixels
from napari_xpcs.kernels.mask_of_steps import MaskInputs, mask_of_steps
from napari_xpcs.kernels.mask_steps import MaskStep, painted_difference
from napari_xpcs.kernels.partition import Partition, PartitionSpec, make_partition
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.kernels.regions import Region, RegionBins
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulate import Simulation, simulate_frames
from napari_xpcs.progress import Steps

RUN_KEY = "run_sha256"
"""In a result file: the hash of all that the numbers in it depend on."""

OPTION = "option"
"""Origin of a value that was given as an option."""


def simulate_file(
    path: Path,
    simulation: Simulation,
    *,
    xp: BackendProtocol,
    events: bool = False,
    force: bool = False,
) -> Steps[Path]:
    """Write a simulated run to ``path``, block by block: memory does not grow with the frames.

    Frames are written in the raw layout of the APS; ``events`` as the ``.cmp`` of NSLS-II CHX,
    which lists what was counted.  What it was made from stands in ``/simulation`` of the
    frames, or of the ``*_metadata.hdf`` beside the events.
    """
    blocks = simulate_frames(simulation, xp=xp)
    write = write_simulated_events if events else write_raw
    with closing(blocks):
        return (
            yield from write(
                path,
                blocks,
                frames=simulation.frames,
                geometry=simulation.geometry,
                frame_time_s=simulation.frame_time_s,
                truth=simulation.truth(),
                force=force,
            )
        )


def partition_file(
    output: Path,
    *,
    frames: Path | None = None,
    dataset: str | None = None,
    shape: tuple[int, int] | None = None,
    values: Mapping[str, float | None],
    mask: Path | None = None,
    mask_ones: Literal["good", "bad"] | None = None,
    mask_steps: Sequence[MaskStep] = (),
    spec: PartitionSpec,
    regions: Sequence[Region] = (),
    region_bins: RegionBins = "each",
    xp: BackendProtocol,
    force: bool = False,
) -> Partition:
    """Make bins and write them to ``output``.

    Parameters
    ----------
    frames
        File to take shape and geometry from.
    dataset
        HDF5 path of its frames where that is unusual.
    shape
        Detector shape where there is no file.
    values
        Geometry by the names of :data:`~napari_xpcs.kernels.geometry.FIELD_UNITS`; these
        win over the file.
    mask
        Mask file; without one the pixels are left out that the frames file marks as bad or,
        where it marks none, those that hold no value in one of some frames.
    mask_ones
        What pixels that are not 0 mean in it; by default what its format says, or a guess.
    mask_steps
        What is masked on top of that; saved with the bins.
    regions, region_bins
        Shapes that make the bins, with ``spec`` to cut them, as in
        :func:`~napari_xpcs.kernels.label_bins.regions_partition`; without shapes the bins
        are those of ``spec``.
    """
    refuse_input_as_output(output, *(path for path in (frames, mask) if path is not None))
    run_frames = None
    known: KnownGeometry = {}
    used = None
    said: tuple[str, ...] = ()
    if frames is not None:
        opened = open_path(frames, dataset)
        known = opened.known
        run_frames = opened.frames if isinstance(opened, FramesFile) else None
        found = _detector(opened)
        if shape is not None and found is not None and shape != found:
            msg = (
                f"The shape {shape[0]} x {shape[1]} was asked for, but {frames} has "
                f"{found[0]} x {found[1]} pixels."
            )
            raise PartitionError(msg)
        shape = shape or found
        used = opened.mask if isinstance(opened, FramesFile) else None
    if shape is None:
        msg = "The shape of the detector is unknown: name a frames file, or give --shape ROWS COLS."
        raise PartitionError(msg)
    geometry = complete_geometry(override(known, values, OPTION), shape)
    if mask is not None:
        mask_file = read_mask(mask, shape, ones=mask_ones)
        used, said = mask_file.mask, (f"{mask.name}: {mask_file}",)
    elif used is None:
        marked = np.zeros(shape, dtype=bool) if run_frames is None else marked_pixels(run_frames)
        used = ~marked
        if marked.any():
            said = (
                "Pixels marked as dead or saturated in the frames looked at, left out: "
                f"{int(marked.sum())}.",
            )
    if mask_steps:
        # What the files mask comes first, so that growing and copying take it along.
        found_bad = painted_difference(np.ones(shape, dtype=bool), used, source="in the file")
        mask_steps = mask_steps if used.all() else (found_bad, *mask_steps)
        inputs = MaskInputs(
            shape=shape,
            frames=run_frames,
            maps=q_maps(geometry, xp=xp, convention=spec.q_convention),
            center_px=beam_on_detector(geometry),
            read_file=partial(read_mask_step, shape=shape),
        )
        result = mask_of_steps(mask_steps, inputs, xp=xp)
        used = result.mask
        said += tuple(outcome.note for outcome in result.outcomes if outcome.note)
    partition = (
        regions_partition(regions, geometry, used, spec, bins=region_bins, xp=xp)
        if regions
        else make_partition(geometry, used, spec, xp=xp)
    )
    partition = replace(partition, notes=(*partition.notes, *said), mask_steps=tuple(mask_steps))
    write_partition(output, partition, source="" if frames is None else str(frames), force=force)
    return partition


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
    file says.  With ``skip_corrupt`` frames that cannot be read are left out of g2.
    The options from ``skipped`` to ``engine`` are those of
    :func:`~napari_xpcs.correlate.multitau_run.correlate_multitau`.  Every ``checkpoint_s`` seconds
    the state of g2 is saved beside ``output``, and the same call goes on from there if the last
    one was killed; on a ``cluster`` its parts are done again instead.  Returns the engine, and what
    was left out or looks wrong, in words.

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
    checkpoint = Checkpoint(
        path=output.with_name(f"{output.name}.part"),
        key=_run_key(frames, partition, {**options, "dataset": dataset, "selection": selection}),
        every_s=checkpoint_s,
    )
    made_from = _result_key(
        frames,
        opened,
        partition,
        {
            **{name: value for name, value in options.items() if name != "engine"},
            "frame_time_s": sourced.value,
            "selection": selection.within(len(opened.frames)),
            "dataset": dataset,
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
                cluster=cluster,
                options={"bins": bins, "smoothing": smoothing, **common},
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
                **_provenance(partition),
            },
            **results,
        )
    checkpoint.remove()
    here = ("g2 of every age was made on this computer.",) if "ages" in results and cluster else ()
    if not multitau:
        return here
    made_by = "Engine {engine} on {device}: {engine_reason}.".format_map(results["multitau"].engine)
    return (made_by, *results["multitau"].remarks(), *here)


def _correlate_in_time(
    path: Path,
    opened: FramesFile,
    partition: Partition,
    sink: MapSink,
    *,
    dataset: str | None,
    maps: str,
    delays_per_level: int,
    cluster: Cluster | None,
    options: Mapping[str, Any],
) -> Steps[dict[str, Any]]:
    """Return two-time maps, or ages of a long run, by their name in the result file."""
    run = opened.frames
    if ages_instead_of_maps(maps, options["selection"].within(len(run)).count()):
        ages = yield from correlate_multitau_twotime(
            run, partition, delays_per_level=delays_per_level, **options
        )
        return {"ages": ages}
    if cluster is None:
        twotime = yield from correlate_twotime(run, partition, sink=sink, **options)
    else:
        # Workers choose their own backend.
        options = {name: value for name, value in options.items() if name != "xp"}
        twotime = yield from correlate_twotime_on(
            cluster, path, run, partition, sink=sink, dataset=dataset, **options
        )
    return {"twotime": twotime}


def read_bins(qmap: Path) -> Partition:
    """Return the bins in a Q-map or result file.

    Raises
    ------
    FileFormatError
        There are none.
    """
    opened = open_path(qmap)
    partition = opened.partition if isinstance(opened, PartitionFile | ResultFile) else None
    if partition is None:
        msg = (
            f"{qmap} holds no bins: expected the group /qmap or /xpcs/qmap. "
            "Make them with `napari-xpcs qmap`."
        )
        raise FileFormatError(msg)
    return partition


def _run_key(frames: Path, partition: Partition, options: Mapping[str, Any]) -> str:
    """Return a hash of a run: the file, the bins, and how it is correlated."""
    stat = frames.stat()
    of_file = {"path": str(frames.resolve()), "bytes": stat.st_size, "time": stat.st_mtime_ns}
    return run_key(_bin_arrays(partition), {**options, **of_file, "version": __version__})


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


def same_bins(one: Partition, other: Partition) -> bool:
    """Return whether two partitions have the same mask and labels at the same centres."""
    return all(
        np.array_equal(*arrays, equal_nan=True)
        for arrays in zip(
            (*_bin_arrays(one), *one.dynamic.centers),
            (*_bin_arrays(other), *other.dynamic.centers),
            strict=True,
        )
    )


def _bin_arrays(partition: Partition) -> tuple[np.ndarray, ...]:
    return partition.mask, partition.dynamic.labels, partition.static.labels


def _provenance(partition: Partition) -> dict[str, str]:
    """Return what a result depends on beside its options, for the result file."""
    mask, dynamic, static = (array_hash(array) for array in _bin_arrays(partition))
    packages = {f"{name}_version": version(name) for name in ("numpy", "numba", "h5py")}
    return {
        "mask_sha256": mask,
        "dynamic_roi_map_sha256": dynamic,
        "static_roi_map_sha256": static,
        "python_version": platform.python_version(),
        "host": platform.platform(),
        **packages,
    }


def curves_of(path: Path) -> G2Curves:
    """Return the g2 curves of a result file or a CSV of curves."""
    if is_curves_csv(path):
        return read_curves_csv(path)
    opened = open_path(path)
    curves = opened.curves if isinstance(opened, ResultFile) else None
    if curves is None:
        msg = f"{path} holds no g2: expected /xpcs/multitau/normalized_g2, or a CSV of curves."
        raise FitError(msg)
    return curves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemoReport:
    """What the demonstration made and found."""

    frames: Path
    results: Path
    fit: G2Fit
    dispersion: Dispersion
    true_diffusion_m2_per_s: float
    seconds: Mapping[str, float] = field(default_factory=dict)

    def verdict(self) -> str:
        """Return how the fitted D compares with the true one, in a sentence."""
        law, truth = self.dispersion, self.true_diffusion_m2_per_s
        if law.status != "ok":
            return f"D could not be determined: {law.status}"
        off = law.D_m2_per_s / truth - 1.0
        sigmas = abs(law.D_m2_per_s - truth) / law.D_m2_per_s_err
        return (
            f"True D = {truth:.4g} m²/s: the fit is off by {off:+.2%}, "
            f"{sigmas:.1f} of its standard errors."
        )


def run_demo(folder: Path, *, xp: BackendProtocol) -> Steps[DemoReport]:
    """Simulate a run, lay bins, correlate and fit; the files are left in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    frames, qmap, results = (
        folder / "demo.h5",
        folder / "demo_qmap.hdf",
        folder / "demo_results.hdf",
    )
    simulation = Simulation()
    seconds: dict[str, float] = {}
    start = time.perf_counter()

    def lap(step: str) -> None:
        nonlocal start
        seconds[step], start = time.perf_counter() - start, time.perf_counter()

    yield from simulate_file(frames, simulation, xp=xp, force=True)
    lap("simulate")
    partition_file(qmap, frames=frames, values={}, spec=DEMO_BINS, xp=xp, force=True)
    lap("qmap")
    yield from correlate_file(
        frames,
        qmap,
        results,
        selection=FrameSelection(),
        normalization="symmetric",
        xp=xp,
        force=True,
    )
    lap("correlate")
    fit = yield from fit_g2(curves_of(results), "single", xp=xp)
    dispersion = fit_dispersion(fit)
    lap("fit")
    return DemoReport(
        frames=frames,
        results=results,
        fit=fit,
        dispersion=dispersion,
        true_diffusion_m2_per_s=simulation.diffusion_m2_per_s,
        seconds=seconds,
    )


DEMO_BINS = PartitionSpec(dq=18, sq=90, dp=1, sp=1)


def _detector(opened: XpcsFile) -> tuple[int, int] | None:
    if isinstance(opened, FramesFile):
        return opened.frames.shape[-2], opened.frames.shape[-1]
    if isinstance(opened, MaskFile):
        return opened.mask.shape
    if isinstance(opened, GeometryFile):
        return opened.shape
    return None if opened.partition is None else opened.partition.shape
