"""Whether draws can be trusted: R-hat, effective sample sizes, divergences, and a verdict.

arviz_stats computes R-hat, sample sizes and BFMI; 30 bins of 4 x 1000 draws take 0.3 s.  It is
imported when it is first needed, which takes a second.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter & Bürkner, Bayesian Anal. 16, 667 (2021): R-hat and ESS.
.. [2] Betancourt, arXiv:1604.00695 (2016): BFMI.
"""

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from napari_xpcs.fitting.identifiability import MAX_LINEAR_ERROR, MAX_LOG_ERROR
from napari_xpcs.fitting.posterior import Diagnostics, Posterior
from napari_xpcs.fitting.priors import coordinates_of, prior_numbers, prior_spread

MOST_R_HAT = 1.01
LEAST_ESS = 400
LEAST_BFMI = 0.3
MOST_K_HAT = 0.7
"""Draws within these limits, and without divergences, are ``ok``."""

SHOWN_R_HAT = 1.05
"""Above this, chains disagree so far that their mean is not shown."""

LEAST_DRAWS = 4
PRIOR_ALONE = 0.7
"""A spread of a parameter above this part of that of its prior: the data do not determine it."""


def judge(posterior: Posterior, rows: Int[np.ndarray, " row"] | None = None) -> Posterior:
    """Return ``posterior`` with diagnostics and verdict of its rows.

    Parameters
    ----------
    rows
        Which rows; by default all that have draws.  A sampling that was cancelled leaves a
        posterior so far: this makes a result of it.
    """
    if rows is None:
        rows = np.flatnonzero(posterior.drawn > 0)
    diagnostics = _diagnostics(posterior, rows)
    status, determined = list(posterior.status), posterior.determined.copy()
    open_ = _undetermined(posterior, rows)
    for k, row in enumerate(rows):
        problems = _problems(posterior, diagnostics, int(row))
        idle = [name for name, wide in zip(posterior.names, open_[k], strict=True) if wide]
        # Chains that lose their way where the fit found no answer either are not what is wrong.
        lost = posterior.method == "nuts" and posterior.fit.status[row] != "ok"
        if idle and (not problems or lost):
            words = " and ".join(idle)
            status[row] = f"not_identifiable: prior and data together leave {words} open"
        elif problems:
            status[row] = "failed: " + "; ".join(problems)
        else:
            status[row] = "ok"
        with np.errstate(invalid="ignore"):
            apart = diagnostics.r_hat[row] > SHOWN_R_HAT
        unusable = posterior.method == "laplace" and diagnostics.k_hat[row] >= MOST_K_HAT
        few = posterior.drawn[row] < LEAST_DRAWS
        determined[row] = ~posterior.free | ~(open_[k] | apart | unusable | few)
    return replace(posterior, diagnostics=diagnostics, status=tuple(status), determined=determined)


