"""From where the fits ended to the table that a user gets."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs.fitting._setup import Setup
from napari_xpcs.fitting.identifiability import Verdict
from napari_xpcs.fitting.results import ErrorKind, FitRecord, G2Fit, Shared
from napari_xpcs.fitting.ties import Ties


def fit_table(
    ties: Ties,
    setup: Setup,
    rows: Int[np.ndarray, " curve"],
    x: Float[np.ndarray, "curve param"],
    verdict: Verdict | None,
    *,
    error_floor: Float[np.ndarray, " curve"] | float,
    record: FitRecord,
    shared: Sequence[Shared] = (),
    sources: Sequence[str] = (),
    only: Int[np.ndarray, " bin"] | None = None,
) -> G2Fit:
    """Return parameters, errors and states of all bins, or of those at the positions ``only``.

    Parameters
    ----------
    ties
        The model that was fitted, and the whole one.
    setup
        The curves of all bins.
    rows, x, verdict, error_floor
        Which curves were fitted, where that ended in fitted coordinates, what it is worth, and
        what was added to the errors of g2; without a verdict nothing was fitted.
    record, shared, sources
        How it was fitted, the parameters that several bins have in common, and the file of each
        bin where there are several.
    """
    model = ties.model
    count, width = len(setup.table), len(model.parameters)
    optimum = np.full((count, width), np.nan)
    value, reduced, floor = optimum.copy(), np.full(count, np.nan), np.full(count, np.nan)
    covariance = np.full((count, width, width), np.nan)
    keep = np.arange(count) if only is None else only
    status = [""] * count
    for i in np.setdiff1d(keep, rows if verdict is not None else []).astype(int):
        status[i] = setup.no_data(model, i)
    kinds: list[ErrorKind] = ["stated"] * count
    if verdict is not None:
        log = np.array([parameter.log for parameter in model.parameters])
        optimum[rows] = np.where(log, np.exp(np.where(log, x, 0)), x) * setup.scale[rows]
        # d(value)/d(fitted coordinate): the value itself behind a logarithm.
        slope = np.where(log, optimum[rows], setup.scale[rows])
        both = verdict.determined[:, :, None] & verdict.determined[:, None, :]
        covariance[rows] = np.where(
            both, verdict.covariance * slope[:, :, None] * slope[:, None, :], np.nan
        )
        value[rows] = np.where(verdict.determined, optimum[rows], np.nan)
        reduced[rows], floor[rows] = verdict.reduced_chi2, error_floor
        for k, i in enumerate(rows):
            status[i], kinds[i] = verdict.status[k], verdict.error_kind[k]

    covariance = ties.covariance(covariance[keep])
    whole = ties.whole
    return G2Fit(
        model=whole.name,
        definition=whole,
        names=whole.names,
        units=tuple(parameter.unit for parameter in whole.parameters),
        bins=setup.table.take(keep),
        value=ties.values(value[keep]),
        error=np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)),
        status=tuple(status[i] for i in keep),
        reduced_chi2=reduced[keep],
        n_points=setup.problem.n_points[keep],
        covariance=covariance,
        error_kind=tuple(kinds[i] for i in keep),
        optimum=ties.values(optimum[keep]),
        error_floor=floor[keep],
        fixed=record.fixed,
        backend=record.backend,
        record=record,
        shared=tuple(shared),
        sources=tuple(sources[int(i)] for i in keep) if sources else (),
    )
