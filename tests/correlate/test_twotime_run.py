from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filter of the frames
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend, get_backend, reset_backend, set_backend
from napari_xpcs.correlate.twotime_run import MAKING_MAPS, READING, correlate_twotime
from napari_xpcs.errors import ChoiceError, CorrelationError
from napari_xpcs.io.result_file import read_result
from napari_xpcs.io.result_writer import unfinished_result
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import SMOOTHINGS, TwoTimeResult
from napari_xpcs.progress import run


def correlate(frames: np.ndarray, partition: Partition, **options: object) -> TwoTimeResult:
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), **options}
    return run(correlate_twotime(frames, partition, **options))


@pytest.fixture(params=["blas", "numpy", "jax"])
def by(request: pytest.FixtureRequest) -> dict[str, object]:
    """Multiply by the BLAS of the CPU, or by an array backend as on a GPU."""
    if request.param == "blas":
        yield {"engine": "numba"}
        return
    set_backend(request.param)
    yield {"engine": "array", "xp": get_backend()}
    reset_backend()


@pytest.mark.parametrize(
    ("smoothing", "reference"),
    [("none", "ref_c2_plain"), ("static", "ref_c2_sqmap"), ("dynamic", "boost_c2_dqmap")],
)
def test_peer_case(
    by: dict[str, object],
    peer_case: Mapping[str, np.ndarray],
    peer_partition: Partition,
    smoothing: str,
    reference: str,
) -> None:
    result = correlate(
        peer_case["frames"][:128], peer_partition, smoothing=smoothing, block=50, **by
    )
    expected = np.triu(peer_case[reference])
    # boost_corr works in float32: its map of dynamic bins is itself 4.7e-6 from exact numbers.
    exact = reference.startswith("ref_")
    tolerance = 5e-6 if exact else 1e-5
    np.testing.assert_allclose(np.stack(result.maps), expected, rtol=0, atol=tolerance)
    assert result.processed_bins.tolist() == [1, 2, 3, 4, 5, 6]
    diagonals = np.stack([[np.diagonal(m, k).mean() for m in expected] for k in range(128)])
    np.testing.assert_allclose(result.g2, diagonals, rtol=0, atol=5e-6)
    if smoothing == "static":
        segments = peer_case["boost_c2_sqmap_c2_g2_segments"]
        np.testing.assert_allclose(result.segments, segments, rtol=0, atol=5e-6)


def test_synthetic_run_written_by_boost_corr(shared_data: Path, make_labels_partition) -> None:
    folder = shared_data / "synthetic"
    with h5py.File(folder / "synthetic_qmap.hdf") as file:
        maps = [file["qmap"][n][()] for n in ("mask", "dynamic_roi_map", "static_roi_map")]
    partition = make_labels_partition(*(np.asarray(m, int) for m in maps))
    with h5py.File(folder / "Z0001_Synthetic-D100_a0004_f001000_r00001.h5") as file:
        result = correlate(file["entry/data/data"], partition, bins=[2, 5])
    with h5py.File(folder / "Z0001_twotime_results.hdf") as file:
        for half, number in zip(result.maps, (1, 2), strict=True):
            expected = file[f"xpcs/twotime/correlation_map/c2_{number:05d}"][()]
            np.testing.assert_allclose(half, expected, rtol=0, atol=1e-5)
        g2 = file["xpcs/twotime/normalized_g2"][:, :2]
        segments = file["xpcs/twotime/normalized_g2_segments"][..., :2]
        scattering = file["xpcs/temporal_mean/scattering_1d_segments"][()]
    np.testing.assert_allclose(result.g2, g2, rtol=0, atol=5e-6)
    np.testing.assert_allclose(result.segments, segments, rtol=0, atol=5e-6)
    here = scattering > 0  # the file has the processed bins only
    np.testing.assert_allclose(result.scattering_1d_segments[here], scattering[here], rtol=1e-5)


