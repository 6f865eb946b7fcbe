"""``napari-xpcs info``: what a file or this system is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from napari_xpcs.cli._console import out, print_json
from napari_xpcs.cli._options import Json


def info(
    file: Annotated[
        Path | None, typer.Argument(help="Any file of frames, results, bins or masks.")
    ] = None,
    system: Annotated[
        bool, typer.Option("--system", help="Tell backend, device and versions instead.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="HDF5 path of the frames, PATH[CHANNEL] for one of several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what a file holds: shape, geometry with the origin of each value, what is missing."""
    if system:
        from napari_xpcs.backends import system_report

        facts = system_report()
    elif file is None:
        msg = "Name a FILE, or ask for --system."
        raise typer.BadParameter(msg)
    else:
        from napari_xpcs.io.describe import describe

        facts = describe(file, dataset)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if name == "geometry":
            _print_geometry(value)
        elif isinstance(value, list) and name in {"missing", "problems"}:
            for line in value:
                out.print(f"{name}: {line}", highlight=False, soft_wrap=True, markup=False)
        else:
            out.print(f"{name}: {value}", highlight=False, soft_wrap=True, markup=False)


def _print_geometry(geometry: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table("geometry", "value", "unit", "from")
    for name, entry in geometry.items():
        value = "unknown" if entry["value"] is None else f"{entry['value']}"
        table.add_row(name, value, f"{entry['unit']}", f"{entry['origin']}")
    out.print(table)
