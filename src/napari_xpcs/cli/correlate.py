"""``napari-xpcs correlate``: frames to g2 and two-time maps."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_xpcs.cli._console import out, print_json, with_progress
from napari_xpcs.cli._options import Force, Json, read_frame_numbers, read_labels


class Correlation(StrEnum):
    """What is computed from the frames."""

    multitau = "multitau"
    twotime = "twotime"
    both = "both"


def correlate(
    frames: Annotated[Path, typer.Argument(help="Frames file.")],
    qmap: Annotated[Path, typer.Option(help="Q-map file, or a result file with bins.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Result file to write, *.hdf.")],
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
        typer.Option(help="Raw frames to leave out of g2: 3,10-20, or a file that lists them."),
    ] = None,
    skip_corrupt: Annotated[
        bool,
        typer.Option("--skip-corrupt", help="Leave frames out of g2 whose data are damaged."),
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
            help="Seconds between two saves of the state of g2 to OUTPUT.part; the same command "
            "goes on from there after it was killed.",
            min=0.0,
        ),
    ] = 60.0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Correlate frames in the bins of a Q-map: g2 with errors, I(q), I(t), two-time maps."""
    from napari_xpcs.backends import DeviceConfig, NumPyBackend, get_backend
    from napari_xpcs.kernels.selection import FrameSelection
    from napari_xpcs.pipeline import correlate_file

    if bins is not None and kind is Correlation.multitau:
        raise typer.BadParameter("--bins chooses two-time maps; add --type twotime or both.")
    if skip_corrupt and kind is not Correlation.multitau:
        raise typer.BadParameter("two-time maps need every frame: --skip-corrupt is for g2 alone.")
    if skip_frames is not None and kind is not Correlation.multitau:
        raise typer.BadParameter("two-time maps need every frame: --skip-frames is for g2 alone.")
    # Starting JAX takes seconds and memory that g2 on a CPU does not need.
    on_backend = kind is not Correlation.multitau or engine == "array"
    needed = on_backend or DeviceConfig.from_environment().use_gpu
    remarks = with_progress(
        correlate_file(
            frames,
            qmap,
            output,
            multitau=kind is not Correlation.twotime,
            twotime=kind is not Correlation.multitau,
            bins=read_labels(bins),
            selection=FrameSelection(begin=begin, end=end, stride=stride, average=avg),
            normalization=normalization,
            normalize_frame=normalize_frame,
            skipped=read_frame_numbers(skip_frames),
            skip_corrupt=skip_corrupt,
            delays_per_level=delays_per_level,
            errors=errors,
            partials=partials,
            pixel_averages=save_g2_pixels,
            engine=engine,
            checkpoint_s=checkpoint_s,
            smoothing=smoothing,
            maps=maps,
            frame_time_s=frame_time,
            dataset=dataset,
            xp=get_backend() if needed else NumPyBackend(),
            force=force,
        )
    )
    if as_json:
        print_json({"file": str(output), "notes": list(remarks)})
    else:
        out.print(f"wrote {output}", highlight=False, soft_wrap=True)
        for remark in remarks:
            out.print(f"note: {remark}", highlight=False, soft_wrap=True)
