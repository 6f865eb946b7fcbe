"""``napari-xpcs correlate``: frames to g2 and two-time maps."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_xpcs.cli._console import out, print_json, with_progress
from napari_xpcs.cli._options import Force, Json, read_labels


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
    normalization: Annotated[
        str, typer.Option(help="symmetric, pixel-weighted or no-static; written to the file.")
    ] = "symmetric",
    normalize_frame: Annotated[
        bool, typer.Option("--normalize-frame", help="Divide each frame by its mean first.")
    ] = False,
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
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Correlate frames in the bins of a Q-map: g2 with errors, I(q), I(t), two-time maps."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.selection import FrameSelection
    from napari_xpcs.pipeline import correlate_file

    if bins is not None and kind is Correlation.multitau:
        raise typer.BadParameter("--bins chooses two-time maps; add --type twotime or both.")
    if skip_corrupt and kind is not Correlation.multitau:
        raise typer.BadParameter("two-time maps need every frame: --skip-corrupt is for g2 alone.")
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
            skip_corrupt=skip_corrupt,
            smoothing=smoothing,
            frame_time_s=frame_time,
            dataset=dataset,
            xp=get_backend(),
            force=force,
        )
    )
    if as_json:
        print_json({"file": str(output), "notes": list(remarks)})
    else:
        out.print(f"wrote {output}", highlight=False, soft_wrap=True)
        for remark in remarks:
            out.print(f"note: {remark}", highlight=False, soft_wrap=True)
