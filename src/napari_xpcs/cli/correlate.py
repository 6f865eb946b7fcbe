"""``napari-xpcs correlate``: frames to g2 and two-time maps."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from napari_xpcs.cli._console import out, print_fault, print_json, with_progress
from napari_xpcs.cli._options import Force, Json, read_frame_numbers, read_labels

if TYPE_CHECKING:
    from napari_xpcs.backends import BackendProtocol
    from napari_xpcs.batch import Outcome
    from napari_xpcs.distributed.cluster import Cluster
    from napari_xpcs.io.correlate_choices import CorrelateChoices
    from napari_xpcs.progress import Steps


class Correlation(StrEnum):
    """What is computed from the frames."""

    multitau = "multitau"
    twotime = "twotime"
    both = "both"


def correlate(
    context: typer.Context,
    frames: Annotated[
        list[str], typer.Argument(help="Frames file; several, or a pattern 'run*.h5', for a batch.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Result file to write, *.hdf; for a batch the folder of NAME_results.hdf.",
        ),
    ],
    qmap: Annotated[
        Path | None, typer.Option(help="Q-map file, or a result file with bins.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="Recipe (YAML, JSON) with the choices below, which win over it; without --qmap "
            "its mask and bins are made for every file, as NAME_qmap.hdf beside the result."
        ),
    ] = None,
    save_recipe: Annotated[
        Path | None, typer.Option(help="Write what was chosen here as a recipe.")
    ] = None,
    kind: Annotated[
        Correlation, typer.Option("--type", help="What to compute.")
    ] = Correlation.multitau,
    begin: Annotated[int, typer.Option(help="First frame, counted from 0.", min=0)] = 0,
    end: Annotated[
        int | None, typer.Option(help="Frame behind the last one; default: all.")
    ] = None,
    stride: Annotated[int, typer.Option(help="Use every n-th frame.", min=1)] = 1,
    avg: Annotated[int, typer.Option(help="Average n frames before correlating.", min=1)] = 1,
    bins: Annotated[
        str | None, typer.Option(help="Labels for the two-time maps, as 1,4,9.")
    ] = None,
    smoothing: Annotated[
        str,
        typer.Option(
            help="Two-time: divide counts, frame by frame, by the mean of their static or dynamic "
            "bin, or not: static, dynamic, none."
        ),
    ] = "static",
    maps: Annotated[
        str,
        typer.Option(
            help="Two-time: full, maps of all pairs of frames; ages, g2 at every time on the "
            "delays of multi-tau; auto takes ages above 20 000 frames."
        ),
    ] = "auto",
    normalization: Annotated[
        str, typer.Option(help="symmetric, pixel-weighted or no-static; written to the file.")
    ] = "symmetric",
    normalize_frame: Annotated[
        bool, typer.Option("--normalize-frame", help="Divide each frame by its mean first.")
    ] = False,
    delays_per_level: Annotated[
        int, typer.Option(help="Delays per level of g2, 4 or 8.", metavar="4|8")
    ] = 4,
    errors: Annotated[
        str, typer.Option(help="Errors of g2 from the spread over: pixel, segments (of time).")
    ] = "pixel",
    partials: Annotated[
        int, typer.Option(help="Write g2 of the first part of the run, too, n times.", min=0)
    ] = 0,
    save_g2_pixels: Annotated[
        bool, typer.Option("--save-g2-pixels", help="Write G2, IP and IF of every pixel.")
    ] = False,
    skip_frames: Annotated[
        str | None,
        typer.Option(help="Raw frames to leave out: 3,10-20, or a file that lists them."),
    ] = None,
    skip_corrupt: Annotated[
        bool,
        typer.Option("--skip-corrupt", help="Leave frames out whose data are damaged."),
    ] = False,
    frame_time: Annotated[
        float | None, typer.Option(help="Time between raw frames, s, in place of the file's.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="HDF5 path of the frames where it is unusual.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(help="auto, dense, events, numba or array; what was chosen is told and why."),
    ] = "auto",
    checkpoint_s: Annotated[
        float,
        typer.Option(
            help="Seconds between two saves of the state of g2 to OUTPUT.part, of ages to "
            "OUTPUT.ages.part; the same command goes on from there after it was killed.",
            min=0.0,
        ),
    ] = 60.0,
    scheduler: Annotated[
        str,
        typer.Option(
            help="Correlate on workers of dask: address of the scheduler, as tcp://node01:8786; "
            "local, processes on this computer; none.",
        ),
    ] = "none",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Correlate frames in the bins of a Q-map: g2 with errors, I(q), I(t), two-time maps."""
    from napari_xpcs.batch import bins_of_recipe, correlate_files, expand
    from napari_xpcs.distributed.cluster import on_cluster
    from napari_xpcs.io.atomic import refuse_to_overwrite
    from napari_xpcs.io.correlate_choices import CorrelateChoices
    from napari_xpcs.io.recipe import Recipe, read_recipe, refuse_to_write_recipe, write_recipe
    from napari_xpcs.pipeline.correlate import correlate_file

    if qmap is None and recipe is None:
        raise typer.BadParameter("give the bins: --qmap FILE, or a --recipe that makes them.")
    many = _is_batch(frames, output)
    chosen = Recipe() if recipe is None else read_recipe(recipe)
    choices = _merged(
        context,
        chosen.correlate or CorrelateChoices(),
        {
            "type": kind.value,
            "begin": begin,
            "end": end,
            "stride": stride,
            "average": avg,
            "bins": read_labels(bins),
            "normalization": normalization,
            "normalize_frame": normalize_frame,
            "delays_per_level": delays_per_level,
            "errors": errors,
            "partials": partials,
            "save_g2_pixels": save_g2_pixels,
            "skip_frames": read_frame_numbers(skip_frames),
            "skip_corrupt": skip_corrupt,
            "smoothing": smoothing,
            "maps": maps,
            "frame_time_s": frame_time,
            "dataset": dataset,
            "engine": engine,
        },
    )
    if bins is not None and choices.type == "multitau":
        raise typer.BadParameter("--bins chooses two-time maps; add --type twotime or both.")
    if save_recipe is not None:
        refuse_to_write_recipe(save_recipe, force)
    options = _run_options(choices, chosen.geometry.get("frame_time_s"))
    options |= {"checkpoint_s": checkpoint_s, "force": force}
    source, result = Path(frames[0]), Path(output)
    if many:
        paths = expand(frames)

        def job(cluster: "Cluster | None") -> "Steps[Any]":
            common = {"cluster": cluster, "xp": _backend(choices), **options}
            return correlate_files(paths, result, qmap=qmap, recipe=chosen, **common)

    else:
        if qmap is None:
            refuse_to_overwrite(result, force)
            qmap = result.with_name(f"{result.stem}_qmap.hdf")
            bins_of_recipe(source, qmap, chosen, choices.dataset, force=force)
        bins_path = qmap

        def job(cluster: "Cluster | None") -> "Steps[Any]":
            common = {"cluster": cluster, "xp": _backend(choices), **options}
            return correlate_file(source, bins_path, result, **common)

    said = _done(on_cluster(scheduler, job), result, many)
    if save_recipe is not None:
        write_recipe(save_recipe, replace(chosen, correlate=choices), force=force)
    if many:
        _print_outcomes(said, as_json)
    else:
        _print_result(result, said, as_json)


