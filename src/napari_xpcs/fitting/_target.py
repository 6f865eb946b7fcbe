"""The unnormalised posterior of the curves: what NUTS, Laplace and their checks all evaluate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.fitting.g2_model import G2Model, averaged_shape
from napari_xpcs.fitting.priors import Coordinates, prior_curvature
from napari_xpcs.fitting.reweighting import T_FREEDOM

Likelihood: TypeAlias = Literal["gaussian", "student-t"]

_STEPS = 60
_DIFFERENCE = 6e-6
"""Step of the central differences: the cube root of the float64 rounding error."""


class CurveData(NamedTuple):
    """What the posterior of curves depends on, besides the form of model and priors.

    ``t`` and ``averaging`` in units of the first delay, ``scale`` turns fitted units into those
    of the parameters, ``root_weight`` is 1/error and 0 where a point takes no part; ``numbers``
    are those of the priors.  Coordinates are ``centre + whitening @ e``; a row of ``whitening``
    that is 0 holds its parameter at ``centre``.
    """

    t: Float[Array, " delay"]
    averaging: Float[Array, " delay"] | None
    g2: Float[Array, "*curve delay"]
    root_weight: Float[Array, "*curve delay"]
    scale: Float[Array, "*curve param"]
    numbers: Float[Array, "param 4"]
    centre: Float[Array, "*curve param"]
    whitening: Float[Array, "*curve param param"]


@dataclass(frozen=True, slots=True)
class Target:
    """The form of a posterior: what a program is compiled for."""

    model: G2Model
    coordinates: Coordinates
    likelihood: Likelihood

    def deviations(
        self,
        u: Float[Array, "*lane param"],
        data: CurveData,
        *,
        xp: BackendProtocol,
    ) -> Float[Array, "*lane delay"]:
        """Return (model - g2) / error at coordinates ``u``."""
        return self.deviations_of(self.coordinates.values(u, data.numbers, xp=xp), data, xp=xp)

    def deviations_of(
        self, values: Sequence[Float[Array, "*lane"]], data: CurveData, *, xp: BackendProtocol
    ) -> Float[Array, "*lane delay"]:
        """Return (model - g2) / error for parameters in their units."""
        baseline, contrast, *theta = (
            (value / data.scale[..., i])[..., None] for i, value in enumerate(values)
        )
        shape = averaged_shape(self.model, data.t, data.averaging, theta, xp=xp)
        return (baseline + contrast * shape - data.g2) * data.root_weight

    def log_likelihood(
        self, deviation: Float[Array, "*lane delay"], *, xp: BackendProtocol
    ) -> Float[Array, "*lane delay"]:
        """Return the logarithm of the likelihood of every point, without its constant."""
        if self.likelihood == "gaussian":
            return -0.5 * deviation**2
        return -0.5 * (T_FREEDOM + 1) * xp.log1p(deviation**2 / T_FREEDOM)

    def log_density(
        self, e: Float[Array, "*lane param"], data: CurveData, *, xp: BackendProtocol
    ) -> Float[Array, "*lane"]:
        """Return the logarithm of the posterior of whitened coordinates, without its constant.

        A held parameter leaves a direction without effect; it has a standard normal one.
        """
        u = data.centre + xp.sum(data.whitening * e[..., None, :], axis=-1)
        points = self.log_likelihood(self.deviations(u, data, xp=xp), xp=xp)
        held = xp.sum(data.whitening**2, axis=-1) == 0
        idle = -0.5 * xp.sum(xp.where(held, e, 0.0) ** 2, axis=-1)
        return xp.sum(points, axis=-1) + self.coordinates.log_prior(u, data.numbers, xp=xp) + idle


def whitened(target: Target, data: CurveData, free: Bool[np.ndarray, " param"]) -> CurveData:
    """Return ``data`` with the mode of every curve as centre and the spread there as whitening.

    From ``data.centre``, a Levenberg-Marquardt descent on the free coordinates of all curves at
    a time; the whitening is a root of the inverse of its last Gauss-Newton matrix, prior
    included.
    """
    u = data.centre.copy()
    damping = np.full(len(u), 1e-2)
    value, gradient, matrix = _expansion(target, data, u, free)
    for _ in range(_STEPS):
        diagonal = np.diagonal(matrix, axis1=1, axis2=2)
        damped = matrix + np.eye(u.shape[1]) * (damping[:, None] * diagonal)[:, None, :]
        step = -np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        step = np.clip(step, -2, 2) * free
        # Each curve ends by itself, so that its draws do not depend on the others.
        done = np.abs(np.sum(step * gradient, axis=1)) < 1e-6
        if done.all():
            break
        step[done] = 0.0
        new_value, new_gradient, new_matrix = _expansion(target, data, u + step, free)
        better = ~done & (new_value <= value)
        damping = np.clip(damping * np.where(better, 0.2, 8.0), 1e-9, 1e9)
        u = np.where(better[:, None], u + step, u)
        value = np.where(better, new_value, value)
        gradient = np.where(better[:, None], new_gradient, gradient)
        matrix = np.where(better[:, None, None], new_matrix, matrix)
    eigenvalue, vector = np.linalg.eigh(matrix)
    root = vector / np.sqrt(np.maximum(eigenvalue, 1e-12))[:, None, :]
    # Triangular, so that a held parameter has a row and a column of its own.
    whitening = np.linalg.cholesky(root @ np.swapaxes(root, 1, 2))
    return data._replace(centre=u, whitening=whitening * free[:, None] * free[None, :])


def _expansion(
    target: Target,
    data: CurveData,
    u: Float[np.ndarray, "curve param"],
    free: Bool[np.ndarray, " param"],
) -> tuple[
    Float[np.ndarray, " curve"],
    Float[np.ndarray, "curve param"],
    Float[np.ndarray, "curve param param"],
]:
    """Return minus the logarithm of the posterior, its gradient and a positive curvature."""
    xp = NumPyBackend()
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        deviation = np.asarray(target.deviations(u, data, xp=xp))
        value = -np.sum(np.asarray(target.log_likelihood(deviation, xp=xp)), axis=-1)
        value = value - np.asarray(target.coordinates.log_prior(u, data.numbers, xp=xp))
        columns = []
        for i in range(u.shape[1]):
            shift = np.zeros(u.shape[1])
            shift[i] = _DIFFERENCE
            above, below = (target.deviations(u + s, data, xp=xp) for s in (shift, -shift))
            columns.append((above - below) / (2 * _DIFFERENCE))
        derivative = np.nan_to_num(np.stack(columns, axis=1)) * free[:, None]
    weight = np.ones_like(deviation)
    if target.likelihood == "student-t":
        weight = (T_FREEDOM + 1) / (T_FREEDOM + deviation**2)
    slope, curvature = prior_curvature(target.coordinates, u, data.numbers)
    gradient = np.einsum("cpt,ct->cp", derivative, weight * np.nan_to_num(deviation))
    gradient = (gradient + slope) * free
    matrix = np.matmul(derivative * weight[:, None, :], np.swapaxes(derivative, 1, 2))
    diagonal = np.where(free, np.maximum(curvature, 1e-2), 1.0)
    matrix = matrix + np.eye(u.shape[1]) * diagonal[:, None, :]
    return np.where(np.isfinite(value), value, np.inf), gradient, matrix
