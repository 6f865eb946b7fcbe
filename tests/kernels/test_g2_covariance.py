"""The covariance of g2 against its definition, a closed form, and repeated runs."""

import numpy as np
import pytest

from napari_xpcs.correlate.binning import bin_sums
from napari_xpcs.correlate.engines import NumbaEngine
from napari_xpcs.correlate.finish import binned_g2
from napari_xpcs.correlate.pixels import UsedPixels
from napari_xpcs.kernels import g2_covariance as module
from napari_xpcs.kernels.g2_covariance import g2_covariance
from napari_xpcs.kernels.multitau import NORMALIZATIONS, BinnedG2, multitau_lags
from napari_xpcs.kernels.multitau_state import empty_state


def correlated(
    counts: np.ndarray, static: np.ndarray, dynamic_of_static: np.ndarray, normalization: str
) -> tuple[BinnedG2, np.ndarray]:
    """Return g2 of counts (frame, pixel) and its covariance."""
    pixels = UsedPixels(
        mask=np.ones((1, len(static)), bool),
        index=np.arange(len(static)),
        static=static,
        dynamic=dynamic_of_static[static],
        dynamic_of_static=dynamic_of_static,
        bins=int(dynamic_of_static.max()) + 1,
    )
    engine = NumbaEngine(empty_state(len(static), frames=len(counts)), pixels)
    engine.add(counts[:, None], None)
    engine.close()
    sums = bin_sums(engine.state(), np.ones(len(counts)), pixels)
    covariance = g2_covariance(
        engine.state(), sums.static_sums, sums.numbers.effective, static, dynamic_of_static,
        pixels.bins, normalization=normalization,
    )  # fmt: skip
    return binned_g2(sums, pixels, normalization), covariance


