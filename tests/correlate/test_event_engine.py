"""Events give the state that dense frames give, number for number."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate import event_engine
from napari_xpcs.correlate.checkpoint import Checkpoint
from napari_xpcs.correlate.engines import NumbaEngine
from napari_xpcs.correlate.event_engine import EventAccumulation, few_events
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.pixels import UsedPixels, used_pixels
from napari_xpcs.correlate.run_state import RunPlan, RunState, merge, up_to_now
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.multitau_state import MultiTauState, empty_state, without_spare_levels
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import SMOOTHINGS
from napari_xpcs.progress import run


class Listed:
    """Dense frames as a run of events, read in shares of a few frames."""

    def __init__(self, counts: np.ndarray, share: int) -> None:
        self.counts = counts
        self.shape = counts.shape
        self.dtype = counts.dtype
        self._share = share
        number = np.count_nonzero(counts.reshape(len(counts), -1), axis=1)
        self.source = SimpleNamespace(starts=np.concatenate([[0], np.cumsum(number)]))

    def __getitem__(self, key: object) -> np.ndarray:
        return self.counts[key]

    def spans(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        for start in range(begin, end, self._share):
            yield start, min(start + self._share, end)

    def block(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        flat = self.counts[begin:end].reshape(end - begin, -1)
        frame, pixel = np.nonzero(flat)
        count = flat[frame, pixel]
        # A count of 2 is listed as two photons: files may list a pixel twice in a frame.
        twice = np.where(count == 2, 2, 1)
        spread = np.where(count == 2, 1, count)
        number = np.bincount(np.repeat(frame, twice), minlength=end - begin)
        return (
            np.concatenate([[0], np.cumsum(number)]),
            np.repeat(pixel, twice).astype(np.int32),
            np.repeat(spread, twice).astype(np.uint16),
        )


def plan(frames: int, **options: object) -> RunPlan:
    selection = FrameSelection(
        **{name: options.pop(name) for name in ("begin", "stride", "average") if name in options}
    )
    return RunPlan(selection=selection.within(frames), **options)


def dense(
    counts: np.ndarray, pixels: UsedPixels, begin: int = 0, **options: object
) -> MultiTauState:
    state = empty_state(
        len(pixels.index),
        begin=begin,
        frames=len(counts),
        largest_count=float(np.iinfo(np.uint16).max),
        **options,
    )
    engine = NumbaEngine(state, pixels, threads=1)
    for start in range(0, len(counts), 64):
        engine.add(counts[start : start + 64], None)
    engine.close()
    return without_spare_levels(engine.state())


def assert_same(ours: MultiTauState, theirs: MultiTauState) -> None:
    assert (ours.begin, ours.frames) == (theirs.begin, theirs.frames)
    for name in ("products", "first", "last", "total", "kept"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)


def events_of(
    counts: np.ndarray, pixels: UsedPixels, share: int, *where: int, **options: object
) -> RunState:
    begin, end = where or (0, None)
    work = EventAccumulation(
        Listed(counts, share),
        pixels,
        plan(len(counts), **options),
        begin=begin,
        end=end,
        threads=2,
    )
    told = [progress.done for progress in work.steps()]
    assert told == sorted(told)
    return up_to_now(work.state())


@pytest.mark.parametrize("mean", [0.003, 0.05, 2.0])
@pytest.mark.parametrize(("frames", "share"), [(1000, 1000), (1000, 37), (897, 1), (5, 2)])
@pytest.mark.parametrize("delays", [4, 8])
def test_the_state_is_that_of_dense_frames(
    rings: Partition, mean: float, frames: int, share: int, delays: int
) -> None:
    counts = np.random.default_rng(frames).poisson(mean, (frames, 12, 20)).astype(np.uint16)
    pixels = used_pixels(rings, (12, 20))
    ours = events_of(counts, pixels, share, delays_per_level=delays)
    assert_same(ours.levels, dense(counts, pixels, delays_per_level=delays))


@pytest.mark.parametrize("share", [1100, 333])
@pytest.mark.parametrize("largest", [1, 60_000])
def test_levels_of_all_sums_of_several_tiles(
    many_pixels: Partition, share: int, largest: int
) -> None:
    """Large counts make sums of products that float32 does not hold."""
    there = np.random.default_rng(6).random((1100, 31, 40)) < 0.02
    counts = np.where(there, largest, 0).astype(np.uint16)
    counts[:, 3, 4:9] = 0
    pixels = used_pixels(many_pixels, (31, 40))
    assert len(pixels.index) > 3 * 256
    assert_same(events_of(counts, pixels, share).levels, dense(counts, pixels))


def test_parts_that_start_within_a_run(rings: Partition) -> None:
    counts = np.random.default_rng(1).poisson(0.1, (900, 12, 20)).astype(np.uint16)
    pixels = used_pixels(rings, (12, 20))
    parts = [
        events_of(counts, pixels, 50, begin, min(begin + 320, 900), alignment=6)
        for begin in range(0, 900, 320)
    ]
    assert_same(parts[1].levels, dense(counts[320:640], pixels, 320, alignment=6))
    joined = merge(merge(parts[0], parts[1]), parts[2])
    whole = events_of(counts, pixels, 1000, alignment=6)
    assert_same(joined.levels, whole.levels)
    np.testing.assert_array_equal(joined.sums.total, counts.sum(axis=0))
    np.testing.assert_array_equal(joined.sums.spans, whole.sums.spans)
    np.testing.assert_array_equal(joined.sums.counts, counts[:, pixels.mask].sum(axis=1))
    static = rings.static.labels
    span = whole.sums.span
    for part in range(900 // span):
        here = counts[part * span : (part + 1) * span]
        expected = [here[:, static == label].sum() for label in range(1, 7)]
        assert whole.sums.spans[part].tolist() == expected


def test_stride_average_and_frames_left_out(rings: Partition) -> None:
    counts = np.random.default_rng(2).poisson(0.2, (500, 12, 20)).astype(np.uint16)
    pixels = used_pixels(rings, (12, 20))
    options = {"begin": 7, "stride": 2, "average": 3, "skipped": (9, 100, 101)}
    ours = events_of(counts, pixels, 41, **options)
    kept = counts.copy()
    kept[[9, 100, 101]] = 0
    strided = kept[7::2]
    used = strided[: len(strided) // 3 * 3].reshape(-1, 3, 12, 20).sum(axis=1).astype(np.uint16)
    assert_same(ours.levels, dense(used, pixels))
    assert ours.sums.raw_frames[0] == 2
    assert ours.sums.raw_frames.sum() == 3 * len(used) - 2
    np.testing.assert_array_equal(ours.sums.total, used.sum(axis=0))


@pytest.mark.parametrize("normalize_frame", [False, True])
def test_g2_of_a_run_of_events(rings: Partition, normalize_frame: bool) -> None:
    counts = np.random.default_rng(3).poisson(0.01, (700, 12, 20)).astype(np.uint16)
    listed = Listed(counts, 100)
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "normalize_frame": normalize_frame}
    events = run(correlate_multitau(listed, rings, **options))
    frames = run(correlate_multitau(counts, rings, **options))
    assert (events.engine["engine"], frames.engine["engine"]) == ("events", "numba")
    assert "few events" in events.engine["engine_reason"]
    for name in ("g2", "g2_err", "mean_frame", "scattering_1d_segments", "intensity_vs_time"):
        np.testing.assert_allclose(
            getattr(events, name), getattr(frames, name), rtol=1e-12, atol=1e-12, err_msg=name
        )


def test_a_run_that_is_stopped_at_any_time_is_taken_up_again(
    rings: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checkpoint holds half of a share."""
    monkeypatch.setattr(event_engine, "_EVENTS_OF_PIXEL", 2)
    counts = np.random.default_rng(7).poisson(0.02, (300, 12, 20)).astype(np.uint16)
    listed = Listed(counts, 30)
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "engine": "events"}
    whole = run(correlate_multitau(listed, rings, **options))
    yields = sum(1 for _ in correlate_multitau(listed, rings, **options))
    taken_up = 0
    for number in range(3, yields, yields // 6):
        checkpoint = Checkpoint(path=tmp_path / f"{number}.part", key="one", every_s=0.0)
        steps = correlate_multitau(listed, rings, checkpoint=checkpoint, **options)
        done = [next(steps).done for _ in range(number)]
        steps.close()
        taken_up += checkpoint.load() is not None and done[-1] < 300
        resumed = run(correlate_multitau(listed, rings, checkpoint=checkpoint, **options))
        for name in ("g2", "g2_err", "mean_frame", "scattering_1d_segments", "intensity_vs_time"):
            np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    assert taken_up >= 2
    finished = Checkpoint(path=tmp_path / "finished.part", key="one", at_end=True)
    for _ in range(2):
        again = run(correlate_multitau(listed, rings, checkpoint=finished, **options))
        np.testing.assert_array_equal(again.g2, whole.g2)
        assert finished.load()["state"]["levels"]["frames"] == 300


@pytest.mark.parametrize(
    ("kind", "normalize_frame"),
    [("numba", False), ("numba", True), ("array", False), ("events", False), ("events", True)],
)
def test_a_run_closed_at_any_time_gives_the_result_of_one_that_ends_there(
    rings: Partition, kind: str, normalize_frame: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_engine, "_EVENTS_OF_PIXEL", 2)
    counts = np.random.default_rng(5).poisson(0.1, (613, 12, 20)).astype(np.uint16)
    frames = Listed(counts, 30) if kind == "events" else counts
    chosen = {"begin": 5, "stride": 2, "average": 2}
    options = {
        "frame_time_s": 1e-3,
        "xp": NumPyBackend(),
        "engine": kind,
        "block": 32 if kind == "array" else 16,
        "skipped": (9, 30, 605),
        "normalize_frame": normalize_frame,
    }
    all_of_it = FrameSelection(**chosen)
    ends = set()
    for wanted in (0, 40, 80, 120, 152):
        kept = []
        steps = correlate_multitau(frames, rings, selection=all_of_it, keep=kept.append, **options)
        while (done := next(steps).done) < wanted:
            pass
        steps.close()
        if done < 2:
            assert not kept
            continue
        (part,) = kept
        end = part.selection.end
        assert end is not None
        assert part.selection.count() >= done
        whole = run(
            correlate_multitau(
                frames, rings, selection=FrameSelection(end=end, **chosen), **options
            )
        )
        for name in (
            "g2", "g2_err", "covariance", "delay_frames", "mean_frame", "scattering_1d",
            "intensity_vs_time",
        ):  # fmt: skip
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name), err_msg=name)
        assert part.skipped_frames == whole.skipped_frames
        if part.selection.count() < 152:
            assert part.remarks()[0] == (
                f"Broken off: this rests on the first {part.selection.count()} of 152 frames."
            )
            ends.add(end)
    assert len(ends) >= 2


