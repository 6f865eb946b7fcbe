"""Why a curve does not tell its parameters, in words: the status of a fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from napari_xpcs.fitting.g2_model import G2Model

_Reasons: TypeAlias = tuple[tuple[Bool[np.ndarray, " curve"], Callable[[int], str]], ...]
"""Which curves a reason applies to, and its words for one of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """What was found of fits that ended at ``x``.

    Parameters
    ----------
    model, x, value, covariance
        The model, the ends and their covariance in fitted coordinates, and the ends in the units
        of the parameters.
    finite, converged
        Whether the model has finite values there, and whether it is a minimum.
    no_contrast
        Whether the contrast is at the bound 0.
    gain_over_constant, least_gain
        By how much chi2 falls from a constant to the model, and by how much it must.
    slow, fast
        Whether too little of the decay lies before the last delay, too much before the first.
    first_delay_s, last_delay_s
        The delays that take part, s.
    low, high, too_wide
        Which parameters are at a bound, or have errors too large to be told.
    """

    model: G2Model
    x: Float[np.ndarray, "curve param"]
    value: Float[np.ndarray, "curve param"]
    covariance: Float[np.ndarray, "curve param param"]
    finite: Bool[np.ndarray, " curve"]
    converged: Bool[np.ndarray, " curve"]
    no_contrast: Bool[np.ndarray, " curve"]
    gain_over_constant: Float[np.ndarray, " curve"]
    least_gain: float
    slow: Bool[np.ndarray, " curve"]
    fast: Bool[np.ndarray, " curve"]
    first_delay_s: Float[np.ndarray, " curve"]
    last_delay_s: Float[np.ndarray, " curve"]
    low: Bool[np.ndarray, "curve param"]
    high: Bool[np.ndarray, "curve param"]
    too_wide: Bool[np.ndarray, "curve param"]

    def usable(self) -> Bool[np.ndarray, " curve"]:
        """Return which curves tell some parameter at all."""
        return np.asarray(~np.any([applies for applies, _ in self._unusable()], axis=0))

    def status(self) -> tuple[str, ...]:
        """Return the first reason that applies to each curve, ``ok`` where there is none."""
        reasons = (*self._unusable(), *self._incomplete())
        return tuple(
            next((reason(i) for applies, reason in reasons if applies[i]), "ok")
            for i in range(len(self.x))
        )

    def _unusable(self) -> _Reasons:
        """Return the reasons after which nothing of a curve is determined, in their order."""
        return (
            (~self.finite, lambda i: "failed: the model has no finite value for this curve"),
            (
                self.no_contrast,
                lambda i: "at_bound: contrast is at its lower bound 0, so no decay is seen",
            ),
            (
                self.gain_over_constant < self.least_gain,
                lambda i: (
                    "not_identifiable: a constant describes the curve as well as a decay"
                    f" (chi2 falls by {max(self.gain_over_constant[i], 0):.1f}, a decay that"
                    f" stands out of the noise needs {self.least_gain:.0f})"
                ),
            ),
            (
                ~self.converged,
                lambda i: "failed: the fit found no minimum; try a model with fewer parameters",
            ),
            (
                self.slow,
                lambda i: (
                    "not_identifiable: the decay is slower than the longest delay"
                    f" {self.last_delay_s[i]:.3g} s"
                ),
            ),
            (
                self.fast,
                lambda i: (
                    "not_identifiable: the decay is faster than the shortest delay"
                    f" {self.first_delay_s[i]:.3g} s"
                ),
            ),
        )

    def _incomplete(self) -> _Reasons:
        """Return the reasons that leave out some parameters of a curve."""
        return (
            (np.any(self.low | self.high, axis=1), self._at_bound),
            (np.any(self.too_wide, axis=1), self._too_wide),
        )

    def _at_bound(self, curve: int) -> str:
        low, high, value = self.low[curve], self.high[curve], self.value[curve]
        parts = [
            f"{parameter.name} is at its {'lower' if low[i] else 'upper'} bound {value[i]:.3g}"
            f"{' ' + parameter.unit if parameter.unit else ''}"
            for i, parameter in enumerate(self.model.parameters)
            if low[i] or high[i]
        ]
        # A burst of intensity, unlike speckle, makes g2 fall by more than 1.
        more = "; if it may be more, give it a wider bound" if high[1] and value[1] == 1 else ""
        return "at_bound: " + " and ".join(parts) + more

    def _too_wide(self, curve: int) -> str:
        parts = []
        for i in np.flatnonzero(self.too_wide[curve]):
            parameter, error = self.model.parameters[i], np.sqrt(self.covariance[curve, i, i])
            if not parameter.log:
                parts.append(f"{parameter.name} {self.x[curve, i]:.2g} is uncertain by {error:.2g}")
            elif error < np.log(1e3):
                parts.append(f"{parameter.name} is uncertain by a factor of {np.exp(error):.2g}")
            else:
                parts.append(f"{parameter.name} is not determined at all")
        return "not_identifiable: " + " and ".join(parts)
