import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.errors import SimulationError
from napari_xpcs.kernels.simulate import NO_VALUE, simulate_frames
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.kernels.speckle_field import evolve, evolve_power, mode_weights


@settings(max_examples=60)
@given(st.floats(0.01, 1.0))
def test_modes_make_the_contrast(contrast: float) -> None:
    weights = mode_weights(contrast)
    assert weights.min() >= 0.0
    np.testing.assert_allclose([weights.sum(), (weights**2).sum()], [1.0, contrast], rtol=1e-9)


def _frames(simulation: Simulation) -> np.ndarray:
    return np.concatenate(list(simulate_frames(simulation, xp=NumPyBackend())))


@pytest.fixture(scope="module")
def run() -> tuple[Simulation, np.ndarray]:
    simulation = Simulation(frames=1000, rows=64, cols=64, contrast=0.3, mean_counts=5.0)
    return simulation, _frames(simulation)


def test_shape_mask_and_mean(run: tuple[Simulation, np.ndarray]) -> None:
    simulation, frames = run
    assert frames.shape == (1000, 64, 64)
    assert frames.dtype == np.uint16
    assert (frames[:, ~simulation.mask] == NO_VALUE).all()
    assert not simulation.mask.all()
    inside = frames[:, simulation.mask]
    assert inside.max() < NO_VALUE
    np.testing.assert_allclose(inside.mean(), 5.0, rtol=0.01)
    profile = inside.mean(axis=0) / simulation.intensity[simulation.mask]
    np.testing.assert_allclose(np.median(profile), 1.0, atol=0.03)
    assert simulation.intensity.max() > 5.0 * simulation.intensity[simulation.mask].min()


def test_g2_is_that_of_theory(run: tuple[Simulation, np.ndarray]) -> None:
    simulation, frames = run
    normal = frames[:, simulation.mask] / simulation.intensity[simulation.mask]
    q = simulation.q[simulation.mask]
    fast = q > np.median(q)  # where a thousand frames hold many independent speckles
    for lag in (1, 2, 5, 20, 100):
        measured = np.mean(normal[:-lag] * normal[lag:], axis=0)[fast]
        expected = simulation.g2(q[fast], np.array(lag * simulation.frame_time_s))
        error = measured.std() / np.sqrt(measured.size)
        assert abs(measured.mean() - expected.mean()) < 4.0 * error


def test_decays_fill_the_range_of_delays() -> None:
    for diffusion, frame_time in ((5e-14, 1e-3), (1e-12, 2e-5)):
        simulation = Simulation(diffusion_m2_per_s=diffusion, frame_time_s=frame_time)
        frames = 1.0 / (2.0 * simulation.decay_rate_per_s[simulation.mask] * frame_time)
        assert 2.5 < frames.min() < 4.0
        assert 100.0 < frames.max() < 1000.0


def test_same_seed_same_counts() -> None:
    first, again, other = (
        _frames(Simulation(frames=3, rows=16, cols=16, seed=seed)) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_speckle_size_is_that_of_the_field() -> None:
    simulation = Simulation(
        frames=400, rows=64, cols=64, contrast=1.0, speckle_size_px=4.0, mean_counts=50.0
    )
    normal = _frames(simulation) / np.where(simulation.mask, simulation.intensity, 1.0)
    normal = normal[:, :, 32:]
    # Half way down the field has lost half its correlation, the intensity three quarters.
    at = [np.mean(normal[:, :, d:] * normal[:, :, : 32 - d]) - 1.0 for d in (2, 12)]
    np.testing.assert_allclose(at, [0.25, 0.0], atol=0.04)


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("simulate")}


def test_closing_leaves_no_thread() -> None:
    before = _threads()
    blocks = simulate_frames(Simulation(frames=2000, rows=128, cols=128), xp=NumPyBackend())
    assert len(next(blocks)) < 2000
    assert _threads() - before
    blocks.close()
    assert _threads() <= before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"contrast": 0.0}, "contrast must be a positive number, got 0.0"),
        ({"contrast": 1.5}, "contrast must be 1 or less, got 1.5"),
        ({"frames": 1}, "frames must be 2 or more, got 1"),
        ({"diffusion_m2_per_s": float("nan")}, "diffusion_m2_per_s must be a positive number"),
        ({"mean_counts": 1e5}, "Mean counts must be 1000 or less"),
        ({"speckle_size_px": -1.0}, "speckle_size_px must be 0 or more"),
    ],
)
def test_impossible_runs_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        Simulation(**options)  # type: ignore[arg-type]