def _done(steps: "Steps[Any]", result: Path, many: bool) -> Any:
    """Do all steps; Ctrl-C tells what it left behind and ends with status 130."""
    from napari_xpcs.pipeline.correlate import checkpoint_paths

    try:
        return with_progress(steps)
    except KeyboardInterrupt:
        saved = zip(checkpoint_paths(result), ("g2", "the ages"), strict=True)
        holds = [f"{path} holds {what} so far" for path, what in saved if path.exists()]
        if many:
            print_fault("Stopped. The same command again goes on: what is done is kept.")
        elif holds:
            print_fault(f"Stopped. {', '.join(holds)}: the same command again goes on there.")
        else:
            print_fault("Stopped; nothing was kept.")
        raise typer.Exit(130) from None


def _is_batch(frames: list[str], output: str) -> bool:
    """Return whether results go into a folder."""
    from napari_xpcs.batch import is_pattern

    folder = output.endswith("/") or Path(output).is_dir()
    many = len(frames) > 1 or is_pattern(frames[0])
    if many and Path(output).suffix and not folder:
        raise typer.BadParameter(f"several files need a folder for -o, {output} looks like a file.")
    return many or folder


def _run_options(choices: "CorrelateChoices", frame_time_of_recipe: float | None) -> dict[str, Any]:
    """Return the choices as :func:`~napari_xpcs.pipeline.correlate.correlate_file` calls them."""
    from napari_xpcs.kernels.selection import FrameSelection

    return {
        "multitau": choices.type != "twotime",
        "twotime": choices.type != "multitau",
        "bins": choices.bins,
        "selection": FrameSelection(
            begin=choices.begin, end=choices.end, stride=choices.stride, average=choices.average
        ),
        "normalization": choices.normalization,
        "normalize_frame": choices.normalize_frame,
        "skipped": choices.skip_frames,
        "skip_corrupt": choices.skip_corrupt,
        "delays_per_level": choices.delays_per_level,
        "errors": choices.errors,
        "partials": choices.partials,
        "pixel_averages": choices.save_g2_pixels,
        "engine": choices.engine,
        "smoothing": choices.smoothing,
        "maps": choices.maps,
        "frame_time_s": frame_time_of_recipe
        if choices.frame_time_s is None
        else choices.frame_time_s,
        "dataset": choices.dataset,
    }


