"""Fit g2 of many bins: :func:`fit_g2`."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.fitting import _lm_numpy, _multistart
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting._report import fit_table
from napari_xpcs.fitting._setup import Setup, model_named, prepare
from napari_xpcs.fitting.g2_model import G2Model
from napari_xpcs.fitting.identifiability import Verdict, joined, judge
from napari_xpcs.fitting.options import DEFAULT, FitOptions
from napari_xpcs.fitting.record import record_of
from napari_xpcs.fitting.results import FitRecord, G2Fit
from napari_xpcs.fitting.reweighting import with_floor, with_students_t
from napari_xpcs.fitting.start import grid_starts
from napari_xpcs.fitting.ties import Ties, tie
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.progress import Progress, Steps

BLOCK = 256
"""Curves between two partial results."""

_NOTHING: Mapping[str, float] = MappingProxyType({})
_NO_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType({})


def fit_g2(
    curves: G2Curves,
    model: str | G2Model = "single",
    *,
    bins: Sequence[int] | None = None,
    fixed: Mapping[str, float] = _NOTHING,
    bounds: Mapping[str, tuple[float, float]] = _NO_BOUNDS,
    options: FitOptions = DEFAULT,
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
        Key in :data:`napari_xpcs.fitting.models.G2_MODELS`, or a model of one's own
        (:mod:`napari_xpcs.fitting.user_models`).
    bins
        Labels of the bins to fit, in the order of the result; all of them by default.
    fixed
        Parameters to hold, by name, in the units of the model.
    bounds
        Lower and upper bound by parameter name, in place of the default ones.
    options
        Ties, start values, range of delays, outliers, error floor, scale of the errors.
    xp
        A backend with gradients solves with optimistix, one without in NumPy; both take the
        same steps from the same start.

    Yields
    ------
    Progress
        Curves done; ``partial`` is the :class:`G2Fit` of the bins that are finished.

    Returns
    -------
    G2Fit
        One row per bin; a curve that cannot be fitted has a status that says why.

    Raises
    ------
    FitError
        For an unknown model, bin or parameter, and for values or bounds that cannot be.
    """
    ties = tie(model_named(model) if isinstance(model, str) else model, options.tied)
    setup = prepare(ties.model, curves, bins, fixed, bounds, options)
    record = record_of(curves, bins, fixed, bounds, options, xp.name)
    rows = np.flatnonzero(setup.fittable)
    blocks: list[Block] = []
    yield Progress(0, len(rows), "curves")
    for first in range(0, len(rows), BLOCK):
        some = rows[first : first + BLOCK]
        blocks.append((yield from fit_block(ties.model, setup, some, options, xp=xp, before=first)))
        if first + BLOCK < len(rows):
            done = rows[: first + BLOCK]
            partial = _table(ties, setup, done, blocks, record, only=done)
            yield Progress(first + BLOCK, len(rows), "curves", partial)
    fit = _table(ties, setup, rows, blocks, record, only=None)
    yield Progress(len(rows), len(rows), "curves", fit)
    return fit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Where the fits of some curves ended, what these ends are worth, and how points counted.

    ``robust_noise`` is what variances are multiplied with where outliers count less.
    """

    ends: Float[np.ndarray, "curve param"]
    verdict: Verdict
    floor: Float[np.ndarray, " curve"]
    root_weight: Float[np.ndarray, "curve delay"]
    robust_noise: Float[np.ndarray, " curve"] | None


def _table(
    ties: Ties,
    setup: Setup,
    rows: Int[np.ndarray, " curve"],
    blocks: Sequence[Block],
    record: FitRecord,
    *,
    only: Int[np.ndarray, " curve"] | None,
) -> G2Fit:
    ends = [block.ends for block in blocks]
    return fit_table(
        ties,
        setup,
        rows,
        np.concatenate([*ends, np.empty((0, len(ties.model.parameters)))]),
        joined([block.verdict for block in blocks]) if blocks else None,
        error_floor=np.concatenate([*(block.floor for block in blocks), np.empty(0)]),
        record=record,
        only=only,
    )


def fit_block(
    model: G2Model,
    setup: Setup,
    rows: Int[np.ndarray, " curve"],
    options: FitOptions,
    *,
    xp: BackendProtocol,
    before: int = 0,
) -> Steps[Block]:
    """Fit the curves ``rows``, each by itself; ``before`` others are done already."""
    problem = setup.problem.take(rows)
    total = int(np.count_nonzero(setup.fittable))

    def refit(
        problem: Problem, ends: Float[np.ndarray, "curve param"]
    ) -> Generator[int, None, Float[np.ndarray, "curve param"]]:
        return (yield from _multistart.solve(model, problem, ends[:, None], xp=xp))

    def work() -> Generator[int, None, Block]:
        weighted = problem
        starts = grid_starts(model, problem, options.starts or model.starts, setup.start[rows])
        ends = yield from _multistart.solve(model, problem, starts, xp=xp)
        floor = np.full(len(rows), 0.0 if options.error_floor == "auto" else options.error_floor)
        if options.error_floor == "auto":
            weighted, ends, floor = yield from with_floor(model, weighted, ends, refit)
        gaussian, noise = weighted, None
        if options.robust:
            weighted, ends, noise = yield from with_students_t(model, weighted, ends, refit)
        ends = _fast_mode_first(model, weighted, ends)
        measured = None if setup.g2_covariance is None else setup.g2_covariance[rows]
        verdict = judge(
            model,
            weighted,
            ends,
            setup.scale[rows],
            setup.first_delay_s,
            g2_covariance=measured,
            errors=options.errors,
            robust_noise=noise,
        )
        if options.robust:
            chi2 = np.sum(_lm_numpy.residuals(model, gaussian, ends) ** 2, axis=1)
            without = gaussian.scale_from_scatter
            reduced = np.where(without, np.nan, chi2 / gaussian.freedom)
            verdict = replace(verdict, reduced_chi2=reduced)
        return Block(
            ends=ends,
            verdict=verdict,
            floor=floor,
            root_weight=weighted.root_weight,
            robust_noise=noise,
        )

    steps = work()
    most = 0
    while True:
        try:
            # Curves that are refitted with other weights do not count backwards.
            most = max(most, next(steps))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        yield Progress(before + most, total, "curves")


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
