"""Every engine, block length and sharding gives the same numbers; peers' defects are not ours."""

import pickle
from collections.abc import Mapping
from contextlib import closing

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend, get_backend, reset_backend, set_backend
from napari_xpcs.correlate.accumulate import Accumulation
from napari_xpcs.correlate.engines import choose_engine
from napari_xpcs.correlate.finish import Reduction, finish
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.run_state import RunPlan, RunState, merge, up_to_now
from napari_xpcs.errors import ChoiceError, CorrelationError
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import run

ENGINES = {"numba": ("numba", "numpy"), "numpy": ("array", "numpy"), "jax": ("array", "jax")}


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> dict[str, object]:
    """Options of each engine, the array engine on both backends."""
    name, backend = ENGINES[request.param]
    set_backend(backend)
    yield {"engine": name, "xp": get_backend()}
    reset_backend()


def whole_plan(frames: np.ndarray, **options: object) -> RunPlan:
    return RunPlan(selection=FrameSelection().within(len(frames)), **options)


def state(frames: np.ndarray, partition: Partition, plan: RunPlan, **options: object) -> RunState:
    pixels = used_pixels(partition, frames.shape[1:])
    with closing(Accumulation(frames, pixels, plan, **options)) as work:
        run(work.steps())
        return up_to_now(work.state())


def result(frames: np.ndarray, partition: Partition, plan: RunPlan, of: RunState) -> MultiTauResult:
    pixels = used_pixels(partition, frames.shape[1:])
    return finish(of, partition, pixels, plan, Reduction(frame_time_s=1e-3))


def assert_same_state(one: RunState, other: RunState) -> None:
    for part in ("levels", "sums"):
        for name in getattr(one, part).__slots__:
            values = [getattr(getattr(each, part), name) for each in (one, other)]
            np.testing.assert_array_equal(*values, err_msg=name)


