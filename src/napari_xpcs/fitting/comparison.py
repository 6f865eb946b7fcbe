"""Which of several models predicts the points of a curve best: leave-one-out cross-validation.

The posterior without a point follows from that with it by Pareto-smoothed importance sampling
(PSIS-LOO [1]_); arviz_stats computes it.

References
----------
.. [1] Vehtari, Gelman & Gabry, Stat. Comput. 27, 1413 (2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting._sampling import set_up
from napari_xpcs.fitting.posterior import Posterior
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import Progress, Steps

MOST_PARETO_K = 0.7
CLEAR = 2.0
"""A difference above this many standard errors is called clear."""

_SMALL = 4.0
"""Below this difference models are alike, whatever its standard error says [1]_."""

_MOST_DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Models of the same curves; column i belongs to ``bins`` entry i.

    Parameters
    ----------
    models
        Names in the order of the rows.
    elpd, elpd_se
        Logarithm of the probability of points that took no part, summed over a curve, and its
        standard error; NaN where a curve has no draws.
    effective_parameters
        By how much the points that did take part are described better.
    worst_k
        Largest Pareto k of a curve; from 0.7 on a few points decide, and elpd is too high.
    behind, behind_se
        By how much elpd lies below that of the best model of the bin, and its standard error,
        which is that of the difference point by point.
    total_behind, total_behind_se
        The same for all bins together, against the model that is best there.
    """

    models: tuple[str, ...]
    bins: BinTable
    elpd: Float[np.ndarray, "model bin"]
    elpd_se: Float[np.ndarray, "model bin"]
    effective_parameters: Float[np.ndarray, "model bin"]
    worst_k: Float[np.ndarray, "model bin"]
    behind: Float[np.ndarray, "model bin"]
    behind_se: Float[np.ndarray, "model bin"]
    total_behind: Float[np.ndarray, " model"]
    total_behind_se: Float[np.ndarray, " model"]

    @property
    def best(self) -> Int[np.ndarray, " bin"]:
        """Row of the best model of each bin; -1 where there is none."""
        known = np.isfinite(self.elpd).all(axis=0)
        return np.where(known, np.argmax(np.nan_to_num(self.elpd, nan=-np.inf), axis=0), -1)

    def verdict(self, column: int) -> str:
        """Return in words which model a bin wants."""
        return self._words(self.behind[:, column], self.behind_se[:, column], column)

    def total_verdict(self) -> str:
        """Return in words which model all bins together want."""
        return self._words(self.total_behind, self.total_behind_se, None)

    def _words(
        self,
        behind: Float[np.ndarray, " model"],
        error: Float[np.ndarray, " model"],
        column: int | None,
    ) -> str:
        if not np.isfinite(behind).all():
            return "no comparison: a model has no draws"
        order = np.argsort(behind)
        first, second = order[0], order[1]
        lead, spread = behind[second], error[second]
        names = self.models[first], self.models[second]
        if lead < _SMALL or lead < CLEAR * spread:
            text = f"{names[0]} and {names[1]} predict alike ({lead:.1f} ± {spread:.1f})"
        else:
            text = f"{names[0]} predicts better than {names[1]} by {lead:.1f} ± {spread:.1f}"
        worst = self.worst_k if column is None else self.worst_k[:, column]
        if np.nanmax(worst[[first, second]]) >= MOST_PARETO_K:
            text += (
                f"; take it with care: Pareto k is up to {np.nanmax(worst[[first, second]]):.2f}"
            )
        return text


def compare_models(curves: G2Curves, posteriors: Sequence[Posterior]) -> Steps[Comparison]:
    """Compare posteriors of several models for the same bins of the same curves.

    Yields
    ------
    Progress
        Curves done, counted for each model.

    Raises
    ------
    FitError
        For fewer than two posteriors, and where bins or points that take part differ.
    """
    if len(posteriors) < 2:
        msg = f"A comparison needs the posteriors of two models or more, got {len(posteriors)}."
        raise FitError(msg)
    first = posteriors[0]
    if any(not np.array_equal(each.bins.label, first.bins.label) for each in posteriors):
        raise FitError(
            "The posteriors are of different bins; sample the same bins with each model."
        )
    array_stats: Any = import_module("arviz_stats.base").array_stats  # a second to import
    count = len(first.bins)
    points = [_points(curves, each) for each in posteriors]
    used = [np.isfinite(each) for each in points]
    # One ruler for all: where g2 is correlated, every model widens the errors in its own measure.
    ruler = np.min(points, axis=0)
    scores: list[list[tuple[np.ndarray, ...] | None]] = []
    for m, posterior in enumerate(posteriors):
        scores.append([])
        for row in range(count):
            yield Progress(m * count + row, len(posteriors) * count, "curves")
            if posterior.drawn[row] < 2 or not used[m][row].any():
                scores[-1].append(None)
                continue
            if first.drawn[row] and not np.array_equal(used[m][row], used[0][row]):
                msg = (
                    f"Other delays of bin {first.bins.label[row]} take part in the fit of"
                    f" {posterior.fit.model} than in that of {first.fit.model}: give both the"
                    " same range."
                )
                raise FitError(msg)
            likelihood = _log_likelihood(curves, posterior, row, ruler[row])
            with np.errstate(divide="ignore", invalid="ignore"):  # draws that are all alike
                scores[-1].append(array_stats.loo(likelihood, chain_axis=-2, draw_axis=-1))
    return _comparison(posteriors, scores)


