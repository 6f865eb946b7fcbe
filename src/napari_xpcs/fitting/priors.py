r"""Priors of the parameters, and the unbounded coordinates in which posteriors are sampled.

Every prior has a text, ``tau_s=lognormal(1e-3, 3)``, that a form or the command line can take
and show.  A parameter that must be positive keeps to it under every prior: a ``normal`` one is
then cut at 0 and becomes a truncated normal.

====================  ==========================================================================
``normal(m, s)``      mean and standard deviation
``halfnormal(s)``     the positive half of a normal of mean 0 and standard deviation s
``lognormal(m, f)``   median, and the factor of one standard deviation: 68 % in m/f ... m f
``uniform(a, b)``     between a and b
``loguniform(a, b)``  logarithm uniform between a and b
``ratio(m, f)``       only for the second time of a double model: its logarithm of the ratio to
                      the first is lognormal around ln(m), so it is always the longer one
====================  ==========================================================================
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting.g2_model import G2Model, Parameter, check_names
from napari_xpcs.units import ANGSTROM_M

Family: TypeAlias = Literal["normal", "halfnormal", "lognormal", "uniform", "loguniform", "ratio"]
Support: TypeAlias = Literal["real", "positive", "interval", "log-interval", "above"]
"""How an unbounded coordinate u becomes a value: u itself, exp(u), a logistic curve between two
limits or between their logarithms, or a multiple exp(exp(u)) of the first time."""

_NUMBER = r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*"
_TEXT = re.compile(rf"\s*([a-z]+)\s*\({_NUMBER}(?:,{_NUMBER})?\)\s*")


@dataclass(frozen=True, slots=True)
class Prior:
    """One prior: its family and the numbers of the table above, in the parameter's unit."""

    family: Family
    first: float
    second: float = 0.0

    def __str__(self) -> str:
        """Return the text that :func:`read_prior` reads."""
        if self.family == "halfnormal":
            return f"halfnormal({self.first:.4g})"
        return f"{self.family}({self.first:.4g}, {self.second:.4g})"

    def draw(
        self, rng: np.random.Generator, count: int, domain: tuple[float, float]
    ) -> Float[np.ndarray, " draw"]:
        """Return draws inside ``domain``; those of a ``ratio`` are the ratio itself."""
        kept = np.empty(0)
        while len(kept) < count:
            normal = rng.standard_normal(count)
            if self.family == "normal":
                values = self.first + self.second * normal
            elif self.family == "halfnormal":
                values = np.abs(self.first * normal)
            elif self.family == "lognormal":
                values = self.first * self.second**normal
            elif self.family == "ratio":
                return np.asarray(np.exp(np.log(self.first) * self.second**normal))
            elif self.family == "uniform":
                values = rng.uniform(self.first, self.second, count)
            else:
                values = np.exp(rng.uniform(np.log(self.first), np.log(self.second), count))
            kept = np.append(kept, values[(values > domain[0]) & (values < domain[1])])
        return kept[:count]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """What turns unbounded coordinates into parameters: forms to compile, and their numbers.

    Parameters
    ----------
    forms
        Family and support of every parameter; a program is compiled for each combination.
    first_time
        Column that a ``ratio`` is measured from; -1 where there is none.
    """

    forms: tuple[tuple[Family, Support], ...]
    first_time: int = -1

    def values(
        self,
        u: Float[Array, "*lane param"],
        numbers: Float[Array, "param 4"],
        *,
        xp: BackendProtocol,
    ) -> list[Float[Array, "*lane"]]:
        """Return the parameters in their units; ``numbers`` are those of :func:`prior_numbers`."""
        values: list[Array] = []
        for i, (_, support) in enumerate(self.forms):
            low, high, x = numbers[i, 2], numbers[i, 3], u[..., i]
            if support == "real":
                values.append(x)
            elif support == "positive":
                values.append(xp.exp(x))
            elif support == "interval":
                values.append(low + (high - low) * _logistic(x, xp))
            elif support == "log-interval":
                values.append(low * xp.exp(xp.log(high / low) * _logistic(x, xp)))
            else:
                values.append(xp.exp(u[..., self.first_time] + xp.exp(x)))
        return values

    def log_prior(
        self,
        u: Float[Array, "*lane param"],
        numbers: Float[Array, "param 4"],
        *,
        xp: BackendProtocol,
    ) -> Float[Array, "*lane"]:
        """Return the logarithm of the prior density of the coordinates, without its constant."""
        values = self.values(u, numbers, xp=xp)
        total = 0.0
        for i, (family, support) in enumerate(self.forms):
            first, second, x = numbers[i, 0], numbers[i, 1], u[..., i]
            if support in ("interval", "log-interval"):
                total = total - xp.abs(x) - 2 * xp.log1p(xp.exp(-xp.abs(x)))
            if family in ("normal", "halfnormal"):
                # A half-normal one is a normal one of mean 0 that is cut at 0.
                mean, sd = (0.0, first) if family == "halfnormal" else (first, second)
                total = total - 0.5 * ((values[i] - mean) / sd) ** 2
                total = total + (x if support == "positive" else 0.0)
            elif family == "lognormal":
                at = x if support == "positive" else xp.log(values[i])
                total = total - 0.5 * ((at - xp.log(first)) / xp.log(second)) ** 2
                total = total - (0.0 if support == "positive" else at)
            elif family == "ratio":
                total = total - 0.5 * ((x - xp.log(xp.log(first))) / xp.log(second)) ** 2
        return total

    def of_values(
        self, values: Float[np.ndarray, "curve param"], numbers: Float[np.ndarray, "param 4"]
    ) -> Float[np.ndarray, "curve param"]:
        """Return the coordinates of ``values``, moved inside where they lie on a limit."""
        u = np.empty_like(values)
        for i, (_, support) in enumerate(self.forms):
            low, high, v = numbers[i, 2], numbers[i, 3], values[:, i]
            if support == "real":
                u[:, i] = v
            elif support == "positive":
                u[:, i] = np.log(np.maximum(v, np.finfo(float).tiny))
            elif support == "above":
                ratio = np.log(np.maximum(v / values[:, self.first_time], 1.1))
                u[:, i] = np.log(ratio)
            else:
                part = (v - low) / (high - low)
                if support == "log-interval":
                    part = np.log(np.maximum(v, low) / low) / np.log(high / low)
                part = np.clip(part, 0.01, 0.99)
                u[:, i] = np.log(part / (1 - part))
        return u


