"""Bin edges, typed or in JSON: ``{"q": [0.001, 0.002], "phi": [[-20, 20], [160, 200]]}``."""

import json
from pathlib import Path
from typing import Any, TypeAlias

from napari_xpcs.errors import FileFormatError

Edges: TypeAlias = tuple[float, ...] | tuple[tuple[float, float], ...]


def read_edges(path: Path) -> dict[str, Edges]:
    """Return the edges along "q" (1/angstrom) and "phi" (degrees) that a file gives.

    Each is a list of increasing edges, or of [low, high] pairs where there are gaps.

    Raises
    ------
    FileFormatError
        No JSON, another axis than q and phi, or something else than numbers.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        msg = f"{path} cannot be read as JSON with bin edges: {fault}."
        raise FileFormatError(msg) from fault
    if not isinstance(content, dict) or not content or not set(content) <= {"q", "phi"}:
        msg = f'{path} must hold edges as {{"q": [...], "phi": [...]}}, either of them.'
        raise FileFormatError(msg)
    return {axis: _edges(path, axis, edges) for axis, edges in content.items()}


def read_edges_text(text: str, where: str) -> Edges:
    """Return edges from a list such as ``0.001,0.002`` or, with gaps, ``-20:20,160:200``.

    Parameters
    ----------
    where
        What to call the text in a message.

    Raises
    ------
    FileFormatError
        Something else than numbers, or edges and pairs mixed.
    """
    parts = [part.split(":") for part in text.split(",")]
    try:
        numbers = [[float(number) for number in part] for part in parts]
    except ValueError:
        numbers = []
    if numbers and all(len(part) == 1 for part in numbers):
        return tuple(edge for (edge,) in numbers)
    if numbers and all(len(part) == 2 for part in numbers):
        return tuple((low, high) for low, high in numbers)
    msg = f"{where} wants EDGE,EDGE,... or LOW:HIGH,LOW:HIGH,... in numbers, got {text!r}."
    raise FileFormatError(msg)


def _edges(path: Path, axis: str, edges: Any) -> Edges:
    if isinstance(edges, list) and edges and all(_is_number(edge) for edge in edges):
        return tuple(float(edge) for edge in edges)
    if isinstance(edges, list) and edges and all(_is_pair(edge) for edge in edges):
        return tuple((float(low), float(high)) for low, high in edges)
    msg = f"The edges along {axis} in {path} must be numbers, or [low, high] pairs."
    raise FileFormatError(msg)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(one) for one in value)
