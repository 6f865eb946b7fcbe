"""From curves and what a user asked for to a batch that a solver takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.errors import FitError, check_choice
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting.g2_model import G2Model, check_names, unit_scale
from napari_xpcs.fitting.identifiability import MIN_POINTS, enough_points
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.kernels.curves import BinTable, G2Curves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setup:
    """The curves of some bins, ready to be fitted.

    ``scale`` turns fitted numbers into the units of the parameters; ``start`` is in fitted
    coordinates, NaN where the grid decides; ``fittable`` says which curves have points enough.
    """

    table: BinTable
    problem: Problem
    first_delay_s: float
    scale: Float[np.ndarray, "curve param"]
    start: Float[np.ndarray, "curve param"]
    fittable: Bool[np.ndarray, " curve"]
    g2_covariance: Float[np.ndarray, "curve delay delay"] | None

    def no_data(self, model: G2Model, i: int) -> str:
        """Return why the curve ``i`` is not fittable."""
        points = int(self.problem.n_points[i])
        if points == 0:
            return "no_data: no delay has both a g2 value and an error above 0"
        if not np.all(np.isfinite(self.scale[i])):
            return f"no_data: q of this bin is unknown, and the model {model.name} fits a velocity"
        needed = max(MIN_POINTS, int(self.problem.n_free[i]) + 2)
        return f"no_data: only {points} usable delays, this fit needs {needed}"


def prepare(
    model: G2Model,
    curves: G2Curves,
    bins: Sequence[int] | None,
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    options: FitOptions,
) -> Setup:
    """Return the curves of ``bins`` with weights, bounds and units.

    Raises
    ------
    FitError
        For an unknown bin or parameter, and for values or bounds that cannot be.
    """
    table, columns = select_bins(curves.bins, bins)
    check_names(model, "fixed", fixed)
    check_names(model, "bounds", bounds)
    check_names(model, "start", options.start)
    positive = np.isfinite(curves.delay_s) & (curves.delay_s > 0)
    if not positive.any():
        raise FitError(
            f"None of the {len(curves.delay_s)} delays is positive; g2 needs delays in s above 0."
        )
    order = np.flatnonzero(positive)[np.argsort(curves.delay_s[positive])]
    delay_s = np.asarray(curves.delay_s[order], dtype=float)
    g2 = np.asarray(curves.g2[np.ix_(order, columns)].T, dtype=float)
    error = np.asarray(curves.error[np.ix_(order, columns)].T, dtype=float)
    measured = np.isfinite(g2)
    measured &= _in_range(delay_s, table, options)
    with_error = measured & np.isfinite(error) & (error > 0)
    alone = measured.any(axis=1) & ~with_error.any(axis=1)
    used = np.where(alone[:, None], measured, with_error)
    if options.error_floor != "auto":
        error = np.hypot(error, options.error_floor)
    root_weight = np.where(with_error, 1 / np.where(with_error, error, 1), 1.0)
    if alone.any():
        root_weight[alone] = 1 / _scatter(g2[alone], measured[alone])[:, None]

    first = float(delay_s[0])
    scale = unit_scale(model, table.q, first)
    lower, upper = _limits(model, scale, float(delay_s[-1]) / first, fixed, bounds)
    known = np.all(np.isfinite(scale), axis=1)
    problem = Problem(
        t=delay_s / first,
        g2=np.where(used, g2, 0),
        root_weight=np.where(used, root_weight, 0),
        lower=lower,
        upper=upper,
        scale_from_scatter=alone,
        averaging=None if curves.averaging_s is None else curves.averaging_s[order] / first,
    )
    return Setup(
        table=table,
        problem=problem,
        first_delay_s=first,
        scale=scale,
        start=_start(model, scale, options.start),
        fittable=enough_points(problem) & known,
        g2_covariance=None
        if curves.covariance is None
        else curves.covariance[np.ix_(columns, order, order)],
    )


def _in_range(
    delay_s: Float[np.ndarray, " delay"], table: BinTable, options: FitOptions
) -> Bool[np.ndarray, "curve delay"]:
    ranges = np.array([options.range_of(int(label)) for label in table.label]).reshape(-1, 2)
    return np.asarray((delay_s >= ranges[:, :1]) & (delay_s <= ranges[:, 1:]))


def _start(
    model: G2Model, scale: Float[np.ndarray, "curve param"], start: Mapping[str, float]
) -> Float[np.ndarray, "curve param"]:
    given = np.full_like(scale, np.nan)
    for i, parameter in enumerate(model.parameters):
        if parameter.name in start:
            value = _checked_value(model, parameter.name, start[parameter.name]) / scale[:, i]
            given[:, i] = np.log(value) if parameter.log else value
    return given


def _scatter(
    g2: Float[np.ndarray, "curve delay"], measured: Bool[np.ndarray, "curve delay"]
) -> Float[np.ndarray, " curve"]:
    """Return the size of the jumps between neighbouring points, a stand-in for missing errors."""
    jumps = np.diff(np.where(measured, g2, np.nan), axis=1)
    size = [
        np.median(np.abs(row[np.isfinite(row)])) if np.isfinite(row).any() else 1 for row in jumps
    ]
    return np.asarray(np.maximum(np.array(size, dtype=float), 1e-12))


def _limits(
    model: G2Model,
    scale: Float[np.ndarray, "curve param"],
    last: float,
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
) -> tuple[Float[np.ndarray, "curve param"], Float[np.ndarray, "curve param"]]:
    """Return bounds in fitted coordinates, equal where a parameter is fixed."""
    lower, upper = np.empty_like(scale), np.empty_like(scale)
    for i, parameter in enumerate(model.parameters):
        low, high = parameter.lower * np.ones(len(scale)), parameter.upper * np.ones(len(scale))
        if parameter.scale == "time":
            high = high * last
        elif parameter.scale != "none":
            low = low / last
        if parameter.name in bounds:
            given = _checked_bounds(model, parameter.name, bounds[parameter.name])
            low, high = (np.array(bound) / scale[:, i] for bound in given)
        if parameter.name in fixed:
            value = _checked_value(model, parameter.name, fixed[parameter.name]) / scale[:, i]
            outside = (value < low * (1 - 1e-12)) | (value > high * (1 + 1e-12))
            if np.any(outside):
                k = int(np.flatnonzero(outside)[0])
                raise FitError(
                    f"{parameter.name} is fixed to {fixed[parameter.name]:g}, outside its bounds"
                    f" {low[k] * scale[k, i]:.3g} to {high[k] * scale[k, i]:.3g}"
                    f"{' ' + parameter.unit if parameter.unit else ''};"
                    " choose a value inside, or give wider bounds."
                )
            low = high = value
        if parameter.log:
            # A lower bound of 0 has no logarithm; this one is 0 for every purpose.
            low, high = (np.log(np.maximum(bound, 1e-12)) for bound in (low, high))
        lower[:, i], upper[:, i] = low, high
    return lower, upper


def model_named(name: str) -> G2Model:
    """Return the model of the table, or say which there are."""
    check_choice("model", name, G2_MODELS)
    return G2_MODELS[name]


def select_bins(
    table: BinTable, labels: Sequence[int] | None
) -> tuple[BinTable, Int[np.ndarray, " bin"]]:
    if labels is None:
        return table, np.arange(len(table))
    position = {int(label): i for i, label in enumerate(table.label)}
    unknown = [label for label in labels if label not in position]
    if unknown:
        known = f"{min(position)} to {max(position)}" if position else "none"
        raise FitError(
            f"No bin {', '.join(map(str, unknown))} among the curves; the bins are {known}."
        )
    columns = np.array([position[label] for label in labels], dtype=int)
    return table.take(columns), columns


def _checked_value(model: G2Model, name: str, value: float) -> float:
    parameter = model.parameters[model.names.index(name)]
    low, high = parameter.domain
    # A logarithm is fitted: 0 is then a limit, not a value.
    if not np.isfinite(value) or value < low or value > high or (parameter.log and value <= 0):
        raise FitError(f"{name} cannot be {value:g}; it lies between {low:g} and {high:g}.")
    return float(value)


def _checked_bounds(model: G2Model, name: str, given: tuple[float, float]) -> tuple[float, float]:
    parameter = model.parameters[model.names.index(name)]
    low, high = given
    least, most = parameter.domain
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise FitError(
            f"The bounds of {name} are {low:g} and {high:g}; they must be two numbers,"
            " the lower one first. To hold a parameter, fix it."
        )
    if low < least or high > most:
        raise FitError(
            f"The bounds of {name} are {low:g} and {high:g}, but it lies between"
            f" {least:g} and {most:g}."
        )
    return float(low), float(high)
