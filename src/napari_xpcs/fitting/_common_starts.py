"""Where a global fit sets out: the mean of what the curves say alone, and the best of a scan."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from napari_xpcs.fitting import _arrow, _lm_numpy
from napari_xpcs.fitting._arrow import Links
from napari_xpcs.fitting._common_parameters import CommonParameter
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting.g2_model import G2Model
from napari_xpcs.fitting.identifiability import Verdict
from napari_xpcs.fitting.laws import RELAXATION

_SCANNED_CURVES, _SCANNED_POINTS = 40, 2000

TRIED = 3
"""From how many points of the scan the common parameters set out."""


def common_starts(
    model: G2Model,
    problem: Problem,
    links: Links,
    parts: Sequence[CommonParameter],
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
    return [first, *points[order[: TRIED - 1]]]


def _own_mean(
    links: Links,
    part: CommonParameter,
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
    model: G2Model, links: Links, part: CommonParameter, k: int, first: float
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
