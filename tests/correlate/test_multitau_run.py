import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filter of the frames
import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.errors import ChoiceError, CorrelationError
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import run

MakePartition = Callable[..., Partition]
NUMPY = NumPyBackend()


def correlate(
    frames: np.ndarray, partition: Partition, xp: BackendProtocol = NUMPY, **options: object
) -> MultiTauResult:
    return run(correlate_multitau(frames, partition, frame_time_s=1e-3, xp=xp, **options))


# -- against other programs


@pytest.mark.parametrize("block", [256, 24])
def test_peer_case(
    xp: BackendProtocol,
    peer_case: Mapping[str, np.ndarray],
    peer_partition: Partition,
    block: int,
) -> None:
    result = correlate(peer_case["frames"], peer_partition, xp, block=block)
    assert result.delay_frames.tolist() == peer_case["ref_tau"].tolist()
    np.testing.assert_allclose(result.g2, peer_case["ref_g2"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(result.g2_err, peer_case["ref_g2_err"], rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(result.g2, peer_case["boost_f32_g2"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(result.scattering_1d, peer_case["boost_f32_saxs_1d"][0], rtol=1e-5)
    mask = peer_partition.mask
    np.testing.assert_allclose(
        result.mean_frame[mask], peer_case["boost_f32_saxs_2d"][0][mask], rtol=1e-5
    )


def test_peer_case_with_normalized_frames(
    xp: BackendProtocol, peer_case: Mapping[str, np.ndarray], peer_partition: Partition
) -> None:
    result = correlate(peer_case["frames"], peer_partition, xp, normalize_frame=True)
    np.testing.assert_allclose(result.g2, peer_case["ref_nf_g2"], rtol=0, atol=2e-6)


def test_scikit_beam_ratio_of_dynamic_bins(
    peer_case: Mapping[str, np.ndarray], peer_partition: Partition
) -> None:
    result = correlate(peer_case["frames"], peer_partition, normalization="no-static")
    # scikit-beam averages lag 8 in pairs already; lags 1 to 7 are the same definition.
    expected = peer_case["sk_g2"][1:8]
    assert peer_case["sk_lags"][1:8].tolist() == list(range(1, 8))
    np.testing.assert_allclose(result.g2[:7], expected, rtol=1e-12)


def test_last_odd_sums_count_at_no_higher_level(
    xp: BackendProtocol, peer_case: Mapping[str, np.ndarray], make_labels_partition: MakePartition
) -> None:
    # 897 frames leave one frame over after a whole number of blocks of 2, 4, ..., 128.
    partition = make_labels_partition(
        peer_case["flush_mask"], peer_case["flush_dqmap"], peer_case["flush_sqmap"]
    )
    result = correlate(peer_case["flush_frames"], partition, xp, block=64)
    np.testing.assert_allclose(result.g2, peer_case["flush_ref_g2"], rtol=0, atol=2e-6)


def test_synthetic_run_written_by_boost_corr(
    xp: BackendProtocol, shared_data: Path, make_labels_partition: MakePartition
) -> None:
    folder = shared_data / "synthetic"
    with h5py.File(folder / "synthetic_qmap.hdf") as file:
        maps = [file["qmap"][n][()] for n in ("mask", "dynamic_roi_map", "static_roi_map")]
    partition = make_labels_partition(*(np.asarray(m, int) for m in maps))
    with h5py.File(folder / "Z0001_Synthetic-D100_a0004_f001000_r00001.h5") as file:
        result = correlate(file["entry/data/data"], partition, xp, normalize_frame=True)
    with h5py.File(folder / "Z0001_multitau_results.hdf") as file:
        g2, error = (file[f"xpcs/multitau/normalized_{n}"][()] for n in ("g2", "g2_err"))
        delays = file["xpcs/multitau/delay_list"][()]
        image = file["xpcs/temporal_mean/scattering_2d"][0]
        intensity = file["xpcs/spatial_mean/intensity_vs_time"][()]
    assert result.delay_frames.tolist() == delays.tolist()
    # boost_corr rounds sums of up to 16 frames to bfloat16, longer ones not.
    exact = delays > 128
    np.testing.assert_allclose(result.g2[exact], g2[exact], rtol=0, atol=1e-4)
    np.testing.assert_allclose(result.g2, g2, rtol=0, atol=1e-3)
    assert np.sqrt(np.mean((result.g2 - g2) ** 2)) < 2.5e-4
    counted = error > 0
    np.testing.assert_allclose(result.g2_err[counted], error[counted], rtol=1e-2)
    np.testing.assert_allclose(result.mean_frame[partition.mask], image[partition.mask], rtol=1e-5)
    np.testing.assert_allclose(result.intensity_vs_time, intensity, rtol=1e-5)
    # Masked pixels hold 65535 now and then: shown as 0, not as a bright spot.
    assert result.mean_frame[~partition.mask].max() < 100.0


# -- closed forms


def test_constant_intensity_gives_exactly_one(xp: BackendProtocol, rings: Partition) -> None:
    counts = np.full((100, 12, 20), 3, np.uint16)
    result = correlate(counts, rings, xp, block=16)
    np.testing.assert_array_equal(result.g2, 1.0)
    np.testing.assert_allclose(result.g2_err, 0.0, atol=1e-8)
    np.testing.assert_array_equal(result.scattering_1d_segments, 3.0)
    assert result.scattering_1d_segments.shape == (12, 6)
    assert result.delay_s[0] == 1e-3


def test_counting_noise_gives_one_within_its_error(
    xp: BackendProtocol, make_labels_partition: MakePartition
) -> None:
    labels = np.broadcast_to(np.arange(1, 41)[:, None], (40, 100))
    counts = np.random.default_rng(11).poisson(1.5, (64, 40, 100)).astype(np.uint8)
    result = correlate(counts, make_labels_partition(labels > 0, labels, labels), xp, block=64)
    pull = (result.g2[:12] - 1.0) / result.g2_err[:12]
    assert abs(pull.mean()) < 0.25
    assert 0.8 < pull.std() < 1.2


def test_intensity_scale_does_not_matter(rings: Partition) -> None:
    counts = np.random.default_rng(5).poisson(4.0, (70, 12, 20)).astype(np.uint16)
    one, seven = correlate(counts, rings), correlate(7 * counts, rings)
    np.testing.assert_allclose(seven.g2, one.g2, rtol=1e-12)
    np.testing.assert_allclose(seven.g2_err, one.g2_err, rtol=1e-7)


# -- blocks, types, selections


def test_no_result_depends_on_the_block(xp: BackendProtocol, rings: Partition) -> None:
    counts = np.random.default_rng(6).poisson(2.0, (150, 12, 20)).astype(np.int32)
    results = [correlate(counts, rings, xp, block=block) for block in (16, 1, 200)]
    for other in results[1:]:
        for name in ("g2", "mean_frame", "scattering_1d_segments", "intensity_vs_time"):
            np.testing.assert_allclose(getattr(other, name), getattr(results[0], name), rtol=1e-12)


@pytest.mark.parametrize(
    "dtype",
    [
        *(np.uint8, np.int16, np.uint16, np.uint32, np.int32, np.int64, ">u2"),
        *(np.float16, np.float32, np.longdouble),
    ],
)
def test_types_of_counts(rings: Partition, dtype: str) -> None:
    counts = np.random.default_rng(7).poisson(2.0, (40, 12, 20))
    np.testing.assert_allclose(
        correlate(counts.astype(dtype), rings).g2,
        correlate(counts.astype(np.float64), rings).g2,
        rtol=1e-12,
    )


def test_counts_beyond_255_do_not_wrap(rings: Partition) -> None:
    counts = np.random.default_rng(8).poisson(5000.0, (40, 12, 20)).astype(np.uint16)
    result = correlate(counts, rings)
    np.testing.assert_allclose(result.scattering_1d, 5000.0, rtol=1e-2)
    np.testing.assert_allclose(result.g2, 1.0, atol=1e-3)


@pytest.mark.parametrize(("stride", "average"), [(3, 1), (1, 4), (2, 3)])
def test_selection_is_a_slice_and_a_mean(rings: Partition, stride: int, average: int) -> None:
    counts = np.random.default_rng(9).poisson(2.0, (200, 12, 20)).astype(np.uint16)
    chosen = counts[5:190:stride].astype(np.float32)
    chosen = chosen[: len(chosen) // average * average]
    chosen = chosen.reshape(-1, average, 12, 20).mean(axis=1)
    selection = FrameSelection(begin=5, end=190, stride=stride, average=average)
    result = correlate(counts, rings, selection=selection, block=16)
    expected = correlate(chosen, rings)
    np.testing.assert_allclose(result.g2, expected.g2, rtol=1e-6)
    np.testing.assert_allclose(result.mean_frame, expected.mean_frame, rtol=1e-6)
    np.testing.assert_allclose(result.intensity_vs_time, expected.intensity_vs_time, rtol=1e-6)
    np.testing.assert_allclose(
        result.scattering_1d_segments, expected.scattering_1d_segments, rtol=1e-6
    )
    np.testing.assert_allclose(result.delay_s, result.delay_frames * 1e-3 * stride * average)


# -- what other programs got wrong


def test_empty_frame_does_not_spoil_normalized_frames(rings: Partition) -> None:
    counts = np.random.default_rng(10).poisson(20.0, (400, 12, 20)).astype(np.uint16)
    counts[100] = 0
    result = correlate(counts, rings, normalize_frame=True)
    assert result.empty_frames == 1
    np.testing.assert_allclose(result.g2[:20], 1.0, atol=2e-3)


def test_empty_frames_enter_no_pair_of_normalized_frames(rings: Partition) -> None:
    counts = np.full((24, 12, 20), 7, np.uint16)
    counts[[2, 3, 9, 15]] = 0
    result = correlate(counts, rings, normalize_frame=True)
    assert result.empty_frames == 4
    np.testing.assert_allclose(result.g2, 1.0, rtol=1e-6)


def test_static_labels_outside_the_mask_do_not_count(
    rings: Partition, make_labels_partition: MakePartition
) -> None:
    counts = np.random.default_rng(12).poisson(5.0, (64, 12, 20)).astype(np.uint16)
    static = np.broadcast_to(rings.static.labels[:, 1:2], (12, 20))
    mask = np.zeros((12, 20), bool)
    mask[:, 10:] = True
    wide = make_labels_partition(mask, (static + 1) // 2, static)
    tight = make_labels_partition(mask, mask * (static + 1) // 2, mask * static)
    np.testing.assert_array_equal(correlate(counts, wide).g2, correlate(counts, tight).g2)


def test_empty_bins_are_left_out_and_counted(rings: Partition) -> None:
    counts = np.random.default_rng(13).poisson(5.0, (64, 12, 20)).astype(np.uint16)
    counts[:, :2] = 0  # static bin 1 counts nothing
    counts[:, 4:8] = 0  # static bins 3 and 4, that is dynamic bin 2
    result = correlate(counts, rings)
    assert result.empty_static_bins == 3
    assert result.silent_pixels == 6 * 19
    assert np.isnan(result.g2[:, 1]).all()
    assert np.isnan(result.g2_err[:, 1]).all()
    np.testing.assert_allclose(result.g2[0, [0, 2]], 1.0, atol=0.05)


# -- frames left out, errors from time, parts of a run, pixels


def test_frames_left_out_enter_no_pair(rings: Partition) -> None:
    rng = np.random.default_rng(20)
    counts = rng.poisson(5.0, (120, 12, 20)).astype(np.uint16)
    spoiled = counts.copy()
    spoiled[[17, 60, 61]] = 65535
    result = correlate(spoiled, rings, skipped=[61, 17, 60])
    assert result.skipped_frames == (17, 60, 61)
    assert "Raw frames left out (17, 60, 61): 3." in result.remarks()
    there = np.ones(120, bool)
    there[[17, 60, 61]] = False
    pairs = there[:-1] & there[1:]

    def static_g2(label: int) -> float:
        x = counts[:, rings.static.labels == label].astype(float)
        past, future = x[:-1][there[:-1]].mean(), x[1:][there[1:]].mean()
        return (x[:-1] * x[1:])[pairs].mean() / (past * future)

    np.testing.assert_allclose(result.g2[0, 0], (static_g2(1) + static_g2(2)) / 2)
    x = counts[:, rings.static.labels == 1]
    np.testing.assert_allclose(result.scattering_1d[0], x[there].mean())
    span = 8
    assert result.scattering_1d_segments.shape == (120 // span, 6)
    for number, start in ((2, 16), (7, 56)):
        here = slice(start, start + span)
        np.testing.assert_allclose(
            result.scattering_1d_segments[number, 0], x[here][there[here]].mean()
        )
    assert result.intensity_vs_time.shape == (2, 117)
    assert 60 not in result.intensity_vs_time[0]


def test_constant_intensity_with_frames_left_out_gives_one(rings: Partition) -> None:
    counts = np.full((300, 12, 20), 7, np.uint8)
    result = correlate(counts, rings, skipped=range(40, 60), selection=FrameSelection(average=3))
    np.testing.assert_allclose(result.g2, 1.0, rtol=1e-14)
    np.testing.assert_allclose(result.mean_frame[rings.mask], 7.0)


def test_errors_from_time_tell_the_scatter_of_poisson_counts(
    make_labels_partition: MakePartition,
) -> None:
    labels = np.broadcast_to(np.arange(1, 41)[:, None], (40, 50))
    counts = np.random.default_rng(21).poisson(1.5, (1024, 40, 50)).astype(np.uint8)
    partition = make_labels_partition(labels > 0, labels, labels)
    result = correlate(counts, partition, errors="segments")
    assert result.errors == "segments"
    pull = (result.g2[:8] - 1.0) / result.g2_err[:8]
    assert abs(pull.mean()) < 0.3
    assert 0.8 < pull.std() < 1.3
    expected = 1.0 / (1.5 * np.sqrt(1020 * 50))
    np.testing.assert_allclose(result.g2_err[:8].mean(), expected, rtol=0.1)


def test_partial_g2_is_that_of_the_first_frames(rings: Partition) -> None:
    counts = np.random.default_rng(22).poisson(2.0, (300, 12, 20)).astype(np.uint16)
    result = correlate(counts, rings, partials=4)
    assert result.partial_frames.tolist() == [64, 128, 192, 256, 300]
    for frames, partial in zip(result.partial_frames, result.partial_g2, strict=True):
        expected = correlate(counts[:frames], rings).g2
        np.testing.assert_array_equal(partial[: len(expected)], expected)
        assert np.isnan(partial[len(expected) :]).all()
    for errors in ("pixel", "segments"):
        whole = correlate(counts, rings, partials=10, errors=errors)
        number = len(whole.partial_frames) - 2
        part = correlate(
            counts, rings, partials=10, errors=errors,
            selection=FrameSelection(end=int(whole.partial_frames[number])),
        )  # fmt: skip
        np.testing.assert_allclose(
            whole.partial_g2_err[number][: len(part.g2)], part.g2_err, rtol=1e-12
        )
        np.testing.assert_array_equal(whole.partial_g2_err[-1], whole.g2_err)


def test_a_preview_is_g2_so_far(rings: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_xpcs.correlate.multitau_run.PREVIEW_S", 0.0)
    counts = np.random.default_rng(23).poisson(2.0, (96, 12, 20)).astype(np.uint16)
    shown = []
    run(
        correlate_multitau(counts, rings, frame_time_s=1e-3, xp=NUMPY, block=32),
        lambda progress: shown.append((progress.done, progress.partial)),
    )
    curves = {done: partial for done, partial in shown if partial is not None}
    assert 32 in curves
    np.testing.assert_array_equal(curves[32].g2, correlate(counts[:32], rings).g2)
    np.testing.assert_array_equal(curves[32].delay_s, correlate(counts[:32], rings).delay_s)


# -- faults, each in a sentence


def test_frames_that_cannot_be_correlated(
    rings: Partition, make_labels_partition: MakePartition
) -> None:
    counts = np.ones((20, 12, 20), np.uint16)
    with pytest.raises(CorrelationError, match="frames have 20 x 12 pixels and the partition 12"):
        correlate(counts.transpose(0, 2, 1), rings)
    with pytest.raises(CorrelationError, match=r"array of shape \(12, 20\)|12 x 20|20 pixels"):
        correlate(counts[0], rings)
    with pytest.raises(CorrelationError, match="2 frames or more"):
        correlate(counts[:1], rings)
    nothing = make_labels_partition(np.zeros((12, 20)), rings.dynamic.labels, rings.static.labels)
    with pytest.raises(CorrelationError, match="No pixel is both inside the mask and in a bin"):
        correlate(counts, nothing)
    crossed = make_labels_partition(
        rings.mask, np.broadcast_to(1 + np.arange(20) // 10, (12, 20)), rings.static.labels
    )
    with pytest.raises(CorrelationError, match=r"Static bin 1 lies in the dynamic bins \[1, 2\]"):
        correlate(counts, crossed)
    with pytest.raises(ChoiceError, match="no normalization 'plain'"):
        correlate(counts, rings, normalization="plain")
    with pytest.raises(CorrelationError, match="time between frames must be positive"):
        run(correlate_multitau(counts, rings, frame_time_s=0.0, xp=NUMPY))
    with pytest.raises(CorrelationError, match="got the type complex128"):
        correlate(counts.astype(complex), rings)


@pytest.mark.parametrize(
    ("dtype", "value", "shown"),
    [(np.uint16, 65535, "65535"), (np.int32, -1, "-1"), (np.float32, np.nan, "nan")],
)
def test_a_used_pixel_without_value_is_named(
    rings: Partition, dtype: type, value: float, shown: str
) -> None:
    counts = np.ones((50, 12, 20), dtype)
    counts[37, 4, 6] = value
    selection = FrameSelection(begin=1, stride=2)
    with pytest.raises(CorrelationError, match=rf"\(row 4, column 6\) of frame 37 holds {shown}"):
        correlate(counts, rings, selection=selection)
    counts[37, 4, 6] = 1
    counts[:, 4, 0] = value  # outside the bins it does no harm
    assert correlate(counts, rings).mean_frame[4, 0] == 0.0


class ShortRun:
    """Announces more frames than it holds."""

    shape = (100, 12, 20)
    dtype = np.dtype(np.uint16)

    def __getitem__(self, key: slice) -> np.ndarray:
        return np.ones((70, 12, 20), np.uint16)[key]


def test_a_run_that_ends_early_says_where(rings: Partition) -> None:
    with pytest.raises(CorrelationError, match="ends at frame 70, 100 were announced"):
        correlate(ShortRun(), rings, block=32)  # type: ignore[arg-type]


def test_cancelling_leaves_no_thread(rings: Partition) -> None:
    counts = np.ones((64, 12, 20), np.uint16)
    before = set(threading.enumerate())
    steps = correlate_multitau(counts, rings, frame_time_s=1e-3, xp=NUMPY, block=4)
    seen = [next(steps).done for _ in range(8)]
    steps.close()
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert len(seen) == 8
    # A cancelled job does not wait for the block that its threads are at.
    for thread in set(threading.enumerate()) - before:
        thread.join(30.0)
        assert not thread.is_alive()


def test_errors_from_spans_are_those_of_pixels_before_there_are_three(rings: Partition) -> None:
    counts = np.random.default_rng(6).poisson(2.0, (1000, 12, 20)).astype(np.uint16)
    options = {"frame_time_s": 1e-3, "xp": NUMPY, "block": 16, "errors": "segments"}
    errors = {}
    for end in (48, 512):
        kept: list[MultiTauResult] = []
        steps = correlate_multitau(counts, rings, keep=kept.append, **options)
        while next(steps).done < end:
            pass
        steps.close()
        assert np.isfinite(kept[0].g2_err[0]).all()
        assert np.isfinite(kept[0].scattering_1d_segments).all()
        assert len(kept[0].scattering_1d_segments) == max(end // 64, 1)
        errors[end] = kept[0].errors
    assert errors == {48: "pixel", 512: "segments"}
