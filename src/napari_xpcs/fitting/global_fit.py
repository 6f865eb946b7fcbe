"""Fit g2 of many bins, and of several files, together: :func:`fit_global`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting import _arrow, _lm_numpy
from napari_xpcs.fitting._arrow import Links
from napari_xpcs.fitting._problem import AT_BOUND, Problem
from napari_xpcs.fitting._report import fit_table
from napari_xpcs.fitting._setup import Setup, model_named, prepare, select_bins
from napari_xpcs.fitting.g2_model import G2Model, averaged_shape, natural
from napari_xpcs.fitting.identifiability import (
    ALL_OF_DECAY,
    MIN_GAIN_OVER_CONSTANT,
    MOST_OF_DECAY,
    Joint,
    Verdict,
    chi2_quantile,
    decay_seen,
    excess_noise,
    judge,
    spread_of_gradient,
)
from napari_xpcs.fitting.joined_curves import join_curves
from napari_xpcs.fitting.laws import EXPONENT_BOUNDS, LAWS, RELAXATION, Law, law_named
from napari_xpcs.fitting.least_squares import fit_block
from napari_xpcs.fitting.options import DEFAULT, FitOptions
from napari_xpcs.fitting.record import record_of
from napari_xpcs.fitting.results import G2Fit, Shared
from napari_xpcs.fitting.ties import tie
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.progress import Progress, Steps

_NOTHING: Mapping[str, float] = MappingProxyType({})
_NO_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType({})

_WIDE = 1e3
"""A coordinate that follows from common ones has no bounds of its own."""

_SCANNED_CURVES, _SCANNED_POINTS = 40, 2000
_TRIED = 3
"""From how many points of the scan the common parameters set out."""

_NO_DECAY = "not_identifiable: all bins together show no decay within the delays"

_MAX_COMMON_LOG_ERROR, _MAX_COMMON_LINEAR_ERROR = 1.0, 0.5


def fit_global(
    curves: G2Curves | Sequence[G2Curves],
    model: str | G2Model = "single",
    *,
    share: Sequence[str] = (),
    law: str | None = None,
    bins: Sequence[int] | None = None,
    fixed: Mapping[str, float] = _NOTHING,
    bounds: Mapping[str, tuple[float, float]] = _NO_BOUNDS,
    options: FitOptions = DEFAULT,
    xp: BackendProtocol,
) -> Steps[G2Fit]:
    """Fit a model to g2 of all bins together, some of its parameters in common.

    Every parameter is free in each bin, fixed, shared by all bins (``share``), or follows a law
    of q (``law``, the relaxation time).  Where a bin's errors are smaller than the scatter about
    its own fit, they are raised to it, else a few bins with wrong errors would decide for all.

    Parameters
    ----------
    curves
        Of one file, or of several.
    model
        As for :func:`napari_xpcs.fitting.least_squares.fit_g2`, as are ``fixed``, ``bounds``
        and ``options``.
    share
        Parameters of the model that have one value in all bins of all files, and parameters of
        the law (``D``, ``tau0``, ``n``, ``v``) that have one value in all files; without it, each
        file has a law of its own.  ``D`` implies the law ``diffusion``.
    law
        Key in :data:`napari_xpcs.fitting.laws.LAWS`, or None.
    bins
        Labels to fit, in every file.
    xp
        A backend with gradients takes derivatives by autodiff.

    Yields
    ------
    Progress
        Curves fitted by themselves, then steps of the common fit.

    Returns
    -------
    G2Fit
        One row per bin, the common parameters in every row, and once more in ``shared``.

    Raises
    ------
    FitError
        As :func:`~napari_xpcs.fitting.least_squares.fit_g2`, and for parameters or laws that are
        not there.
    """
    several = [curves] if isinstance(curves, G2Curves) else list(curves)
    whole = model_named(model) if isinstance(model, str) else model
    ties = tie(whole, options.tied)
    plan = _plan(ties.model, share, law, fixed)
    chosen = [_only(each, bins) for each in several]
    file = np.repeat(np.arange(len(chosen)), [len(each.bins) for each in chosen])
    everything = join_curves(chosen)
    setup = prepare(ties.model, everything, None, fixed, bounds, options)
    record = record_of(
        everything if bins is None else join_curves(several),
        bins,
        fixed,
        bounds,
        options,
        xp.name,
        sources=[each.source for each in several],
        share=share,
        law=plan.law.name if plan.law else None,
    )
    names = [Path(each.source).name or f"file {i + 1}" for i, each in enumerate(several)]
    sources = [names[i] for i in file] if len(several) > 1 else []
    known = setup.fittable
    if plan.law:
        with np.errstate(invalid="ignore"):
            known = known & np.isfinite(setup.table.q) & (setup.table.q > 0)
    rows = np.flatnonzero(known)
    if len(rows) < 2:
        raise FitError(
            f"{len(rows)} of {len(known)} bins can take part; a fit of several bins together"
            f" needs 2 with enough delays{' and a known q' if plan.law else ''}."
        )
    alone = yield from fit_block(ties.model, setup, rows, options, xp=xp)
    problem, stretch = _weighted(setup, rows, alone.root_weight, alone.verdict, options)
    links, parts = _links(ties.model, plan, setup, rows, problem, file, names)
    problem = _without_bounds(problem, links)
    ends: list[_arrow.Solution] = []
    yield Progress(0, _TRIED, "common fits")
    starts = _starts(ties.model, problem, links, parts, alone.ends, alone.verdict)
    for k, common in enumerate(starts):
        steps = _arrow.solve(ties.model, problem, links, alone.ends, common, xp=xp)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                ends.append(stop.value)
                break
            yield Progress(k, len(starts), "common fits")
    best = min(ends, key=lambda end: end.chi2)
    verdict, covariance, pressed = _verdict(
        ties.model, setup, rows, problem, links, best, alone.robust_noise, options
    )
    verdict = replace(verdict, reduced_chi2=verdict.reduced_chi2 * stretch**2)
    shown = _decay_shown(ties.model, problem, best.x)
    if not shown:
        verdict = _without_decay(verdict, problem)
    fit = fit_table(
        ties,
        setup,
        rows,
        best.x,
        verdict,
        error_floor=alone.floor,
        record=record,
        shared=_shared(links, parts, best, covariance, pressed, shown=shown),
        sources=sources,
    )
    yield Progress(1, 1, "common fits", fit)
    return fit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Which parameters are common; ``time`` follows ``law``."""

    shared: tuple[str, ...]
    law: Law | None
    time: str | None
    one_amplitude: bool
    one_exponent: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """One common parameter: its name and unit, what its coordinate is, and whose it is."""

    name: str
    unit: str
    source: str
    members: Bool[np.ndarray, " curve"]
    column: int
    law: Law | None = None
    is_exponent: bool = False
    q_reference: float = float("nan")


