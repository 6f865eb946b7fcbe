"""What a parameter of a step of a mask may be: how it is checked and shown to a person."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.regions import Region, RegionKind
from napari_xpcs.units import LARGEST

AXES = ("q", "phi", "x", "y", "qx", "qy", "tth")
"""What a constraint may be about; units: :data:`napari_xpcs.kernels.axis_request.AXIS_UNITS`."""

JOINS = ("and", "or")

ParameterType = Literal[
    "number", "whole", "flag", "choice", "text", "file", "conditions", "shapes", "pixels", "size"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a parameter of a step may be, and how it is shown to a person.

    With ``only_with`` it means something only where another parameter has a certain value.
    """

    type: ParameterType
    label: str
    help: str
    unit: str = ""
    low: float | None = None
    optional: bool = False
    choices: tuple[str, ...] = ()
    only_with: tuple[str, str] | None = None

    def checked(self, value: Any) -> Any:
        """Return ``value`` in the type of the parameter.

        Raises
        ------
        ValueError
            It is none; the message says what was expected.
        """
        if value is None and self.optional:
            return None
        return _CHECKS[self.type](self, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """``low <= axis <= high``, or with ``negate`` its contrary.

    ``None`` is no limit.  Along phi (150, -150) is the sector through 180.  ``join`` says how it
    is joined to the conditions before it, from the first on; that of the first says nothing.
    """

    axis: str
    low: float | None = None
    high: float | None = None
    negate: bool = False
    join: str = "and"


def _number(parameter: Parameter, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        msg = f"expected a number, got {value!r}."
        raise ValueError(msg)
    if not -LARGEST < value < LARGEST or (parameter.low is not None and value < parameter.low):
        least = "" if parameter.low is None else f" of {parameter.low:g} or more"
        msg = f"expected a finite number{least}, got {value}."
        raise ValueError(msg)
    return float(value)


def _whole(parameter: Parameter, value: Any) -> int:
    number = _number(parameter, value)
    if number != int(number):
        msg = f"expected a whole number, got {value}."
        raise ValueError(msg)
    return int(number)


def _flag(_: Parameter, value: Any) -> bool:
    if not isinstance(value, bool):
        msg = f"expected true or false, got {value!r}."
        raise ValueError(msg)
    return value


def _choice(parameter: Parameter, value: Any) -> str:
    if value not in parameter.choices:
        msg = f"expected one of {', '.join(parameter.choices)}, got {value!r}."
        raise ValueError(msg)
    return str(value)


def _text(_: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        msg = f"expected text, got {value!r}."
        raise ValueError(msg)
    return value


def _size(_: Parameter, value: Any) -> tuple[int, int]:
    if not isinstance(value, Sequence) or len(value) != 2:
        msg = f"expected rows and columns, got {value!r}."
        raise ValueError(msg)
    count = Parameter(type="whole", label="", help="", low=1.0)
    return _whole(count, value[0]), _whole(count, value[1])


_OPTIONAL = Parameter(type="number", label="", help="", optional=True)
_AXIS = Parameter(type="choice", label="", help="", choices=AXES)
_JOIN = Parameter(type="choice", label="", help="", choices=JOINS)
_FORM = Parameter(type="choice", label="", help="", choices=get_args(RegionKind))
YES_NO = Parameter(type="flag", label="", help="")


def _entries(value: Any, kind: type[Region | Condition], known: set[str]) -> list[dict[str, Any]]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        msg = f"expected a list, got {value!r}."
        raise ValueError(msg)
    found = [asdict(entry) if isinstance(entry, kind) else entry for entry in value]
    for position, entry in enumerate(found):
        if not isinstance(entry, Mapping) or not set(entry) <= known:
            msg = f"entry {position}: expected the keys {', '.join(sorted(known))}, got {entry!r}."
            raise ValueError(msg)
    return [dict(entry) for entry in found]


def _conditions(_: Parameter, value: Any) -> tuple[Condition, ...]:
    names = {"axis", "low", "high", "negate", "join"}
    return tuple(_condition(entry) for entry in _entries(value, Condition, names))


def _condition(entry: Mapping[str, Any]) -> Condition:
    condition = Condition(
        axis=_AXIS.checked(entry.get("axis")),
        low=_OPTIONAL.checked(entry.get("low")),
        high=_OPTIONAL.checked(entry.get("high")),
        negate=YES_NO.checked(entry.get("negate", False)),
        join=_JOIN.checked(entry.get("join", "and")),
    )
    low, high = condition.low, condition.high
    if low is None and high is None:
        msg = f"a condition on {condition.axis} needs low, high, or both."
        raise ValueError(msg)
    if low is not None and high is not None and low > high and condition.axis != "phi":
        msg = f"{condition.axis} from {low:g} to {high:g} is empty; only phi wraps."
        raise ValueError(msg)
    return condition


def _shapes(_: Parameter, value: Any) -> tuple[Region, ...]:
    names = {entry.name for entry in fields(Region)}
    return tuple(_shape(entry) for entry in _entries(value, Region, names))


def _shape(entry: dict[str, Any]) -> Region:
    _FORM.checked(entry.get("kind"))
    try:
        return Region(**{name: _plain_numbers(value) for name, value in entry.items()})
    except (PartitionError, TypeError, ValueError, OverflowError) as fault:
        msg = f"this is no shape: {fault}"
        raise ValueError(msg) from None


def _plain_numbers(value: Any) -> Any:
    """Return lists as tuples and whole numbers as real ones."""
    if isinstance(value, list | tuple):
        return tuple(_plain_numbers(entry) for entry in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


_CHECKS: Mapping[ParameterType, Any] = {
    "number": _number,
    "whole": _whole,
    "flag": _flag,
    "choice": _choice,
    "text": _text,
    "file": _text,
    "pixels": _text,
    "size": _size,
    "conditions": _conditions,
    "shapes": _shapes,
}
