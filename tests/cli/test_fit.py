"""``napari-xpcs fit`` from the command line."""

import csv
import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from napari_xpcs.cli import app

D = 4e-14


def write_curves(path, *, seed=0, exponent=1.0, factor=1.0, bins=6):
    """Write a CSV of curves with tau = factor/(D q^2)."""
    rng = np.random.default_rng(seed)
    lines = ["bin,q_inv_angstrom,delay_s,g2,g2_err"]
    for k, q in enumerate(np.linspace(2e-3, 8e-3, bins), 1):
        tau = factor / (D * (q * 1e10) ** 2)
        for t in np.geomspace(1e-3, 10, 40):
            g2 = 1 + 0.2 * np.exp(-2 * (t / tau) ** exponent) + 0.002 * rng.standard_normal()
            lines.append(f"{k},{q},{t},{g2},0.002")
    path.write_text("\n".join(lines) + "\n")
    return path


def fit(*arguments):
    outcome = CliRunner().invoke(app, ["fit", *map(str, arguments)])
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def facts(*arguments):
    return json.loads(fit(*arguments, "--json"))


def test_a_law_over_two_files_is_fitted_together(tmp_path):
    one = write_curves(tmp_path / "a.csv", seed=1)
    two = write_curves(tmp_path / "b.csv", seed=2)
    found = facts(one, two, "--share", "D", "--csv", tmp_path / "fit.csv")
    (shared,) = found["shared"]
    assert shared["name"] == "D_m2_per_s"
    assert abs(shared["value"] - D) < 3 * shared["error"]
    assert found["dispersion"]["D_m2_per_s"] == shared["value"]
    rows = list(csv.DictReader((tmp_path / "fit.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == ["a.csv"] * 6 + ["b.csv"] * 6
    assert {float(row["D_m2_per_s"]) for row in rows} == {shared["value"]}
    assert "common to 12 bins: D_m2_per_s =" in fit(one, two, "--share", "D")


def test_a_shared_exponent(tmp_path):
    path = write_curves(tmp_path / "a.csv", exponent=0.8)
    (shared,) = facts(path, "--model", "stretched", "--share", "exponent")["shared"]
    assert abs(shared["value"] - 0.8) < 3 * shared["error"]


def test_a_formula_with_a_range_a_floor_and_outliers(tmp_path):
    path = write_curves(tmp_path / "a.csv")
    formula = ["--model", "exp(-2*k*t)", "--parameter", "k,1/s", "--bins", "2"]
    (row,) = facts(path, *formula, "--delay-range", 5e-3, 5, "--robust")["bins"]
    assert row["status"] == "ok"
    assert row["n_points"] < 40
    q = 3.2e-3 * 1e10
    assert abs(row["k"] - D * q**2) < 4 * row["k_err"]
    (other,) = facts(path, *formula, "--delay-range-of", "2=1e-2,1", "--error-floor", "auto")[
        "bins"
    ]
    assert other["n_points"] < row["n_points"]


def test_the_viewers_names_are_understood(tmp_path):
    path = write_curves(tmp_path / "a.csv")
    viewer = ["--names", "pyxpcsviewer", "--fix", "a=0.2", "--bound", "b=1e-3,9", "--start", "d=1"]
    own = ["--fix", "contrast=0.2", "--bound", "tau_s=1e-3,9", "--start", "baseline=1"]
    assert facts(path, *viewer)["bins"] == facts(path, *own)["bins"]
    peer = [
        "--model",
        "stretched",
        "--names",
        "xpcsviewer",
        "--fix",
        "beta=0.5",
        "--fix",
        "tau=0.4",
    ]
    row = facts(path, *peer)["bins"][0]
    assert row["tau_s"] == pytest.approx(0.4 * 2)


def test_a_script_repeats_the_fit(tmp_path):
    path = write_curves(tmp_path / "a.csv", bins=3)
    options = ["--model", "exp(-2*(t/tau_s)**a)", "--parameter", "a,0.2,3", "--robust"]
    rows = facts(path, *options, "--bound", "tau_s=1e-3,20", "--script", tmp_path / "again.py")
    done = subprocess.run(
        [sys.executable, tmp_path / "again.py"], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [str(row) for row in rows["bins"]]
    together = facts(path, "--law", "power", "--script", tmp_path / "law.py")
    done = subprocess.run(
        [sys.executable, tmp_path / "law.py"], check=True, capture_output=True, text=True
    )
    assert str(together["bins"][0]) in done.stdout
    write_curves(path, seed=5, bins=3)
    done = subprocess.run(
        [sys.executable, tmp_path / "law.py"], check=True, capture_output=True, text=True
    )
    assert "not the ones that were fitted" in done.stdout


def test_the_result_file_holds_all_that_the_fit_needs(tmp_path, shared_data):
    path = tmp_path / "results.hdf"
    path.write_bytes((shared_data / "synthetic" / "Z0001_multitau_results.hdf").read_bytes())
    fit(path, "--bins", "1,4,9", "--fix", "contrast=0.15", "--delay-range", 1e-3, 1, "--append")
    with h5py.File(path) as file:
        group = file["xpcs/napari_xpcs/fits/single"]
        record = json.loads(group.attrs["record"])
        assert group["covariance"].shape == (3, 3, 3)
    assert record["bins"] == [1, 4, 9]
    assert record["fixed"] == {"contrast": 0.15}
    assert record["delay_range_s"] == [1e-3, 1]
    assert len(record["curves_sha256"]) == 64
    assert "numpy" in record["versions"]


def alv_to_csv(source, target):
    """Write the g2 of eight angles of an ALV file as a CSV of curves."""
    head, _, table = source.read_text(encoding="latin-1").partition('"Correlation"')
    entries = dict(line.split(":", 1) for line in head.splitlines() if ":" in line)
    entries = {name.strip(): value.strip() for name, value in entries.items()}
    angles = [float(value) for name, value in entries.items() if name.startswith("Angle(")]
    k = 2 * np.pi * float(entries["Refractive Index"]) / (10 * float(entries["Wavelength [nm]"]))
    rows = np.array([line.split() for line in table.strip().splitlines()], dtype=float)
    lines = ["bin,q_inv_angstrom,delay_s,g2,g2_err"]
    for i, angle in enumerate(angles):
        q = 2 * k * np.sin(np.deg2rad(angle) / 2)
        # The first channels hold the afterpulses of the detectors.
        lines += [f"{i + 1},{q},{row[0] * 1e-3},{1 + row[i + 1]}," for row in rows[3:]]
    target.write_text("\n".join(lines) + "\n")
    return target


def test_light_scattering_gives_the_radius_of_its_readme(tmp_path, shared_data):
    """D0 = 3.463(39)e-12 m^2/s and R_h = 63.98(2.00) nm, says the readme beside the data."""
    source = shared_data / "dls" / "7_2021_MW002-030000_averaged.ASC"
    path = alv_to_csv(source, tmp_path / "angles.csv")
    water = ["--temperature-k", "292.93654", "--viscosity-pa-s", "1.00703e-3"]
    law = facts(path, "--model", "cumulant", *water)["dispersion"]
    assert law["n_bins"] == 8
    assert abs(law["D0_m2_per_s"] - 3.463e-12) < 0.039e-12
    assert abs(law["R_h_m"] - 63.98e-9) < 2.0e-9
    assert law["R_h_m_err"] < 2.0e-9
    assert "R_h = (" in fit(path, "--model", "cumulant", *water)


def test_what_cannot_be_stored_is_said_before_the_fit(tmp_path, shared_data):
    results = tmp_path / "results.hdf"
    shutil.copy(shared_data / "synthetic" / "Z0001_multitau_results.hdf", results)
    fit(results, "--bins", "3", "--append")
    before = results.read_bytes()
    table, script = tmp_path / "fit.csv", tmp_path / "nowhere" / "fit.py"
    for options, said in (
        (["--append", "--csv", table], "holds a fit with the model single already"),
        (["--script", script, "--csv", table], "There is no folder"),
        (["--script", results, "--csv", table, "--force"], "is read by this job"),
    ):
        done = CliRunner().invoke(app, ["fit", *map(str, [results, "--bins", "3", *options])])
        assert said in str(done.exception)
        assert not table.exists()
    assert results.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prior", "tau_s=lognormal(1, 1)"], "add --method nuts or laplace"),
        (["b.csv"], "say what they --share"),
        (["--temperature-k", "300"], "needs both"),
        (["--delay-range", "1", "0.1"], "the shorter one comes first"),
        (["--delay-range-of", "x=1,2"], "whole number"),
        (["--tie", "tau_s=2*nothing"], "is no tie"),
        (["--names", "xpcsviewer", "--fix", "a=1"], "xpcsviewer has no parameter a"),
        (["--error-floor", "much"], "expected a number"),
    ],
)
def test_what_cannot_be_asked_is_said(tmp_path, options, message):
    path = write_curves(tmp_path / "a.csv", bins=2)
    write_curves(tmp_path / "b.csv", bins=2)
    options = [tmp_path / each if each == "b.csv" else each for each in options]
    done = subprocess.run(
        [sys.executable, "-m", "napari_xpcs.cli", "fit", path, *options],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (1, 2)
    assert message in " ".join(done.stderr.replace("│", " ").split())
