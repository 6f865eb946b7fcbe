r"""How the relaxation time depends on q: :func:`fit_dispersion`.

Brownian particles have :math:`\tau = 1/(D q^2)` [1]_; any other exponent of
:math:`\tau \propto q^{-n}` says that something else moves them.

References
----------
.. [1] Berne & Pecora, *Dynamic Light Scattering*, ch. 5.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from napari_xpcs.fitting.laws import LAWS, RELAXATION, LawName, Solvent, law_named
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.fitting.weighted_line import weighted_line
from napari_xpcs.units import ANGSTROM_M, value_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispersion:
    """The law of the relaxation times.

    Parameters
    ----------
    law
        Which law ``tau``, ``reduced_chi2`` and ``scatter`` belong to: ``diffusion``,
        tau = 1/(D q^2), ``ballistic``, tau = 1/(v q), or ``power``, tau proportional to
        q^-exponent.
    status
        ``ok``, or ``no_data: `` and the reason in words; every number is then NaN.
    D_m2_per_s, D_m2_per_s_err
        Diffusion coefficient of the law ``diffusion``, m^2/s.
    exponent, exponent_err
        Of the law ``power``; 2 for diffusion.  NaN if all bins have the same q.
    n_bins
        Bins that took part: those whose fit is ``ok``.
    reduced_chi2
        Scatter of the bins about the law against their own errors; NaN without a degree of
        freedom.
    scatter
        Relative scatter of the relaxation times that their own errors leave unexplained; it is
        part of the errors above.
    q_reference, tau_reference_s
        A point of the law, 1/angstrom and s.
    v_m_per_s, v_m_per_s_err
        Velocity of the law ``ballistic``, m/s; NaN for other laws.
    D0_m2_per_s, D0_m2_per_s_err
        Diffusion coefficient extrapolated to q = 0: the height at q = 0 of a straight line
        through 1/(tau q^2) over q^2, as for the angles of light scattering; NaN below 3 bins.
    """

    law: LawName
    status: str
    D_m2_per_s: float
    D_m2_per_s_err: float
    exponent: float
    exponent_err: float
    n_bins: int
    reduced_chi2: float
    scatter: float
    q_reference: float
    tau_reference_s: float
    v_m_per_s: float = np.nan
    v_m_per_s_err: float = np.nan
    D0_m2_per_s: float = np.nan
    D0_m2_per_s_err: float = np.nan

    def tau(self, q: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Return the relaxation time of the law, s, for q in 1/angstrom."""
        fixed = LAWS[self.law].exponent
        exponent = self.exponent if fixed is None else fixed
        return np.asarray(self.tau_reference_s * (np.asarray(q) / self.q_reference) ** -exponent)

    def text(self, solvent: Solvent | None = None) -> str:
        """Return the numbers of the law with their errors, or why there are none.

        With a ``solvent``, the hydrodynamic radius as well.
        """
        if self.status != "ok":
            return self.status
        parts = []
        if self.law == "ballistic":
            v = f"v = ({value_text(self.v_m_per_s, self.v_m_per_s_err)}) m/s"
            parts.append(f"{v} from {self.n_bins} bins")
        elif np.isfinite(self.D_m2_per_s):
            D = f"D = ({value_text(self.D_m2_per_s, self.D_m2_per_s_err)}) m²/s"
            parts.append(f"{D} from {self.n_bins} bins")
        if np.isfinite(self.exponent):
            parts.append(f"τ ∝ q^-n with n = {value_text(self.exponent, self.exponent_err)}")
        if solvent is not None and np.isfinite(self.D_m2_per_s):
            radius, error = self.radius_m(solvent)
            parts.append(f"R_h = ({value_text(radius, error, 1e9)}) nm")
            if np.isfinite(self.D0_m2_per_s):
                radius, error = self.radius_m(solvent, at_zero_q=True)
                parts.append(
                    f"at q = 0, D0 = ({value_text(self.D0_m2_per_s, self.D0_m2_per_s_err)}) m²/s"
                    f" and R_h = ({value_text(radius, error, 1e9)}) nm"
                )
        return "; ".join(parts)

    def radius_m(self, solvent: Solvent, *, at_zero_q: bool = False) -> tuple[float, float]:
        """Return the hydrodynamic radius with its error, m."""
        D, error = self.D_m2_per_s, self.D_m2_per_s_err
        if at_zero_q:
            D, error = self.D0_m2_per_s, self.D0_m2_per_s_err
        radius = solvent.hydrodynamic_radius_m(D)
        return radius, radius * error / D


