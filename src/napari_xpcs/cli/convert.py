"""``napari-xpcs convert``: between file formats."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_xpcs.cli._console import out, print_json, with_progress
from napari_xpcs.cli._options import Force, Json


class Target(StrEnum):
    """What a file can be converted to."""

    # In capitals, because "partition" is a method of strings.
    FRAMES = "frames"
    EVENTS = "events"
    RESULTS = "results"
    PARTITION = "partition"
    MASK = "mask"


def convert(
    source: Annotated[Path, typer.Argument(help="Frames, events, results, bins or mask.")],
    target: Annotated[
        Path,
        typer.Argument(help="File to write: *.hdf or *.h5, *.cmp (events), *.tif *.npy *.edf."),
    ],
    to: Annotated[
        Target | None,
        typer.Option(help="What to write; default: by the ending, HDF5 as what the source is."),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Counts above it become events.", min=0.0)] = 0.0,
    dataset: Annotated[
        str | None, typer.Option(help="HDF5 path of the frames where it is unusual.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a file in another format: frames, events, results, bins, masks."""
    from napari_xpcs.io.convert import convert as convert_file

    with_progress(
        convert_file(
            source,
            target,
            to=None if to is None else to.value,
            dataset=dataset,
            threshold=threshold,
            force=force,
        )
    )
    if as_json:
        print_json({"file": str(target)})
    else:
        out.print(f"wrote {target}", highlight=False, soft_wrap=True)
