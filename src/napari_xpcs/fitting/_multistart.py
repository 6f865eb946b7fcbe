"""Fits from several starts at once, of which the lowest chi2 is kept."""

from collections.abc import Generator

import numpy as np
from jaxtyping import Float

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.fitting import _lm_numpy
from napari_xpcs.fitting._problem import (
    CHUNK,
    FIRST_DAMPING,
    MAX_ROUNDS,
    Lanes,
    Problem,
)
from napari_xpcs.fitting.g2_model import G2Model

HOPELESS = 100.0
"""A fit is given up when another of the same curve has ended with a chi2 lower by this many times
max(1, reduced chi2): after a round of steps it has hardly that far to go."""

_NUMPY_CHUNK = 4 * CHUNK


def solve(
    model: G2Model,
    problem: Problem,
    starts: Float[np.ndarray, "curve start param"],
    *,
    xp: BackendProtocol,
) -> Generator[int, None, Float[np.ndarray, "curve param"]]:
    """Fit every curve from each of its starts; return where the best ended, fitted coordinates.

    Yields
    ------
    int
        How many curves have ended, several times a second.
    """
    curves, count = starts.shape[:2]
    curve = np.repeat(np.arange(curves), count)
    x = starts.reshape(curves * count, -1).copy()
    damping = np.full(len(x), FIRST_DAMPING)
    running = np.ones(len(x), dtype=bool)
    chi2 = np.full(len(x), np.inf)
    for _ in range(MAX_ROUNDS):
        lanes = np.flatnonzero(running)
        if not len(lanes):
            break
        for first in range(0, len(lanes), _NUMPY_CHUNK):
            some = lanes[first : first + _NUMPY_CHUNK]
            part = problem.take(curve[some])
            moved = _advance(model, part, x[some], damping[some], xp)
            x[some], damping[some], running[some] = moved.x, moved.damping, ~moved.done
            chi2[some] = np.sum(_lm_numpy.residuals(model, part, moved.x) ** 2, axis=1)
            yield curves - len(np.unique(curve[running]))
        chi2 = np.nan_to_num(chi2, nan=np.inf)
        best_ended = np.full(curves, np.inf)
        np.minimum.at(best_ended, curve[~running], chi2[~running])
        lead = HOPELESS * np.maximum(1, best_ended / problem.freedom)
        with np.errstate(invalid="ignore"):
            running &= ~(chi2 - best_ended[curve] > lead[curve])
    best = chi2.reshape(curves, count).argmin(axis=1)
    return np.asarray(x.reshape(curves, count, -1)[np.arange(curves), best])


def _advance(
    model: G2Model,
    problem: Problem,
    x: Float[np.ndarray, "lane param"],
    damping: Float[np.ndarray, " lane"],
    xp: BackendProtocol,
) -> Lanes:
    if xp.supports_grad:
        from napari_xpcs.fitting import _box_lm  # imports JAX: seconds, so not before

        return _box_lm.advance(model, problem, x, damping, xp=xp)
    return _lm_numpy.advance(model, problem, x, damping)