@pytest.mark.parametrize("masked", [0, 1, 40])
def test_many_good_pixels_are_not_a_special_case(make_labels_partition, masked: int) -> None:
    # boost_corr fails with half of the pixels or more, and is silently wrong with all of them:
    # it does not sort them by bin then.  Here labels are out of order, 100 to 67 % good.
    labels = np.random.default_rng(1).permutation(np.repeat([1, 2, 3], 40))
    labels[np.random.default_rng(7).permutation(120)[:masked]] = 0
    labels = labels.reshape(10, 12)
    counts = np.random.default_rng(2).poisson(9.0, (30, 10, 12)).astype(np.uint16)
    partition = make_labels_partition(labels > 0, labels, labels)
    result = correlate(counts, partition, smoothing="none", bins=[3, 1])
    assert result.processed_bins.tolist() == [3, 1]
    for half, label in zip(result.maps, (3, 1), strict=True):
        x = counts[:, labels == label].astype(float)
        expected = x.shape[1] * (x @ x.T) / np.outer(x.sum(1), x.sum(1))
        np.testing.assert_allclose(half, np.triu(expected), rtol=1e-5)


def test_blocks_and_averages(rings: Partition) -> None:
    counts = np.random.default_rng(3).poisson(5.0, (40, 12, 20)).astype(np.uint16)
    selection = FrameSelection(begin=3, average=2)
    once = correlate(counts, rings, selection=selection)
    in_blocks = correlate(counts, rings, selection=selection, block=8)
    np.testing.assert_array_equal(np.stack(in_blocks.maps), np.stack(once.maps))
    np.testing.assert_array_equal(in_blocks.mean_frame, once.mean_frame)
    assert once.maps[0].shape == (18, 18)
    assert once.delay_s[1] == 2e-3


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_an_empty_frame_gives_no_number(rings: Partition, smoothing: str) -> None:
    counts = np.full((12, 12, 20), 2, np.uint16)
    counts[4] = 0
    result = correlate(counts, rings, smoothing=smoothing)
    for half in result.maps:
        assert np.isnan(half[4, 4:]).all()
        assert np.isnan(half[:5, 4]).all()
        there = np.triu(np.ones((12, 12), bool))
        there[4], there[:, 4] = False, False
        np.testing.assert_allclose(half[there], 1.0, rtol=1e-6)
        assert (half[np.tril_indices(12, -1)] == 0.0).all()
    assert result.empty_frames == (4,)
    assert result.remarks() == ("Frames without a count in a bin, NaN in its map (4): 1.",)


def test_fewer_frames_than_blocks_along_the_diagonal(tmp_path: Path, rings: Partition) -> None:
    counts = np.random.default_rng(3).poisson(5.0, (4, 12, 20)).astype(np.uint16)
    result = correlate(counts, rings)
    assert np.isfinite(result.g2).all()
    with unfinished_result(tmp_path / "short.hdf") as written:
        written.write(source="run.h5", partition=rings, known={}, twotime=result)
    back = read_result(tmp_path / "short.hdf").twotime
    np.testing.assert_allclose(back.g2, result.g2, rtol=1e-6)
    assert back.segments.shape == result.segments.shape == (0, 5, 3)


def test_jobs_that_cannot_be_done(rings: Partition) -> None:
    counts = np.ones((50, 12, 20), np.uint16)
    with pytest.raises(CorrelationError, match=r"3 bins and 50 frames need .* GB"):
        correlate(counts, rings, memory_bytes=1e4)
    with pytest.raises(CorrelationError, match="no bin 4; the partition has the bins 1 to 3"):
        correlate(counts, rings, bins=[4])
    with pytest.raises(ChoiceError, match="no smoothing 'box'"):
        correlate(counts, rings, smoothing="box")
    with pytest.raises(CorrelationError, match="No bin was chosen"):
        correlate(counts, rings, bins=[])


