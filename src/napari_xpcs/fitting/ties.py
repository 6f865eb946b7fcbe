"""Parameters that follow another one: a model with fewer parameters, and the way back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FitError
from napari_xpcs.fitting.g2_model import G2Model

_TIE = re.compile(r"\s*(?:(?P<factor>[-+.0-9eE]+)\s*\*)?\s*(?P<name>[A-Za-z_]\w*)\s*")


@dataclass(frozen=True, slots=True)
class _TiedShape:
    """A shape of which some parameters are multiples of others; equal where these are."""

    model: G2Model
    source: tuple[int, ...]
    factor: tuple[float, ...]

    def __call__(self, t: Array, *theta: Array, xp: BackendProtocol) -> Array:
        every = [theta[i] * factor for i, factor in zip(self.source, self.factor, strict=True)]
        return self.model.shape(t, *every, xp=xp)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ties:
    """Where every parameter of ``whole`` is among those of ``model``, and times what."""

    whole: G2Model
    model: G2Model
    column: Int[np.ndarray, " param"]
    factor: Float[np.ndarray, " param"]

    def values(self, fitted: Float[np.ndarray, "*bin free"]) -> Float[np.ndarray, "*bin param"]:
        """Return all parameters from the fitted ones."""
        return np.asarray(fitted[..., self.column] * self.factor)

    def covariance(
        self, fitted: Float[np.ndarray, "*bin free free"]
    ) -> Float[np.ndarray, "*bin param param"]:
        """Return the covariance of all parameters."""
        both = fitted[..., self.column[:, None], self.column[None, :]]
        return np.asarray(both * (self.factor[:, None] * self.factor[None, :]))


def tie(model: G2Model, tied: Mapping[str, str]) -> Ties:
    """Return the model that is left when the parameters ``tied`` follow others.

    Parameters
    ----------
    model
        The whole model.
    tied
        ``NAME: "OTHER"`` or ``"FACTOR*OTHER"``, both of one kind: times, rates, exponents.

    Raises
    ------
    FitError
        For what is no tie between two parameters of the model.
    """
    names, parameters = model.names, model.parameters
    source = list(range(len(names)))
    factor = [1.0] * len(names)
    for name, text in tied.items():
        match = _TIE.fullmatch(text)
        if name not in names[2:] or match is None or match["name"] not in names[2:]:
            raise FitError(
                f"{name}={text} is no tie; expected NAME=OTHER or NAME=FACTOR*OTHER with two of"
                f" {', '.join(names[2:])}."
            )
        i, other = names.index(name), names.index(match["name"])
        if match["name"] in tied or i == other:
            raise FitError(f"{name} is tied to {match['name']}, which is tied itself.")
        if (parameters[i].scale, parameters[i].log) != (
            parameters[other].scale,
            parameters[other].log,
        ):
            raise FitError(f"{name} and {match['name']} are of different kinds; no tie joins them.")
        source[i], factor[i] = other, _factor(name, text, match["factor"])
    kept = [i for i in range(len(names)) if source[i] == i]
    column = [kept.index(i) for i in source]
    reduced = model
    if tied:
        reduced = replace(
            model,
            parameters=tuple(parameters[i] for i in kept),
            grid=tuple(model.grid[i - 2] for i in kept[2:]),
            shape=_TiedShape(model, tuple(i - 2 for i in column[2:]), tuple(factor[2:])),
        )
    return Ties(whole=model, model=reduced, column=np.array(column), factor=np.array(factor))


def _factor(name: str, text: str, given: str | None) -> float:
    if given is None:
        return 1.0
    try:
        value = float(given)
    except ValueError:
        value = np.nan
    if not value > 0:
        raise FitError(f"{name}={text}: the factor must be a number above 0, got {given}.")
    return value
