import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.multitau import (
    TILE_PIXELS,
    add_block,
    binned_g2,
    empty_state,
    multitau_lags,
)


def test_lags_are_those_of_the_aps() -> None:
    assert multitau_lags(500).delay_frames.tolist() == [
        *range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128,
        160, 192, 224, 256, 320, 384,
    ]  # fmt: skip
    assert [len(multitau_lags(n).lag) for n in (500, 1000, 1024)] == [30, 34, 35]
    assert multitau_lags(2).delay_frames.tolist() == [1]
    assert multitau_lags(40, 8).delay_frames.tolist() == [
        *range(1, 17), 18, 20, 22, 24, 26, 28, 30, 32, 36,
    ]  # fmt: skip


def _direct(x: np.ndarray, level: int, lag: int) -> np.ndarray:
    """G2, IP, IF of series x (frame, pixel), written down as they are defined."""
    count = len(x) >> level
    sums = x[: count << level].reshape(count, 1 << level, -1).sum(axis=1)
    past, future = sums[: count - lag], sums[lag:]
    scale = 2.0**level
    return np.stack(
        [(past * future).mean(0) / scale**2, past.mean(0) / scale, future.mean(0) / scale]
    )


@pytest.mark.parametrize(("frames", "block", "delays"), [(77, 8, 4), (64, 8, 8), (5, 8, 4)])
def test_pixel_averages_are_those_defined(
    xp: BackendProtocol, frames: int, block: int, delays: int
) -> None:
    # One pixel to a static bin: then g2 of the bin tells about the averages of the pixel.
    rng = np.random.default_rng(frames)
    pixels = 5
    counts = rng.poisson(9.0, (frames, pixels)).astype(np.uint16)
    lags = multitau_lags(frames, delays)
    state = empty_state(1, int(lags.level[-1]) + 3, delays_per_level=delays, xp=xp)
    for start in range(0, frames, block):
        part = counts[start : start + block]
        tile = np.full((block, TILE_PIXELS), 9, np.uint16)
        tile[: len(part), :pixels] = part
        state = add_block(state, [xp.asarray(tile)], len(part), xp=xp)
    labels = np.arange(pixels)
    binned = binned_g2(state, labels, np.zeros(pixels, int), np.zeros(pixels, int), 1, xp=xp)
    for row, (level, lag) in enumerate(zip(lags.level, lags.lag, strict=True)):
        product, past, future = _direct(counts.astype(float), level, lag)
        np.testing.assert_allclose(binned.static_g2[row], product / (past * future), rtol=1e-12)
        spread = np.std(binned.static_g2[row], ddof=1) / np.sqrt(pixels)
        np.testing.assert_allclose(binned.g2_err[row], spread, rtol=1e-9, atol=1e-15)
    assert state.frames == frames


def test_normalizations_weigh_static_bins_as_they_say(xp: BackendProtocol) -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(np.where(np.arange(30) < 10, 2.0, 8.0), (32, 30)).astype(np.uint16)
    static = np.repeat([0, 1], [10, 20])
    tile = np.zeros((32, TILE_PIXELS), np.uint16)
    tile[:, :30] = counts
    state = add_block(empty_state(1, 6, xp=xp), [xp.asarray(tile)], 32, xp=xp)

    def g2(name: str) -> np.ndarray:
        arguments = (state, static, np.zeros(30, int), np.zeros(2, int), 1)
        return binned_g2(*arguments, normalization=name, xp=xp).g2[0, 0]  # type: ignore[arg-type]

    product, past, future = _direct(counts.astype(float), 0, 1)
    ratio = [
        product[here].mean() / (past[here].mean() * future[here].mean())
        for here in (static == 0, static == 1)
    ]
    weighted = np.average(ratio, weights=[10, 20])
    np.testing.assert_allclose(g2("symmetric"), np.mean(ratio), rtol=1e-12)
    np.testing.assert_allclose(g2("pixel-weighted"), weighted, rtol=1e-12)
    whole = product.mean() / (past.mean() * future.mean())
    np.testing.assert_allclose(g2("no-static"), whole, rtol=1e-12)