def _plan(
    model: G2Model, share: Sequence[str], law: str | None, fixed: Mapping[str, float]
) -> _Plan:
    implied = [each.name for each in LAWS.values() if {each.short, each.amplitude} & set(share)]
    if law is None and implied:
        law = implied[0]
    chosen = None if law is None else law_named(law)
    allowed = set(model.names)
    if chosen is not None:
        allowed |= {chosen.short, chosen.amplitude} | ({"n"} if chosen.exponent is None else set())
    unknown = [name for name in share if name not in allowed]
    if unknown:
        raise FitError(
            f"{', '.join(unknown)} cannot be shared; the model {model.name}"
            f"{f' with the law {chosen.name}' if chosen else ''} has {', '.join(sorted(allowed))}."
        )
    time = next((name for name in RELAXATION if name in model.names), None)
    if chosen is not None and time is None:
        raise FitError(f"The model {model.name} has no relaxation time that could follow a law.")
    shared = tuple(name for name in model.names if name in share)
    both = [name for name in (*shared, *([time] if chosen and time else [])) if name in fixed]
    if both:
        raise FitError(f"{', '.join(both)} is fixed; a fixed parameter is not shared as well.")
    if chosen is not None and time in shared:
        raise FitError(f"{time} follows the law {chosen.name}; it is not shared as well.")
    if not shared and chosen is None:
        raise FitError(
            "Nothing is shared: name a parameter to share, or a law that the relaxation times"
            f" follow ({', '.join(LAWS)})."
        )
    return _Plan(
        shared=shared,
        law=chosen,
        time=time if chosen else None,
        one_amplitude=chosen is not None and bool({chosen.short, chosen.amplitude} & set(share)),
        one_exponent="n" in share,
    )


def _only(curves: G2Curves, bins: Sequence[int] | None) -> G2Curves:
    if bins is None:
        return curves
    table, columns = select_bins(curves.bins, bins)
    covariance = None if curves.covariance is None else curves.covariance[columns]
    return replace(
        curves,
        bins=table,
        g2=curves.g2[:, columns],
        error=curves.error[:, columns],
        covariance=covariance,
    )