def test_which_runs_are_correlated_as_events(rings: Partition) -> None:
    counts = np.random.default_rng(4).poisson(0.1, (60, 12, 20)).astype(np.uint16)
    assert not few_events(counts)
    assert not few_events(Listed(counts, 10))
    counts[1:] = 0
    assert few_events(Listed(counts, 10))
    options = {"frame_time_s": 1e-3, "xp": NumPyBackend(), "engine": "events"}
    with pytest.raises(CorrelationError, match="these are dense frames"):
        run(correlate_multitau(counts, rings, **options))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_two_time_maps_of_events(rings: Partition, smoothing: str) -> None:
    counts = np.random.default_rng(5).poisson(0.02, (331, 12, 20)).astype(np.uint16)
    options = {
        "frame_time_s": 1e-3,
        "xp": NumPyBackend(),
        "smoothing": smoothing,
        "bins": [3, 1],
        "selection": FrameSelection(begin=1, stride=2),
        "skipped": (31, 32),
    }
    events = run(correlate_twotime(Listed(counts, 100), rings, **options))
    frames = run(correlate_twotime(counts, rings, **options))
    assert events.engine.startswith("sparse")
    assert frames.engine.startswith("matrix products")
    assert events.skipped_frames == frames.skipped_frames == (31,)
    assert events.empty_frames == frames.empty_frames
    largest = np.nanmax(frames.maps)
    np.testing.assert_allclose(
        np.stack(events.maps), np.stack(frames.maps), rtol=0, atol=1e-6 * largest
    )
    for name in ("g2", "g2_ratio", "segments", "mean_frame", "scattering_1d"):
        np.testing.assert_allclose(
            getattr(events, name), getattr(frames, name), rtol=1e-5, atol=1e-5, err_msg=name
        )
    for name in ("scattering_1d_segments", "intensity_vs_time"):
        np.testing.assert_allclose(getattr(events, name), getattr(frames, name), rtol=1e-12)