def default_priors(
    model: G2Model, delay_s: Float[np.ndarray, " delay"], q: Float[np.ndarray, " bin"]
) -> dict[str, Prior]:
    """Return the priors of the table of models, on the scale of the measurement.

    Where two times of a double model have no order, exchanging them changes nothing, and no
    chain could agree with another: the second is given as a ratio above 1.

    Parameters
    ----------
    delay_s
        Delays of the curves, s.
    q
        Of the bins, 1/angstrom, for velocities: these lie about one for the middle of all q.
    """
    delays = delay_s[np.isfinite(delay_s) & (delay_s > 0)]
    first, last = float(delays.min()), float(delays.max())
    middle, span = float(np.sqrt(first * last)), float(np.log(last / first))
    inverse_q_m = ANGSTROM_M / float(np.exp(np.mean(np.log(q[q > 0])))) if np.any(q > 0) else 1.0
    middles = {"time": middle, "rate": 1 / middle, "velocity": inverse_q_m / middle}
    priors: dict[str, Prior] = {}
    for parameter in model.parameters:
        believed = parameter.prior
        if believed.family == "normal":
            prior = Prior("normal", believed.centre, believed.width)
        elif believed.family == "halfnormal":
            prior = Prior("halfnormal", believed.width)
        elif believed.family == "lognormal":
            prior = Prior(
                "lognormal", float(np.exp(believed.centre)), float(np.exp(believed.width))
            )
        elif believed.family == "uniform":
            prior = Prior("uniform", parameter.lower, parameter.upper)
        else:
            width = float(np.exp(span / 2 + believed.width))
            prior = Prior("lognormal", middles[parameter.scale], width)
        priors[parameter.name] = prior
    for _, second in model.swaps[:1]:
        priors[model.names[second]] = Prior("ratio", 20.0, 1.8)
    return priors


def choose_priors(
    model: G2Model,
    given: Mapping[str, Prior | str],
    held: Sequence[str],
    delay_s: Float[np.ndarray, " delay"],
    q: Float[np.ndarray, " bin"],
) -> dict[str, Prior]:
    """Return a prior for every parameter that is not held: the ``given`` ones, else the default.

    Where one of the two times of a double model is held, the other keeps no distance to it.

    Raises
    ------
    FitError
        For a parameter that the model does not have, and for a prior that cannot be.
    """
    check_names(model, "prior", given)
    chosen = default_priors(model, delay_s, q)
    for name, prior in given.items():
        chosen[name] = read_prior(prior) if isinstance(prior, str) else prior
    for parameter in model.parameters:
        _check(model, parameter, chosen[parameter.name])
    for first, second in model.swaps[:1]:
        names = model.names[first], model.names[second]
        if chosen[names[1]].family == "ratio" and any(name in held for name in names):
            chosen[names[1]] = default_priors(model, delay_s, q)[names[0]]
    return {name: prior for name, prior in chosen.items() if name not in held}


def read_prior(text: str) -> Prior:
    """Return the prior of a text as ``lognormal(1e-3, 3)``.

    Raises
    ------
    FitError
        The text is no prior; the message shows what one looks like.
    """
    found = _TEXT.fullmatch(text)
    families = get_args(Family)
    if found is None or found[1] not in families:
        msg = (
            f"{text!r} is no prior; write one of {', '.join(families)} with its numbers, as"
            " lognormal(1e-3, 3)."
        )
        raise FitError(msg)
    numbers = [float(number) for number in found.groups()[1:] if number is not None]
    wanted = 1 if found[1] == "halfnormal" else 2
    if len(numbers) != wanted:
        msg = f"{found[1]} has {wanted} number{'s' if wanted > 1 else ''}, got {text.strip()}."
        raise FitError(msg)
    return Prior(found[1], *numbers)  # type: ignore[arg-type]


