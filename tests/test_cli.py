"""The command line as scripts use it: outputs, JSON, exit status, one sentence for a fault."""

import json
import os
import shlex
import subprocess
import sys

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import reset_backend, set_backend
from napari_xpcs.io.open import open_path
from napari_xpcs.io.partition_file import read_partition

RAW = "Z0001_Synthetic-D100_a0004_f001000_r00001.h5"
TRUE_D_M2_PER_S = 5e-14


@pytest.fixture(params=["numpy", "jax"])
def both_backends(request):
    set_backend(request.param)
    yield
    reset_backend()


@pytest.fixture
def synthetic(shared_data):
    return shared_data / "synthetic"


def assert_one_sentence(outcome, *words, status=1):
    """The fault is told in at most two short sentences, in words."""
    assert outcome.status == status
    assert outcome.err.startswith("napari-xpcs: ")
    assert "Traceback" not in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    for word in words:
        assert str(word) in outcome.err


# -- the main job on the simulated run of the shared data


def test_main_job_reproduces_bins_g2_and_diffusion(xpcs, synthetic, tmp_path, both_backends):
    bins, results = tmp_path / "bins.hdf", tmp_path / "results.hdf"
    qmap = xpcs(
        "qmap", synthetic / RAW, "-o", bins, "--mask", synthetic / "synthetic_qmap.hdf",
        "--dq", 9, "--dp", 4, "--sq", 45, "--sp", 8, "--json",
    ).json()  # fmt: skip
    assert qmap["shape"] == [128, 192]
    peer = read_partition(synthetic / "synthetic_qmap.hdf")
    ours = read_partition(bins)
    np.testing.assert_array_equal(ours.dynamic.labels, peer.dynamic.labels)
    np.testing.assert_array_equal(ours.static.labels, peer.static.labels)

    correlate = ("correlate", synthetic / RAW, "--qmap", bins, "-o", results)
    assert xpcs(*correlate, "--normalize-frame").status == 0
    with h5py.File(synthetic / "Z0001_multitau_results.hdf") as theirs, h5py.File(results) as mine:
        expected = theirs["/xpcs/multitau/normalized_g2"][...]
        computed = mine["/xpcs/multitau/normalized_g2"][...]
        delay = theirs["/xpcs/multitau/delay_list"][...]
        np.testing.assert_array_equal(
            mine["/xpcs/multitau/delay_list"][...], theirs["/xpcs/multitau/delay_list"][...]
        )
    difference = np.where(expected != 0, np.abs(computed - expected), 0.0)
    # boost_corr keeps levels 0 to 4 in bfloat16, which rounds its g2 by up to 1e-3 here; from
    # level 5 on it computes in float32, and there the programs agree.
    assert difference[delay >= 160].max() < 1e-4
    assert difference.max() < 1e-3

    fit = xpcs("fit", results, "--json", "--csv", tmp_path / "fit.csv").json()
    assert fit["dispersion"]["D_m2_per_s"] == pytest.approx(TRUE_D_M2_PER_S, rel=0.03)
    assert len(fit["bins"]) == len(ours.dynamic)
    header, *rows = (tmp_path / "fit.csv").read_text().splitlines()
    assert header.startswith(
        "bin,q_inv_angstrom,phi_deg,model,status,reduced_chi2,n_points,baseline,"
    )
    assert len(rows) == len(ours.dynamic)


def test_noise_is_reported_as_noise(xpcs, shared_data, both_backends):
    path = shared_data / "aps_8idi" / "E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf"
    rows = xpcs("fit", path, "--json").json()["bins"]
    assert len(rows) == 36
    undetermined = [row for row in rows if row["status"] != "ok"]
    assert len(undetermined) > 18
    for row in undetermined:
        assert ": " in row["status"]
        assert row["tau_s"] is None


# -- faults


def test_a_simulation_called_cmp_holds_events(xpcs, tmp_path):
    path = tmp_path / "run.cmp"
    assert xpcs("simulate", path, "--frames", 20, "--rows", 16, "--cols", 16).status == 0
    assert xpcs("info", path, "--json").json()["kind"] == "events"


def test_simulated_file_tells_its_truth_and_is_not_overwritten(xpcs, tmp_path):
    path = tmp_path / "run.h5"
    size = ("--frames", 20, "--rows", 16, "--cols", 24)
    assert xpcs("simulate", path, *size, "--diffusion", 3e-14, "--seed", 4).status == 0
    facts = xpcs("info", path, "--json").json()
    assert facts["kind"] == "frames"
    assert facts["shape"] == [20, 16, 24]
    assert facts["missing"] == []
    assert facts["geometry"]["distance_m"]["unit"] == "m"
    before = path.read_bytes()
    assert_one_sentence(xpcs("simulate", path, *size), path.stem, "exists already")
    assert path.read_bytes() == before
    assert xpcs("simulate", path, *size, "--force").status == 0


