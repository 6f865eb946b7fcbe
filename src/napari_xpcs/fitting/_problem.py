"""A batch of curves made ready for a solver, and the constants that both solvers share."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

CHUNK = 64
"""Curves per call of a solver: one compiled shape, and progress several times a second."""

ROUND_STEPS = 12
"""Steps of a solver before the curves that have ended leave the batch: the slowest would else hold
all others."""

MAX_ROUNDS = 12
GAIN = 1e-6
"""A fit ends when a Newton step, no longer than the limits below, would lower chi2/2 by less than
this, in units of the reduced chi2 (or of 1, if that is larger): 1.4e-3 of an error bar."""

FIRST_DAMPING = 1e-3
LEAST_DAMPING = 1e-10
MOST_DAMPING = 1e6
HIGH_CUTOFF, HIGH_FACTOR = 0.75, 8.0
LOW_CUTOFF, LOW_FACTOR = 0.01, 0.2
LOG_STEP_LIMIT = 2.0
LINEAR_STEP_LIMIT = 0.5
"""Longest step in the logarithm of a parameter, and in a parameter itself."""

AT_BOUND = 1e-9
"""Distance to a bound, in units of the box, below which a parameter counts as at it."""


class Lanes(NamedTuple):
    """Fits on their way: where each is, how its next step is damped, and whether it has ended."""

    x: Float[np.ndarray, "lane param"]
    damping: Float[np.ndarray, " lane"]
    done: Bool[np.ndarray, " lane"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Curves, weights and bounds in the units that are fitted.

    ``t`` and ``averaging`` are in units of the first delay; ``g2`` and ``root_weight`` (1/error)
    are 0 where a point is not used.  ``scale_from_scatter`` marks curves without errors of their
    own.
    """

    t: Float[np.ndarray, " delay"]
    g2: Float[np.ndarray, "curve delay"]
    root_weight: Float[np.ndarray, "curve delay"]
    lower: Float[np.ndarray, "curve param"]
    upper: Float[np.ndarray, "curve param"]
    scale_from_scatter: Bool[np.ndarray, " curve"]
    averaging: Float[np.ndarray, " delay"] | None = None

    def __len__(self) -> int:
        return len(self.g2)

    def take(self, rows: Int[np.ndarray, " row"] | slice) -> "Problem":
        """Return the problem of some of its curves."""
        of_delays = ("t", "averaging")
        chosen = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen |= {name: value[rows] for name, value in chosen.items() if name not in of_delays}
        return Problem(**chosen)

    def chunks(self, size: int = CHUNK) -> Iterator[slice]:
        """Return slices of at most ``size`` curves."""
        for first in range(0, len(self), size):
            yield slice(first, min(first + size, len(self)))

    @property
    def n_points(self) -> Int[np.ndarray, " curve"]:
        """Points that are used."""
        return np.asarray(np.count_nonzero(self.root_weight, axis=1))

    @property
    def n_free(self) -> Int[np.ndarray, " curve"]:
        """Parameters that are not fixed."""
        return np.asarray(np.count_nonzero(self.upper > self.lower, axis=1))

    @property
    def freedom(self) -> Int[np.ndarray, " curve"]:
        """Degrees of freedom, at least 1."""
        return np.asarray(np.maximum(self.n_points - self.n_free, 1))
