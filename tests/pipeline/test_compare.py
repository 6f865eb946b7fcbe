"""Runs beside each other: like bins with like bins, true numbers, words for the rest."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.io.run_summary import RunSummary
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.radial_profile import RadialProfile
from napari_xpcs.pipeline.compare import compare_g2, compare_profiles, read_runs
from napari_xpcs.pipeline.comparison import short_names
from napari_xpcs.pipeline.comparison_csv import write_comparison
from napari_xpcs.progress import run

Q = np.geomspace(0.002, 0.03, 20)


def curves(q=(0.01, 0.02, 0.03), delays=(1e-3, 2e-3, 4e-3), level=1.0):
    g2 = level + np.arange(len(delays) * len(q), dtype=float).reshape(len(delays), len(q))
    bins = BinTable(
        label=np.arange(1, len(q) + 1),
        q=np.array(q),
        phi_deg=np.zeros(len(q)),
        pixels=np.full(len(q), 10),
    )
    return G2Curves(delay_s=np.array(delays), g2=g2, error=np.full_like(g2, 0.1), bins=bins)


def summary(name, **parts):
    profile = RadialProfile(q=Q, intensity=Q**-2, pixels=np.full(len(Q), 100))
    run_ = RunSummary(path=Path(f"B0147_{name}_results.hdf"), curves=curves(), profile=profile)
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


def test_an_error_that_nobody_knows_is_saved_as_an_empty_cell(tmp_path):
    unsure = curves()
    unsure.error[:, 0] = 0.25, np.nan, np.inf
    write_comparison(tmp_path / "g2.csv", compare_g2([summary("r1", curves=unsure)], 1))
    rows = list(csv.DictReader((tmp_path / "g2.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["error"] for row in rows] == ["0.25", "", ""]


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
