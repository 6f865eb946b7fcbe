"""Blocks of frames against sums of products written down as they are defined."""

import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.multitau_rows import block_sums

TILES, WIDTH, DELAYS = 3, 5, 4
HISTORY = 2 * DELAYS


@pytest.mark.parametrize("looped", [True, False])
@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("length", [8, 32])
def test_blocks_add_up_to_the_sums_of_the_whole_run(
    xp: BackendProtocol, looped: bool, narrow: bool, length: int
) -> None:
    frames, levels = 75, length.bit_length()
    counts = np.random.default_rng(0).poisson(3.0, (TILES, frames, WIDTH)).astype(np.uint16)
    products = np.zeros((TILES, DELAYS * (levels + 1), WIDTH))
    last = np.zeros((TILES, levels, HISTORY, WIDTH), np.float32 if narrow else np.float64)
    firsts = []
    for seen in range(0, frames, length):
        block = np.full((TILES, length, WIDTH), 999, np.uint16)  # what is not new is ignored
        new = counts[:, seen : seen + length]
        block[:, : new.shape[1]] = new
        found = block_sums(last, block, new.shape[1], looped=looped, xp=xp)
        products += np.asarray(found.products)
        last = np.asarray(found.last)
        firsts.append(found.first)
    row = 0
    for level in range(levels):
        number = frames >> level
        sums = counts[:, : number << level].reshape(TILES, number, -1, WIDTH).sum(axis=2)
        for lag in range(1 if level == 0 else DELAYS + 1, HISTORY + 1):
            expected = (sums[:, lag:] * sums[:, : max(number - lag, 0)]).sum(axis=1)
            np.testing.assert_array_equal(products[:, row], expected)
            row += 1
        known = min(number, HISTORY)
        np.testing.assert_array_equal(last[:, level, HISTORY - known :], sums[:, -known:])
        if level < len(firsts[0]):
            np.testing.assert_array_equal(firsts[0][level], sums[:, :HISTORY])
    assert row == products.shape[1]
    # A level of which a block has no more than the history is among the last sums as a whole.
    assert len(firsts[0]) == {8: 0, 32: 2}[length]
