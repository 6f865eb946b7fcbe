"""Changes are found where they were made, and scatter is called so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.io.run_summary import RunSummary, read_summary
from napari_xpcs.kernels.radial_profile import IntensityInTime, RadialProfile
from napari_xpcs.pipeline.compare import compare_profiles
from napari_xpcs.pipeline.stability import compare_drift, compare_segments, compare_times

Q = np.geomspace(0.002, 0.03, 20)
SEGMENTS = 12


def summary(name, *, scale=1.0, seed=0, **parts):
    rng = np.random.default_rng(seed)
    counts = scale * Q**-2
    run_ = RunSummary(
        path=Path(f"B0147_{name}_results.hdf"),
        profile=RadialProfile(q=Q, intensity=counts, pixels=np.full(len(Q), 100)),
        segments=counts * rng.normal(1.0, 0.01, (SEGMENTS, len(Q))),
        intensity=IntensityInTime(
            time_s=np.arange(100) * 0.1,
            mean=scale * rng.normal(5.0, 0.05, 100),
            error=np.full(100, np.nan),
        ),
    )
    return replace(run_, **parts)


def test_counts_that_fall_are_found_in_the_run_that_has_it():
    falling = summary("r2").intensity
    falling = replace(falling, mean=falling.mean * np.linspace(1.1, 0.9, 100))
    found = compare_times([summary("r1"), summary("r2", intensity=falling), summary("r3", seed=5)])
    (sentence,) = found.findings
    # The middles of the first and the last of ten parts are 0.9 of the run apart.
    assert sentence.startswith("Counts within a run: -18")
    assert sentence.endswith(
        "from the first to the last of 10 parts in r2, more than scatter makes."
    )


def test_every_run_is_cut_into_ten_parts_to_its_end():
    fast = summary("r1").intensity  # 100 values
    mean = np.full(391, 5.0) + np.random.default_rng(2).normal(0.0, 1e-4, 391)
    slow = replace(fast, time_s=np.arange(391) * 0.1, mean=mean, error=np.full(391, np.nan))
    late = replace(fast, mean=np.where(np.arange(100) < 90, 5.0, 4.0))
    (sentence,) = compare_times([summary("r1", intensity=late)]).findings
    beside = compare_times([summary("r1", intensity=late), summary("r2", intensity=slow)])
    assert "10 parts in r1" in beside.findings[0]
    assert beside.findings[0].split(" %")[0] == sentence.split(" %")[0]


def test_other_exposures_are_said():
    runs = [summary("r1", count_time_s=0.1), summary("r2", count_time_s=0.4)]
    for compare in (compare_times, compare_drift, compare_profiles):
        assert "exposed from 0.1 to 0.4 s" in compare(runs).remarks[0]
        alike = [replace(run, count_time_s=0.1) for run in runs]
        assert not compare(alike).remarks
    assert not compare_times(runs, relative=True).remarks


def test_runs_of_other_brightness_meet_beside_their_means():
    runs = [summary("r1"), summary("r2", scale=1e-5)]
    for line, same in zip(compare_times(runs, relative=True).lines, runs, strict=True):
        np.testing.assert_allclose(line.y, same.intensity.mean / same.intensity.mean.mean())
    dark = replace(runs[0].intensity, mean=np.zeros(100))
    found = compare_times([runs[1], summary("r3", intensity=dark)], relative=True)
    assert [line.name for line in found.lines] == ["r2"]
    assert "r3: nothing was counted" in found.remarks[0]


def test_segments_that_stay_are_scatter_and_one_that_changes_is_not():
    quiet = compare_segments([summary("r1")])
    assert len(quiet.lines) == SEGMENTS
    np.testing.assert_allclose(np.mean([line.y for line in quiet.lines], axis=0), 1.0)
    assert "as scatter makes by itself among 20" in quiet.findings[0]
    damaged = summary("r2", seed=1)
    damaged.segments[:, 4] *= 1.0 + 0.3 * np.linspace(-0.5, 0.5, SEGMENTS)
    found = compare_segments([summary("r1"), damaged])
    assert [line.name for line in found.lines] == ["r1", "r2"]
    assert found.lines[1].y[4] == pytest.approx(30.0, abs=4 * found.lines[1].error[4])
    assert "I(q) within r2: +" in found.findings[0]
    assert f"at q = {Q[4]:.4g} 1/Å, more than scatter makes." in found.findings[0]


def test_segments_in_other_units_are_said_so():
    found = compare_segments([summary("r1", segments_in_counts=False)])
    assert "other units than I(q)" in found.remarks[0]


def test_runs_that_get_brighter_are_told_in_their_order():
    rng = np.random.default_rng(7)
    scales = (1.0 + 0.1 * np.linspace(-0.5, 0.5, 8)) * rng.normal(1.0, 1e-4, 8)
    found = compare_drift([summary(f"r{k}", scale=s) for k, s in enumerate(scales)])
    assert len(found.lines) == 8
    assert found.findings[1].startswith("Sum over all q: +10.0")
    assert found.findings[1].endswith(
        "from the first to the last of 8 runs, more than scatter makes."
    )


def test_runs_with_other_static_bins_are_not_compared():
    other = RadialProfile(q=2 * Q, intensity=Q, pixels=np.full(len(Q), 1))
    found = compare_drift([summary("r1"), summary("r2", profile=other), summary("r3", scale=1.1)])
    assert [line.name for line in found.lines] == ["r1", "r3"]
    assert found.remarks == (
        "r2: the static bins lie at another q than those of r1, not compared.",
    )
    assert "an error of it takes three or more" in found.findings[0]
    alone = compare_drift([summary("r1")])
    assert alone.lines == ()
    assert "Select two runs" in alone.remarks[0]


def test_the_real_run_whose_counts_rise_is_seen(shared_data):
    path = shared_data / "aps_8idi" / "E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf"
    real = read_summary(path, xp=NumPyBackend())
    assert "more than scatter makes" in compare_segments([real]).findings[0]
    assert "more than scatter makes" in compare_times([real]).findings[0]
