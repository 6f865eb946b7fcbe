import numpy as np
import pytest

from napari_xpcs.kernels.multitau import (
    g2_of_spans,
    g2_of_sums,
    multitau_lags,
    pair_numbers,
    pair_sums,
)
from napari_xpcs.kernels.multitau_result import PixelAverages
from napari_xpcs.kernels.multitau_state import MultiTauState, empty_state


def test_lags_are_those_of_the_aps() -> None:
    assert multitau_lags(500).delay_frames.tolist() == [
        *range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128,
        160, 192, 224, 256, 320, 384,
    ]  # fmt: skip
    for frames, number in [(1000, 34), (1024, 35)]:
        assert len(multitau_lags(frames).lag) == number
    eight = multitau_lags(100, 8)
    assert eight.delay_frames[:20].tolist() == [*range(1, 17), 18, 20, 22, 24]
    assert multitau_lags(2).delay_frames.tolist() == [1]


def _sums(x: np.ndarray, level: int) -> np.ndarray:
    count = len(x) >> level
    return x[: count << level].reshape(count, 1 << level, x.shape[1]).sum(axis=1)


def _state(counts: np.ndarray, delays: int = 4) -> MultiTauState:
    """Return the state of counts (frame, pixel), written down as it is defined."""
    state = empty_state(counts.shape[1], frames=len(counts), delays_per_level=delays)
    history = 2 * delays
    for level in range(state.levels):
        sums = _sums(counts, level)
        shortest = 1 if level == 0 else delays + 1
        for row, lag in enumerate(range(shortest, history + 1), start=state.rows(level).start):
            state.products[row] = (sums[lag:] * sums[: max(len(sums) - lag, 0)]).sum(axis=0)
        known = min(len(sums), history)
        state.first[level, :known] = sums[:known]
        state.last[level, history - known :] = sums[len(sums) - known :]
    state.total[:] = counts.sum(axis=0)
    return MultiTauState(
        begin=0, frames=len(counts), delays_per_level=delays, alignment=8,
        products=state.products, first=state.first, last=state.last, total=state.total,
        kept=state.kept,
    )  # fmt: skip


@pytest.mark.parametrize(("frames", "delays"), [(77, 4), (64, 8), (5, 4)])
def test_pixel_averages_are_those_defined(frames: int, delays: int) -> None:
    counts = np.random.default_rng(frames).poisson(9.0, (frames, 5)).astype(float)
    state = _state(counts, delays)
    lags = multitau_lags(frames, delays)
    averages = PixelAverages(
        state=state, raw_frames=np.ones(frames), mask=np.ones((1, 5), dtype=bool)
    )
    for row, (level, lag) in enumerate(zip(lags.level, lags.lag, strict=True)):
        means = _sums(counts, level) / 2.0**level
        past, future = means[: len(means) - lag], means[lag:]
        expected = [(past * future).mean(0), past.mean(0), future.mean(0)]
        np.testing.assert_allclose(averages.image(row)[:, 0], expected, rtol=1e-6)
        sums = pair_sums(state, int(level), slice(None))
        at = lag - 1 - (2 * delays - len(sums[0]))
        np.testing.assert_array_equal(sums[1][at], past.sum(0) * 2.0**level)
        np.testing.assert_array_equal(sums[2][at], future.sum(0) * 2.0**level)


def test_frames_that_are_left_out_enter_no_pair() -> None:
    there = np.ones(100)
    there[[7, 30, 31]] = 0.0
    lags = multitau_lags(100)
    numbers = pair_numbers(there, lags)
    for row, (level, lag) in enumerate(zip(lags.level, lags.lag, strict=True)):
        v = _sums(there[:, None], level)[:, 0]
        assert numbers.both[row] == (v[: len(v) - lag] * v[lag:]).sum()
        assert numbers.past[row] == v[: len(v) - lag].sum()
        assert numbers.future[row] == v[lag:].sum()
    whole = pair_numbers(np.ones(100), lags)
    np.testing.assert_array_equal(whole.effective, (100 >> lags.level) - lags.lag)


def test_normalizations_weigh_static_bins_as_they_say() -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(np.where(np.arange(30) < 10, 2.0, 8.0), (32, 30)).astype(float)
    product = (counts[1:] * counts[:-1]).sum(axis=0)
    parts = np.stack([product, counts[:-1].sum(axis=0), counts[1:].sum(axis=0)])
    static_sums = np.stack([parts[:, :10].sum(axis=1), parts[:, 10:].sum(axis=1)])[..., None]

    def g2(name: str) -> float:
        return g2_of_sums(
            static_sums, np.ones((1, 2, 1)), np.array([31.0]), np.array([10, 20]),
            np.array([30]), np.zeros(2, int), name,
        ).g2[0, 0]  # fmt: skip

    ratio = [31 * n * part[0] / (part[1] * part[2]) for n, part in
             zip([10, 20], static_sums[..., 0], strict=True)]  # fmt: skip
    np.testing.assert_allclose(g2("symmetric"), np.mean(ratio), rtol=1e-12)
    np.testing.assert_allclose(g2("pixel-weighted"), np.average(ratio, weights=[10, 20]))
    whole = static_sums.sum(axis=0)[:, 0]
    np.testing.assert_allclose(g2("no-static"), 31 * 30 * whole[0] / (whole[1] * whole[2]))


def test_errors_from_spans_of_equal_length_are_the_standard_error() -> None:
    rng = np.random.default_rng(4)
    g2 = 1.0 + 0.01 * rng.standard_normal(8)
    sums = np.stack([g2 * 100.0, np.full(8, 100.0), np.full(8, 100.0)], axis=1)
    cumulative = np.cumsum(sums, axis=0)[:, None, :, None]
    numbers = np.cumsum(np.full((8, 3, 1), 100.0), axis=0)
    error = g2_of_spans(
        cumulative, numbers, np.array([1]), np.array([1]), np.zeros(1, int), "symmetric"
    )
    np.testing.assert_allclose(error[0, 0], np.std(g2, ddof=1) / np.sqrt(8), rtol=1e-9)
    short = g2_of_spans(
        cumulative[:2], numbers[:2], np.array([1]), np.array([1]), np.zeros(1, int), "symmetric"
    )
    assert np.isnan(short).all()
