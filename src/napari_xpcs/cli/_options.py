"""Options that several commands have, and how their values are read."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


def read_labels(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(label) for label in text.split(",")]
    except ValueError:
        msg = f"--bins wants whole numbers as 1,4,9, got {text!r}."
        raise typer.BadParameter(msg) from None


def read_frame_numbers(text: str | None) -> list[int]:
    """Return the numbers of a list as 3,10-20, or of the file that it names."""
    if text is None:
        return []
    path = Path(text)
    listed = path.read_text(encoding="utf-8") if path.is_file() else text
    numbers: list[int] = []
    for part in listed.replace(",", " ").split():
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            msg = f"--skip-frames wants frame numbers as 3,10-20 or a file of them, got {part!r}."
            raise typer.BadParameter(msg) from None
        if high < low:
            msg = f"--skip-frames wants a range from low to high, got {part!r}."
            raise typer.BadParameter(msg)
        numbers += range(low, high + 1)
    return numbers


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