def test_frames_without_metadata_say_what_is_unknown(xpcs, tmp_path):
    path = tmp_path / "bare.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.ones((6, 16, 16), np.uint16)
    facts = xpcs("info", path, "--json").json()
    assert facts["shape"] == [6, 16, 16]
    assert facts["geometry"].get("energy_kev", {"value": None})["value"] is None
    assert any("bare" in line or "metadata" in line for line in facts["missing"])
    assert_one_sentence(xpcs("qmap", path, "-o", tmp_path / "b.hdf"), "energy_kev", "distance_m")
    assert not (tmp_path / "b.hdf").exists()


def test_bins_from_options_alone(xpcs, tmp_path):
    facts = xpcs(
        "qmap", "-o", tmp_path / "b.hdf", "--shape", 64, 80, "--energy-kev", 10, "--distance-m", 8,
        "--pixel-m", 75e-6, "--center-row-px", 30, "--center-col-px", -5,
        "--dq", 5, "--sq", 10, "--json",
    ).json()  # fmt: skip
    assert facts["dynamic_bins"] == 5
    assert facts["pixels"] == 64 * 80


@pytest.mark.parametrize("command", ["info", "correlate", "fit"])
@pytest.mark.parametrize(
    "content",
    [b"beam time notes", b"\x89HDF\r\n\x1a\n" + b"\0" * 64, b""],
    ids=["text", "only a signature", "empty"],
)
def test_broken_file_gets_one_sentence(xpcs, tmp_path, command, content):
    path = tmp_path / "broken.h5"
    path.write_bytes(content)
    options = ("--qmap", path, "-o", tmp_path / "out.hdf") if command == "correlate" else ()
    assert_one_sentence(xpcs(command, path, *options), "broken.h5")
    assert not (tmp_path / "out.hdf").exists()


def test_missing_file_gets_one_sentence(xpcs, tmp_path):
    assert_one_sentence(xpcs("info", tmp_path / "nowhere.h5"), "nowhere.h5")


def test_fit_of_bins_that_were_never_counted(xpcs, tmp_path):
    path = tmp_path / "curves.csv"
    lines = ["bin,q_inv_angstrom,delay_s,g2,g2_err"]
    lines += [f"1,0.001,{delay},nan,nan" for delay in (0.1, 0.2, 0.4, 0.8)]
    path.write_text("\n".join(lines))
    (row,) = xpcs("fit", path, "--json").json()["bins"]
    assert row["status"].startswith("no_data: ")
    assert row["tau_s"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("info",),
        ("fit", "x.hdf", "--fix", "contrast"),
        ("fit", "x.hdf", "--bound", "tau_s=1"),
        ("fit", "x.hdf", "--bins", "one"),
    ],
)
def test_wrong_usage_has_status_2(xpcs, arguments):
    assert xpcs(*arguments).status == 2


def test_unknown_model_names_the_known_ones(xpcs, synthetic):
    outcome = xpcs("fit", synthetic / "Z0001_multitau_results.hdf", "--model", "triple")
    assert_one_sentence(outcome, "triple", "stretched", status=2)


def test_what_the_system_refuses_is_a_sentence(xpcs):
    name = "a" * 300 + ".h5"
    outcome = xpcs("info", name)
    assert (outcome.status, outcome.err) == (1, f"napari-xpcs: {name}: File name too long.\n")


def test_system_report_names_backend_and_device(xpcs, both_backends):
    facts = xpcs("info", "--system", "--json").json()
    assert facts["backend"] in ("jax", "numpy")
    assert facts["device"]


