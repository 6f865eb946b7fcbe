r"""How the relaxation time depends on q: :func:`fit_dispersion`.

Brownian particles have :math:`\tau = 1/(D q^2)` [1]_; any other exponent of
:math:`\tau \propto q^{-n}` says that something else moves them.

References
----------
.. [1] Berne & Pecora, *Dynamic Light Scattering*, ch. 5.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from napari_xpcs.errors import FitError
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.units import ANGSTROM_M

Law: TypeAlias = Literal["diffusion", "power"]

_RELAXATION = {"tau_s": 1.0, "gamma_per_s": -1.0}
"""The parameter that stands for the relaxation time, and the power of it that is a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispersion:
    """The law of the relaxation times.

    Parameters
    ----------
    law
        Which law ``tau`` and ``reduced_chi2`` belong to: ``diffusion``, tau = 1/(D q^2), or
        ``power``, tau proportional to q^-exponent.
    status
        ``ok``, or ``no_data: `` and the reason in words; every number is then NaN.
    D_m2_per_s, D_m2_per_s_err
        Diffusion coefficient of the law ``diffusion``, m^2/s.
    exponent, exponent_err
        Of the law ``power``; 2 for diffusion.  NaN if all bins have the same q.
    n_bins
        Bins that took part: those whose fit is ``ok``.
    reduced_chi2
        Scatter of the bins about the law against their errors; NaN without degrees of freedom.
        Where it is above 1, the errors above are scaled by its root.
    q_reference, tau_reference_s
        A point of the law, 1/angstrom and s.
    """

    law: Law
    status: str
    D_m2_per_s: float
    D_m2_per_s_err: float
    exponent: float
    exponent_err: float
    n_bins: int
    reduced_chi2: float
    q_reference: float
    tau_reference_s: float

    def tau(self, q: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Return the relaxation time of the law, s, for q in 1/angstrom."""
        exponent = 2.0 if self.law == "diffusion" else self.exponent
        return self.tau_reference_s * (np.asarray(q) / self.q_reference) ** -exponent

    def text(self) -> str:
        """Return the diffusion coefficient and the exponent with their errors, or why not."""
        if self.status != "ok":
            return self.status
        text = (
            f"D = ({self.D_m2_per_s:.4g} ± {self.D_m2_per_s_err:.2g}) m²/s from {self.n_bins} bins"
        )
        if np.isfinite(self.exponent):
            text += f"; τ ∝ q^-n with n = {self.exponent:.2f} ± {self.exponent_err:.2f}"
        return text


def fit_dispersion(fit: G2Fit, law: Law = "diffusion") -> Dispersion:
    r"""Fit :math:`\tau(q)` over the bins whose own fit is ``ok``.

    A straight line in :math:`\ln\tau` over :math:`\ln q`, weights the inverse squared relative
    errors.  Neighbouring delays of g2 share frames, so the errors of single bins are too small;
    where the bins scatter more about the line than their errors say, the scatter is the error.

    Raises
    ------
    FitError
        For an unknown law.
    """
    if law not in ("diffusion", "power"):
        raise FitError(f"Unknown law {law!r}; choose one of diffusion, power.")
    name = next(name for name in _RELAXATION if name in fit.names)
    column = fit.names.index(name)
    value, error, q = fit.value[:, column], fit.error[:, column], fit.bins.q
    with np.errstate(invalid="ignore"):
        used = fit.ok & (q > 0) & (value > 0) & np.isfinite(q)
    n_bins = int(np.count_nonzero(used))
    if n_bins < 2:
        return _nothing(law, n_bins, len(fit.status))

    log_tau = _RELAXATION[name] * np.log(value[used])
    log_q = np.log(q[used])
    relative = error[used] / value[used]
    # tau held by hand, or noiseless curves, have no error: all bins then weigh alike.
    stated = bool(np.all(relative > 0))
    weight = relative**-2 if stated else np.ones_like(relative)

    # Diffusion is the line of slope -2: only its height is free.
    height = np.average(log_tau + 2 * log_q, weights=weight)
    height_err, chi2 = _scaled_error(
        1 / weight.sum(), log_tau + 2 * log_q - height, weight, free=1, stated=stated
    )
    diffusion = np.exp(-height) * ANGSTROM_M**2

    centre = np.average(log_q, weights=weight)
    spread = np.sum(weight * (log_q - centre) ** 2)
    exponent = exponent_err = power_chi2 = np.nan
    middle = np.average(log_tau, weights=weight)
    if np.ptp(log_q) > 1e-9:
        exponent = -np.sum(weight * (log_q - centre) * log_tau) / spread
        exponent_err, power_chi2 = _scaled_error(
            1 / spread,
            log_tau - middle + exponent * (log_q - centre),
            weight,
            free=2,
            stated=stated,
        )
    tau_at_centre = np.exp(height - 2 * centre) if law == "diffusion" else np.exp(middle)
    return Dispersion(
        law=law,
        status="ok",
        D_m2_per_s=float(diffusion),
        D_m2_per_s_err=float(diffusion * height_err),
        exponent=float(exponent),
        exponent_err=float(exponent_err),
        n_bins=n_bins,
        reduced_chi2=float(chi2 if law == "diffusion" else power_chi2),
        q_reference=float(np.exp(centre)),
        tau_reference_s=float(tau_at_centre),
    )


def _scaled_error(
    variance: float,
    residual: Float[np.ndarray, " bin"],
    weight: Float[np.ndarray, " bin"],
    *,
    free: int,
    stated: bool,
) -> tuple[float, float]:
    """Return the error of a fitted number and the reduced chi2 that it was scaled with."""
    freedom = len(residual) - free
    reduced = float(np.sum(weight * residual**2) / freedom) if freedom else np.nan
    if not stated:
        return float(np.sqrt(variance * reduced)), np.nan
    return float(np.sqrt(variance * max(1.0, np.nan_to_num(reduced, nan=1.0)))), reduced


def _nothing(law: Law, usable: int, of: int) -> Dispersion:
    verb = "has" if usable == 1 else "have"
    return Dispersion(
        law=law,
        status=f"no_data: {usable} of {of} bins {verb} a relaxation time and a q, a law needs 2",
        D_m2_per_s=np.nan,
        D_m2_per_s_err=np.nan,
        exponent=np.nan,
        exponent_err=np.nan,
        n_bins=usable,
        reduced_chi2=np.nan,
        q_reference=np.nan,
        tau_reference_s=np.nan,
    )