def averages(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return G2, IP, IF (delay, pixel), written down as they are defined."""
    rows = []
    lags = multitau_lags(len(counts))
    for level, lag in zip(lags.level, lags.lag, strict=True):
        number = len(counts) >> level
        sums = counts[: number << level].reshape(number, 1 << level, -1).mean(axis=1)
        past, future = sums[: number - lag], sums[lag:]
        rows.append([(past * future).mean(0), past.mean(0), future.mean(0)])
    return tuple(np.moveaxis(np.array(rows), 1, 0))


def ring_covariance(product: np.ndarray, past: np.ndarray, future: np.ndarray) -> np.ndarray:
    """Return the covariance of the ratio of means over pixels (delay, pixel)."""
    level = past.mean(1, keepdims=True) * future.mean(1, keepdims=True)
    g2 = product.mean(1, keepdims=True) / level
    influence = product / level - g2 * (
        past / past.mean(1, keepdims=True) + future / future.mean(1, keepdims=True) - 1
    )
    return np.cov(influence) / product.shape[1]


@pytest.mark.parametrize("normalization", ["symmetric", "pixel-weighted"])
def test_static_bins_add_up_as_defined(normalization: str) -> None:
    rng = np.random.default_rng(4)
    # Bins of 20, 7 and 33 pixels in dynamic bin 0, of 25 in bin 1; static bin 2 has no pixels.
    static = rng.permutation(np.repeat([0, 1, 3, 4], [20, 7, 33, 25]))
    of_static = np.array([0, 0, -1, 0, 1])
    counts = rng.poisson(rng.gamma(4.0, 2.0, (50, len(static)))).astype(np.uint16)
    _, covariance = correlated(counts, static, of_static, normalization)
    every = averages(counts.astype(float))
    rings = {
        bin_: ring_covariance(*(values[:, static == bin_] for values in every))
        for bin_ in (0, 1, 3, 4)
    }
    weight = {0: 1 / 3, 1: 1 / 3, 3: 1 / 3}
    if normalization == "pixel-weighted":
        weight = {0: 20 / 60, 1: 7 / 60, 3: 33 / 60}
    expected = sum(part**2 * rings[bin_] for bin_, part in weight.items())
    scale = np.abs(expected).max()
    np.testing.assert_allclose(covariance[0], expected, rtol=1e-6, atol=1e-9 * scale)
    np.testing.assert_allclose(covariance[1], rings[4], rtol=1e-6, atol=1e-9 * scale)


def test_one_static_bin_is_the_same_in_every_normalization() -> None:
    rng = np.random.default_rng(5)
    counts = rng.poisson(3.0, (40, 60)).astype(np.uint16)
    one = [
        correlated(counts, np.zeros(60, int), np.zeros(1, int), name)[1] for name in NORMALIZATIONS
    ]
    np.testing.assert_allclose(one[1], one[0], rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose(one[2], one[0], rtol=1e-12, atol=1e-18)


def test_uncorrelated_counts_have_the_variance_of_counting() -> None:
    # With x = m (1 + e) the influence is the mean of e(t) e(t + k): variance 1/(m^2 pairs),
    # no covariance between delays; sums of 2^L frames have the mean 2^L m.
    rng = np.random.default_rng(6)
    mean, frames, pixels = 1.5, 100, 4096
    counts = rng.poisson(mean, (frames, pixels)).astype(np.uint16)
    lags = multitau_lags(frames)
    _, covariance = correlated(counts, np.arange(pixels) % 8, np.zeros(8, int), "symmetric")
    pairs = (frames >> lags.level) - lags.lag
    expected = 1.0 / ((mean * 2.0**lags.level) ** 2 * pairs * pixels)
    variance = np.diagonal(covariance[0])
    np.testing.assert_allclose(variance, expected, rtol=0.15)
    correlation = covariance[0] / np.sqrt(np.outer(variance, variance))
    within_level = lags.level[:, None] == lags.level[None, :]
    off = correlation[within_level & ~np.eye(len(pairs), dtype=bool)]
    assert np.abs(off).max() < 5 / np.sqrt(module.MOST_PIXELS)


def speckle_runs(repeats: int, pixels: int, frames: int) -> np.ndarray:
    """Return counts (frame, repeat * pixel) of two speckle fields that follow AR(1)."""
    rng = np.random.default_rng(7)
    shape = (4, repeats * pixels)
    field = rng.standard_normal(shape)
    counts = np.empty((frames, shape[1]), np.uint16)
    for frame in range(frames):
        counts[frame] = rng.poisson(np.sum(field**2, axis=0))
        field = 0.97 * field + np.sqrt(1 - 0.97**2) * rng.standard_normal(shape)
    return counts


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_repeated_runs_scatter_as_the_covariance_says(normalization: str) -> None:
    # Every repeat is a dynamic bin of two static ones; slow speckle, so that all delays of a
    # run go up and down together.
    repeats, pixels = 300, 200
    counts = speckle_runs(repeats, pixels, 64)
    static = np.arange(repeats * pixels) // (pixels // 2)
    binned, covariance = correlated(counts, static, np.arange(2 * repeats) // 2, normalization)
    scatter = np.cov(binned.g2)
    stated = covariance.mean(axis=0)
    # A variance from 300 repeats is known to 8 %.
    ratio = np.diagonal(stated) / np.diagonal(scatter)
    assert np.all((ratio > 0.75) & (ratio < 1.33)), ratio
    assert 0.85 < np.trace(stated) / np.trace(scatter) < 1.15
    as_correlation = [
        each / np.sqrt(np.outer(np.diagonal(each), np.diagonal(each))) for each in (stated, scatter)
    ]
    assert np.abs(as_correlation[0] - as_correlation[1]).max() < 0.2
    assert as_correlation[1][0, 7] > 0.5


def test_a_part_of_the_pixels_tells_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = speckle_runs(1, 8000, 64)
    arguments = (counts, np.arange(8000) % 5, np.zeros(5, int), "symmetric")
    monkeypatch.setattr(module, "MOST_PIXELS", 8000)
    _, whole = correlated(*arguments)
    monkeypatch.setattr(module, "MOST_PIXELS", 2000)
    _, part = correlated(*arguments)
    np.testing.assert_allclose(np.diagonal(part[0]), np.diagonal(whole[0]), rtol=0.2)
    assert not np.array_equal(part, whole)


def test_a_static_bin_of_one_pixel_counts_as_noisy_as_the_others() -> None:
    counts = speckle_runs(1, 601, 64)
    # 60 static bins of 10 pixels, and one of a single pixel.
    static = np.minimum(np.arange(601) // 10, 60)
    _, with_single = correlated(counts, static, np.zeros(61, int), "symmetric")
    _, without = correlated(counts[:, :600], static[:600], np.zeros(60, int), "symmetric")
    # (60/10 + 1) / 61^2 against (60/10) / 60^2
    np.testing.assert_allclose(with_single, without * (7 / 61**2) / (6 / 60**2), rtol=1e-9)


def test_what_has_no_spread_has_no_covariance() -> None:
    rng = np.random.default_rng(8)
    counts = rng.poisson(3.0, (20, 9)).astype(np.uint16)
    counts[:, 5:] = 0
    static = np.array([0, 1, 2, 3, 4, 5, 5, 5, 5])
    binned, covariance = correlated(counts, static, np.array([0, 0, 0, 0, 0, 1]), "symmetric")
    assert np.isnan(covariance).all()
    assert np.isfinite(binned.g2[:, 0]).all()
    assert np.isnan(binned.g2[:, 1]).all()
