"""Pixel-wise work over a whole detector, a block of rows at a time where that is quicker."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol

BLOCK_PIXELS = 1 << 16
"""Pixels of a block: half a megabyte an array, so that intermediate results stay in the cache."""

MOST_THREADS = 8

Totals = TypeVar("Totals")


def over_rows(
    work: Callable[[slice], tuple[Mapping[str, Array], Totals]],
    shape: tuple[int, int],
    *,
    xp: BackendProtocol,
) -> tuple[dict[str, Array], list[Totals]]:
    """Return the arrays that ``work`` makes of the rows of a detector, and its totals.

    Compiled code goes through memory once and gets all rows in one call.  Without a compiler
    every step of a formula would write an array of the size of the detector and read it back,
    several times as slow as the arithmetic; there the rows are done in blocks, in threads.

    Parameters
    ----------
    work
        Given a slice of rows, returns arrays by name whose first axis are these rows, and
        what it found about them otherwise (sums, extremes), which is returned per block.
    shape
        Rows and columns of the detector.
    """
    rows, cols = shape
    height = rows if xp.supports_jit else max(1, BLOCK_PIXELS // cols)
    blocks = [slice(start, min(start + height, rows)) for start in range(0, rows, height)]
    made, first = work(blocks[0])
    if len(blocks) == 1:
        return dict(made), [first]
    full = {name: np.empty((rows, cols), part.dtype) for name, part in made.items()}

    def keep(block: slice, parts: Mapping[str, Array]) -> None:
        for name, part in parts.items():
            full[name][block] = part

    def act(block: slice) -> Totals:
        parts, totals = work(block)
        keep(block, parts)
        return totals

    keep(blocks[0], made)
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        return full, [first, *pool.map(act, blocks[1:])]
