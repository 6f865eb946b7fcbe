"""g2 at an age, against maps whose dynamics slow down by a known law."""

import numpy as np
import pytest

from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.ages import curves_at_ages, g2_at_age, long_run_at_ages
from napari_xpcs.kernels.multitau_twotime import AgeLevel, MultiTauTwoTime

FRAMES = 120


def aging_map() -> np.ndarray:
    """C2 = 1 + 0.2 exp(-2 delay / tau), tau = 5 + age / 4; nonsense below and on the diagonal."""
    first, second = np.mgrid[:FRAMES, :FRAMES]
    c2 = 1.0 + 0.2 * np.exp(-2.0 * (second - first) / tau((first + second) / 2))
    return np.where(second > first, c2, 99.0).astype(np.float32)


def tau(age: float) -> float:
    return 5.0 + age / 4.0


@pytest.mark.parametrize("age", [20.0, 60.5, 100.0])
def test_a_narrow_window_gives_the_dynamics_of_its_age(age: float) -> None:
    g2, error = g2_at_age(aging_map(), age, 2.0)
    delay = np.arange(1, FRAMES)
    # A pair of age a has a delay of 2 a at most, and both frames are in the run.
    there = delay <= 2 * min(age + 1, FRAMES - 1 - age + 1)
    assert np.isnan(g2[delay > 2 * min(age + 1, FRAMES - age)]).all()
    inside = there & np.isfinite(g2)
    assert inside.sum() >= 2 * min(age, FRAMES - 1 - age) - 2
    truth = 1.0 + 0.2 * np.exp(-2.0 * delay / tau(age))
    np.testing.assert_allclose(g2[inside], truth[inside], atol=0.004)
    assert (error[np.isfinite(error)] < 0.005).all()


def test_the_whole_run_is_the_mean_along_the_diagonals() -> None:
    c2 = aging_map()
    g2, _ = g2_at_age(c2, FRAMES / 2, 2.0 * FRAMES)
    expected = [np.diagonal(c2, k).mean(dtype=float) for k in range(1, FRAMES)]
    np.testing.assert_allclose(g2, expected, rtol=1e-12)


def test_not_measured_is_no_pair() -> None:
    c2 = np.full((30, 30), 1.25, np.float32)
    c2[7], c2[:, 7] = 0.0, 0.0
    g2, error = g2_at_age(c2, 10.0, 12.0)
    np.testing.assert_allclose(g2[np.isfinite(g2)], 1.25)
    np.testing.assert_allclose(error[np.isfinite(error)], 0.0)


def test_a_triangle_of_the_width_told_varies_as_the_delays_that_are_averaged() -> None:
    curves = curves_at_ages(aging_map(), [60e-3], 100e-3, frame_time_s=1e-3)
    assert curves.averaging_s is not None
    frames = np.round(curves.delay_s / 1e-3).astype(int)
    length = np.diff(frames, prepend=0)
    assert length[-1] >= 4
    for delay, count, width_s in zip(frames, length, curves.averaging_s, strict=True):
        averaged = delay - count // 2 + np.arange(count)
        assert width_s**2 / 6 == pytest.approx(averaged.var() * 1e-6)


def test_curves_for_the_fit() -> None:
    curves = curves_at_ages(aging_map(), [30e-3, 90e-3], 6e-3, frame_time_s=1e-3, q=0.01, pixels=7)
    assert curves.g2.shape == (len(curves.delay_s), 2)
    assert curves.bins.q.tolist() == [0.01, 0.01]
    assert curves.delay_s[0] == 1e-3
    for column, age in enumerate((30.0, 90.0)):
        delay = curves.delay_s / 1e-3
        truth = 1.0 + 0.2 * np.exp(-2.0 * delay / tau(age))
        there = np.isfinite(curves.g2[:, column])
        assert there.sum() > 20
        np.testing.assert_allclose(curves.g2[there, column], truth[there], atol=0.004)
    assert curves.averaging_s[0] == 0.0
    assert (np.diff(curves.averaging_s) >= 0.0).all()


def test_long_runs_give_the_same_at_single_frames() -> None:
    c2 = aging_map()
    along = np.full((1, 8, FRAMES), np.nan, np.float32)
    for lag in range(1, 9):
        along[0, lag - 1, :-lag] = np.diagonal(c2, lag)
    level = AgeLevel(frames_per_sum=1, lags=np.arange(1, 9), c2=along)
    run = MultiTauTwoTime(levels=(level,), processed_bins=np.array([1]), frame_time_s=1e-3)
    curves = long_run_at_ages(run, 0, [60e-3], 10.5e-3)
    np.testing.assert_allclose(curves.g2[:, 0], g2_at_age(c2, 60.0, 10.5)[0][:8], rtol=1e-12)


@pytest.mark.parametrize(("age", "width"), [(-20.0, 3.0), (200.0, 10.0), (50.0, 0.0)])
def test_windows_that_hold_no_pair(age: float, width: float) -> None:
    with pytest.raises(CorrelationError, match="window"):
        g2_at_age(aging_map(), age, width)
