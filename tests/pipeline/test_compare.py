"""Runs beside each other: like bins with like bins, true numbers, words for the rest."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.io.run_summary import RunSummary, read_summary
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.radial_profile import IntensityInTime, RadialProfile
from napari_xpcs.pipeline.compare import (
    compare_drift,
    compare_g2,
    compare_profiles,
    compare_segments,
    compare_times,
    read_runs,
    short_names,
)
from napari_xpcs.progress import run

Q = np.geomspace(0.002, 0.03, 20)
SEGMENTS = 12


def curves(q=(0.01, 0.02, 0.03), delays=(1e-3, 2e-3, 4e-3), level=1.0):
    g2 = level + np.arange(len(delays) * len(q), dtype=float).reshape(len(delays), len(q))
    bins = BinTable(
        label=np.arange(1, len(q) + 1),
        q=np.array(q),
        phi_deg=np.zeros(len(q)),
        pixels=np.full(len(q), 10),
    )
    return G2Curves(delay_s=np.array(delays), g2=g2, error=np.full_like(g2, 0.1), bins=bins)


def summary(name, *, scale=1.0, seed=0, **parts):
    rng = np.random.default_rng(seed)
    counts = scale * Q**-2
    segments = counts * rng.normal(1.0, 0.01, (SEGMENTS, len(Q)))
    series = IntensityInTime(
        time_s=np.arange(100) * 0.1,
        mean=scale * rng.normal(5.0, 0.05, 100),
        error=np.full(100, np.nan),
    )
    run_ = RunSummary(
        path=Path(f"B0147_{name}_results.hdf"),
        curves=curves(),
        profile=RadialProfile(q=Q, intensity=counts, pixels=np.full(len(Q), 100)),
        segments=segments,
        intensity=series,
    )
    return replace(run_, **parts)


def test_names_tell_files_apart():
    names = ["E0173_a0009_r00001_results.hdf", "E0173_a0009_r00012_results.hdf"]
    assert short_names([Path(name) for name in names]) == ["r00001", "r00012"]
    twins = [Path("monday/run_results.hdf"), Path("tuesday/run_results.hdf")]
    assert short_names(twins) == ["monday/run", "tuesday/run"]
    assert short_names([Path("a.hdf"), Path("a_b.hdf")]) == ["a", "a_b"]
    assert short_names([]) == []


def test_g2_of_like_bins_is_laid_over_each_other():
    runs = [summary("r1"), summary("r2", curves=curves(level=2.0))]
    found = compare_g2(runs, 2)
    assert [line.name for line in found.lines] == ["r1", "r2"]
    np.testing.assert_array_equal(found.lines[0].y, [2.0, 5.0, 8.0])
    np.testing.assert_array_equal(found.lines[1].y, [3.0, 6.0, 9.0])
    np.testing.assert_array_equal(found.lines[1].error, 0.1)
    assert found.title == "bin 2, q = 0.02 1/Å"
    assert found.remarks == ()
    assert compare_g2(runs, 2, errors=False).lines[0].error is None


def test_other_bins_are_drawn_by_q_and_said():
    runs = [
        summary("r1"),
        summary("r2", curves=curves(q=(0.0195, 0.03))),
        summary("r3", curves=curves(q=(0.1, 0.2))),
        summary("r4", curves=curves(delays=(1e-3, 2e-3, 5e-3))),
        summary("r5", curves=None),
    ]
    found = compare_g2(runs, 2)
    assert [line.name for line in found.lines] == ["r1", "r2, bin 1, q = 0.0195 1/Å", "r4"]
    said = "\n".join(found.remarks)
    assert "r2, r3: they have 2 and 3 bins (beside r1)" in said
    assert "r3: no bin within 20% of this q, not drawn." in said
    assert "r4: delay 3 is 0.005 s in one and 0.004 s in the other" in said
    assert "r5: no g2: the file holds none." in said


def test_points_that_nobody_counted_are_not_drawn():
    empty = curves()
    empty.g2[1, 0] = np.nan
    empty.g2[:, 1] = np.nan
    runs = [summary("r1"), summary("r2", curves=empty)]
    assert len(compare_g2(runs, 1).lines[1].x) == 2
    found = compare_g2(runs, 2)
    assert [line.name for line in found.lines] == ["r1"]
    assert found.remarks == ("r2: nothing was counted in this bin.",)


def test_many_differing_runs_are_one_sentence():
    others = [summary(f"r{k}", curves=curves(q=(0.01, 0.02))) for k in range(2, 60)]
    found = compare_g2([summary("r1"), *others], 1)
    assert len(found.lines) == 59
    assert found.remarks == (
        "r2, r3 and 56 more: they have 2 and 3 bins (beside r1). Drawn is the bin nearest in q, "
        "which the legend tells.",
    )


def test_profiles_have_no_zero_on_a_logarithmic_axis():
    profile = RadialProfile(
        q=np.array([0.01, 0.02]), intensity=np.array([0.0, 2.0]), pixels=np.array([4, 4])
    )
    found = compare_profiles([summary("r1", profile=profile), summary("r2")])
    np.testing.assert_array_equal(found.lines[0].y, [np.nan, 2.0])
    assert (found.log, found.y_label) == ("xy", "counts per pixel and frame")


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


def test_a_file_that_cannot_be_read_is_said_and_the_others_are_compared(one_result, tmp_path):
    good = shutil.copy(one_result, tmp_path / "good_results.hdf")
    bad = tmp_path / "bad_results.hdf"
    bad.write_bytes(one_result.read_bytes()[:5000])
    runs = run(read_runs([good, bad], xp=NumPyBackend()))
    found = compare_g2(list(runs.values()), 1)
    assert [line.name for line in found.lines] == ["good"]
    assert found.remarks[0].startswith("bad: bad_results.hdf is HDF5 but cannot be opened")
    again = run(read_runs([good, bad], runs, xp=NumPyBackend()))
    assert again[good] is runs[good]


def test_the_real_run_whose_counts_rise_is_seen(shared_data):
    path = shared_data / "aps_8idi" / "E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf"
    real = read_summary(path, xp=NumPyBackend())
    assert "more than scatter makes" in compare_segments([real]).findings[0]
    assert "more than scatter makes" in compare_times([real]).findings[0]
