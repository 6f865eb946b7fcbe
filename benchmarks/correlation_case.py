"""The case that the benchmarks of correlation share: rings on a square detector, few counts."""

import os
import time
from collections.abc import Callable

import numpy as np

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.kernels.label_bins import partition_from_labels
from napari_xpcs.kernels.partition import Partition

STATIC_IN_DYNAMIC = 10
USED = 0.74
"""Part of the pixels that lies in a bin."""


def rings(side: int, dynamic: int = 18) -> Partition:
    """Return ``dynamic`` rings of ten static ones around the corner of a detector."""
    row, col = np.mgrid[:side, :side]
    radius = np.hypot(row, col)
    edge = np.quantile(radius, USED)
    number = dynamic * STATIC_IN_DYNAMIC
    static = np.where(radius < edge, (radius / edge * number).astype(np.int32) + 1, 0)
    whole = (static + STATIC_IN_DYNAMIC - 1) // STATIC_IN_DYNAMIC
    return partition_from_labels(whole, None, static=static, xp=NumPyBackend())


def poisson_counts(frames: int, side: int, mean: float = 1.0) -> np.ndarray:
    """Return (frame, row, col) counts."""
    return np.random.default_rng(0).poisson(mean, (frames, side, side)).astype(np.uint16)


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a call, of all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def pin_to_one_core() -> None:
    """Let this process and those that it starts use its last core only."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
