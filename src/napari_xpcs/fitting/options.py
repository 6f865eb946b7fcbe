"""How a fit is done, apart from its model and its bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from types import MappingProxyType
from typing import Literal, TypeAlias

from napari_xpcs.errors import FitError

Range: TypeAlias = tuple[float, float]
FitRange: TypeAlias = Range | Mapping[int, Range]
"""Shortest and longest delay that take part, s: of all bins, or by the label of a bin."""

EVERYWHERE: Range = (0.0, float("inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How a fit is done, apart from its model and its bounds.

    Parameters
    ----------
    tied
        Parameters that follow another of the same kind: ``{"tau2_s": "10*tau_s"}``.
    start
        Values to set out from, by name, in the units of the model; the others come from a grid.
    starts
        From how many mutually distant points every curve is fitted; by default what the model
        needs.
    fit_range
        Delays that take part, s; where it goes by label, other bins keep all of theirs.
    robust
        Outliers count less: the residuals follow Student's t with 4 degrees of freedom, in units
        of the errors or, where that is larger, of the scatter.
    error_floor
        Added in square to every error of g2.  ``auto``: per bin, what makes the reduced chi2 1
        where it would be above.
    errors
        ``auto``: the errors of the parameters follow from those of g2, times
        sqrt(reduced chi2) where that is above 1 by more than chance (5 %).  ``stated``: never
        scaled.  ``scaled``: always.
    """

    tied: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    start: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    starts: int | None = None
    fit_range: FitRange = EVERYWHERE
    robust: bool = False
    error_floor: float | Literal["auto"] = 0.0
    errors: Literal["auto", "stated", "scaled"] = "auto"

    def __post_init__(self) -> None:
        if self.starts is not None and self.starts < 1:
            raise FitError(f"A fit sets out from 1 point or more, not from {self.starts}.")
        if self.error_floor != "auto" and not self.error_floor >= 0:
            raise FitError(f"The error floor is {self.error_floor:g}; it must be 0 or more.")
        ranges = (
            self.fit_range.values() if isinstance(self.fit_range, Mapping) else [self.fit_range]
        )
        for low, high in ranges:
            if isnan(low) or isnan(high) or not low < high:
                raise FitError(
                    f"The delays {low:g} to {high:g} s are no range; the shorter one comes first."
                )

    def range_of(self, label: int) -> Range:
        """Return the delays that take part in the bin ``label``, s."""
        if isinstance(self.fit_range, Mapping):
            return self.fit_range.get(label, EVERYWHERE)
        return self.fit_range


DEFAULT = FitOptions()
