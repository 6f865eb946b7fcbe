"""Bins of two runs: which one is the same, and in words what they and the delays differ by."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from napari_xpcs.kernels.curves import BinTable, G2Curves

SAME_NUMBER = 1e-6
"""Files store times as float32."""


def table_differences(first: BinTable, other: BinTable) -> Iterator[str]:
    """Yield how the bins of ``other`` differ from those of ``first``: number, q, phi."""
    if len(first) != len(other):
        yield f"they have {len(other)} and {len(first)} bins"
        return
    for name, values, others in (("q", first.q, other.q), ("phi", first.phi_deg, other.phi_deg)):
        if not np.allclose(values, others, rtol=SAME_NUMBER, atol=0.0, equal_nan=True):
            yield f"their bins lie at another {name}"


def delay_differences(
    first: Float[np.ndarray, " delay"], other: Float[np.ndarray, " delay"]
) -> Iterator[str]:
    """Yield how the delays ``other``, s, differ from ``first``, s: number, or the first of them."""
    if len(first) != len(other):
        yield f"they have {len(other)} and {len(first)} delays"
    elif not np.allclose(first, other, rtol=SAME_NUMBER, atol=0.0):
        at = int(np.argmax(np.abs(other - first) > SAME_NUMBER * first))
        yield f"delay {at + 1} is {other[at]:.6g} s in one and {first[at]:.6g} s in the other"


SAME_Q = 0.2
"""Relative distance in q up to which bins of two runs are laid over each other."""


def same_bin(curves: G2Curves, column: int, other: G2Curves) -> int | None:
    """Return the column of ``other`` whose bin is the nearest in q, or has the same label.

    ``None`` where no q lies within :data:`SAME_Q`.
    """
    q, phi = curves.bins.q[column], curves.bins.phi_deg[column]
    if not np.isfinite(q) or not np.isfinite(other.bins.q).any():
        found = np.flatnonzero(other.bins.label == curves.bins.label[column])
        return int(found[0]) if found.size else None
    away = np.abs(np.nan_to_num(other.bins.q, nan=np.inf) - q) / q
    turned = np.abs((other.bins.phi_deg - phi + 180) % 360 - 180) / 360
    nearest = int(np.argmin(away + np.nan_to_num(turned)))
    return nearest if away[nearest] < SAME_Q else None