def _check(model: G2Model, parameter: Parameter, prior: Prior) -> None:
    low, high = parameter.domain
    first, second, name = prior.first, prior.second, parameter.name
    follows = name in [model.names[column] for _, column in model.swaps[:1]]
    order = (not first < second, "the lower limit comes first")
    inside = (first < low or second > high, f"{name} lies between {low:g} and {high:g}")
    rules: Mapping[Family, tuple[tuple[bool, str], ...]] = {
        "normal": ((second <= 0, "its standard deviation must be above 0"),),
        "halfnormal": (
            (first <= 0, "its standard deviation must be above 0"),
            (low != 0, "only a parameter that is positive has it"),
        ),
        "lognormal": (
            (first <= 0 or second <= 1, "its median must be above 0 and its factor above 1"),
            (low < 0, "only a parameter that is positive has it"),
        ),
        "uniform": (order, inside),
        "loguniform": (order, (first <= 0, "its limits must be above 0"), inside),
        "ratio": (
            (not follows, "only the second time of a double model has it"),
            (first <= 1 or second <= 1, "its median and its factor must be above 1"),
        ),
    }
    reason = next((words for applies, words in rules[prior.family] if applies), "")
    if reason:
        msg = f"{name} cannot have the prior {prior}: {reason}."
        raise FitError(msg)


def coordinates_of(model: G2Model, priors: Mapping[str, Prior]) -> Coordinates:
    """Return the coordinates in which the posterior under ``priors`` is unbounded.

    A parameter without a prior is held: its coordinate is its value.
    """
    forms: list[tuple[Family, Support]] = []
    first_time = -1
    for parameter in model.parameters:
        if parameter.name not in priors:
            forms.append(("uniform", "real"))
            continue
        family = priors[parameter.name].family
        low, high = parameter.domain
        support: Support
        if family == "ratio":
            support, first_time = "above", model.swaps[0][0]
        elif family == "uniform":
            support = "interval"
        elif family == "loguniform":
            support = "log-interval"
        elif np.isfinite(high):
            support = "interval"
        elif low == 0 or family in ("lognormal", "halfnormal"):
            support = "positive"
        else:
            support = "real"
        forms.append((family, support))
    if first_time >= 0 and forms[first_time][1] != "positive":
        # The ratio is a sum of logarithms: without them the second time is not measured from it.
        msg = (
            f"{model.names[first_time]} has the prior {priors[model.names[first_time]]}: give"
            f" {model.names[model.swaps[0][1]]} a prior of its own as well, in place of the ratio."
        )
        raise FitError(msg)
    return Coordinates(tuple(forms), first_time)


def prior_numbers(model: G2Model, priors: Mapping[str, Prior]) -> Float[np.ndarray, "param 4"]:
    """Return the two numbers of every prior and the limits of its values."""
    rows = []
    for parameter in model.parameters:
        prior = priors.get(parameter.name, Prior("uniform", 0.0, 1.0))
        low, high = parameter.domain
        if prior.family in ("uniform", "loguniform"):
            low, high = prior.first, prior.second
        rows.append((prior.first, prior.second, low, high))
    return np.array(rows, dtype=float)


def prior_spread(
    model: G2Model, priors: Mapping[str, Prior], coordinates: Coordinates
) -> Float[np.ndarray, " param"]:
    """Return the standard deviation of every coordinate under its prior."""
    rng = np.random.default_rng(0)
    numbers = prior_numbers(model, priors)
    draws = np.ones((2000, len(model.parameters)))
    for i, parameter in enumerate(model.parameters):
        if parameter.name in priors:
            draws[:, i] = priors[parameter.name].draw(rng, len(draws), parameter.domain)
    for i, (family, _) in enumerate(coordinates.forms):
        if family == "ratio":
            draws[:, i] *= draws[:, coordinates.first_time]
    return np.asarray(np.std(coordinates.of_values(draws, numbers), axis=0))


def prior_curvature(
    coordinates: Coordinates,
    u: Float[np.ndarray, "curve param"],
    numbers: Float[np.ndarray, "param 4"],
) -> tuple[Float[np.ndarray, "curve param"], Float[np.ndarray, "curve param"]]:
    """Return slope and curvature of minus the logarithm of the prior along every coordinate."""
    xp, step = NumPyBackend(), 1e-3
    slope, curvature = np.empty_like(u), np.empty_like(u)
    with np.errstate(over="ignore", under="ignore"):
        here = -coordinates.log_prior(u, numbers, xp=xp)
        for i in range(u.shape[1]):
            moved = u.copy()
            moved[:, i] += step
            above = -coordinates.log_prior(moved, numbers, xp=xp)
            moved[:, i] -= 2 * step
            below = -coordinates.log_prior(moved, numbers, xp=xp)
            slope[:, i] = (above - below) / (2 * step)
            curvature[:, i] = (above + below - 2 * here) / step**2
    return slope, curvature


def _logistic(x: Array, xp: BackendProtocol) -> Array:
    return 0.5 * (1 + xp.tanh(0.5 * x))
