r"""Laws of the relaxation time over q, as straight lines in logarithms.

.. math:: \ln\tau = \ln\tau_0 - n \ln(q/q_0)

with n = 2 for diffusion, :math:`\tau = 1/(D q^2)`; n = 1 for ballistic motion,
:math:`\tau = 1/(v q)`; and n free for a power law, of which :math:`\tau_0` at the geometric middle
:math:`q_0` of the bins is the other number: elsewhere the two would depend on each other [1]_.

References
----------
.. [1] Berne & Pecora, *Dynamic Light Scattering*, ch. 5.
"""

from dataclasses import dataclass
from math import exp, pi
from typing import Literal, TypeAlias

from napari_xpcs.errors import FitError, check_choice
from napari_xpcs.units import ANGSTROM_M, BOLTZMANN_J_PER_K

LawName: TypeAlias = Literal["diffusion", "power", "ballistic"]

RELAXATION = {"tau_s": 1, "gamma_per_s": -1}
"""The parameter that stands for the relaxation time, and the power of it that is a time."""

EXPONENT_BOUNDS = (0.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One law of the relaxation time.

    ``exponent`` is n, None where it is free; ``amplitude`` and ``unit`` name the number that
    stands in the law, ``short`` what a user may call it.
    """

    name: LawName
    formula: str
    exponent: float | None
    amplitude: str
    unit: str
    short: str

    def value(self, log_tau: float, q_reference: float) -> float:
        """Return the amplitude from ln(tau) at ``q_reference`` (1/angstrom)."""
        if self.exponent is None:
            return exp(log_tau)
        return float(exp(-log_tau) * (ANGSTROM_M / q_reference) ** self.exponent)


LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law(
            name="diffusion",
            formula="τ = 1/(D q²)",
            exponent=2.0,
            amplitude="D_m2_per_s",
            unit="m²/s",
            short="D",
        ),
        Law(
            name="power",
            formula="τ = τ₀ (q/q₀)^-n",
            exponent=None,
            amplitude="tau0_s",
            unit="s",
            short="tau0",
        ),
        Law(
            name="ballistic",
            formula="τ = 1/(v q)",
            exponent=1.0,
            amplitude="v_m_per_s",
            unit="m/s",
            short="v",
        ),
    )
}


def law_named(name: str) -> Law:
    """Return the law, or say which there are."""
    check_choice("law", name, LAWS)
    return LAWS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solvent:
    """The liquid that particles diffuse in: temperature in K, viscosity in Pa s."""

    temperature_k: float
    viscosity_pa_s: float

    def __post_init__(self) -> None:
        if not (self.temperature_k > 0 and self.viscosity_pa_s > 0):
            raise FitError(
                f"A temperature of {self.temperature_k:g} K and a viscosity of"
                f" {self.viscosity_pa_s:g} Pa s are no liquid; both must be above 0."
            )

    def hydrodynamic_radius_m(self, diffusion_m2_per_s: float) -> float:
        r"""Return :math:`R_h = k_B T / (6\pi\eta D)` (Stokes and Einstein), m."""
        thermal = BOLTZMANN_J_PER_K * self.temperature_k
        return thermal / (6 * pi * self.viscosity_pa_s * diffusion_m2_per_s)