@pytest.mark.parametrize("smoothing", ["none", "dynamic"])
def test_a_factor_for_all_pixels_of_a_frame_leaves_the_map(
    by: dict[str, object],
    peer_case: Mapping[str, np.ndarray],
    peer_partition: Partition,
    smoothing: str,
) -> None:
    counts = peer_case["frames"][:128]
    for half, label in zip(
        correlate(counts, peer_partition, smoothing=smoothing, **by).maps, range(1, 7), strict=True
    ):
        x = counts[:, peer_case["mask"].astype(bool) & (peer_case["dqmap"] == label)].astype(float)
        if smoothing == "dynamic":
            x /= x.mean(axis=1, keepdims=True)
        exact = x.shape[1] * (x @ x.T) / np.outer(x.sum(1), x.sum(1))
        np.testing.assert_allclose(half, np.triu(exact), rtol=0, atol=2e-6)


def test_g2_as_xpcs_correlator_takes_it(
    by: dict[str, object], peer_case: Mapping[str, np.ndarray], peer_partition: Partition
) -> None:
    result = correlate(peer_case["frames"][:128], peer_partition, smoothing="none", **by)
    off_diagonal = np.triu(np.ones((128, 128), bool), 1)
    maps, expected = np.stack(result.maps), peer_case["xc_ttcf_128"]
    np.testing.assert_allclose(maps[:, off_diagonal], expected[:, off_diagonal], rtol=0, atol=2e-6)
    np.testing.assert_allclose(result.g2_ratio[1:].T, peer_case["xc_g2_128"], rtol=0, atol=1e-6)
    error, theirs = result.g2_err[1:-1].T, peer_case["xc_g2_err_128"][:, :-1]
    np.testing.assert_allclose(error, theirs, rtol=1e-4)
    counts = peer_case["frames"]
    longer = correlate(counts, peer_partition, smoothing="none", **by)
    np.testing.assert_allclose(longer.g2_ratio[1:].T, peer_case["xc_g2_500"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("smoothing", ["none", "static"])
def test_tiles_and_scratch_files_change_nothing(
    by: dict[str, object], rings: Partition, smoothing: str
) -> None:
    # 201 frames in tiles of 64: neither the tiles nor the blocks nor the segments fit evenly.
    counts = np.random.default_rng(8).poisson(4.0, (201, 12, 20)).astype(np.uint16)
    counts[77] = 0
    once = correlate(counts, rings, smoothing=smoothing, **by)
    maps = 4.0 * 201**2 * 3
    small = maps + 4 * 4 * 64.0**2 + 1000
    tiled = correlate(counts, rings, smoothing=smoothing, memory_bytes=small, block=32, **by)
    for name in ("maps", "g2", "g2_err", "g2_ratio", "segments"):
        np.testing.assert_allclose(
            np.stack(getattr(tiled, name)), np.stack(getattr(once, name)), rtol=0, atol=1e-6
        )
    for part in ("mean_frame", "intensity_vs_time", "scattering_1d"):
        np.testing.assert_array_equal(getattr(tiled, part), getattr(once, part))


@pytest.mark.parametrize("memory_bytes", [4e9, 1.26e6])
@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.int64])
def test_counts_that_outgrow_their_type(rings: Partition, kind: type, memory_bytes: float) -> None:
    # Counts are kept in as few bytes as those before them needed: these need more halfway, and
    # more than the memory, where that is small, has left beside the maps.
    counts = np.random.default_rng(6).poisson(40.0, (300, 12, 20)).astype(kind)
    counts[:, ~rings.mask] = 3000
    counts[140, 5, 7] = 300
    if kind is not np.uint16:
        counts[130:, 9, 9] += 66_000
    result = correlate(counts, rings, block=100, memory_bytes=memory_bytes)
    for label, half in zip(result.processed_bins, result.maps, strict=True):
        groups = np.unique(rings.static.labels[rings.dynamic.labels == label])
        of_groups = [counts[:, rings.static.labels == one].astype(float) for one in groups]
        x = np.concatenate([one / one.mean(axis=1, keepdims=True) for one in of_groups], axis=1)
        expected = x @ x.T / x.shape[1]
        np.testing.assert_allclose(half, np.triu(expected), rtol=3e-6)
    used = counts[:, rings.mask].astype(float)
    np.testing.assert_allclose(result.intensity_vs_time[1], used.mean(axis=1), rtol=1e-12)