def test_field_keeps_its_variance_and_forgets_at_its_rate(xp: BackendProtocol) -> None:
    rng = np.random.default_rng(5)
    decay = np.full((40, 50), 0.8)
    field, noise = rng.standard_normal((2, 40, 50)), rng.standard_normal((30, 2, 40, 50))
    weights = np.array([0.5, 0.5])
    final, speckles = xp.jit(evolve, static_argnames=("xp",))(
        field, noise, decay, np.sqrt(1.0 - decay**2), weights, xp=xp
    )
    expected, known = field.copy(), []
    for fresh in noise:
        known.append((0.5 * expected**2).sum(axis=0))
        expected = 0.8 * expected + 0.6 * fresh
    np.testing.assert_allclose(xp.to_numpy(final), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(xp.to_numpy(speckles), known, rtol=1e-12)
    overlap = np.mean(expected * field) / np.mean(field**2)
    assert overlap == pytest.approx(0.8**30, abs=0.05)
    assert np.mean(expected**2) == pytest.approx(1.0, abs=0.06)


def test_backends_simulate_the_same_run(xp: BackendProtocol) -> None:
    simulation = Simulation(frames=300, rows=32, cols=32, seed=9)
    ours = np.concatenate(list(simulate_frames(simulation, xp=xp)))
    # float32 fields are rounded differently: a count in a thousand may differ, by one.
    differs = ours != _frames(simulation)
    assert differs.mean() < 1e-3


def test_power_of_independent_pixels_is_that_of_the_field(xp: BackendProtocol) -> None:
    """The law of the sum of squares after a step is that of the components, squared and added."""
    rng = np.random.default_rng(6)
    shape, components = (1, 200_000), 5
    field = rng.standard_normal((components, *shape))
    decay = np.full(shape, 0.8)
    renewal = np.sqrt(1.0 - decay**2)
    along, across = rng.standard_normal((1, *shape)), rng.chisquare(components - 1, (1, *shape))
    power = np.sum(field**2, axis=0)
    after, at_start = xp.jit(evolve_power, static_argnames=("xp",))(
        power, along, across, decay, renewal, xp=xp
    )
    np.testing.assert_allclose(xp.to_numpy(at_start)[0], power, rtol=1e-12)
    fresh = decay * field + renewal * rng.standard_normal((components, *shape))
    expected, got = np.sum(fresh**2, axis=0), np.asarray(xp.to_numpy(after))
    for moment in (1, 2, 3):
        np.testing.assert_allclose(np.mean(got**moment), np.mean(expected**moment), rtol=0.03)
    overlap = [np.corrcoef(power.ravel(), later.ravel())[0, 1] for later in (got, expected)]
    np.testing.assert_allclose(overlap, 0.8**2, atol=0.01)


@pytest.mark.parametrize("contrast", [1.0, 0.4, 0.05])
def test_contrast_is_reached_between_whole_numbers_of_modes(contrast: float) -> None:
    simulation = Simulation(frames=8, rows=256, cols=256, contrast=contrast, mean_counts=20.0)
    first = _frames(simulation)[0][simulation.mask].astype(float)
    mean = simulation.intensity[simulation.mask]
    # Factorial moments leave out the noise of counting.
    assert np.mean((first * first - first) / mean**2) == pytest.approx(1.0 + contrast, abs=0.04)


def test_counts_do_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation(frames=40, rows=96, cols=200, seed=3)
    first = _frames(simulation)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    np.testing.assert_array_equal(_frames(simulation), first)


def test_two_blocks_are_in_memory_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every core holds the random numbers of a strip of its own.
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    simulation = Simulation(frames=400, rows=256, cols=256, mean_counts=0.1)
    blocks = simulate_frames(simulation, xp=NumPyBackend())
    next(blocks)
    tracemalloc.start()
    for _ in blocks:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 18 * 2**20  # two blocks are 8 MiB; all frames would be 50 MiB


def test_a_detector_that_would_stand_nowhere_is_told() -> None:
    with pytest.raises(SimulationError, match=r"would have to stand .* m away; give the distance"):
        _ = Simulation(frame_time_s=1e-15).geometry
    assert Simulation(frame_time_s=1e-15, distance_m=5.0).geometry.distance_m == 5.0
