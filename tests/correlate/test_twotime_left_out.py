"""Two-time correlation of runs with frames that are left out or empty."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.multitau_twotime_run import correlate_multitau_twotime
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.errors import CorrelationError, CorruptFramesError
from napari_xpcs.io.result_file import read_result
from napari_xpcs.io.result_writer import write_result
from napari_xpcs.kernels.ages import curves_at_ages
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import SEGMENTS, SMOOTHINGS
from napari_xpcs.progress import run

OUT = (0, 7, 8, 77, 199, 200)
"""Left out of 201 frames: at both ends, neighbours, and inside a tile."""


class Damaged:
    """Frames of which some cannot be read."""

    def __init__(self, counts: np.ndarray, damaged: tuple[int, ...]) -> None:
        self.counts, self.damaged = counts, damaged
        self.shape, self.dtype = counts.shape, counts.dtype

    def __getitem__(self, key: slice) -> np.ndarray:
        wanted = range(*key.indices(len(self.counts)))
        bad = tuple(number for number in self.damaged if number in wanted)
        if bad:
            raise CorruptFramesError("Damaged.", bad)
        return self.counts[key]


@pytest.fixture
def counts() -> np.ndarray:
    """201 frames whose beam drifts; those to be left out hold a flash that would be seen."""
    rng = np.random.default_rng(11)
    mean = rng.gamma(4.0, 1.0, (12, 20)) * np.linspace(1.0, 1.5, 201)[:, None, None]
    frames = rng.poisson(mean).astype(np.uint16)
    frames[list(OUT)] = np.where(np.arange(240) % 7, 3, 2000).reshape(12, 20)
    return frames


def options(**more: object) -> dict[str, object]:
    return {"frame_time_s": 1e-3, "xp": NumPyBackend(), **more}


def expected_map(
    counts: np.ndarray, partition: Partition, label: int, smoothing: str
) -> np.ndarray:
    """Return C2 of the frames that count, NaN elsewhere, written out in float64."""
    here = partition.dynamic.labels == label
    values = counts.astype(float)
    values[list(OUT)] = np.nan
    groups = {"none": np.zeros_like(here, int), "dynamic": here, "static": partition.static.labels}
    if smoothing != "none":
        for group in np.unique(groups[smoothing][here]):
            of_group = groups[smoothing] == group
            values[:, of_group] /= values[:, of_group].mean(axis=1, keepdims=True)
    x = values[:, here]
    return np.triu(x.shape[1] * (x @ x.T) / np.outer(x.sum(1), x.sum(1)))


def static_values(counts: np.ndarray, partition: Partition) -> np.ndarray:
    """Return the counts over the mean of their static bin, 0 in frames that are left out."""
    values = counts.astype(float)
    for group in np.unique(partition.static.labels[partition.mask]):
        here = partition.static.labels == group
        values[:, here] /= values[:, here].mean(axis=1, keepdims=True)
    values[list(OUT)] = 0.0
    return values


def summed(values: np.ndarray, number: int) -> np.ndarray:
    """Return the sums of ``number`` frames."""
    whole = len(values) // number
    return values[: whole * number].reshape(whole, number, -1).sum(axis=1)


@pytest.mark.parametrize("engine", ["numba", "array"])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_rows_and_columns_are_nan_and_enter_nothing(
    counts: np.ndarray, rings: Partition, smoothing: str, engine: str
) -> None:
    result = run(
        correlate_twotime(counts, rings, skipped=OUT, **options(smoothing=smoothing, engine=engine))
    )
    for position, half in enumerate(result.maps):
        truth = expected_map(counts, rings, position + 1, smoothing)
        upper = np.triu_indices(201)
        np.testing.assert_array_equal(np.isnan(half[upper]), np.isnan(truth[upper]))
        np.testing.assert_allclose(half[upper], truth[upper], rtol=0, atol=2e-6)
        diagonals = [np.diagonal(truth, k) for k in range(201)]
        for k, along in enumerate(diagonals):
            there = along[np.isfinite(along)]
            if not len(there):
                assert np.isnan(result.g2[k, position])
                continue
            np.testing.assert_allclose(result.g2[k, position], there.mean(), rtol=0, atol=1e-6)
        length = 201 // SEGMENTS
        first = truth[:length, :length]
        means = [np.nanmean(np.diagonal(first, k)) for k in range(length - 1)]
        np.testing.assert_allclose(result.segments[:-1, 0, position], means, rtol=0, atol=1e-6)
    assert result.skipped_frames == OUT
    assert result.empty_frames == ()
    assert result.remarks() == ("Raw frames left out (0, 7, 8, 77, 199, 200): 6.",)
    kept = np.setdiff1d(np.arange(201), OUT)
    np.testing.assert_array_equal(result.intensity_vs_time[0], kept)
    np.testing.assert_allclose(result.mean_frame, counts[kept].mean(axis=0), rtol=1e-6)


def test_tiles_leave_out_the_same(counts: np.ndarray, rings: Partition) -> None:
    once = run(correlate_twotime(counts, rings, skipped=OUT, **options()))
    small = 4.0 * 201**2 * 3 + 4 * 4 * 64.0**2 + 1000
    tiled = run(
        correlate_twotime(counts, rings, skipped=OUT, **options(memory_bytes=small, block=32))
    )
    for name in ("maps", "g2", "g2_err", "g2_ratio", "segments"):
        np.testing.assert_allclose(
            np.stack(getattr(tiled, name)), np.stack(getattr(once, name)), rtol=0, atol=1e-6
        )


def test_damaged_frames_are_left_out_if_that_is_wanted(
    counts: np.ndarray, rings: Partition
) -> None:
    damaged = Damaged(counts, OUT)
    with pytest.raises(CorruptFramesError):
        run(correlate_twotime(damaged, rings, **options()))
    found = run(correlate_twotime(damaged, rings, skip_corrupt=True, **options()))
    asked = run(correlate_twotime(counts, rings, skipped=OUT, **options()))
    assert found.skipped_frames == asked.skipped_frames
    np.testing.assert_array_equal(np.stack(found.maps), np.stack(asked.maps))
    np.testing.assert_array_equal(found.g2, asked.g2)


def test_the_averages_are_those_of_multi_tau(counts: np.ndarray, rings: Partition) -> None:
    both = {"skipped": OUT, "selection": FrameSelection(begin=1, stride=2, average=3)}
    maps = run(correlate_twotime(counts, rings, **options(**both)))
    ages = run(correlate_multitau_twotime(counts, rings, **options(**both)))
    g2 = run(correlate_multitau(counts, rings, **options(**both)))
    assert maps.skipped_frames == ages.skipped_frames == g2.skipped_frames == (7, 77, 199)
    for name in ("mean_frame", "scattering_1d", "intensity_vs_time"):
        for one in (maps, ages):
            np.testing.assert_allclose(getattr(one, name), getattr(g2, name), rtol=1e-12)
    # A used frame that lacks one of its raw frames is the mean of the others.
    assert np.isfinite(np.stack(maps.maps)[:, 0, 0]).all()


def test_ages_leave_out_frames(counts: np.ndarray, rings: Partition) -> None:
    ages = run(correlate_multitau_twotime(counts, rings, skipped=OUT, **options()))
    assert ages.skipped_frames == OUT
    assert ages.remarks() == ("Raw frames left out (0, 7, 8, 77, 199, 200): 6.",)
    level = ages.ages.levels[0]
    maps = run(correlate_twotime(counts, rings, skipped=OUT, **options())).maps
    for half, c2 in zip(maps, level.c2, strict=True):
        for lag, along in zip(level.lags, c2, strict=True):
            np.testing.assert_allclose(along[:-lag], np.diagonal(half, lag), rtol=0, atol=2e-6)
    here = rings.dynamic.labels == 2
    for level in ages.ages.levels:
        sums = summed(static_values(counts, rings)[:, here], level.frames_per_sum)
        totals = sums.sum(axis=1)
        for lag, along in zip(level.lags, level.c2[1], strict=True):
            both = totals[:-lag] * totals[lag:]
            pairs = np.where(both > 0, both, np.nan)
            truth = here.sum() * (sums[:-lag] * sums[lag:]).sum(axis=1) / pairs
            np.testing.assert_allclose(along[:-lag], truth, rtol=0, atol=2e-6)


def test_a_run_of_empty_frames_has_no_number_at_all(rings: Partition) -> None:
    result = run(correlate_twotime(np.zeros((20, 12, 20), np.uint16), rings, **options()))
    assert all(np.isnan(half[np.triu_indices(20)]).all() for half in result.maps)
    assert np.isnan(result.g2).all()
    assert np.isnan(result.g2_ratio).all()
    assert np.isnan(result.segments).all()
    assert result.empty_frames == tuple(range(20))


def test_the_file_names_what_was_left_out(
    counts: np.ndarray, rings: Partition, tmp_path: Path
) -> None:
    counts[50] = 0
    result = run(correlate_twotime(counts, rings, skipped=OUT, **options()))
    path = tmp_path / "results.hdf"
    write_result(path, source="run.h5", partition=rings, twotime=result)
    with h5py.File(path) as file:
        own = file["xpcs/napari_xpcs"]
        assert own["skipped_frames"][()].tolist() == list(OUT)
        assert own["twotime_empty_frames"][()].tolist() == [50]
    read = read_result(path).twotime
    np.testing.assert_array_equal(read.upper(0), result.maps[0])
    assert np.isnan(read.read(0)[[3, 50], [50, 3]]).all()
    curves = curves_at_ages(read.read(0), [0.05, 0.1], 0.02, frame_time_s=1e-3)
    there = curves.g2[np.isfinite(curves.g2)]
    assert there.size > 10
    assert np.all((there > 0.8) & (there < 1.6))


@pytest.mark.parametrize(
    "correlate", [correlate_multitau, correlate_twotime, correlate_multitau_twotime]
)
def test_a_run_of_which_one_frame_is_left_is_refused(correlate, rings: Partition) -> None:
    counts = np.ones((40, 12, 20), np.uint16)
    left_out = [*range(10), *range(12, 40)]
    common = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "skipped": left_out}
    sentence = "of the 20 frames asked for 1 is not left out"
    with pytest.raises(CorrelationError, match=sentence):
        run(correlate(counts, rings, selection=FrameSelection(stride=2), **common))