def relaxation_times(
    fit: G2Fit,
) -> Float[np.ndarray, "2 bin"]:
    """Return the relaxation time of every bin and its error, s; NaN where it is undetermined."""
    name = next((name for name in RELAXATION if name in fit.names), None)
    if name is None:
        return np.full((2, len(fit.status)), np.nan)
    column = fit.names.index(name)
    value, error = fit.value[:, column], fit.error[:, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = value ** RELAXATION[name]
        return np.stack([tau, tau * error / value])


def fit_dispersion(fit: G2Fit, law: LawName = "diffusion") -> Dispersion:
    r"""Fit :math:`\tau(q)` over the bins whose own fit is ``ok``.

    A straight line in :math:`\ln\tau` over :math:`\ln q`, weighted by inverse squared relative
    errors.  Neighbouring delays of g2 share frames, so the errors of bins whose curves came
    without a covariance are too small, most of all at low q where few relaxation times fit into
    the run.  Where the bins scatter more about the line than their errors say, a common scatter
    is added to all of them [2]_.

    Where the bins were fitted together with a law, their relaxation times are that law, and what
    is returned is its parameters.

    Raises
    ------
    FitError
        For an unknown law.
    """
    chosen = law_named(law)
    if fit.record is not None and fit.record.law is not None:
        return _of_global_fit(fit)
    tau, error = relaxation_times(fit)
    q = fit.bins.q
    with np.errstate(invalid="ignore"):
        used = fit.ok & (q > 0) & (tau > 0) & np.isfinite(q)
    n_bins = int(np.count_nonzero(used))
    if n_bins < 2:
        return _nothing(chosen.name, n_bins, len(fit.status))

    log_tau = np.log(tau[used])
    variance = (error[used] / tau[used]) ** 2
    log_q = np.log(q[used])
    centre = float(np.mean(log_q))
    level = np.ones((n_bins, 1))

    # A law with a fixed exponent is a line of which only the height is free.
    diffusion = weighted_line(level, log_tau + 2 * (log_q - centre), variance)
    D = np.exp(-diffusion.height - 2 * centre) * ANGSTROM_M**2
    ballistic = weighted_line(level, log_tau + (log_q - centre), variance)
    v = np.exp(-ballistic.height - centre) * ANGSTROM_M if law == "ballistic" else np.nan
    power = None
    if np.ptp(log_q) > 1e-9:
        power = weighted_line(np.column_stack([level, centre - log_q]), log_tau, variance)
    shown = {"diffusion": diffusion, "ballistic": ballistic, "power": power}[law] or diffusion
    D0, D0_err = _at_zero_q(q[used], tau[used], error[used])
    return Dispersion(
        law=chosen.name,
        status="ok",
        D_m2_per_s=float(D),
        D_m2_per_s_err=float(D * diffusion.height_err),
        exponent=np.nan if power is None else power.slope,
        exponent_err=np.nan if power is None else power.slope_err,
        n_bins=n_bins,
        reduced_chi2=shown.reduced_chi2,
        scatter=shown.scatter,
        q_reference=float(np.exp(centre)),
        tau_reference_s=float(np.exp(shown.height)),
        v_m_per_s=float(v),
        v_m_per_s_err=float(v * ballistic.height_err),
        D0_m2_per_s=D0,
        D0_m2_per_s_err=D0_err,
    )


def _at_zero_q(
    q: Float[np.ndarray, " bin"],
    tau: Float[np.ndarray, " bin"],
    error: Float[np.ndarray, " bin"],
) -> tuple[float, float]:
    """Return D extrapolated to q = 0 with its error, m^2/s."""
    if len(q) < 3 or not np.ptp(q) > 1e-9 * q.max():
        return np.nan, np.nan
    apparent = ANGSTROM_M**2 / (tau * q**2)
    typical = float(np.median(apparent))
    design = np.column_stack([np.ones_like(q), (q / q.max()) ** 2])
    line = weighted_line(design, apparent / typical, (apparent / typical * error / tau) ** 2)
    return line.height * typical, line.height_err * typical


def _of_global_fit(fit: G2Fit) -> Dispersion:
    """Return the law that the bins were fitted with; of several files', that of the first."""
    record = fit.record
    law = law_named(record.law if record is not None and record.law else "")
    amplitude = next(one for one in fit.shared if one.name == law.amplitude)
    exponent = next((one for one in fit.shared if one.name == "n"), None)
    faults = [one.status for one in (amplitude, exponent) if one and one.status != "ok"]
    if faults:
        return _nothing(law.name, 0, len(fit.status), faults[0])
    tau, centre = amplitude.value, amplitude.q_reference
    if law.exponent is not None:
        tau = (ANGSTROM_M / centre) ** law.exponent / amplitude.value
    nothing = (np.nan, np.nan)
    D, D_err = (amplitude.value, amplitude.error) if law.name == "diffusion" else nothing
    v, v_err = (amplitude.value, amplitude.error) if law.name == "ballistic" else nothing
    reduced = fit.reduced_chi2[np.isfinite(fit.reduced_chi2)]
    base = _nothing(law.name, amplitude.n_bins, len(fit.status), "ok")
    return replace(
        base,
        D_m2_per_s=D,
        D_m2_per_s_err=D_err,
        v_m_per_s=v,
        v_m_per_s_err=v_err,
        exponent=np.nan if exponent is None else exponent.value,
        exponent_err=np.nan if exponent is None else exponent.error,
        reduced_chi2=float(np.mean(reduced)) if len(reduced) else np.nan,
        scatter=0.0,
        q_reference=centre,
        tau_reference_s=float(tau),
    )


def _nothing(law: LawName, usable: int, of: int, status: str | None = None) -> Dispersion:
    verb = "has" if usable == 1 else "have"
    return Dispersion(
        law=law,
        status=status
        or f"no_data: {usable} of {of} bins {verb} a relaxation time and a q, a law needs 2",
        D_m2_per_s=np.nan,
        D_m2_per_s_err=np.nan,
        exponent=np.nan,
        exponent_err=np.nan,
        n_bins=usable,
        reduced_chi2=np.nan,
        scatter=np.nan,
        q_reference=np.nan,
        tau_reference_s=np.nan,
    )
