"""In words, what the bins or the delays of two runs differ by."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from napari_xpcs.kernels.curves import BinTable

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