def _diagnostics(posterior: Posterior, rows: Int[np.ndarray, " row"]) -> Diagnostics:
    array_stats: Any = import_module("arviz_stats.base").array_stats
    old = posterior.diagnostics
    r_hat, bulk, tail = old.r_hat.copy(), old.ess_bulk.copy(), old.ess_tail.copy()
    divergences, bfmi, full = old.divergences.copy(), old.bfmi.copy(), old.full_trees.copy()
    trace = posterior.trace
    if trace is None:
        return old
    for count in np.unique(posterior.drawn[rows]):
        if count < LEAST_DRAWS:
            continue
        group = rows[posterior.drawn[rows] == count]
        each = np.ix_(group, np.flatnonzero(posterior.free))
        # (bin, param, chain, draw), as arviz_stats wants the two axes that it sums over last.
        draws = np.moveaxis(posterior.draws[group][:, :, :count, posterior.free], 3, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            r_hat[each] = array_stats.rhat(draws, method="rank")
            bulk[each] = array_stats.ess(draws, method="bulk")
            tail[each] = array_stats.ess(draws, method="tail", prob=(0.05, 0.95))
        energy = trace.energy[group, :, :count]
        jumps = np.mean(np.diff(energy, axis=2) ** 2, axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            bfmi[group] = np.min(jumps / np.var(energy, axis=2), axis=1)
        divergences[group] = trace.diverged[group, :, :count].sum(axis=(1, 2))
        full[group] = np.mean(trace.tree_size[group, :, :count] >= trace.largest_tree, axis=(1, 2))
    return replace(
        old,
        r_hat=r_hat,
        ess_bulk=bulk,
        ess_tail=tail,
        divergences=divergences,
        bfmi=bfmi,
        full_trees=full,
    )


def _problems(posterior: Posterior, diagnostics: Diagnostics, row: int) -> list[str]:
    """Return what speaks against the draws of a row, in words."""
    if posterior.method == "laplace":
        k_hat = diagnostics.k_hat[row]
        if k_hat < MOST_K_HAT:
            return []
        return [
            f"k-hat is {k_hat:.2f}, below {MOST_K_HAT} is wanted: the posterior is far from"
            " normal; sample it with NUTS"
        ]
    drawn = int(posterior.drawn[row])
    if drawn < LEAST_DRAWS:
        return [f"only {drawn} draws were made"]
    problems, names = [], np.array(posterior.names)
    r_hat, free = diagnostics.r_hat[row], posterior.free
    ess = np.fmin(diagnostics.ess_bulk[row], diagnostics.ess_tail[row])
    worst = int(np.nanargmax(np.where(free, r_hat, -np.inf)))
    if not r_hat[worst] < MOST_R_HAT:
        problems.append(
            f"the chains disagree on {names[worst]} (R-hat {r_hat[worst]:.3f}, below"
            f" {MOST_R_HAT} is wanted)"
        )
    least = int(np.nanargmin(np.where(free, ess, np.inf)))
    if not ess[least] > LEAST_ESS:
        problems.append(
            f"{names[least]} has {ess[least]:.0f} effective draws, {LEAST_ESS} are wanted: draw"
            " more"
        )
    if diagnostics.divergences[row]:
        problems.append(
            f"{diagnostics.divergences[row]} of {drawn * posterior.chains} trajectories"
            " diverged: part of the posterior is hard to reach"
        )
    if diagnostics.bfmi[row] < LEAST_BFMI:
        problems.append(
            f"the energy explores slowly (BFMI {diagnostics.bfmi[row]:.2f}, above {LEAST_BFMI}"
            " is wanted): the posterior has heavy tails"
        )
    return problems


def _undetermined(
    posterior: Posterior, rows: Int[np.ndarray, " row"]
) -> Bool[np.ndarray, "row param"]:
    """Return which parameters the data leave open.

    Those that are spread about as widely as their prior (baseline and contrast left out: a
    narrow prior is a way to hold them), and those wider than a fit would take as determined.
    """
    model = posterior.sampled_model
    coordinates = coordinates_of(model, posterior.priors)
    numbers = prior_numbers(model, posterior.priors)
    spread = prior_spread(model, posterior.priors, coordinates)
    columns = [posterior.names.index(name) for name in model.names]
    log = np.array([parameter.log for parameter in posterior.fit.g2_model.parameters])
    wide = np.zeros((len(rows), len(posterior.names)), dtype=bool)
    for k, row in enumerate(rows):
        flat = posterior.row_draws(int(row)).reshape(-1, len(posterior.names))
        u = coordinates.of_values(flat[:, columns], numbers)
        wide[k, columns[2:]] = (np.std(u, axis=0) > PRIOR_ALONE * spread)[2:]
        size = np.std(np.where(log, np.log(np.where(log, flat, 1.0)), flat), axis=0)
        limit = np.where(log, MAX_LOG_ERROR, MAX_LINEAR_ERROR)
        limit[1] *= np.mean(flat[:, 1])
        wide[k] |= size > limit
    return np.asarray(wide & posterior.free)
