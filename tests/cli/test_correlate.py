"""``napari-xpcs correlate`` on many files: patterns, recipes, what is kept and what fails."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend, reset_backend, set_backend
from napari_xpcs.io.open import open_path
from napari_xpcs.io.raw_file import write_raw
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.pipeline.bins import partition_file
from napari_xpcs.pipeline.simulate import simulate_file
from napari_xpcs.progress import run

RECIPE = """
napari_xpcs_recipe: 1
mask:
  - {kind: threshold, low: 0, high: 1e6}
bins: {dq: 2, sq: 4}
correlate: {begin: 4, stride: 2, normalization: pixel-weighted}
"""


@pytest.fixture(autouse=True)
def numpy_backend():
    set_backend("numpy")
    yield
    reset_backend()


@pytest.fixture
def correlate(xpcs):
    """Run the command; return exit status, what was printed, and what was said on stderr."""

    def call(*arguments):
        done = xpcs("correlate", *arguments)
        return done.status, done.out, done.err

    return call


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Two runs, something that is no run, and bins."""
    folder = tmp_path_factory.mktemp("night")
    for seed in (1, 2):
        small = Simulation(frames=40, rows=16, cols=16, seed=seed)
        run(simulate_file(folder / f"run{seed}.h5", small, xp=NumPyBackend()))
    (folder / "run3.h5").write_text("no run")
    partition_file(
        folder / "bins.hdf",
        frames=folder / "run1.h5",
        values={},
        spec=PartitionSpec(dq=2, sq=4),
        xp=NumPyBackend(),
    )
    return folder


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("--engine", "fast", "numba"),
        ("--normalization", "plain", "pixel-weighted"),
        ("--errors", "bins", "segments"),
        ("--delays-per-level", 5, "4, 8"),
        ("--smoothing", "box", "dynamic"),
        ("--maps", "all", "ages"),
    ],
)
@pytest.mark.parametrize("pattern", ["run1.h5", "run*.h5"])
def test_a_word_that_is_no_choice_is_a_wrong_usage(
    correlate, night, tmp_path, pattern, option, value, known
):
    output = tmp_path / ("out/" if "*" in pattern else "r.hdf")
    options = ["--qmap", night / "bins.hdf", "-o", output, "--type", "both", option, value]
    status, _, said = correlate(night / pattern, *options)
    assert (status, said.count("\n")) == (2, 1)
    assert f"There is no {option} {value!r}; choose" in said
    assert known in said
    assert list(tmp_path.iterdir()) == []


def rows(printed: str) -> dict[str, tuple[str, list[str]]]:
    return {Path(row["frames"]).name: (row["status"], row["notes"]) for row in json.loads(printed)}


def test_a_night_of_runs(correlate, night, tmp_path):
    out = tmp_path / "out"
    pattern = night / "run[12]*.h5"
    status, printed, _ = correlate(
        pattern, night / "run3.h5", "--qmap", night / "bins.hdf", "-o", out, "--json"
    )
    assert status == 1
    assert {name: row[0] for name, row in rows(printed).items()} == {
        "run1.h5": "done", "run2.h5": "done", "run3.h5": "failed",
    }  # fmt: skip
    assert "not an HDF5 file" in rows(printed)["run3.h5"][1][0]
    assert sorted(path.name for path in out.iterdir()) == ["run1_results.hdf", "run2_results.hdf"]

    single = tmp_path / "single.hdf"
    assert correlate(night / "run2.h5", "--qmap", night / "bins.hdf", "-o", single)[0] == 0
    of_batch, alone = (open_path(path).curves.g2 for path in (out / "run2_results.hdf", single))
    np.testing.assert_array_equal(of_batch, alone)