def test_a_map_larger_than_the_memory_goes_into_the_file(tmp_path: Path, rings: Partition) -> None:
    counts = np.random.default_rng(9).poisson(4.0, (300, 12, 20)).astype(np.uint16)
    memory = 150_000.0  # a map of 300 x 300 has 360 kB, the counts of the bins 259 kB
    with pytest.raises(CorrelationError, match=r"3 bins and 300 frames need .* GB"):
        correlate(counts, rings, memory_bytes=memory)
    with unfinished_result(tmp_path / "results.hdf") as file:
        tiled = correlate(counts, rings, memory_bytes=memory, sink=file.maps)
        file.write(source="run.h5", partition=rings, twotime=tiled)
    assert tiled.maps == ()
    once = correlate(counts, rings)
    np.testing.assert_allclose(tiled.g2, once.g2, rtol=0, atol=1e-6)
    read = read_result(tmp_path / "results.hdf").twotime
    for position, half in enumerate(once.maps):
        np.testing.assert_allclose(np.triu(read.read(position)), half, rtol=0, atol=1e-6)
    with h5py.File(tmp_path / "results.hdf") as file:
        first = file["/xpcs/twotime/correlation_map/c2_00001"]
        assert first.chunks == (64, 64)
        assert first.id.get_num_chunks() == 15  # of 25: those below the diagonal are not stored


def test_bins_of_one_pixel(make_labels_partition) -> None:
    labels = np.array([[1, 2], [0, 2]])
    counts = np.random.default_rng(4).poisson(6.0, (20, 2, 2)).astype(np.uint16) + 1
    partition = make_labels_partition(labels > 0, labels, labels)
    single = correlate(counts, partition, smoothing="none").maps[0]
    np.testing.assert_allclose(single[np.triu_indices(20)], 1.0, rtol=1e-6)


def test_an_empty_frame_is_no_pair(rings: Partition) -> None:
    counts = np.full((20, 12, 20), 2, np.uint16)
    counts[5] = 0
    for smoothing in SMOOTHINGS:
        result = correlate(counts, rings, smoothing=smoothing)
        for g2 in (result.g2, result.g2_ratio, result.segments):
            np.testing.assert_allclose(g2, 1.0, rtol=1e-6)
        np.testing.assert_allclose(result.g2_err[:-1], 0.0, atol=1e-4)
        assert np.isnan(result.g2_err[-1]).all()  # one pair has no scatter
    nothing = correlate(np.zeros((20, 12, 20), np.uint16), rings)
    assert np.isnan(nothing.g2).all()


def test_cancel_is_heard_within_a_tile(rings: Partition) -> None:
    counts = np.ones((300, 12, 20), np.uint16)
    steps = correlate_twotime(
        counts, rings, frame_time_s=1e-3, xp=NumPyBackend(), memory_bytes=1.6e6
    )
    told = [next(steps) for _ in range(8)]
    assert [step.what for step in told] == [READING] * 4 + [MAKING_MAPS] * 4
    assert all(before.done <= after.done <= after.total for before, after in pairwise(told))
    steps.close()


def test_a_flash_in_one_frame_leaves_the_digits_of_the_others(
    by: dict[str, object], rings: Partition
) -> None:
    counts = np.random.default_rng(6).poisson(2.0, (30, 12, 20)).astype(np.uint16)
    counts[7] = 60_000
    flashed = correlate(counts, rings, smoothing="none", **by)
    without = correlate(counts, rings, smoothing="none", skipped=(7,), **by)
    for found, expected in zip(flashed.maps, without.maps, strict=True):
        there = np.isfinite(expected)
        np.testing.assert_allclose(found[there], expected[there], rtol=0, atol=5e-6)
