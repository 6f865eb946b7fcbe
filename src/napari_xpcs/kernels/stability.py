r"""Whether intensities stay the same from part to part of a run, or from run to run.

A straight line over the order of the parts tells the change from the first to the last, and the
scatter around it the error, whatever it comes from: counting, speckle, the beam.  With
:math:`x_k` evenly from -1/2 to 1/2 and :math:`y_k = I_k / \bar I`, the change is
:math:`b = \sum x_k y_k / \sum x_k^2` with
:math:`\sigma_b^2 = \sum (y_k - 1 - b x_k)^2 / [(n - 2) \sum x_k^2]`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_ROUNDING = 1e-12
"""Relative scatter that numbers have by being numbers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drift:
    """Relative changes from the first to the last part.

    Parameters
    ----------
    change, error
        Of each quantity, such as I at each q; NaN where it is unknown.
    parts
        How many there were.
    """

    change: Float[np.ndarray, " quantity"]
    error: Float[np.ndarray, " quantity"]
    parts: int

    @property
    def strongest(self) -> int | None:
        """The quantity whose change is largest beside its error, ``None`` where none has one."""
        times = self._times()
        return int(np.nanargmax(times)) if np.isfinite(times).any() else None

    @property
    def known(self) -> int:
        """How many quantities have an error."""
        return int(np.isfinite(self._times()).sum())

    @property
    def chance(self) -> float:
        """Probability that scatter alone makes a change so strong in any of the quantities.

        By Student's t with parts - 2 degrees of freedom, the quantities taken as independent;
        NaN without an error.
        """
        times = self._times()
        known = times[np.isfinite(times)]
        if not known.size:
            return float("nan")
        from scipy.special import stdtr

        one = 2.0 * float(stdtr(self.parts - 2, -known.max()))
        return float(-np.expm1(known.size * np.log1p(-one))) if one < 1.0 else 1.0

    def _times(self) -> Float[np.ndarray, " quantity"]:
        times = np.full(self.change.shape, np.nan)
        known = self.error > _ROUNDING
        times[known] = np.abs(self.change[known]) / self.error[known]
        return times


def drift(parts: Float[np.ndarray, "part quantity"]) -> Drift:
    """Return the relative change from the first to the last of the ``parts``.

    Of a quantity that a part does not know, or that is not above 0 in the mean, nothing is told;
    of two parts there is no error.
    """
    number = len(parts)
    mean = parts.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(mean > 0, parts / mean, np.nan)
    place = np.linspace(-0.5, 0.5, number) if number > 1 else np.full(1, np.nan)
    spread = float(place @ place)
    change = place @ relative / spread
    error = np.full(change.shape, np.nan)
    if number > 2:
        rest = relative - 1.0 - place[:, None] * change
        error = np.sqrt((rest**2).sum(axis=0) / ((number - 2) * spread))
    return Drift(change=change, error=error, parts=number)