def _weighted(
    setup: Setup,
    rows: Int[np.ndarray, " curve"],
    root_weight: Float[np.ndarray, "curve delay"],
    verdict: Verdict,
    options: FitOptions,
) -> tuple[Problem, Float[np.ndarray, " curve"]]:
    """Return the curves with errors at least as large as their scatter, and what raised them."""
    problem = replace(setup.problem.take(rows), root_weight=root_weight)
    stretch = np.ones(len(rows))
    if options.errors != "stated" and not options.robust:
        stretch = np.sqrt(excess_noise(problem, np.nan_to_num(verdict.reduced_chi2, nan=1.0)))
    return replace(problem, root_weight=root_weight / stretch[:, None]), stretch


def _links(
    model: G2Model,
    plan: _Plan,
    setup: Setup,
    rows: Int[np.ndarray, " curve"],
    problem: Problem,
    file: Int[np.ndarray, " bin"],
    names: Sequence[str],
) -> tuple[Links, list[_Part]]:
    """Return how the coordinates of the curves follow from the common parameters."""
    scale, q, owner = setup.scale[rows], setup.table.q[rows], file[rows]
    log = np.array([parameter.log for parameter in model.parameters])
    log_scale = np.where(log, np.log(scale, where=log, out=np.zeros_like(scale)), 0.0)
    everyone = np.ones(len(rows), dtype=bool)
    parts: list[_Part] = []
    columns: list[Float[np.ndarray, "curve param"]] = []
    offset = np.zeros_like(scale)
    lower, upper, is_log = [], [], []
    for name in plan.shared:
        i = model.names.index(name)
        column = np.zeros_like(scale)
        column[:, i] = 1.0
        offset[:, i] = -log_scale[:, i]
        parts.append(
            _Part(name=name, unit=model.parameters[i].unit, source="", members=everyone, column=i)
        )
        columns.append(column)
        lower.append(float(np.max(problem.lower[:, i] - offset[:, i])))
        upper.append(float(np.min(problem.upper[:, i] - offset[:, i])))
        is_log.append(bool(log[i]))
    if plan.law is not None and plan.time is not None:
        i = model.names.index(plan.time)
        sign = RELAXATION[plan.time]
        log_q = np.log(q)
        centre = float(log_q.mean())
        offset[:, i] = -log_scale[:, i]
        if plan.law.exponent is not None:
            offset[:, i] -= sign * plan.law.exponent * (log_q - centre)
        files = [int(k) for k in np.unique(owner)]
        scopes: list[tuple[str, Bool[np.ndarray, " curve"]]] = [
            (names[k] if len(names) > 1 else "", owner == k) for k in files
        ]
        whole = [("", everyone)]
        wanted = [("amplitude", whole if plan.one_amplitude else scopes)]
        if plan.law.exponent is None:
            wanted.append(("exponent", whole if plan.one_exponent else scopes))
        span = float(np.log(problem.t.max()))
        first = float(np.log(setup.first_delay_s))
        for what, groups in wanted:
            for source, members in groups:
                column = np.zeros_like(scale)
                is_exponent = what == "exponent"
                slope = -(log_q - centre) if is_exponent else np.ones_like(q)
                column[:, i] = np.where(members, sign * slope, 0.0)
                parts.append(
                    _Part(
                        name="n" if is_exponent else plan.law.amplitude,
                        unit="" if is_exponent else plan.law.unit,
                        source=source,
                        members=members,
                        column=i,
                        law=plan.law,
                        is_exponent=is_exponent,
                        q_reference=float(np.exp(centre)),
                    )
                )
                columns.append(column)
                low, high = EXPONENT_BOUNDS if is_exponent else (first - 10, first + span + 10)
                lower.append(low)
                upper.append(high)
                is_log.append(not is_exponent)
    of_common = np.zeros(len(model.parameters), dtype=bool)
    of_common[[part.column for part in parts]] = True
    links = Links(
        matrix=np.stack(columns, axis=2),
        offset=offset,
        of_common=of_common,
        lower=np.array(lower),
        upper=np.array(upper),
        log=np.array(is_log),
    )
    return links, parts


def _without_bounds(problem: Problem, links: Links) -> Problem:
    """Return the curves with room for the coordinates that follow from common ones."""
    return replace(
        problem,
        lower=np.where(links.of_common, -_WIDE, problem.lower),
        upper=np.where(links.of_common, _WIDE, problem.upper),
    )


