"""Poisson counts about many small means, several times faster than NumPy draws them one by one."""

import numpy as np
from jaxtyping import Float, UInt16

_FEW = 0.3
_MANY = 8.0
"""Mean counts below which most pixels count nothing, and above which NumPy's own way is faster."""


def poisson_counts(
    rng: np.random.Generator, mean: Float[np.ndarray, "..."]
) -> UInt16[np.ndarray, "..."]:
    """Return Poisson distributed counts about ``mean`` (0 to 60000), one of each.

    Up to a mean of some counts the distribution is inverted for all pixels at a time.
    """
    typical = mean.mean()
    flat = mean.reshape(-1)
    if typical > _MANY:
        counts = rng.poisson(flat).astype(np.uint16)
    elif typical > _FEW:
        counts = _inverted(rng.random(flat.size), flat.astype(np.float64))
    else:
        counts = _sparse(rng, flat)
    return counts.reshape(mean.shape)


def _inverted(
    uniform: Float[np.ndarray, " pixel"], mean: Float[np.ndarray, " pixel"]
) -> UInt16[np.ndarray, " pixel"]:
    """Return how many partial sums of the probabilities ``uniform`` (0 to 1) has passed."""
    probability = np.exp(-mean)
    passed = probability.copy()
    counts = np.zeros(mean.size, np.uint16)
    largest = mean.max(initial=0.0)
    # Rounding may keep a sum below the largest uniform number: the end must not depend on it.
    for count in range(1, int(largest + 12.0 * np.sqrt(largest)) + 30):
        more = uniform >= passed
        if not more.any():
            break
        counts += more
        probability *= mean
        probability /= count
        passed += probability
    return counts


def _sparse(
    rng: np.random.Generator, mean: Float[np.ndarray, " pixel"]
) -> UInt16[np.ndarray, " pixel"]:
    """Return counts of which few are not zero: only those are worked out."""
    bits = rng.bit_generator.random_raw(-(-mean.size // 2)).view(np.uint32)[: mean.size]
    hit = bits < -np.expm1(-mean) * 2.0**32
    counts: UInt16[np.ndarray, " pixel"] = hit.astype(np.uint16)
    there = np.flatnonzero(hit)
    # Where there is a count, the chance of none is spread over the chances of the others.
    some = mean[there].astype(np.float64)
    none = np.exp(-some)
    counts[there] = _inverted(none + (1.0 - none) * rng.random(there.size), some)
    return counts