def _points(curves: G2Curves, posterior: Posterior) -> Float[np.ndarray, "bin delay"]:
    """Return the logarithm of 1/error in the likelihood, NaN where a point takes no part."""
    sampling = set_up(curves, posterior.fit, posterior.priors, posterior.likelihood, None)
    weight = np.zeros((len(posterior.bins), len(sampling.data.t)))
    weight[sampling.rows] = sampling.data.root_weight
    with np.errstate(divide="ignore"):
        return np.where(weight > 0, np.log(weight), np.nan)


def _log_likelihood(
    curves: G2Curves,
    posterior: Posterior,
    row: int,
    log_weight: Float[np.ndarray, " delay"],
) -> Float[np.ndarray, "delay chain draw"]:
    """Return the logarithm of the likelihood of every point that takes part, for every draw.

    ``log_weight`` is the logarithm of 1/error, NaN where a point takes no part.
    """
    label = int(posterior.bins.label[row])
    sampling = set_up(curves, posterior.fit, posterior.priors, posterior.likelihood, [label])
    kept = [posterior.names.index(name) for name in sampling.target.model.names]
    draws = posterior.row_draws(row)
    every = max(1, draws.shape[0] * draws.shape[1] // _MOST_DRAWS)
    values = np.moveaxis(draws[:, ::every][:, :, kept], -1, 0)
    xp = NumPyBackend()
    lanes = sampling.data._replace(
        g2=sampling.data.g2[0],
        root_weight=np.nan_to_num(np.exp(log_weight)),
        scale=sampling.data.scale[0],
    )
    with np.errstate(over="ignore", under="ignore"):
        deviation = sampling.target.deviations_of(list(values), lanes, xp=xp)
        points = np.asarray(sampling.target.log_likelihood(deviation, xp=xp)) + log_weight
    return np.moveaxis(points[..., np.isfinite(log_weight)], -1, 0)


def _comparison(
    posteriors: Sequence[Posterior], scores: list[list[tuple[np.ndarray, ...] | None]]
) -> Comparison:
    shape = len(posteriors), len(posteriors[0].bins)
    elpd, se, parameters, worst, behind, behind_se = np.full((6, *shape), np.nan)
    for m, row in enumerate(scores):
        for k, score in enumerate(row):
            if score is not None:
                elpd[m, k], se[m, k] = np.sum(score[0]), _standard_error(score[0])
                worst[m, k], parameters[m, k] = np.max(score[1]), np.sum(score[2])
    complete = [k for k in range(shape[1]) if np.isfinite(elpd[:, k]).all()]
    pointwise = {k: np.stack([row[k][0] for row in scores]) for k in complete}  # type: ignore[index]
    for k in complete:
        behind[:, k], behind_se[:, k] = _behind(pointwise[k])
    total = total_se = np.full(shape[0], np.nan)
    if complete:
        total, total_se = _behind(np.concatenate([pointwise[k] for k in complete], axis=1))
    return Comparison(
        models=tuple(each.fit.model for each in posteriors),
        bins=posteriors[0].bins,
        elpd=elpd,
        elpd_se=se,
        effective_parameters=parameters,
        worst_k=worst,
        behind=behind,
        behind_se=behind_se,
        total_behind=total,
        total_behind_se=total_se,
    )


def _behind(
    pointwise: Float[np.ndarray, "model point"],
) -> tuple[Float[np.ndarray, " model"], Float[np.ndarray, " model"]]:
    best = pointwise[np.argmax(pointwise.sum(axis=1))]
    difference = best - pointwise
    return difference.sum(axis=1), np.array([_standard_error(each) for each in difference])


def _standard_error(values: Float[np.ndarray, " point"]) -> float:
    return float(np.sqrt(len(values)) * np.std(values))