def _starts(
    model: G2Model,
    problem: Problem,
    links: Links,
    parts: Sequence[_Part],
    ends: Float[np.ndarray, "curve param"],
    verdict: Verdict,
) -> list[Float[np.ndarray, " common"]]:
    """Return points to set out from: the mean of the curves' own, and the best of a scan."""
    good = np.all(verdict.determined, axis=1)
    own = ends.copy()
    if good.any():
        # What a curve does not tell by itself, the others lend for a start.
        own[:, 2:] = np.where(verdict.determined, ends, np.median(ends[good], axis=0))[:, 2:]
    first = np.array([_own_mean(links, part, ends, verdict) for part in parts])
    first = np.clip(first, links.lower, links.upper)
    axes = [_axis(model, links, part, k, first[k]) for k, part in enumerate(parts)]
    while np.prod([float(len(axis)) for axis in axes]) > _SCANNED_POINTS:
        longest = int(np.argmax([len(axis) for axis in axes]))
        axes[longest] = axes[longest][::2]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    some = np.linspace(0, len(problem) - 1, min(len(problem), _SCANNED_CURVES)).astype(int)
    part_problem = problem.take(some)
    part_links = replace(links, matrix=links.matrix[some], offset=links.offset[some])
    chi2 = np.empty(len(points))
    for k, common in enumerate(points):
        x = part_links.coordinates(own[some], common)
        x = _arrow.project(model, part_problem, part_links, x)
        chi2[k] = np.sum(_lm_numpy.residuals(model, part_problem, x) ** 2)
    order = np.argsort(np.nan_to_num(chi2, nan=np.inf))
    return [first, *points[order[: _TRIED - 1]]]


def _own_mean(
    links: Links,
    part: _Part,
    ends: Float[np.ndarray, "curve param"],
    verdict: Verdict,
) -> float:
    """Return the common parameter that the curves' own values speak for, inversely weighted."""
    i = part.column
    if part.is_exponent:
        return 2.0
    known = part.members & verdict.determined[:, i]
    if not known.any():
        known = part.members
    sign = RELAXATION.get(part.name, 1)
    sign = 1 if part.law is None else int(np.sign(links.matrix[known, i].sum()) or sign)
    own = sign * (ends[known, i] - links.offset[known, i])
    variance = verdict.covariance[known, i, i]
    weight = 1 / np.maximum(np.where(variance > 0, variance, np.inf), 1e-6)
    if not weight.sum() > 0:
        return float(np.median(own))
    order = np.argsort(own)
    # A weighted median: one curve that went astray does not move it.
    at = np.searchsorted(np.cumsum(weight[order]), 0.5 * weight.sum())
    return float(own[order[min(at, len(own) - 1)]])


def _axis(
    model: G2Model, links: Links, part: _Part, k: int, first: float
) -> Float[np.ndarray, " value"]:
    low, high = links.lower[k], links.upper[k]
    if part.is_exponent:
        return np.array([1.0, 1.5, 2.0, 2.5, 3.0])
    if not links.log[k]:
        rule = None if part.column < 2 else model.grid[part.column - 2]
        if isinstance(rule, tuple):
            inside = [value for value in rule if low <= value <= high]
            return np.unique([first, *inside])
        return np.array([first])
    return np.unique(np.clip(first + np.arange(-5.0, 5.01, 0.5), low, high))


def _verdict(
    model: G2Model,
    setup: Setup,
    rows: Int[np.ndarray, " curve"],
    problem: Problem,
    links: Links,
    best: _arrow.Solution,
    robust_noise: Float[np.ndarray, " curve"] | None,
    options: FitOptions,
) -> tuple[Verdict, Float[np.ndarray, "common common"], Bool[np.ndarray, "common 2"]]:
    residual = _lm_numpy.residuals(model, problem, best.x)
    reduced = np.sum(residual**2, axis=1) / problem.freedom
    gradient, normal = _lm_numpy.normal_equations(model, problem, best.x, residual)
    margin = AT_BOUND * (problem.upper - problem.lower)
    own = (problem.upper > problem.lower) & ~links.of_common
    own &= (best.x > problem.lower + margin) & (best.x < problem.upper - margin)
    room = AT_BOUND * (links.upper - links.lower)
    pressed = np.stack(
        [best.common <= links.lower + room, best.common >= links.upper - room], axis=1
    )
    free = np.asarray(~pressed.any(axis=1))
    noise = excess_noise(problem, reduced)
    if options.errors == "stated":
        noise = np.where(problem.scale_from_scatter, reduced, 1.0)
    if robust_noise is not None:
        noise = robust_noise
    spread = normal * noise[:, None, None]
    correlated = np.zeros(len(rows), dtype=bool)
    measured = None if setup.g2_covariance is None else setup.g2_covariance[rows]
    if measured is not None:
        joint = spread_of_gradient(model, problem, best.x, measured)
        correlated = np.all(np.isfinite(joint), axis=(1, 2))
        spread = np.where(correlated[:, None, None], joint, spread)
    common, covariance = _arrow.covariances(
        links, normal, spread, (own, free), None if options.errors == "stated" else gradient
    )
    verdict = judge(
        model,
        problem,
        best.x,
        setup.scale[rows],
        setup.first_delay_s,
        errors=options.errors,
        robust_noise=robust_noise,
        joint=Joint(
            covariance=covariance,
            common=links.of_common,
            correlated=correlated,
            converged=best.converged,
        ),
    )
    # What all curves together do not tell, none of its rows has.
    told = free & (np.sqrt(np.diagonal(common)) <= _limits(links))
    depends = np.any(links.matrix[:, :, ~told] != 0, axis=2)
    return replace(verdict, determined=verdict.determined & ~depends), common, pressed