def _backend(choices: "CorrelateChoices") -> "BackendProtocol":
    """Return the backend, within the job: a Ctrl-C that met JAX starting would get lost there."""
    from napari_xpcs.backends import DeviceConfig, NumPyBackend, get_backend

    # Starting JAX takes seconds and memory that g2 on a CPU does not need.
    needed = (
        choices.type != "multitau"
        or choices.engine == "array"
        or DeviceConfig.from_environment().use_gpu
    )
    return get_backend() if needed else NumPyBackend()


def _merged(
    context: typer.Context, of_recipe: "CorrelateChoices", typed: dict[str, Any]
) -> "CorrelateChoices":
    """Return the choices of the recipe; what was typed on the command line wins."""
    parameters = {"type": "kind", "average": "avg", "frame_time_s": "frame_time"}

    def was_typed(name: str) -> bool:
        source = context.get_parameter_source(parameters.get(name, name))
        return source is not None and source.name == "COMMANDLINE"

    return replace(of_recipe, **{name: value for name, value in typed.items() if was_typed(name)})


def _print_result(result: Path, remarks: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json({"file": str(result), "notes": list(remarks)})
        return
    out.print(f"wrote {result}", highlight=False, soft_wrap=True)
    for remark in remarks:
        out.print(f"note: {remark}", highlight=False, soft_wrap=True)


def _print_outcomes(outcomes: Sequence["Outcome"], as_json: bool) -> None:
    """Tell what happened to every file; status 1 if one of them failed."""
    if as_json:
        print_json(
            [
                {
                    "frames": outcome.frames,
                    "file": outcome.result,
                    "status": outcome.status,
                    "notes": list(outcome.said),
                }
                for outcome in outcomes
            ]
        )
    else:
        table = Table("frames", "result", "", "notes")
        for outcome in outcomes:
            table.add_row(
                outcome.frames.name,
                outcome.result.name if outcome.status != "failed" else "",
                outcome.status,
                "\n".join(outcome.said),
            )
        out.print(table)
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)
