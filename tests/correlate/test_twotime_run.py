from collections.abc import Mapping
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filter of the frames
import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import TwoTimeResult
from napari_xpcs.progress import run


def correlate(
    frames: np.ndarray,
    partition: Partition,
    xp: BackendProtocol | None = None,
    **options: object,
) -> TwoTimeResult:
    xp = xp or NumPyBackend()
    return run(correlate_twotime(frames, partition, frame_time_s=1e-3, xp=xp, **options))


@pytest.mark.parametrize(
    ("smoothing", "reference"),
    [("none", "ref_c2_plain"), ("sqmap", "ref_c2_sqmap"), ("dqmap", "boost_c2_dqmap")],
)
def test_peer_case(
    xp: BackendProtocol,
    peer_case: Mapping[str, np.ndarray],
    peer_partition: Partition,
    smoothing: str,
    reference: str,
) -> None:
    result = correlate(peer_case["frames"][:128], peer_partition, xp, smoothing=smoothing, block=50)
    expected = np.triu(peer_case[reference])
    np.testing.assert_allclose(np.stack(result.maps), expected, rtol=0, atol=1e-5)
    assert result.processed_bins.tolist() == [1, 2, 3, 4, 5, 6]
    diagonals = np.stack([[np.diagonal(m, k).mean() for m in expected] for k in range(128)])
    np.testing.assert_allclose(result.g2, diagonals, rtol=0, atol=5e-6)
    if smoothing == "sqmap":
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


def test_full_mask_is_not_a_special_case(make_labels_partition) -> None:
    # Labels out of order and no masked pixel: sorted or not, a bin is its pixels.
    labels = np.random.default_rng(1).permutation(np.repeat([1, 2, 3], 40)).reshape(10, 12)
    counts = np.random.default_rng(2).poisson(9.0, (30, 10, 12)).astype(np.uint16)
    partition = make_labels_partition(labels > 0, labels, labels)
    result = correlate(counts, partition, smoothing="none", bins=[3, 1])
    assert result.processed_bins.tolist() == [3, 1]
    for half, label in zip(result.maps, (3, 1), strict=True):
        x = counts[:, labels == label].astype(float)
        expected = 40 * (x @ x.T) / np.outer(x.sum(1), x.sum(1))
        np.testing.assert_allclose(half, np.triu(expected), rtol=1e-5)


def test_reading_in_groups_changes_nothing(rings: Partition) -> None:
    counts = np.random.default_rng(3).poisson(5.0, (40, 12, 20)).astype(np.uint16)
    selection = FrameSelection(begin=3, average=2)
    once = correlate(counts, rings, selection=selection)
    maps = 4.0 * 18**2 * (3 + 3)
    by_bin = correlate(
        counts, rings, selection=selection, memory_bytes=maps + 4.0 * 18 * 4 * 19, block=8
    )
    np.testing.assert_array_equal(np.stack(by_bin.maps), np.stack(once.maps))
    np.testing.assert_array_equal(by_bin.mean_frame, once.mean_frame)
    assert once.maps[0].shape == (18, 18)
    assert once.delay_s[1] == 2e-3


def test_empty_frame_gives_zero_not_nan(rings: Partition) -> None:
    counts = np.full((12, 12, 20), 2, np.uint16)
    counts[4] = 0
    half = correlate(counts, rings, smoothing="none").maps[0]
    assert (half[4] == 0.0).all()
    np.testing.assert_allclose(half[0, [1, 2, 3, 5]], 1.0, rtol=1e-6)


def test_jobs_that_cannot_be_done(rings: Partition) -> None:
    counts = np.ones((50, 12, 20), np.uint16)
    with pytest.raises(CorrelationError, match=r"3 bins and 50 frames need .* GB"):
        correlate(counts, rings, memory_bytes=1e4)
    with pytest.raises(CorrelationError, match="no bin 4; the partition has the bins 1 to 3"):
        correlate(counts, rings, bins=[4])
    with pytest.raises(CorrelationError, match="no smoothing 'box'"):
        correlate(counts, rings, smoothing="box")
    with pytest.raises(CorrelationError, match="No bin was chosen"):
        correlate(counts, rings, bins=[])