def test_main_job_runs_without_jax(tmp_path):
    code = """
import sys
from napari_xpcs.cli import main

def xpcs(*arguments):
    sys.argv = ["napari-xpcs", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, arguments

xpcs("simulate", "run.h5", "--frames", "400", "--rows", "64", "--cols", "64")
xpcs("qmap", "run.h5", "-o", "bins.hdf", "--dq", "9", "--sq", "45")
xpcs("correlate", "run.h5", "--qmap", "bins.hdf", "-o", "results.hdf", "--type", "both")
xpcs("fit", "results.hdf", "--json", "--append")
assert "jax" not in sys.modules
"""
    environment = os.environ | {"XPCS_USE_JAX": "false"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fit = json.loads(done.stdout[done.stdout.index("{") :])
    assert fit["dispersion"]["D_m2_per_s"] == pytest.approx(TRUE_D_M2_PER_S, rel=0.1)
    with h5py.File(tmp_path / "results.hdf") as file:
        assert len(file["/xpcs/twotime/correlation_map"]) == 9


def test_convert_frames_to_events_and_back(xpcs, tmp_path):
    run, events, frames = tmp_path / "run.h5", tmp_path / "run.cmp", tmp_path / "back.h5"
    assert xpcs("simulate", run, "--frames", 50, "--rows", 24, "--cols", 32).status == 0
    assert xpcs("convert", run, events, "--json").json() == {"file": str(events)}
    facts = xpcs("info", events, "--json").json()
    assert (facts["kind"], facts["shape"]) == ("events", [50, 24, 32])
    assert facts["geometry"]["frame_time_s"]["value"] == 1e-3
    assert xpcs("convert", events, frames).status == 0
    with h5py.File(frames) as ours, h5py.File(run) as theirs:
        expected = theirs["/entry/data/data"][()]
        expected[expected == 65535] = 0  # pixels without a value have no events
        assert np.array_equal(ours["/entry/data/data"][()], expected)
    refused = xpcs("convert", events, frames)
    assert refused.status == 1
    assert "exists already" in refused.err


def test_convert_writes_the_mask_or_the_bins_of_results(xpcs, synthetic, tmp_path):
    results = synthetic / "Z0001_multitau_results.hdf"
    assert xpcs("convert", results, tmp_path / "mask.npy").status == 0
    bins = tmp_path / "bins.hdf"
    assert xpcs("convert", results, bins, "--to", "partition").status == 0
    mask = read_partition(bins).mask
    assert np.array_equal(np.load(tmp_path / "mask.npy") == 1, mask)
    refused = xpcs("convert", bins, tmp_path / "results.hdf", "--to", "results")
    assert refused.status == 1
    assert "holds bins; it cannot become results" in refused.err


def test_no_job_overwrites_what_it_reads(xpcs, tmp_path):
    run, bins = tmp_path / "run.h5", tmp_path / "bins.hdf"
    assert xpcs("simulate", run, "--frames", 20, "--rows", 16, "--cols", 16).status == 0
    assert xpcs("qmap", run, "-o", bins, "--dq", 2, "--sq", 4).status == 0
    before = run.read_bytes()
    for job in (
        ("correlate", run, "--qmap", bins, "-o", run, "--force"),
        ("qmap", run, "-o", run, "--force"),
        ("convert", run, run, "--force"),
    ):
        refused = xpcs(*job)
        assert refused.status == 1
        assert "is read by this job and is not overwritten" in refused.err
    assert run.read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [("--sq", 180_000_000), ("--incident-angle-deg", 95), ("--phi-fold", 1_000_000)],
    ids=lambda option: option[0],
)
def test_impossible_bins_are_refused(xpcs, tmp_path, options):
    outcome = xpcs(
        "qmap", "-o", tmp_path / "b.hdf", "--shape", 64, 80, "--energy-kev", 10, "--distance-m", 8,
        "--pixel-m", 75e-6, "--center-row-px", 30, "--center-col-px", -5, *options,
    )  # fmt: skip
    assert_one_sentence(outcome, options[1])


def test_labels_of_maps_without_maps_are_a_wrong_usage(xpcs, tmp_path):
    options = ("--qmap", "q.hdf", "-o", tmp_path / "r.hdf", "--bins", 3)
    assert xpcs("correlate", "run.h5", *options).status == 2


def test_dead_pixels_and_empty_frames_are_said(xpcs, tmp_path):
    frames = np.random.default_rng(4).poisson(2.0, (40, 64, 80)).astype(np.uint16)
    frames[7] = 0
    frames[:, 20, 20:23] = 0
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["entry/data/data"] = frames
    geometry = (
        "--energy-kev", 10, "--distance-m", 8, "--pixel-m", 75e-6,
        "--center-row-px", 30, "--center-col-px", -5, "--dq", 4, "--sq", 8,
    )  # fmt: skip
    assert xpcs("qmap", tmp_path / "run.h5", "-o", tmp_path / "b.hdf", *geometry).status == 0
    facts = xpcs(
        "correlate", tmp_path / "run.h5", "--qmap", tmp_path / "b.hdf",
        "-o", tmp_path / "r.hdf", "--frame-time", 0.001, "--json",
    ).json()  # fmt: skip
    assert facts["notes"][0].startswith("Engine numba on cpu")
    assert facts["notes"][1:] == [
        "Used frames without a count: 1.",
        "Used pixels that never counted (dead ones belong into the mask): 3.",
    ]


