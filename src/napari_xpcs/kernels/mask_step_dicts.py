"""Steps of a mask as dicts of numbers and words, for recipes and Q-map files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from napari_xpcs.errors import MaskError
from napari_xpcs.kernels.mask_parameters import YES_NO
from napari_xpcs.kernels.mask_steps import STEP_KINDS, MaskStep


def read_steps(entries: Any) -> tuple[MaskStep, ...]:
    """Return the steps that a list of dicts describes, as :func:`steps_to_dicts` writes it.

    A parameter that is left out has its default.

    Raises
    ------
    MaskError
        An entry is no step; the message names its place and the key.
    """
    if isinstance(entries, str | bytes) or not isinstance(entries, Sequence):
        msg = f"Expected a list of mask steps, got {type(entries).__name__}."
        raise MaskError(msg)
    return tuple(_read_step(position, entry) for position, entry in enumerate(entries))


def _read_step(position: int, entry: Any) -> MaskStep:
    place = f"steps[{position}]"
    if not isinstance(entry, Mapping):
        msg = f"{place}: expected keys and values, got {entry!r}."
        raise MaskError(msg)
    kind = STEP_KINDS.get(str(entry.get("kind")))
    if kind is None:
        msg = f"{place}.kind: expected one of {', '.join(STEP_KINDS)}, got {entry.get('kind')!r}."
        raise MaskError(msg)
    known = {"enabled": YES_NO, **kind.parameters()}
    values = {}
    for name, value in entry.items():
        if name == "kind":
            continue
        if name not in known:
            msg = f"{place}.{name}: a {kind.kind} step has {', '.join(known)}."
            raise MaskError(msg)
        try:
            values[name] = known[name].checked(value)
        except ValueError as fault:
            msg = f"{place}.{name}: {fault}"
            raise MaskError(msg) from None
    try:
        return kind(**values)
    except MaskError as fault:
        msg = f"{place}: {fault}"
        raise MaskError(msg) from None


def steps_to_dicts(steps: Sequence[MaskStep]) -> list[dict[str, Any]]:
    """Return ``steps`` as dicts of numbers, words and lists, for JSON or YAML."""
    return [{"kind": step.kind, **_plain(asdict(step))} for step in steps]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value
