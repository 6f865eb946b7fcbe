"""Whether two results are repeats of one measurement: same bins, delays and options."""

from collections.abc import Iterator

import numpy as np

from napari_xpcs.errors import AverageError
from napari_xpcs.io.files import ResultFile
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.partition import Partition

_SAME_NUMBER = 1e-6
"""Files store times as float32."""

_SAME_OPTIONS = ("normalization", "smooth", "normalize_frame", "stride_frame", "avg_frame")
"""Options of a run that change what g2 means."""


def require_repeat(first: ResultFile, other: ResultFile) -> None:
    """Raise where two results with bins cannot be averaged.

    Raises
    ------
    AverageError
        Says the first difference.
    """
    for difference in _differences(first, other):
        msg = (
            f"{other.path.name} and {first.path.name} are no repeats of one measurement: "
            f"{difference}. Average files of the same bins, delays and options."
        )
        raise AverageError(msg)


def _differences(first: ResultFile, other: ResultFile) -> Iterator[str]:
    if first.partition is not None and other.partition is not None:
        yield from _of_bins(first.partition, other.partition)
    if first.curves is not None and other.curves is not None:
        yield from _of_delays(first.curves, other.curves)
    elif (first.curves is None) != (other.curves is None):
        yield "one holds g2 and the other does not"
    for name in _SAME_OPTIONS:
        one, two = first.config.get(name), other.config.get(name)
        if None not in (one, two) and one != two:
            yield f"the option {name} was {two} in one and {one} in the other"


def _of_bins(first: Partition, other: Partition) -> Iterator[str]:
    if first.shape != other.shape:
        shapes = (" x ".join(map(str, each.shape)) for each in (other, first))
        yield f"their detectors have {' and '.join(shapes)} pixels"
        return
    for kind in ("dynamic", "static"):
        one, two = getattr(first, kind).labels, getattr(other, kind).labels
        if pixels := np.count_nonzero(one != two):
            yield f"{pixels} pixels are in other {kind} bins"
    one, two = first.table(), other.table()
    for name, values, others in (("q", one.q, two.q), ("phi", one.phi_deg, two.phi_deg)):
        if not np.allclose(values, others, rtol=_SAME_NUMBER, atol=0.0, equal_nan=True):
            yield f"their bins lie at another {name}"


def _of_delays(first: G2Curves, other: G2Curves) -> Iterator[str]:
    one, two = first.delay_s, other.delay_s
    if len(one) != len(two):
        yield f"they have {len(two)} and {len(one)} delays"
    elif not np.allclose(one, two, rtol=_SAME_NUMBER, atol=0.0):
        at = int(np.argmax(np.abs(two - one) > _SAME_NUMBER * one))
        yield f"delay {at + 1} is {two[at]:.6g} s in one and {one[at]:.6g} s in the other"
