"""Centres of bins along a folded phi axis."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from napari_xpcs._typing import Array, ScalarLike
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.kernels.axis_bins import AxisBins
from napari_xpcs.kernels.axis_request import AxisRequest, turned
from napari_xpcs.kernels.padding import padded_length
from napari_xpcs.kernels.row_blocks import over_rows
from napari_xpcs.kernels.segment_lookup import bin_axis


def fold_centers(
    phi_deg: Float[Array, "row col"],
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    bins: AxisBins,
    request: AxisRequest,
    groups: tuple[int, ...],
    *,
    xp: BackendProtocol,
) -> tuple[Float[np.ndarray, " n"], ...]:
    """Return the centres of folded phi bins: the mean phi of their pixels in the first fold.

    The first fold is [0, 360/fold) degrees after the offset; a bin without pixels there
    takes the mean over all folds, one without any pixel 0.  The mean is over phi before
    the offset; ``values`` is what :func:`~napari_xpcs.kernels.axis_request.place` made of it.
    One array for each number in ``groups``, of bins taken together.
    """
    lookup = bins.lookup()
    tables = lookup.arrays(xp=xp)
    compiled = xp.jit(_fold_sums, static_argnames=("steps", "period", "length", "xp"))

    def work(rows: slice) -> tuple[dict[str, Array], tuple[Array, ...]]:
        sums = compiled(
            phi_deg[rows],
            values[rows],
            used[rows],
            tables,
            request.offset_deg,
            steps=lookup.steps,
            period=request.period,
            length=padded_length(len(bins) + 1),
            xp=xp,
        )
        return {}, sums

    _, blocks = over_rows(work, values.shape, xp=xp)
    sums = [
        np.sum([ensure_numpy(part)[1 : len(bins) + 1] for part in parts], axis=0)
        for parts in zip(*blocks, strict=True)
    ]

    def centers(group: int) -> Float[np.ndarray, " n"]:
        counts_first, phi_first, counts_all, phi_all = (
            total.reshape(-1, group).sum(axis=1) for total in sums
        )
        first = counts_first > 0
        counts = np.where(first, counts_first, counts_all)
        means: np.ndarray = np.where(first, phi_first, phi_all) / np.maximum(counts, 1)
        return means

    return tuple(centers(group) for group in groups)


def _fold_sums(
    phi_deg: Float[Array, "row col"],
    values: Float[Array, "row col"],
    used: Bool[Array, "row col"],
    tables: Mapping[str, Array],
    offset_deg: ScalarLike | None,
    *,
    steps: int,
    period: float,
    length: int,
    xp: BackendProtocol,
) -> tuple[Array, Array, Array, Array]:
    shifted = phi_deg if offset_deg is None else turned(phi_deg, offset_deg, xp=xp)
    number = xp.ravel(xp.where(used, bin_axis(values, tables, steps=steps, xp=xp), 0))
    first = xp.where(xp.ravel((shifted >= 0) & (shifted < period)), number, 0)
    phi = xp.ravel(phi_deg)
    return (
        xp.bincount(first, length=length),
        xp.bincount(first, weights=phi, length=length),
        xp.bincount(number, length=length),
        xp.bincount(number, weights=phi, length=length),
    )
