"""Curves and their fit made ready for a sampler: what NUTS and Laplace share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import FitError
from napari_xpcs.fitting._lm_numpy import jacobian, residuals
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting._setup import prepare, select_bins
from napari_xpcs.fitting._target import CurveData, Likelihood, Target, whitened
from napari_xpcs.fitting.g2_model import G2Model
from napari_xpcs.fitting.identifiability import excess_noise
from napari_xpcs.fitting.options import DEFAULT, FitOptions
from napari_xpcs.fitting.posterior import Diagnostics, Method, Posterior, SamplerTrace
from napari_xpcs.fitting.priors import (
    Prior,
    choose_priors,
    coordinates_of,
    prior_numbers,
)
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.fitting.reweighting import residual_size
from napari_xpcs.fitting.ties import Ties, tie
from napari_xpcs.kernels.curves import G2Curves

_DELAY_MULTIPLE = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampling:
    """The posterior to sample: its form, its numbers, and the rows of the fit that have data."""

    fit: G2Fit
    ties: Ties
    target: Target
    data: CurveData
    rows: Int[np.ndarray, " curve"]
    priors: Mapping[str, Prior]
    noise: Float[np.ndarray, " bin"]
    new_data_noise: Float[np.ndarray, " bin"]

    @property
    def free(self) -> Bool[np.ndarray, " param"]:
        """Which parameters of the sampled model are not held."""
        return np.array([name in self.priors for name in self.target.model.names])

    def chunk(self, rows: slice, size: int) -> CurveData:
        """Return the data of some curves, the first repeated up to ``size`` of them.

        Delays are padded to a multiple, so that most files share one compiled program.
        """
        chosen = np.arange(len(self.rows))[rows]
        index = np.append(chosen, np.full(size - len(chosen), chosen[0]))
        data, more = self.data, (0, -len(self.data.t) % _DELAY_MULTIPLE)
        return data._replace(
            t=np.pad(data.t, more, constant_values=1.0),
            averaging=None if data.averaging is None else np.pad(data.averaging, more),
            g2=np.pad(data.g2[index], ((0, 0), more)),
            root_weight=np.pad(data.root_weight[index], ((0, 0), more)),
            scale=data.scale[index],
            centre=data.centre[index],
            whitening=data.whitening[index],
        )

    def values(
        self, curve: slice | int, e: Float[np.ndarray, "*lane param"]
    ) -> Float[np.ndarray, "*lane param"]:
        """Return parameters in their units for whitened coordinates of one curve."""
        u = self.data.centre[curve] + e @ self.data.whitening[curve].T
        with np.errstate(over="ignore", under="ignore"):
            values = self.target.coordinates.values(u, self.data.numbers, xp=NumPyBackend())
        return self.ties.values(np.stack(values, axis=-1))

    def empty(
        self, method: Method, chains: int, draws: int, warmup: int, seed: int, largest_tree: int = 0
    ) -> Posterior:
        """Return a posterior without draws."""
        count, width = self.fit.value.shape
        status = ["waiting: not sampled yet"] * count
        for row in set(range(count)) - set(self.rows.tolist()):
            status[row] = self.fit.status[row]
        trace = None
        if method == "nuts":
            trace = SamplerTrace(
                diverged=np.zeros((count, chains, draws), dtype=bool),
                tree_size=np.zeros((count, chains, draws), dtype=np.int32),
                energy=np.full((count, chains, draws), np.nan),
                largest_tree=largest_tree,
            )
        nothing = np.full(count, np.nan)
        return Posterior(
            fit=self.fit,
            method=method,
            draws=np.full((count, chains, draws, width), np.nan),
            drawn=np.zeros(count, dtype=np.int64),
            status=tuple(status),
            determined=np.zeros((count, width), dtype=bool),
            diagnostics=Diagnostics(
                r_hat=np.full((count, width), np.nan),
                ess_bulk=np.full((count, width), np.nan),
                ess_tail=np.full((count, width), np.nan),
                divergences=np.zeros(count, dtype=np.int64),
                bfmi=nothing,
                full_trees=nothing,
                k_hat=nothing,
            ),
            trace=trace,
            priors=self.priors,
            likelihood=self.target.likelihood,
            noise=self.noise,
            new_data_noise=self.new_data_noise,
            seed=seed,
            chains=chains,
            warmup=warmup,
        )


def set_up(
    curves: G2Curves,
    fit: G2Fit,
    priors: Mapping[str, Prior | str] | None,
    likelihood: Likelihood,
    bins: Sequence[int] | None,
) -> Sampling:
    """Return the posterior of the bins of ``fit`` that have data, whitened about its mode.

    Raises
    ------
    FitError
        For bins that the fit or the curves lack, for priors that cannot be, and for a global fit.
    """
    if fit.shared:
        names = ", ".join(dict.fromkeys(shared.name for shared in fit.shared))
        msg = (
            f"The bins of this fit share {names}, and a posterior is sampled bin by bin: fit"
            " every bin by itself first."
        )
        raise FitError(msg)
    fit = _of_bins(fit, bins)
    options = DEFAULT if fit.record is None else fit.record.options
    ties = tie(fit.g2_model, options.tied)
    model = ties.model
    labels = [int(label) for label in fit.bins.label]
    # The start has been found: what it was looked for with takes no part.
    setup = prepare(model, curves, labels, {}, {}, replace(options, start={}))
    kept = [fit.names.index(name) for name in model.names]
    optimum = fit.optimum[:, kept]
    rows = np.flatnonzero(setup.fittable & np.all(np.isfinite(optimum), axis=1))
    free = np.array([name not in fit.fixed for name in model.names])
    held = [name for name in model.names if name in fit.fixed]
    chosen = choose_priors(model, priors or {}, held, curves.delay_s, curves.bins.q)
    coordinates = coordinates_of(model, chosen)
    numbers = prior_numbers(model, chosen)
    target = Target(model, coordinates, likelihood)
    problem = _with_floor(setup.problem.take(rows), fit, rows, options)
    noise, new_data_noise = np.ones((2, len(fit.bins)))
    noise[rows], new_data_noise[rows] = _noise(
        model, problem, fit, rows, kept, setup.scale[rows], likelihood, options
    )
    data = CurveData(
        t=problem.t,
        averaging=problem.averaging,
        g2=problem.g2,
        root_weight=problem.root_weight / noise[rows, None],
        scale=setup.scale[rows],
        numbers=numbers,
        centre=coordinates.of_values(optimum[rows], numbers),
        whitening=np.zeros((len(rows), len(free), len(free))),
    )
    return Sampling(
        fit=fit,
        ties=ties,
        target=target,
        data=whitened(target, data, free),
        rows=rows,
        priors=chosen,
        noise=noise,
        new_data_noise=new_data_noise,
    )


def _with_floor(
    problem: Problem, fit: G2Fit, rows: Int[np.ndarray, " curve"], options: FitOptions
) -> Problem:
    """Return ``problem`` with the error floor that the fit has found."""
    if options.error_floor != "auto" or fit.error_floor is None:
        return problem
    used = problem.root_weight > 0
    error = np.hypot(
        1 / np.where(used, problem.root_weight, 1.0), np.nan_to_num(fit.error_floor[rows, None])
    )
    return replace(problem, root_weight=np.where(used, 1 / error, 0.0))


def _noise(
    model: G2Model,
    problem: Problem,
    fit: G2Fit,
    rows: Int[np.ndarray, " curve"],
    kept: list[int],
    scale: Float[np.ndarray, "curve param"],
    likelihood: Likelihood,
    options: FitOptions,
) -> tuple[Float[np.ndarray, " curve"], Float[np.ndarray, " curve"]]:
    r"""Return the factor on the errors of g2 in the likelihood, and that on new points.

    Errors smaller than the scatter are widened as the fit widens its own.  Where the fit has
    its errors from a covariance S of g2, the likelihood of independent points claims too much
    by :math:`\mathrm{tr}(A\,C)/p`, with A the matrix :math:`J^T W J` of the p free parameters
    and C their covariance; its errors grow by the root of that (magnitude adjustment of a
    composite likelihood, Pauli, Racugno & Ventura, Statistica Sinica 21, 149 (2011)), while the
    points themselves scatter as their errors say.
    """
    log = np.array([parameter.log for parameter in model.parameters])
    optimum = fit.optimum[rows][:, kept]
    x = np.where(log, np.log(np.maximum(optimum / scale, 1e-300)), optimum / scale)
    residual = residuals(model, problem, x)
    reduced = np.sum(residual**2, axis=1) / problem.freedom
    if likelihood == "student-t":
        # Outliers are what this likelihood expects; the median does not see them.
        reduced = residual_size(residual, problem.root_weight) ** 2
    alone = problem.scale_from_scatter
    beyond_chance = excess_noise(problem, reduced)
    scaled = {"stated": np.ones_like(reduced), "scaled": reduced, "auto": beyond_chance}
    widened = np.where(alone, reduced, scaled[options.errors])
    derivative = jacobian(model, problem, x)
    matrix = np.matmul(derivative, np.swapaxes(derivative, 1, 2))
    slope = np.where(log, optimum, scale)
    covariance = fit.covariance[rows][:, kept][:, :, kept] / (slope[:, :, None] * slope[:, None, :])
    count = sum(name not in fit.fixed for name in model.names)
    # The covariance of a held parameter is 0: it adds nothing to the trace.
    adjusted = np.einsum("cij,cji->c", matrix, covariance) / max(count, 1)
    joint = np.array([fit.error_kind[row] == "covariance" for row in rows], dtype=bool)
    joint &= np.isfinite(adjusted) & (adjusted > 0)
    new = np.sqrt(np.maximum(np.where(joint, 1.0, widened), 1e-300))
    return np.sqrt(np.maximum(np.where(joint, adjusted, widened), 1e-300)), new


def _of_bins(fit: G2Fit, bins: Sequence[int] | None) -> G2Fit:
    if bins is None:
        return fit
    table, rows = select_bins(fit.bins, bins)
    return replace(
        fit,
        bins=table,
        value=fit.value[rows],
        error=fit.error[rows],
        status=tuple(fit.status[row] for row in rows),
        reduced_chi2=fit.reduced_chi2[rows],
        n_points=fit.n_points[rows],
        covariance=fit.covariance[rows],
        error_kind=tuple(fit.error_kind[row] for row in rows),
        optimum=fit.optimum[rows],
        error_floor=None if fit.error_floor is None else fit.error_floor[rows],
    )