def test_results_of_the_same_call_are_kept(correlate, night, tmp_path):
    frames, bins = [night / "run1.h5", night / "run2.h5"], ("--qmap", night / "bins.hdf")
    assert correlate(*frames, *bins, "-o", tmp_path)[0] == 0
    made = (tmp_path / "run1_results.hdf").stat().st_mtime_ns

    status, printed, _ = correlate(*frames, *bins, "-o", tmp_path, "--json")
    assert status == 0
    assert {row[0] for row in rows(printed).values()} == {"skipped"}
    assert "same options" in rows(printed)["run1.h5"][1][0]

    status, printed, _ = correlate(*frames, *bins, "-o", tmp_path, "--stride", 2, "--json")
    assert status == 1
    assert {row[0] for row in rows(printed).values()} == {"failed"}
    assert (tmp_path / "run1_results.hdf").stat().st_mtime_ns == made

    status, printed, _ = correlate(*frames, *bins, "-o", tmp_path, "--stride", 2, "--force")
    assert status == 0
    assert printed.count("done") == 2
    assert open_path(tmp_path / "run1_results.hdf").config["stride_frame"] == 2


def test_a_single_result_that_is_there_says_how_it_was_made(correlate, night, tmp_path):
    command = (night / "run1.h5", "--qmap", night / "bins.hdf", "-o", tmp_path / "one.hdf")
    assert correlate(*command)[0] == 0
    status, _, told = correlate(*command)
    assert status == 1
    assert "exists already, made from the same files with the same options" in told
    status, _, told = correlate(*command, "--begin", 3)
    assert status == 1
    assert "exists already; choose another name" in told


def test_a_recipe_makes_bins_and_chooses_and_the_command_line_wins(correlate, night, tmp_path):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(RECIPE)
    frames = [night / "run1.h5", night / "run2.h5"]
    status, _, told = correlate(*frames, "--recipe", recipe, "-o", out, "--begin", 6)
    assert status == 0, told
    result = open_path(out / "run2_results.hdf")
    assert (result.config["avg_frame"], result.config["stride_frame"]) == (1, 2)
    assert (result.config["begin_frame"], result.config["normalization"]) == (6, "pixel-weighted")
    assert len(result.partition.dynamic) == len(open_path(out / "run2_qmap.hdf").partition.dynamic)

    again, printed, _ = correlate(*frames, "--recipe", recipe, "-o", out, "--begin", 6, "--json")
    assert again == 0
    assert {row[0] for row in rows(printed).values()} == {"skipped"}
    recipe.write_text(RECIPE.replace("dq: 2, sq: 4", "dq: 3, sq: 6"))
    changed, printed, _ = correlate(*frames, "--recipe", recipe, "-o", out, "--json")
    assert changed == 1
    assert "other bins than those of the recipe" in rows(printed)["run1.h5"][1][0]


def test_one_file_with_a_recipe(correlate, night, tmp_path):
    recipe, result = tmp_path / "recipe.yaml", tmp_path / "one.hdf"
    recipe.write_text(RECIPE)
    status, printed, told = correlate(night / "run1.h5", "--recipe", recipe, "-o", result)
    assert status == 0, told
    assert f"wrote {result}" in printed
    assert open_path(tmp_path / "one_qmap.hdf").partition.mask.any()


CTRL_C_AFTER_SAVING = """
import signal
from napari_xpcs.cli import main
from napari_xpcs.correlate.checkpoint import Checkpoint

save = Checkpoint.save

def save_and_press(checkpoint, state):
    save(checkpoint, state)
    Checkpoint.save = save
    signal.raise_signal(signal.SIGINT)

Checkpoint.save = save_and_press
# Jobs in the background of a shell ignore Ctrl-C, and so does what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""The command, with a key that is pressed when there is something to keep."""


