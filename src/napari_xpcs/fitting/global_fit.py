"""Fit g2 of many bins, and of several files, together: :func:`fit_global`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FitError
from napari_xpcs.fitting import _arrow
from napari_xpcs.fitting._arrow import Links
from napari_xpcs.fitting._common_parameters import links_of, plan_of
from napari_xpcs.fitting._common_starts import TRIED, common_starts
from napari_xpcs.fitting._common_verdict import (
    common_verdict,
    decay_shown,
    shared_parameters,
    without_decay,
)
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting._report import fit_table
from napari_xpcs.fitting._setup import Setup, model_named, prepare, select_bins
from napari_xpcs.fitting.g2_model import G2Model
from napari_xpcs.fitting.identifiability import Verdict, excess_noise
from napari_xpcs.fitting.joined_curves import join_curves
from napari_xpcs.fitting.least_squares import fit_block
from napari_xpcs.fitting.options import DEFAULT, FitOptions
from napari_xpcs.fitting.record import record_of
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.fitting.ties import tie
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.progress import Progress, Steps

_NOTHING: Mapping[str, float] = MappingProxyType({})
_NO_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType({})

_WIDE = 1e3
"""A coordinate that follows from common ones has no bounds of its own."""


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
        and ``options``.  Times that follow a law are not held by the bounds of single curves.
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
    plan = plan_of(ties.model, share, law, fixed)
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
    links, parts = links_of(ties.model, plan, setup, rows, problem, file, names)
    problem = _without_bounds(problem, links)
    ends: list[_arrow.Solution] = []
    yield Progress(0, TRIED, "common fits")
    starts = common_starts(ties.model, problem, links, parts, alone.ends, alone.verdict)
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
    verdict, covariance, pressed = common_verdict(
        ties.model, setup, rows, problem, links, best, alone.robust_noise, options
    )
    verdict = replace(verdict, reduced_chi2=verdict.reduced_chi2 * stretch**2)
    shown = decay_shown(ties.model, problem, best.x)
    if not shown:
        verdict = without_decay(verdict, problem)
    fit = fit_table(
        ties,
        setup,
        rows,
        best.x,
        verdict,
        error_floor=alone.floor,
        record=record,
        shared=shared_parameters(links, parts, best, covariance, pressed, shown=shown),
        sources=sources,
    )
    yield Progress(1, 1, "common fits", fit)
    return fit


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


def _without_bounds(problem: Problem, links: Links) -> Problem:
    """Return the curves with room for the coordinates that follow from common ones."""
    return replace(
        problem,
        lower=np.where(links.of_common, -_WIDE, problem.lower),
        upper=np.where(links.of_common, _WIDE, problem.upper),
    )
