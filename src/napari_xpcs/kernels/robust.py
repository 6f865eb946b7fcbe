"""Spread of numbers some of which are odd."""

import numpy as np
from jaxtyping import Float

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def robust_spread(values: Float[np.ndarray, " value"]) -> float:
    """Return the standard deviation that the median absolute deviation of ``values`` stands for."""
    return MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values))))
