"""Blocks of frames against sums of products written down as they are defined."""

import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.multitau_rows import Level, Slab, add_block, first_sums

TILES, WIDTH, DELAYS = 3, 5, 4


def empty_slab(levels: int, xp: BackendProtocol) -> Slab:
    shapes = [(TILES, 2 * DELAYS if level == 0 else DELAYS, WIDTH) for level in range(levels)]
    return tuple(
        Level(products=xp.zeros(shape), last=xp.zeros((TILES, 2 * DELAYS, WIDTH)))
        for shape in shapes
    )


@pytest.mark.parametrize("looped", [True, False])
@pytest.mark.parametrize("narrow", [True, False])
def test_blocks_add_up_to_the_sums_of_the_whole_run(
    xp: BackendProtocol, looped: bool, narrow: bool
) -> None:
    length, levels, frames = 8, 6, 75
    counts = np.random.default_rng(0).poisson(3.0, (TILES, frames, WIDTH)).astype(np.uint16)
    slab = empty_slab(levels, xp)
    for seen in range(0, frames, length):
        block = np.full((TILES, length, WIDTH), 999, np.uint16)  # what is not new is ignored
        new = counts[:, seen : seen + length]
        block[:, : new.shape[1]] = new
        slab = add_block(slab, block, seen, new.shape[1], narrow=narrow, looped=looped, xp=xp)
    for level, found in enumerate(slab):
        number = frames >> level
        sums = counts[:, : number << level].reshape(TILES, number, -1, WIDTH).sum(axis=2)
        shortest = 1 if level == 0 else DELAYS + 1
        expected = [
            (sums[:, lag:] * sums[:, : max(number - lag, 0)]).sum(axis=1)
            for lag in range(shortest, 2 * DELAYS + 1)
        ]
        np.testing.assert_array_equal(found.products, np.stack(expected, axis=1))
        known = min(number, 2 * DELAYS)
        np.testing.assert_array_equal(found.last[:, 2 * DELAYS - known :], sums[:, -known:])


@pytest.mark.parametrize(("length", "levels"), [(64, 3), (16, 1), (8, 0)])
def test_first_sums_are_those_that_are_not_the_last_of_a_block(
    xp: BackendProtocol, length: int, levels: int
) -> None:
    counts = np.random.default_rng(1).poisson(3.0, (TILES, length, WIDTH)).astype(np.uint8)
    found = first_sums(counts, 2 * DELAYS, xp=xp)
    assert len(found) == levels
    for level, sums in enumerate(found):
        whole = counts.reshape(TILES, length >> level, -1, WIDTH).sum(axis=2)
        np.testing.assert_array_equal(sums, whole[:, : 2 * DELAYS])