def test_polarity_of_a_mask_is_said(xpcs, tmp_path):
    mask = np.zeros((64, 80), np.uint8)
    mask[:5] = 1
    np.save(tmp_path / "mask.npy", mask)
    facts = xpcs(
        "qmap", "-o", tmp_path / "b.hdf", "--shape", 64, 80, "--energy-kev", 10, "--distance-m", 8,
        "--pixel-m", 75e-6, "--center-row-px", 30, "--center-col-px", -5, "--dq", 4, "--sq", 8,
        "--mask", tmp_path / "mask.npy", "--json",
    ).json()  # fmt: skip
    assert facts["pixels"] == 59 * 80
    assert any("mask.npy" in note and "400" in note for note in facts["notes"])
    swapped = xpcs(
        "qmap", "-o", tmp_path / "s.hdf", "--shape", 64, 80, "--energy-kev", 10, "--distance-m", 8,
        "--pixel-m", 75e-6, "--center-row-px", 30, "--center-col-px", -5, "--dq", 4, "--sq", 8,
        "--mask", tmp_path / "mask.npy", "--mask-ones", "good", "--json",
    ).json()  # fmt: skip
    assert swapped["pixels"] == 5 * 80


def test_full_disk_is_told_in_a_sentence_and_leaves_nothing(tmp_path):
    program = [sys.executable, "-m", "napari_xpcs.cli"]
    limited = "ulimit -f 200; exec " + shlex.join(
        [*program, "simulate", "run.h5", "--frames", "400"]
    )
    done = subprocess.run(
        ["bash", "-c", limited],
        cwd=tmp_path,
        env=os.environ | {"XPCS_USE_JAX": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_frame_is_named_and_left_out_only_if_told(xpcs, tmp_path):
    frames, qmap, whole, rest = (
        tmp_path / name for name in ("run.h5", "bins.hdf", "whole.hdf", "rest.hdf")
    )
    xpcs("simulate", frames, "--frames", 300, "--rows", 24, "--cols", 24)
    xpcs("qmap", frames, "-o", qmap, "--dq", 2, "--sq", 4)
    xpcs("correlate", frames, "--qmap", qmap, "-o", whole)
    with h5py.File(frames) as file:
        start = file["entry/data/data"].id.get_chunk_info_by_coord((211, 0, 0)).byte_offset
    with frames.open("r+b") as file:
        file.seek(start + 14)
        file.write(b"\xff" * 9)
    stopped = xpcs("correlate", frames, "--qmap", qmap, "-o", rest)
    assert_one_sentence(stopped, "Frame 211 of run.h5 cannot be read", "--skip-corrupt")
    assert not rest.exists()
    done = xpcs("correlate", frames, "--qmap", qmap, "-o", rest, "--skip-corrupt", "--json")
    assert "Raw frames left out (211): 1." in json.loads(done.out)["notes"]
    g2 = [open_path(path).curves.g2 for path in (whole, rest)]
    np.testing.assert_allclose(*g2, atol=0.02)
    both = tmp_path / "both.hdf"
    more = ["--skip-corrupt", "--type", "both", "--json"]
    done = xpcs("correlate", frames, "--qmap", qmap, "-o", both, *more)
    assert json.loads(done.out)["notes"].count("Raw frames left out (211): 1.") == 1
    half = open_path(both).twotime.upper(0)
    assert np.flatnonzero(np.isnan(half[0])).tolist() == [211]
    assert np.isnan(half[211, 211:]).all()
    with h5py.File(both) as file:
        assert file["xpcs/napari_xpcs/skipped_frames"][()].tolist() == [211]
    ages = tmp_path / "ages.hdf"
    more = ["--skip-frames", "5,9-10", "--type", "twotime", "--maps", "ages", "--json"]
    done = xpcs("correlate", frames, "--qmap", qmap, "-o", ages, "--skip-corrupt", *more)
    assert json.loads(done.out)["notes"] == ["Raw frames left out (5, 9, 10, 211): 4."]


def test_a_long_run_gets_ages_in_place_of_maps(xpcs, tmp_path):
    run, bins, results = tmp_path / "run.h5", tmp_path / "bins.hdf", tmp_path / "results.hdf"
    assert xpcs("simulate", run, "--frames", 60, "--rows", 24, "--cols", 32).status == 0
    assert xpcs("qmap", run, "-o", bins, "--dq", 3, "--sq", 6).status == 0
    two = ["--type", "twotime", "--smoothing", "dynamic", "--bins", "1,3"]
    wrong = xpcs("correlate", run, "--qmap", bins, "-o", results, *two, "--maps", "no")
    assert_one_sentence(wrong, "choose auto, full, ages", status=2)
    assert xpcs("correlate", run, "--qmap", bins, "-o", results, *two, "--maps", "ages").status == 0
    held = open_path(results)
    assert held.twotime is None
    assert held.ages.processed_bins.tolist() == [1, 3]
    assert held.config["smooth"] == "dqmap"