def test_ctrl_c_keeps_g2_so_far_and_the_same_command_goes_on(tmp_path):
    run1 = tmp_path / "run.h5"
    simulation = Simulation(frames=8000, rows=64, cols=64)
    some = np.random.default_rng(1).poisson(1.0, (100, 64, 64)).astype(np.uint16)
    blocks, time_s = (some for _ in range(80)), simulation.frame_time_s
    run(write_raw(run1, blocks, frames=8000, geometry=simulation.geometry, frame_time_s=time_s))
    spec = PartitionSpec(dq=2, sq=4)
    bins = tmp_path / "bins.hdf"
    partition_file(bins, frames=run1, values={}, spec=spec, xp=NumPyBackend())
    part = tmp_path / "one.hdf.part"
    words = ["correlate", run1, "--qmap", bins, "-o", tmp_path / "one.hdf", "--checkpoint-s", "0"]
    program = [sys.executable, "-c", CTRL_C_AFTER_SAVING]
    asked = subprocess.run([*program, *map(str, words)], stderr=subprocess.PIPE, text=True)
    told = asked.stderr
    assert asked.returncode == 130, told
    assert f"Stopped. {part} holds g2 so far: the same command again goes on there." in told
    assert sorted(path.name for path in tmp_path.iterdir() if "one" in path.name) == [part.name]


def test_usage(correlate, night, tmp_path):
    run1, bins = night / "run1.h5", night / "bins.hdf"
    assert correlate(run1, "-o", tmp_path / "one.hdf")[0] == 2
    status, _, told = correlate(run1, run1, "--qmap", bins, "-o", tmp_path / "one.hdf")
    assert status == 2
    assert "folder" in told
    status, _, told = correlate(night / "none*.h5", "--qmap", bins, "-o", tmp_path)
    assert status == 1
    assert "No file of frames is called" in told
    copy = shutil.copy(run1, tmp_path / "run1.h5")
    status, _, told = correlate(run1, copy, "--qmap", bins, "-o", tmp_path / "out")
    assert status == 1
    assert "would both be written to run1_results.hdf" in told


def test_a_run_that_ends_early_is_told(correlate, night, tmp_path):
    short = tmp_path / "short.h5"
    with h5py.File(night / "run1.h5") as whole, h5py.File(short, "w") as file:
        frames = whole["/entry/data/data"][:30]
        announced = (40, *frames.shape[1:])
        data = file.create_dataset(
            "/entry/data/data", announced, frames.dtype, chunks=(1, *frames.shape[1:])
        )
        data[:30] = frames
    command = (short, "--qmap", night / "bins.hdf", "--frame-time", 1e-3)
    for kind in ("multitau", "twotime"):
        status, printed, _ = correlate(*command, "-o", tmp_path / f"{kind}.hdf", "--type", kind)
        assert status == 0
        assert "announces 40 frames, the first 30 are there and used" in printed


def test_no_frame_time_is_zero(correlate, night, tmp_path):
    command = (night / "run1.h5", "--qmap", night / "bins.hdf", "-o", tmp_path / "one.hdf")
    status, _, told = correlate(*command, "--frame-time", 0)
    assert status == 1
    assert "must be positive, got 0.0 s" in told


def test_the_file_holds_all_options_and_versions(correlate, night, tmp_path):
    command = (night / "run1.h5", "--qmap", night / "bins.hdf", "--type", "both")
    options = ("--delays-per-level", 8, "--skip-frames", "3", "--skip-corrupt", "--bins", "2")
    made = tmp_path / "made.hdf"
    set_backend("jax")
    status, *_ = correlate(*command, *options, "--partials", 2, "--maps", "full", "-o", made)
    assert status == 0
    with h5py.File(made) as file:
        for group in ("multitau", "twotime"):
            config = file[f"/xpcs/{group}/config"]
            assert config["skip_frames"][()].tolist() == [3]
            assert config["skip_corrupt"][()]
            assert config["engine_asked"].asstr()[()] == "auto"
            assert config["jax_version"].asstr()[()] == version("jax")
        assert file["/xpcs/multitau/config/delays_per_level"][()] == 8
        assert file["/xpcs/multitau/config/partials"][()] == 2
        assert file["/xpcs/twotime/config/dq_selection"][()].tolist() == [2]
        assert file["/xpcs/twotime/config/maps"].asstr()[()] == "full"
        assert " on cpu: " in file["/xpcs/twotime/config/engine"].asstr()[()]
