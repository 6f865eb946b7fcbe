"""Fit g2 of many bins: :func:`fit_g2`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FitError
from napari_xpcs.fitting import _lm_numpy
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting.identifiability import MIN_POINTS, Verdict, enough_points, judge
from napari_xpcs.fitting.models import G2_MODELS, G2Model, unit_scale
from napari_xpcs.fitting.results import ErrorKind, G2Fit
from napari_xpcs.fitting.start import grid_starts
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import Progress, Steps

_NOTHING: Mapping[str, float] = MappingProxyType({})
_NO_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType({})


def fit_g2(
    curves: G2Curves,
    model: str = "single",
    *,
    bins: Sequence[int] | None = None,
    fixed: Mapping[str, float] = _NOTHING,
    bounds: Mapping[str, tuple[float, float]] = _NO_BOUNDS,
    xp: BackendProtocol,
) -> Steps[G2Fit]:
    """Fit a model to g2 of every bin, each by itself.

    Weighted least squares within bounds.  Points that are NaN, or whose error is missing, zero
    or negative, do not take part; where a bin has no errors at all, its points weigh alike.
    Where the curves have a covariance, the errors of the parameters come from it, else from the
    errors of g2 as if its points were independent.

    Parameters
    ----------
    curves
        g2 with errors, delays in s.
    model
        Key in :data:`napari_xpcs.fitting.models.G2_MODELS`.
    bins
        Labels of the bins to fit, in the order of the result; all of them by default.
    fixed
        Parameters to hold, by name, in the units of the model.
    bounds
        Lower and upper bound by parameter name, in place of the default ones.
    xp
        A backend with gradients solves with optimistix, one without in NumPy; both take the
        same steps from the same start.

    Yields
    ------
    Progress
        Curves done.

    Returns
    -------
    G2Fit
        One row per bin; a curve that cannot be fitted has a status that says why.

    Raises
    ------
    FitError
        For an unknown model, bin or parameter, and for values or bounds that cannot be.
    """
    chosen = _model(model)
    table, columns = _bins(curves.bins, bins)
    _check_names(chosen, "fixed", fixed)
    _check_names(chosen, "bounds", bounds)
    setup = _prepare(chosen, curves, table, columns, fixed, bounds)
    return (yield from _fit(chosen, setup, fixed, xp))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Setup:
    table: BinTable
    problem: Problem
    first_delay_s: float
    scale: Float[np.ndarray, "curve param"]
    fittable: Bool[np.ndarray, " curve"]
    g2_covariance: Float[np.ndarray, "curve delay delay"] | None


def _fit(
    model: G2Model, setup: _Setup, fixed: Mapping[str, float], xp: BackendProtocol
) -> Steps[G2Fit]:
    rows = np.flatnonzero(setup.fittable)
    problem = setup.problem.take(rows)
    ends = np.empty((len(rows), len(model.parameters)))
    yield Progress(0, len(rows), "curves")
    for chunk in problem.chunks():
        ends[chunk] = _solve(model, problem.take(chunk), xp)
        yield Progress(chunk.stop, len(rows), "curves")
    ends = _fast_mode_first(model, problem, ends)
    measured = None if setup.g2_covariance is None else setup.g2_covariance[rows]
    verdict = judge(
        model, problem, ends, setup.scale[rows], setup.first_delay_s, g2_covariance=measured
    )
    return _result(model, setup, rows, ends, verdict, fixed, xp.name)


def _solve(
    model: G2Model, problem: Problem, xp: BackendProtocol
) -> Float[np.ndarray, "curve param"]:
    """Fit from every start and keep the lowest chi2."""
    starts = grid_starts(
        model, problem.t, problem.g2, problem.root_weight**2, problem.lower, problem.upper
    )
    ends, chi2 = [], []
    for k in range(model.starts):
        if xp.supports_grad:
            from napari_xpcs.fitting import _box_lm  # imports JAX: seconds, so not before

            end = _box_lm.solve(model, problem, starts[:, k], xp=xp)
        else:
            end = _lm_numpy.solve(model, problem, starts[:, k])
        ends.append(end)
        chi2.append(np.sum(_lm_numpy.residuals(model, problem, end) ** 2, axis=1))
    best = np.nan_to_num(np.stack(chi2), nan=np.inf).argmin(axis=0)
    return np.asarray(np.stack(ends)[best, np.arange(len(problem))])


def _fast_mode_first(
    model: G2Model, problem: Problem, x: Float[np.ndarray, "curve param"]
) -> Float[np.ndarray, "curve param"]:
    """Exchange the modes of a double model where the first is the slower one.

    Only where both modes have the same bounds: a fixed or bounded mode is the one that was named.
    """
    if not model.swaps:
        return x
    pairs = np.array(model.swaps)
    names = model.names
    fraction = names.index("fraction")
    alike = np.all(problem.lower[:, pairs[:, 0]] == problem.lower[:, pairs[:, 1]], axis=1)
    alike &= np.all(problem.upper[:, pairs[:, 0]] == problem.upper[:, pairs[:, 1]], axis=1)
    alike &= np.isclose(problem.lower[:, fraction] + problem.upper[:, fraction], 1)
    alike &= problem.lower[:, fraction] < problem.upper[:, fraction]
    first_tau, second_tau = model.swaps[0]
    rows = np.flatnonzero(alike & (x[:, first_tau] > x[:, second_tau]))
    ordered = x.copy()
    ordered[np.ix_(rows, pairs[:, 0])] = x[np.ix_(rows, pairs[:, 1])]
    ordered[np.ix_(rows, pairs[:, 1])] = x[np.ix_(rows, pairs[:, 0])]
    ordered[rows, fraction] = 1 - x[rows, fraction]
    return ordered


def _prepare(
    model: G2Model,
    curves: G2Curves,
    table: BinTable,
    columns: Int[np.ndarray, " bin"],
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
) -> _Setup:
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
    with_error = measured & np.isfinite(error) & (error > 0)
    alone = measured.any(axis=1) & ~with_error.any(axis=1)
    used = np.where(alone[:, None], measured, with_error)
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
    return _Setup(
        table=table,
        problem=problem,
        first_delay_s=first,
        scale=scale,
        fittable=enough_points(problem) & known,
        g2_covariance=None
        if curves.covariance is None
        else curves.covariance[np.ix_(columns, order, order)],
    )


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


def _result(
    model: G2Model,
    setup: _Setup,
    rows: Int[np.ndarray, " curve"],
    x: Float[np.ndarray, "curve param"],
    verdict: Verdict,
    fixed: Mapping[str, float],
    backend: str,
) -> G2Fit:
    count, width = len(setup.table), len(model.parameters)
    log = np.array([parameter.log for parameter in model.parameters])
    optimum = np.full((count, width), np.nan)
    optimum[rows] = np.where(log, np.exp(np.where(log, x, 0)), x) * setup.scale[rows]
    # d(value)/d(fitted coordinate): the value itself behind a logarithm.
    slope = np.where(log, optimum[rows], setup.scale[rows])
    covariance = np.full((count, width, width), np.nan)
    both = verdict.determined[:, :, None] & verdict.determined[:, None, :]
    covariance[rows] = np.where(
        both, verdict.covariance * slope[:, :, None] * slope[:, None, :], np.nan
    )
    value = np.full((count, width), np.nan)
    value[rows] = np.where(verdict.determined, optimum[rows], np.nan)
    reduced = np.full(count, np.nan)
    reduced[rows] = verdict.reduced_chi2
    status = [_no_data(model, setup, i) for i in range(count)]
    kinds: list[ErrorKind] = ["stated"] * count
    for k, i in enumerate(rows):
        status[i], kinds[i] = verdict.status[k], verdict.error_kind[k]
    return G2Fit(
        model=model.name,
        names=model.names,
        units=tuple(parameter.unit for parameter in model.parameters),
        bins=setup.table,
        value=value,
        error=np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)),
        status=tuple(status),
        reduced_chi2=reduced,
        n_points=setup.problem.n_points,
        covariance=covariance,
        error_kind=tuple(kinds),
        optimum=optimum,
        fixed=MappingProxyType(dict(fixed)),
        backend=backend,
    )


def _no_data(model: G2Model, setup: _Setup, i: int) -> str:
    points = int(setup.problem.n_points[i])
    if points == 0:
        return "no_data: no delay has both a g2 value and an error above 0"
    if not np.all(np.isfinite(setup.scale[i])):
        return f"no_data: q of this bin is unknown, and the model {model.name} fits a velocity"
    needed = max(MIN_POINTS, int(setup.problem.n_free[i]) + 2)
    return f"no_data: only {points} usable delays, this fit needs {needed}"


def _model(name: str) -> G2Model:
    if name not in G2_MODELS:
        raise FitError(f"Unknown model {name!r}; choose one of {', '.join(G2_MODELS)}.")
    return G2_MODELS[name]


def _bins(
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
    chosen = BinTable(
        label=table.label[columns],
        q=table.q[columns],
        phi_deg=table.phi_deg[columns],
        pixels=table.pixels[columns],
    )
    return chosen, columns


def _check_names(model: G2Model, what: str, given: Mapping[str, object]) -> None:
    unknown = [name for name in given if name not in model.names]
    if unknown:
        raise FitError(
            f"The model {model.name} has no parameter {', '.join(map(repr, unknown))} ({what});"
            f" its parameters are {', '.join(model.names)}."
        )


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