def _decay_shown(model: G2Model, problem: Problem, x: Float[np.ndarray, "curve param"]) -> bool:
    """Return whether the bins with most of their decay inside the delays show one, together.

    In noise the contrast of a bin, in units of its error, is a normal deviate of either sign.
    The squares of the positive ones are held to the chi2 that one bin by itself must reach; the
    negative ones tell by how much slow drifts, which point scatter does not show, widen it.
    """
    xp = NumPyBackend()
    at_first, at_last = decay_seen(model, problem, x).T
    inside = np.flatnonzero((at_last >= MOST_OF_DECAY) & (at_first <= ALL_OF_DECAY))
    if not len(inside):
        return False
    some, x = problem.take(inside), x[inside]
    reduced = np.sum(_lm_numpy.residuals(model, some, x) ** 2, axis=1) / some.freedom
    weight = some.root_weight**2 / excess_noise(some, reduced)[:, None]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        theta = natural(model, x, xp=xp)[2:]
        shape = np.asarray(averaged_shape(model, some.t, some.averaging, theta, xp=xp))
    shape = shape - np.average(shape, axis=1, weights=weight)[:, None]
    level = np.average(some.g2, axis=1, weights=weight)[:, None]
    size = np.sqrt(np.sum(weight * shape**2, axis=1))
    pull = np.sum(weight * shape * (some.g2 - level), axis=1) / np.maximum(size, 1e-300)
    noise = max(1.0, 2 * float(np.mean(np.minimum(pull, 0.0) ** 2)))
    gain = float(np.sum(np.maximum(pull, 0.0) ** 2)) / noise
    return gain >= float(chi2_quantile(len(pull), np.sqrt(MIN_GAIN_OVER_CONSTANT)))


def _without_decay(verdict: Verdict, problem: Problem) -> Verdict:
    """Return the verdict on bins that show no decay even together."""
    return replace(
        verdict,
        status=tuple(_NO_DECAY if status == "ok" else status for status in verdict.status),
        determined=verdict.determined & (problem.upper <= problem.lower),
    )


def _limits(links: Links) -> Float[np.ndarray, " common"]:
    return np.where(links.log, _MAX_COMMON_LOG_ERROR, _MAX_COMMON_LINEAR_ERROR)


def _shared(
    links: Links,
    parts: Sequence[_Part],
    best: _arrow.Solution,
    covariance: Float[np.ndarray, "common common"],
    pressed: Bool[np.ndarray, "common 2"],
    *,
    shown: bool,
) -> list[Shared]:
    shared = []
    error = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    for k, part in enumerate(parts):
        coordinate = float(best.common[k])
        if part.law is not None and not part.is_exponent:
            value = part.law.value(coordinate, part.q_reference)
            value_error = value * error[k]
        elif links.log[k]:
            value = float(np.exp(coordinate))
            value_error = value * error[k]
        else:
            value, value_error = coordinate, float(error[k])
        status = "ok"
        if not best.converged:
            status = "failed: the common fit found no minimum; share or free other parameters"
        elif pressed[k].any():
            which = "lower" if pressed[k, 0] else "upper"
            status = f"at_bound: {part.name} is at its {which} bound {value:.3g}"
        elif not shown:
            status = _NO_DECAY
        elif error[k] > _limits(links)[k]:
            status = f"not_identifiable: all bins together do not determine {part.name}"
        told = status == "ok"
        shared.append(
            Shared(
                name=part.name,
                unit=part.unit,
                value=value if told else np.nan,
                error=float(value_error) if told else np.nan,
                status=status,
                n_bins=int(np.count_nonzero(part.members)),
                source=part.source,
                q_reference=part.q_reference,
            )
        )
    return shared
