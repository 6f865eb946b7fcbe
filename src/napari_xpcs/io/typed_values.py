"""Dataclasses from the plain values of JSON and YAML, every key and every type looked at."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from napari_xpcs.errors import FileFormatError
from napari_xpcs.units import LARGEST

Made = TypeVar("Made")


def typed(kind: type[Made], values: Any, where: str) -> Made:
    """Return the dataclass ``kind`` with ``values`` as its fields.

    Whole numbers stand for real ones, lists for tuples; nothing else is converted.

    Parameters
    ----------
    where
        What to call the values in a message, such as "bins in R.yaml".

    Raises
    ------
    FileFormatError
        An unknown key, one that is missing, or a value of another type; the message names it.
    """
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    check_keys(values, known, where)
    missing = [
        name
        for name, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING and name not in values
    ]
    if missing:
        msg = f"{where}: {missing[0]!r} is missing."
        raise FileFormatError(msg)
    made = {
        name: converted(value, hints[name], f"{where}: {name!r}") for name, value in values.items()
    }
    return kind(**made)


def check_keys(values: Any, known: Mapping[str, Any], where: str) -> None:
    """Raise :class:`FileFormatError` unless ``values`` are keys and values, all keys ``known``."""
    if not isinstance(values, Mapping):
        msg = f"{where}: keys and values are expected, got {values!r}."
        raise FileFormatError(msg)
    for name in values:
        if name in known:
            continue
        near = get_close_matches(str(name), known, n=1)
        if near:
            msg = f"{where}: unknown key {name!r}, did you mean {near[0]!r}?"
        else:
            msg = f"{where}: unknown key {name!r}; known are {', '.join(known)}."
        raise FileFormatError(msg)


def converted(value: Any, hint: Any, where: str) -> Any:
    """Return ``value`` as the type ``hint``; ``where`` names it in the message if it is none."""
    made = _convert(value, hint)
    if made is _NONE_OF_THESE:
        msg = f"{where} must be {_in_words(hint)}, got {value!r}."
        raise FileFormatError(msg)
    return made


_NONE_OF_THESE = object()


def _convert(value: Any, hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in {Union, UnionType}:
        made = (_convert(value, argument) for argument in arguments)
        return next((one for one in made if one is not _NONE_OF_THESE), _NONE_OF_THESE)
    if origin is Literal:
        same = (type(value) is type(each) and value == each for each in arguments)
        return value if any(same) else _NONE_OF_THESE
    if origin is tuple:
        return _convert_items(value, arguments)
    if hint is NoneType:
        return None if value is None else _NONE_OF_THESE
    if hint in {int, float} and isinstance(value, bool):
        return _NONE_OF_THESE
    if hint is float and isinstance(value, int):
        return float(value) if abs(value) < LARGEST else _NONE_OF_THESE
    return value if isinstance(value, hint) else _NONE_OF_THESE


def _convert_items(value: Any, hints: tuple[Any, ...]) -> Any:
    if not isinstance(value, list | tuple):
        return _NONE_OF_THESE
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        return _NONE_OF_THESE
    items = tuple(_convert(item, hint) for item, hint in zip(value, hints, strict=True))
    return _NONE_OF_THESE if _NONE_OF_THESE in items else items


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    NoneType: "null",
}


def _in_words(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return " or ".join(_in_words(argument) for argument in arguments)
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if origin is tuple:
        items = [argument for argument in arguments if argument is not Ellipsis]
        length = "" if Ellipsis in arguments else f"{len(items)} "
        return f"a list of {length}({_in_words(items[0])})"
    return _WORDS.get(hint, str(hint))


def plain(value: Any) -> dict[str, Any]:
    """Return the fields of the dataclass ``value`` that say something, lists for tuples."""
    return {
        name: _lists(entry) for name, entry in asdict(value).items() if entry not in (None, (), "")
    }


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value
