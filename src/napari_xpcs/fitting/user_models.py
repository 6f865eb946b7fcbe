"""A model of one's own: from a formula, or from a function in a file.

Either gives :math:`|g_1|^2` at the delay ``t`` in s; baseline and contrast are added as in every
model.  Parameters that the table of models knows (``tau_s``, ``exponent``, ``gamma_per_s``, ...)
mean what they mean there; others are named with their unit and bounds.
"""

import ast
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.errors import ChoiceError, FitError
from napari_xpcs.fitting.g2_model import DefaultPrior, G2Model, GridAxis, Parameter
from napari_xpcs.fitting.models import G2_MODELS

FUNCTIONS = (
    *("exp", "log", "sqrt", "abs", "sin", "cos", "tan", "sinc"),
    *("maximum", "minimum", "where"),
)
"""What a formula may call; ``sinc`` is NumPy's, sin(pi x)/(pi x)."""

_MAX_LENGTH, _MAX_DEPTH = 2000, 40
_KNOWN = {
    parameter.name: (parameter, rule)
    for model in reversed(G2_MODELS.values())
    for parameter, rule in zip(model.parameters[2:], model.grid, strict=True)
}
_OPERATORS: dict[type[ast.AST], Callable[..., Array]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
    ast.USub: lambda a: -a,
    ast.UAdd: lambda a: a,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_Spec: TypeAlias = tuple[Parameter, GridAxis]


def model_of(text: str, parameters: Sequence[str] = ()) -> G2Model:
    """Return the model that ``text`` names or writes down.

    Parameters
    ----------
    text
        A name of the table (``stretched``); a file and a function in it (``mine.py:shape``),
        called as ``shape(t, first, second, ..., xp=xp)`` with ``xp`` in place of ``numpy``; or a
        formula (``exp(-2*t/tau_s) * cos(k*t)**2``).
    parameters
        One text per parameter that the table does not know: ``NAME,s`` for a time, ``NAME,1/s``
        for a rate, whose bounds follow from the delays, or ``NAME,LOWER,UPPER`` for a number
        without a unit.

    Raises
    ------
    FitError
        For what is none of these.
    """
    if text in G2_MODELS:
        if parameters:
            raise FitError(f"The model {text} has its parameters; none can be described anew.")
        return G2_MODELS[text]
    path, _, name = text.rpartition(":")
    shape: Callable[..., Array]
    if path.endswith(".py"):
        shape, names = _function(Path(path), name)
    elif text.replace("-", "").isidentifier():
        known = ", ".join(G2_MODELS)
        msg = f"There is no model {text!r}; choose {known}, or write a formula of t."
        raise ChoiceError(msg)
    else:
        shape = Formula(text)
        names = _names(text)
    specs = _specs(names, parameters)
    model = G2Model(
        name="own",
        label="Model of one's own",
        formula=f"g2 = baseline + contrast · {text}",
        parameters=(*G2_MODELS["single"].parameters[:2], *(spec for spec, _ in specs)),
        shape=shape,
        grid=tuple(rule for _, rule in specs),
        starts=3,
        made_from=(text, *parameters),
    )
    _try(model)
    return model


@dataclass(frozen=True, slots=True)
class Formula:
    """A shape written as a formula of ``t``; formulas of one text are equal."""

    text: str

    def __call__(self, t: Array, *theta: Array, xp: BackendProtocol) -> Array:
        """Return the shape at ``t``; the parameters in the order in which the text has them."""
        values = dict(zip(_names(self.text), theta, strict=True))
        return _value(_tree(self.text), {"t": t, "pi": xp.pi, **values}, xp)


@cache
def _tree(text: str) -> ast.expr:
    if len(text) > _MAX_LENGTH:
        raise FitError(f"The formula has {len(text)} characters; {_MAX_LENGTH} are the most.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        raise FitError(f"The formula {text!r} cannot be read: {fault}.") from None
    _check(tree, text, _MAX_DEPTH)
    return tree


@cache
def _names(text: str) -> tuple[str, ...]:
    """Return the parameters of a formula in the order in which they appear."""
    called = {id(node.func) for node in ast.walk(_tree(text)) if isinstance(node, ast.Call)}
    names = [
        (node.lineno, node.col_offset, node.id)
        for node in ast.walk(_tree(text))
        if isinstance(node, ast.Name) and id(node) not in called and node.id not in ("t", "pi")
    ]
    return tuple(dict.fromkeys(name for _, _, name in sorted(names)))


def _check(node: ast.AST, text: str, depth: int) -> None:
    """Refuse everything but numbers, names, arithmetic, comparisons and the functions above."""
    if depth == 0:
        raise FitError(f"The formula {text!r} is nested too deeply.")
    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            return
        case ast.Name():
            return
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            parts = [left, right]
        case ast.UnaryOp(op=operator, operand=operand) if type(operator) in _OPERATORS:
            parts = [operand]
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if (
            type(operator) in _OPERATORS
        ):
            parts = [left, right]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            parts = list(arguments)
        case _:
            fragment = ast.unparse(node)
            raise FitError(
                f"The formula holds {fragment!r}; it may hold numbers, t, pi, parameters,"
                f" + - * / ** < > and {', '.join(FUNCTIONS)}."
            )
    for part in parts:
        _check(part, text, depth - 1)


def _value(node: ast.AST, values: dict[str, Array], xp: BackendProtocol) -> Array:
    match node:
        case ast.Constant(value=int() | float() as number):
            # As a float: a tower of whole powers would else grow without end.
            return float(number)
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=operator, right=right):
            return _OPERATORS[type(operator)](_value(left, values, xp), _value(right, values, xp))
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _OPERATORS[type(operator)](_value(left, values, xp), _value(right, values, xp))
        case ast.UnaryOp(op=operator, operand=operand):
            return _OPERATORS[type(operator)](_value(operand, values, xp))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            called: Callable[..., Array] = getattr(xp, name)
            return called(*(_value(argument, values, xp) for argument in arguments))
    raise AssertionError(ast.dump(node))  # _check let nothing else pass


def _function(path: Path, name: str) -> tuple[Callable[..., Array], tuple[str, ...]]:
    if not path.is_file():
        raise FitError(f"There is no file {path} for the model.")
    spec = importlib.util.spec_from_file_location(f"napari_xpcs_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FitError(f"{path} cannot be loaded as Python.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError, NameError) as fault:
        raise FitError(f"{path.name} cannot be loaded: {fault}.") from fault
    shape = getattr(module, name, None)
    if not callable(shape):
        raise FitError(f"{path.name} has no function {name!r}.")
    given = inspect.signature(shape).parameters
    names = tuple(key for key, each in given.items() if each.kind is each.POSITIONAL_OR_KEYWORD)
    if (
        names[:1] != ("t",)
        or "xp" not in given
        or given["xp"].kind is not inspect.Parameter.KEYWORD_ONLY
    ):
        raise FitError(
            f"{name} in {path.name} is to be defined as def {name}(t, tau_s, ..., *, xp), with xp"
            " in place of numpy."
        )
    return shape, names[1:]


def _specs(names: Sequence[str], texts: Sequence[str]) -> list[_Spec]:
    described = {}
    for text in texts:
        name, *rest = (part.strip() for part in text.split(","))
        described[name] = _spec(text, name, rest)
    surplus = [name for name in described if name not in names]
    if surplus:
        raise FitError(
            f"The model has no parameter {', '.join(surplus)}; it has {', '.join(names)}."
        )
    specs = []
    for name in names:
        if name in ("baseline", "contrast"):
            raise FitError(f"{name} stands outside the formula, which runs from 1 to 0.")
        if name not in described and name not in _KNOWN:
            raise FitError(
                f"The parameter {name} is not known; describe it as {name},LOWER,UPPER, or as"
                f" {name},s where it is a time and {name},1/s where it is a rate."
            )
        specs.append(described.get(name) or _KNOWN[name])
    if not specs:
        raise FitError("The model has no parameter to fit.")
    return specs


def _spec(text: str, name: str, rest: Sequence[str]) -> _Spec:
    template = {"s": "tau_s", "1/s": "gamma_per_s"}.get(",".join(rest))
    if template is not None:
        known, _ = _KNOWN[template]
        return replace(known, name=name, meaning=""), 0.6
    try:
        low, high = (float(number) for number in rest)
    except ValueError:
        low = high = np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise FitError(
            f"{text!r} is no parameter; expected NAME,s or NAME,1/s or NAME,LOWER,UPPER."
        )
    parameter = Parameter(
        name=name,
        unit="",
        meaning="",
        lower=low,
        upper=high,
        domain=(low, high),
        prior=DefaultPrior("uniform"),
    )
    return parameter, tuple(low + (high - low) * part for part in (0.15, 0.5, 0.85))


def _try(model: G2Model) -> None:
    """Refuse a shape that is no number, or that does not depend on the delay."""
    t = np.geomspace(1.0, 1e3, 20)
    theta = [
        np.array([{"time": 30.0, "rate": 0.03, "velocity": 0.03}.get(each.scale, np.nan)])
        if each.scale != "none"
        else np.array([0.5 * (each.lower + each.upper)])
        for each in model.parameters[2:]
    ]
    try:
        with np.errstate(all="ignore"):
            shape = np.asarray(model.shape(t, *theta, xp=NumPyBackend()), dtype=float)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, OverflowError) as fault:
        raise FitError(f"The model {model.made_from[0]!r} cannot be evaluated: {fault}.") from None
    if (
        shape.shape != t.shape
        or not np.isfinite(shape).any()
        or np.ptp(shape[np.isfinite(shape)]) == 0
    ):
        raise FitError(
            f"The model {model.made_from[0]!r} does not give one number per delay t that changes"
            " with t."
        )
