"""Draws from the posterior of the parameters of many bins, and what follows from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting._target import Likelihood
from napari_xpcs.fitting.g2_model import G2Model, unit_scale
from napari_xpcs.fitting.priors import Prior
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.fitting.reweighting import T_FREEDOM
from napari_xpcs.fitting.ties import tie
from napari_xpcs.kernels.curves import BinTable

Method: TypeAlias = Literal["nuts", "laplace"]

ONE_SIGMA = 0.682689492137
"""Probability within one standard deviation of a normal distribution."""

_PREDICTED = 1000
"""Draws that a repetition of the measurement is told from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplerTrace:
    """What the sampler tells of every draw of NUTS.

    ``tree_size`` counts the points of a trajectory, ``energy`` is that of its end; ``diverged``
    marks draws where the trajectory left the surface of constant energy.
    """

    diverged: Bool[np.ndarray, "bin chain draw"]
    tree_size: Int[np.ndarray, "bin chain draw"]
    energy: Float[np.ndarray, "bin chain draw"]
    largest_tree: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diagnostics:
    """Whether the draws can be trusted; NaN where there are too few, or the method has no such.

    ``r_hat`` is the rank-normalised split R-hat, ``ess_bulk`` and ``ess_tail`` effective sample
    sizes, of free parameters; ``bfmi`` the lowest of the chains; ``full_trees`` the part of the
    draws whose trajectory was cut at the largest tree; ``k_hat`` the shape of the tail of the
    importance weights.
    """

    r_hat: Float[np.ndarray, "bin param"]
    ess_bulk: Float[np.ndarray, "bin param"]
    ess_tail: Float[np.ndarray, "bin param"]
    divergences: Int[np.ndarray, " bin"]
    bfmi: Float[np.ndarray, " bin"]
    full_trees: Float[np.ndarray, " bin"]
    k_hat: Float[np.ndarray, " bin"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """Draws of the parameters of one model for many bins; row i belongs to ``bins`` entry i.

    While a sampler runs it shows posteriors so far.  They share the memory of the draws: what
    counts are the first ``drawn`` of each row, which never change.

    Parameters
    ----------
    fit
        The least-squares fit that the sampling set out from, of the same bins.
    method
        ``nuts``, or ``laplace``: importance resampling from the expansion about the mode.
    draws
        Parameters in their units, the order of ``fit.names``; NaN where nothing was drawn.
    drawn
        Draws of each chain that are there, by bin.
    status
        ``ok``; ``no_data``, ``not_identifiable`` or ``failed``, followed by ``: `` and the
        reason; ``running`` or ``waiting`` in a posterior so far.
    determined
        Parameters that the data determine: the chains agree, and the prior alone is wider.
    diagnostics
        See there; of rows whose sampling has ended.
    trace
        What NUTS tells of each draw; ``None`` for ``laplace``.
    priors, likelihood, seed, chains, warmup
        What the posterior was asked for with.
    noise
        Factor on the errors of g2 in the likelihood, by bin.
    new_data_noise
        Factor on the errors of g2 by which single points scatter, by bin.
    """

    fit: G2Fit
    method: Method
    draws: Float[np.ndarray, "bin chain draw param"]
    drawn: Int[np.ndarray, " bin"]
    status: tuple[str, ...]
    determined: Bool[np.ndarray, "bin param"]
    diagnostics: Diagnostics
    trace: SamplerTrace | None
    priors: Mapping[str, Prior]
    likelihood: Likelihood
    noise: Float[np.ndarray, " bin"]
    new_data_noise: Float[np.ndarray, " bin"]
    seed: int
    chains: int
    warmup: int

    @property
    def bins(self) -> BinTable:
        """The bins of the rows."""
        return self.fit.bins

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.fit.names

    @property
    def sampled_model(self) -> G2Model:
        """The model without the parameters that the fit has tied to others."""
        tied = {} if self.fit.record is None else self.fit.record.options.tied
        return tie(self.fit.g2_model, tied).model

    @property
    def free(self) -> Bool[np.ndarray, " param"]:
        """Which parameters were sampled, not held."""
        return np.array([name not in self.fit.fixed for name in self.names])

    @property
    def ok(self) -> Bool[np.ndarray, " bin"]:
        """Which bins have the status ``ok``."""
        return np.array([status == "ok" for status in self.status], dtype=bool)

    def row_draws(self, row: int) -> Float[np.ndarray, "chain draw param"]:
        """Return the draws of a row that are there."""
        return np.asarray(self.draws[row, :, : self.drawn[row]])

    def mean(self) -> Float[np.ndarray, "bin param"]:
        """Return the mean of the draws, NaN where there are none."""
        return self._of_rows(lambda flat: flat.mean(axis=0))

    def sd(self) -> Float[np.ndarray, "bin param"]:
        """Return the standard deviation of the draws; that of a held parameter is 0."""
        return np.asarray(self._of_rows(lambda flat: flat.std(axis=0)) * self.free)

    def median(self) -> Float[np.ndarray, "bin param"]:
        """Return the median of the draws."""
        return self._of_rows(lambda flat: np.median(flat, axis=0))

    def interval(
        self, level: float = ONE_SIGMA
    ) -> tuple[Float[np.ndarray, "bin param"], Float[np.ndarray, "bin param"]]:
        """Return the limits between which the parameter lies with the probability ``level``."""
        tail = (1 - level) / 2
        low, high = (
            self._of_rows(lambda flat, at=at: np.quantile(flat, at, axis=0))
            for at in (tail, 1 - tail)
        )
        return low, high

    def as_fit(self) -> G2Fit:
        """Return means and standard deviations as a fit: for tables, maps and laws of q.

        Parameters that are not determined are NaN, as in a fit; ``optimum`` is the median, so
        that the curve of the fit is one near the middle of the posterior.
        """
        width = len(self.names)
        covariance = np.full((len(self.status), width, width), np.nan)
        for row in np.flatnonzero(self.drawn > 1):
            flat = self.row_draws(int(row)).reshape(-1, width)
            centred = (flat - flat.mean(axis=0)) * self.free
            covariance[row] = centred.T @ centred / len(flat)
        both = self.determined[:, :, None] & self.determined[:, None, :]
        return replace(
            self.fit,
            value=np.where(self.determined, self.mean(), np.nan),
            error=np.where(self.determined, self.sd(), np.nan),
            covariance=np.where(both, covariance, np.nan),
            status=self.status,
            optimum=self.median(),
        )

    def curves(
        self, row: int, delay_s: Float[np.ndarray, " delay"], count: int = 400
    ) -> Float[np.ndarray, "draw delay"]:
        """Return g2 at delays in s for ``count`` draws, evenly chosen among those of a row.

        The decay itself: not averaged over the sums of frames of a correlator.
        """
        model = self.fit.g2_model
        flat = self.row_draws(row).reshape(-1, len(self.names))
        chosen = flat[np.linspace(0, len(flat) - 1, min(count, len(flat))).astype(int)]
        scale = unit_scale(model, self.bins.q[row : row + 1], 1.0)[0]
        baseline, contrast, *theta = (chosen / scale).T[:, :, None]
        with np.errstate(over="ignore", under="ignore"):
            shape = model.shape(np.asarray(delay_s), *theta, xp=NumPyBackend())
        return np.asarray(baseline + contrast * shape)

    def curve_band(
        self, row: int, delay_s: Float[np.ndarray, " delay"], level: float = ONE_SIGMA
    ) -> tuple[Float[np.ndarray, " delay"], Float[np.ndarray, " delay"]]:
        """Return where the curve of a row lies with the probability ``level``, at each delay."""
        return _band(self.curves(row, delay_s), level)

    def predictive(
        self,
        row: int,
        delay_s: Float[np.ndarray, " delay"],
        error: Float[np.ndarray, " delay"],
    ) -> Float[np.ndarray, "draw delay"]:
        """Return g2 as a repetition of the measurement would give it: curves with noise.

        ``error`` is that of g2 at the delays; the noise is that of the likelihood, and is the
        same on every call.
        """
        curves = self.curves(row, delay_s, _PREDICTED)
        rng = np.random.default_rng((self.seed, int(self.bins.label[row])))
        if self.likelihood == "gaussian":
            noise = rng.standard_normal(curves.shape)
        else:
            noise = rng.standard_t(T_FREEDOM, curves.shape)
        return np.asarray(curves + noise * error * self.new_data_noise[row])

    def predictive_band(
        self,
        row: int,
        delay_s: Float[np.ndarray, " delay"],
        error: Float[np.ndarray, " delay"],
        level: float = ONE_SIGMA,
    ) -> tuple[Float[np.ndarray, " delay"], Float[np.ndarray, " delay"]]:
        """Return where new points would lie with the probability ``level``, at each delay."""
        return _band(self.predictive(row, delay_s, error), level)

    def verdict(self) -> str:
        """Return in one sentence how many bins can be trusted."""
        words = [status.partition(":")[0] for status in self.status]
        counts = {word: words.count(word) for word in dict.fromkeys(words)}
        parts = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in counts.items())
        return f"{len(words)} bins sampled with {self.method}: {parts}."

    def _of_rows(self, statistic: Callable[..., np.ndarray]) -> Float[np.ndarray, "bin param"]:
        result = np.full((len(self.status), len(self.names)), np.nan)
        for row in np.flatnonzero(self.drawn > 0):
            result[row] = statistic(self.row_draws(int(row)).reshape(-1, len(self.names)))
        return result


def _band(
    curves: Float[np.ndarray, "draw delay"], level: float
) -> tuple[Float[np.ndarray, " delay"], Float[np.ndarray, " delay"]]:
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
