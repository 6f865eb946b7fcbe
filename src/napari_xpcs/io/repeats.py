"""Whether two results are repeats of one measurement: same bins, delays and options."""

from collections.abc import Iterator

import numpy as np

from napari_xpcs.errors import AverageError
from napari_xpcs.io.files import ResultFile
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.same_bins import delay_differences, table_differences

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
        yield from delay_differences(first.curves.delay_s, other.curves.delay_s)
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
    yield from table_differences(first.table(), other.table())
