r"""An instant posterior: the expansion about the mode, corrected by importance sampling.

Draws come from a multivariate Student t with 5 degrees of freedom about the mode and are weighed
by what the posterior is there over what the t is.  The largest weights are smoothed by the tail of
a generalised Pareto distribution, whose shape k-hat tells whether the draws can stand for the
posterior (PSIS [1]_): below 0.7 they can.

References
----------
.. [1] Vehtari, Simpson, Gelman, Yao & Gabry, J. Mach. Learn. Res. 25, 72 (2024).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FitError
from napari_xpcs.fitting._sampling import Sampling, set_up
from napari_xpcs.fitting._target import CurveData, Likelihood, Target
from napari_xpcs.fitting.diagnostics import judge
from napari_xpcs.fitting.posterior import Posterior
from napari_xpcs.fitting.priors import Prior
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.progress import Progress, Steps

_PROPOSAL_FREEDOM = 5
_CHUNK = 16
"""Curves whose draws are weighed at a time."""

_LEAST_DRAWS = 100


def sample_laplace(
    curves: G2Curves,
    fit: G2Fit,
    *,
    priors: Mapping[str, Prior | str] | None = None,
    likelihood: Likelihood = "gaussian",
    draws: int = 2000,
    seed: int = 0,
    bins: Sequence[int] | None = None,
    xp: BackendProtocol,
) -> Steps[Posterior]:
    """Return the posterior of every bin of ``fit`` within a second, or say where it needs NUTS.

    The parameters are those of :func:`~napari_xpcs.fitting.nuts.sample_nuts`; ``draws`` are made
    per bin, all in one chain, and any backend serves.

    Yields
    ------
    Progress
        Bins done, with the posterior so far as ``partial``.

    Returns
    -------
    Posterior
        Draws of equal weight; the status of a bin whose k-hat is 0.7 or more recommends NUTS.

    Raises
    ------
    FitError
        For bins, priors or counts that cannot be.
    """
    if draws < _LEAST_DRAWS:
        msg = f"draws is {draws}, but importance sampling needs at least {_LEAST_DRAWS}."
        raise FitError(msg)
    sampling = set_up(curves, fit, priors, likelihood, bins)
    posterior = sampling.empty("laplace", 1, draws, 0, seed)
    count = len(sampling.rows)
    yield Progress(0, count, "bins", posterior)
    psis: Any = import_module("arviz_stats.base").array_stats  # a second to import
    log_weight = xp.jit(_log_weight, static_argnames=("target", "xp"))
    for first in range(0, count, _CHUNK):
        chunk = slice(first, min(first + _CHUNK, count))
        rows = sampling.rows[chunk]
        proposals = _proposals(sampling, sampling.fit.bins.label[rows], draws, seed)
        data = sampling.chunk(chunk, _CHUNK)
        padded = np.resize(proposals, (_CHUNK, *proposals.shape[1:]))
        weight = xp.to_numpy(log_weight(padded, data, target=sampling.target, xp=xp))
        weight = weight[: len(rows)]
        best = np.max(np.where(np.isfinite(weight), weight, -np.inf), axis=1, keepdims=True)
        # Where the model overflows the posterior is 0, and a logarithm that is finite does as well.
        weight = np.where(np.isfinite(weight), np.maximum(weight - best, -700.0), -700.0)
        # It wants logarithms of likelihoods, of which importance weights are the inverse.
        smooth, k_hat = psis.psislw(-weight, axis=-1)
        kept = posterior.diagnostics.k_hat.copy()
        drawn, kept[rows] = posterior.drawn.copy(), k_hat
        for k, row in enumerate(rows):
            chosen = _systematic(np.exp(smooth[k]))
            posterior.draws[row, 0] = sampling.values(first + k, proposals[k, chosen])
        drawn[rows] = draws
        posterior = replace(
            posterior, drawn=drawn, diagnostics=replace(posterior.diagnostics, k_hat=kept)
        )
        posterior = judge(posterior, rows)
        yield Progress(chunk.stop, count, "bins", posterior)
    return posterior


def _proposals(
    sampling: Sampling, labels: np.ndarray, draws: int, seed: int
) -> Float[np.ndarray, "curve draw param"]:
    """Return whitened draws of the t; a held parameter stays at 0."""
    free = sampling.free
    e = np.zeros((len(labels), draws, len(free)))
    for k, label in enumerate(labels):
        rng = np.random.default_rng((seed, int(label)))
        normal = rng.standard_normal((draws, int(np.count_nonzero(free))))
        size = np.sqrt(rng.chisquare(_PROPOSAL_FREEDOM, draws) / _PROPOSAL_FREEDOM)
        e[k][:, free] = normal / size[:, None]
    return e


def _log_weight(
    e: Float[Array, "curve draw param"], data: CurveData, *, target: Target, xp: BackendProtocol
) -> Float[Array, "curve draw"]:
    """Return the logarithm of posterior over proposal, without its constant."""
    lanes = data._replace(
        g2=data.g2[:, None],
        root_weight=data.root_weight[:, None],
        scale=data.scale[:, None],
        centre=data.centre[:, None],
        whitening=data.whitening[:, None],
    )
    held = xp.sum(data.whitening**2, axis=-1) == 0
    dimensions = xp.sum(xp.where(held, 0.0, 1.0), axis=-1)[:, None]
    square = xp.sum(e**2, axis=-1)
    log_proposal = -0.5 * (_PROPOSAL_FREEDOM + dimensions) * xp.log1p(square / _PROPOSAL_FREEDOM)
    return target.log_density(e, lanes, xp=xp) - log_proposal


def _systematic(weight: Float[np.ndarray, " draw"]) -> np.ndarray:
    """Return as many draws as there are, each as often as its weight says, within 1."""
    total = np.cumsum(weight)
    at = (np.arange(len(weight)) + 0.5) / len(weight) * total[-1]
    return np.asarray(np.minimum(np.searchsorted(total, at), len(weight) - 1))
