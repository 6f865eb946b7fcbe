"""Options that several commands have, and how their values are read."""

from typing import TYPE_CHECKING, Annotated

import typer

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.number_lists import frame_numbers

if TYPE_CHECKING:
    from napari_xpcs.io.edges_file import Edges

Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


def read_labels(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(label) for label in text.split(","))
    except ValueError:
        msg = f"--bins wants whole numbers as 1,4,9, got {text!r}."
        raise typer.BadParameter(msg) from None


def read_frame_numbers(text: str | None) -> tuple[int, ...]:
    """Return the numbers of a list as 3,10-20, or of the file that it names."""
    if text is None:
        return ()
    try:
        return tuple(frame_numbers(text))
    except FileFormatError as fault:
        msg = f"--skip-frames: {fault}"
        raise typer.BadParameter(msg) from None


def read_typed_edges(text: str, option: str) -> "Edges":
    from napari_xpcs.io.edges_file import read_edges_text

    try:
        return read_edges_text(text, option)
    except FileFormatError as fault:
        raise typer.BadParameter(str(fault)) from None


def read_assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        msg = f"expected NAME=VALUE, got {text!r}."
        raise typer.BadParameter(msg)
    return name.strip(), value


def read_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"expected a number, got {text!r}."
        raise typer.BadParameter(msg) from None


def read_number_pair(text: str) -> tuple[float, float]:
    low, comma, high = text.partition(",")
    if not comma:
        msg = f"expected LOW,HIGH, got {text!r}."
        raise typer.BadParameter(msg)
    return read_number(low), read_number(high)