@pytest.mark.parametrize("block", [256, 32])
def test_peer_case_by_every_engine(
    engine: dict[str, object],
    block: int,
    peer_case: Mapping[str, np.ndarray],
    peer_partition: Partition,
) -> None:
    found = run(
        correlate_multitau(
            peer_case["frames"], peer_partition, frame_time_s=1e-3, block=block, **engine
        )
    )
    np.testing.assert_allclose(found.g2, peer_case["ref_g2"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(found.g2_err, peer_case["ref_g2_err"], rtol=1e-5, atol=1e-12)
    assert found.engine["engine"] == engine["engine"]


def test_engines_and_blocks_leave_the_same_state(
    engine: dict[str, object], rings: Partition
) -> None:
    counts = np.random.default_rng(1).poisson(2.0, (150, 12, 20)).astype(np.uint16)
    counts[100:, 3, 5] = 3000  # sums of its products are not exact in float32
    plan = whole_plan(counts)
    expected = state(counts, rings, plan, engine="numba", block=256)
    for block in (64, 8):
        assert_same_state(state(counts, rings, plan, block=block, **engine), expected)


def test_spans_shorter_than_a_block_leave_the_same_levels(
    engine: dict[str, object], rings: Partition
) -> None:
    counts = np.random.default_rng(2).poisson(2.0, (99, 12, 20)).astype(np.uint16)
    whole = run(correlate_multitau(counts, rings, frame_time_s=1e-3, xp=NumPyBackend()))
    for options in ({"errors": "segments"}, {"partials": 30}):
        cut = run(correlate_multitau(counts, rings, frame_time_s=1e-3, **options, **engine))
        np.testing.assert_array_equal(cut.g2, whole.g2)


def test_detectors_of_several_slabs_also_resumed(
    engine: dict[str, object], whole_detector: Partition
) -> None:
    counts = np.random.default_rng(6).poisson(1.0, (40, *whole_detector.shape)).astype(np.uint8)
    plan = whole_plan(counts)
    expected = state(counts, whole_detector, plan, engine="numba")
    assert_same_state(state(counts, whole_detector, plan, block=16, **engine), expected)
    pixels = used_pixels(whole_detector, counts.shape[1:])
    with closing(Accumulation(counts, pixels, plan, block=16, **engine)) as work:
        stopped = next(work.state() for step in work.steps() if step.done == 16)
    resumed = state(counts, whole_detector, plan, block=16, resumed=stopped, **engine)
    assert_same_state(resumed, expected)


@pytest.mark.parametrize("alignment", [4])
def test_shards_join_to_the_same_numbers(
    engine: dict[str, object], rings: Partition, alignment: int
) -> None:
    counts = np.random.default_rng(2).poisson(2.0, (170, 12, 20)).astype(np.uint8)
    plan = whole_plan(counts, alignment=alignment)
    whole = state(counts, rings, plan)
    for number in (2, 5):
        parts = [
            pickle.loads(pickle.dumps(state(counts, rings, plan, begin=begin, end=end, **engine)))
            for begin, end in plan.parts(number)
        ]
        while len(parts) > 1:  # a tree, as the cluster joins them
            parts = [
                merge(*parts[at : at + 2]) if at + 1 < len(parts) else parts[at]
                for at in range(0, len(parts), 2)
            ]
        assert_same_state(parts[0], whole)
    np.testing.assert_array_equal(
        result(counts, rings, plan, parts[0]).g2, result(counts, rings, plan, whole).g2
    )


def test_normalized_frames_agree_between_shards_to_rounding(
    engine: dict[str, object], rings: Partition
) -> None:
    counts = np.random.default_rng(3).poisson(2.0, (200, 12, 20)).astype(np.uint8)
    plan = whole_plan(counts, normalize_frame=True, alignment=5)
    whole = result(counts, rings, plan, state(counts, rings, plan))
    parts = [state(counts, rings, plan, begin=b, end=e, **engine) for b, e in plan.parts(3)]
    joined = result(counts, rings, plan, merge(merge(parts[0], parts[1]), parts[2]))
    np.testing.assert_allclose(joined.g2, whole.g2, rtol=1e-12)
    np.testing.assert_allclose(joined.g2_err, whole.g2_err, rtol=1e-9)


def test_large_counts_stay_exact(engine: dict[str, object], rings: Partition) -> None:
    counts = np.random.default_rng(4).integers(0, 2**31, (70, 12, 20)).astype(np.uint32)
    found = run(correlate_multitau(counts, rings, frame_time_s=1e-3, **engine))
    expected = run(
        correlate_multitau(counts.astype(np.float64), rings, frame_time_s=1e-3, **engine)
    )
    np.testing.assert_allclose(found.g2, expected.g2, rtol=1e-13)


def test_dark_frames_behind_large_counts_stay_exact(
    engine: dict[str, object], rings: Partition
) -> None:
    counts = np.random.default_rng(5).poisson(2.0, (100, 12, 20)).astype(np.uint32)
    counts[3] = 2**24 + 1  # not exact in float32
    counts[8:24] = 0
    plan = whole_plan(counts)
    expected = state(counts, rings, plan, engine="numba")
    assert_same_state(state(counts, rings, plan, block=8, **engine), expected)


def test_shards_that_do_not_fit(rings: Partition) -> None:
    counts = np.ones((64, 12, 20), np.uint8)
    plan = whole_plan(counts, alignment=4)
    with pytest.raises(CorrelationError, match="multiple of 16 used frames, got 8"):
        state(counts, rings, plan, begin=8)
    late = state(counts, rings, plan, begin=32)
    with pytest.raises(CorrelationError, match="join the parts of the run first"):
        result(counts, rings, plan, late)


def test_the_choice_of_an_engine_is_told() -> None:
    assert choose_engine("auto", events=False, prefer_gpu=False).name == "numba"
    assert choose_engine("auto", events=True, prefer_gpu=False).name == "events"
    gpu = choose_engine("dense", events=True, prefer_gpu=True)
    assert gpu.name == "array"
    assert "XPCS_USE_GPU" in gpu.reason
    with pytest.raises(ChoiceError, match="no engine 'fast'; choose auto"):
        choose_engine("fast", events=False, prefer_gpu=False)
