"""Age-resolved g2 on the delays of multi-tau, against sums written out."""

from collections.abc import Mapping

import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.correlate.multitau_twotime_run import correlate_multitau_twotime
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.kernels.multitau import multitau_lags
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import run


def correlate(
    counts: np.ndarray, partition: Partition, xp: BackendProtocol, **options: object
) -> MultiTauTwoTime:
    steps = correlate_multitau_twotime(counts, partition, frame_time_s=1e-3, xp=xp, **options)
    return run(steps).ages


def expected(values: np.ndarray, level: int, lags: np.ndarray) -> np.ndarray:
    whole = len(values) >> level
    sums = values[: whole << level].reshape(whole, 1 << level, -1).sum(axis=1)
    totals = sums.sum(axis=1)
    c2 = np.full((len(lags), whole), np.nan)
    for row, lag in enumerate(lags):
        pairs = (sums[:-lag] * sums[lag:]).sum(axis=1)
        c2[row, :-lag] = sums.shape[1] * pairs / (totals[:-lag] * totals[lag:])
    return c2


@pytest.mark.parametrize("smoothing", ["none", "dynamic", "static"])
def test_every_level_is_that_of_sums_written_out(
    xp: BackendProtocol, rings: Partition, smoothing: str
) -> None:
    counts = np.random.default_rng(5).poisson(3.0, (301, 12, 20)).astype(np.uint16)
    ages = correlate(counts, rings, xp, smoothing=smoothing, bins=[3, 1])
    assert ages.processed_bins.tolist() == [3, 1]
    delays = multitau_lags(301)
    got = [lag * level.frames_per_sum for level in ages.levels for lag in level.lags]
    assert got == delays.delay_frames.tolist()
    for map_number, label in enumerate((3, 1)):
        here = rings.dynamic.labels == label
        groups = {"none": None, "dynamic": here, "static": rings.static.labels}[smoothing]
        values = counts.astype(float)
        if groups is not None:
            for group in np.unique(groups[here]):
                mean = values[:, groups == group].mean(axis=1, keepdims=True)
                values[:, groups == group] /= mean
        for number, level in enumerate(ages.levels):
            truth = expected(values[:, here], number, level.lags)
            np.testing.assert_allclose(level.c2[map_number], truth, rtol=0, atol=5e-7)


def test_the_first_level_is_the_map_beside_its_diagonal(
    peer_case: Mapping[str, np.ndarray], peer_partition: Partition
) -> None:
    xp, counts = NumPyBackend(), peer_case["frames"][:200]
    ages = correlate(counts, peer_partition, xp)
    full = run(correlate_twotime(counts, peer_partition, frame_time_s=1e-3, xp=xp))
    level = ages.levels[0]
    for half, c2 in zip(full.maps, level.c2, strict=True):
        for lag, along in zip(level.lags, c2, strict=True):
            np.testing.assert_allclose(along[:-lag], np.diagonal(half, lag), rtol=0, atol=5e-6)


def test_a_frame_without_a_count_is_no_pair(rings: Partition) -> None:
    counts = np.full((40, 12, 20), 3, np.uint16)
    counts[11] = 0
    for smoothing in ("none", "static"):
        ages = correlate(counts, rings, NumPyBackend(), smoothing=smoothing)
        first = ages.levels[0].c2[0, 0]
        assert np.flatnonzero(np.isnan(first)).tolist() == [10, 11, 39]
        np.testing.assert_allclose(first[np.isfinite(first)], 1.0, rtol=1e-6)
        second = ages.levels[1].c2
        np.testing.assert_allclose(second[np.isfinite(second)], 1.0, rtol=1e-6)
