"""Repeats of a simulated run are averaged; a spoilt one is left out and named."""

import json
import shutil

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.io.average import average_files
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.pipeline.bins import partition_file
from napari_xpcs.pipeline.correlate import correlate_file
from napari_xpcs.pipeline.simulate import simulate_file
from napari_xpcs.progress import run

NUMPY = NumPyBackend()
REPEATS = 5
DETECTOR = "/entry/instrument/detector_1"
QMAP = (
    "mask", "beam_center_x", "beam_center_y", "pixel_size", "detector_distance", "energy",
    "map_names", "map_units",
    *(
        f"{kind}_{name}"
        for kind in ("dynamic", "static")
        for name in ("roi_map", "num_pts", "index_mapping", "v_list_dim0", "v_list_dim1")
    ),
)  # fmt: skip
VIEWER_NEEDS = [
    "/entry/start_time",
    "/entry/instrument/incident_beam/incident_energy",
    f"{DETECTOR}/frame_time",
    f"{DETECTOR}/count_time",
    *(f"/xpcs/temporal_mean/scattering_{name}" for name in ("2d", "1d", "1d_segments")),
    "/xpcs/spatial_mean/intensity_vs_time",
    *(f"/xpcs/qmap/{name}" for name in QMAP),
    *(
        f"/xpcs/multitau/{name}"
        for name in (
            "delay_list", "normalized_g2", "normalized_g2_err",
            "config/stride_frame", "config/avg_frame",
        )
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def repeats(tmp_path_factory):
    """Results of runs that differ in their seed alone; the last beam is weak for a while."""
    folder = tmp_path_factory.mktemp("repeats")
    bins = folder / "bins.hdf"
    for seed in range(REPEATS):
        frames = folder / f"run_{seed}.h5"
        simulation = Simulation(frames=128, rows=40, cols=40, mean_counts=4.0, seed=seed)
        run(simulate_file(frames, simulation, xp=NUMPY))
        if seed == 0:
            spec = PartitionSpec(dq=4, sq=12, dp=1, sp=1)
            partition_file(bins, frames=frames, values={}, spec=spec, xp=NUMPY)
        if seed == REPEATS - 1:
            with h5py.File(frames, "r+") as file:
                stack = file["/entry/data/data"]
                counts = stack[...]
                counts[32:96] = np.random.default_rng(0).binomial(counts[32:96], 0.5)
                stack[...] = counts
        run(
            correlate_file(
                frames,
                bins,
                folder / f"run_{seed}_results.hdf",
                selection=FrameSelection(),
                normalization="symmetric",
                xp=NUMPY,
            )
        )
    return folder


def results(folder, count=REPEATS):
    return [folder / f"run_{seed}_results.hdf" for seed in range(count)]


def test_average_of_repeats_leaves_out_the_spoilt_one(xpcs, repeats, tmp_path):
    output = tmp_path / "average.hdf"
    outcome = xpcs(
        "average", repeats / "run_*_results.hdf", "-o", output, "--baseline", 1.0, 1.1, "--json"
    )
    assert outcome.status == 0, outcome.err
    facts = json.loads(outcome.out)
    used = [open_path(path) for path in results(repeats, REPEATS - 1)]
    assert [entry["file"] for entry in facts["used"]] == [str(result.path) for result in used]
    (spoilt,) = facts["left_out"]
    assert spoilt["file"] == str(results(repeats)[-1])
    assert spoilt["baseline"] < 1
    assert f"{spoilt['baseline']:.4g} is outside 1 to 1.1" in spoilt["why"]
    assert facts["reduced_chi2"] == pytest.approx(1.0, abs=0.35)

    average = open_path(output)
    g2 = np.stack([result.curves.g2 for result in used])
    error = np.stack([result.curves.error for result in used])
    np.testing.assert_allclose(average.curves.g2, g2.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        average.curves.error, np.sqrt((error**2).sum(axis=0)) / len(used), rtol=1e-6
    )
    np.testing.assert_allclose(average.curves.delay_s, used[0].curves.delay_s)
    np.testing.assert_allclose(average.curves.averaging_s, used[0].curves.averaging_s)
    np.testing.assert_allclose(
        average.curves.covariance,
        sum(result.curves.covariance for result in used) / len(used) ** 2,
        rtol=1e-5,
        atol=1e-12,
    )
    for name in ("scattering", "scattering_1d", "scattering_1d_segments", "intensity_vs_time"):
        expected = np.mean([getattr(result, name) for result in used], axis=0)
        np.testing.assert_allclose(getattr(average, name), expected, rtol=1e-5, err_msg=name)
    assert average.averaged_files == tuple(result.path.name for result in used)
    assert len(average.config["raw"]) == len(used)


def test_the_file_is_one_of_8id_with_a_record_beside(repeats, tmp_path):
    output = tmp_path / "average.hdf"
    run(average_files(results(repeats), output, baseline_range=(1.0, 1.1)))
    with h5py.File(output) as file:
        assert [name for name in VIEWER_NEEDS if name not in file] == []
        assert file["/xpcs/qmap"].attrs["hash"]
        assert file["/xpcs/temporal_mean/scattering_2d"].shape == (1, 40, 40)
        assert file["/entry/data/g2"][()].shape == file["/xpcs/multitau/normalized_g2"].shape
        delays = file["/xpcs/multitau/delay_list"][()]
        np.testing.assert_array_equal(file["/entry/data/delay_difference"][()], delays)
        record = file["/xpcs/napari_xpcs/average"]
        assert record["left_out_why"].asstr()[0].startswith("Its baseline")
        assert record["left_out"].asstr()[0] == str(results(repeats)[-1])
        assert record["intensity_vs_time"].shape == (REPEATS - 1, 128)
        assert record.attrs["baseline_range"].tolist() == [1.0, 1.1]
        assert file["/entry/napari_xpcs/program"].asstr()[()] == "napari-xpcs"
    result = open_path(output)
    assert result.missing == ()
    assert result.problems == open_path(results(repeats)[0]).problems


def test_a_run_that_differs_is_named_where_nothing_is_left_out(xpcs, repeats, tmp_path):
    outcome = xpcs("average", *results(repeats), "-o", tmp_path / "average.hdf")
    assert outcome.status == 0
    assert "5 of 5 files averaged" in outcome.out
    assert "most of all run_4_results.hdf" in outcome.out.replace("\n", " ")


def test_no_file_that_passes_is_one_sentence(xpcs, repeats, tmp_path):
    output = tmp_path / "average.hdf"
    outcome = xpcs("average", *results(repeats), "-o", output, "--baseline", 2, 3)
    assert outcome.status == 1
    assert outcome.err.startswith("napari-xpcs: No file is left to average: the baselines of 5")
    assert not output.exists()
    assert xpcs("average", "none_*.hdf", "-o", output).err == (
        "napari-xpcs: No file matches none_*.hdf.\n"
    )
    assert xpcs("average", *results(repeats), "-o", output, "--baseline", 3, 2).status == 2


def test_a_file_named_twice_counts_once(repeats, tmp_path):
    files = results(repeats, 2)
    report = run(average_files([*files, files[0]], tmp_path / "average.hdf"))
    assert [repeat.path for repeat in report.used] == files
    assert report.remarks == ("Files named twice and taken once: 1.",)


def test_a_damaged_file_is_left_out_and_an_output_is_no_input(xpcs, repeats, tmp_path):
    cut = tmp_path / "cut.hdf"
    cut.write_bytes(results(repeats)[0].read_bytes()[:5000])
    report = run(average_files([cut, *results(repeats, 2)], tmp_path / "average.hdf"))
    assert len(report.used) == 2
    assert "cut short" in report.left_out[0].left_out
    again = xpcs("average", tmp_path / "average.hdf", "-o", tmp_path / "average.hdf", "--force")
    assert again.status == 1
    assert "is read by this job" in again.err


def test_cancel_leaves_no_file(repeats, tmp_path):
    steps = average_files(results(repeats), tmp_path / "average.hdf")
    next(steps)
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


def change(path, name, edit):
    with h5py.File(path, "r+") as file:
        values = edit(file[name][()])
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = values
        file[name].attrs.update(attributes)


def swapped(labels):
    first, second = labels == 1, labels == 2
    return np.where(first, 2, np.where(second, 1, labels)).astype(labels.dtype)


NO_REPEATS = {
    "dynamic bins": ("/xpcs/qmap/dynamic_roi_map", swapped),
    "static bins": ("/xpcs/qmap/static_roi_map", swapped),
    "their bins lie at another q": ("/xpcs/qmap/dynamic_v_list_dim0", lambda q: q * 1.01),
    "delay 1 is": ("/xpcs/multitau/config/stride_frame", lambda stride: 2 * stride),
    "delay 3 is": (
        "/xpcs/multitau/delay_list", lambda delay: np.where(delay == 3, 10_000, delay),
    ),
    "normalization was other": ("/xpcs/multitau/config/normalization", lambda _: "other"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", NO_REPEATS)
def test_files_that_are_no_repeats_are_refused(xpcs, repeats, tmp_path, sentence):
    other = tmp_path / "other_results.hdf"
    shutil.copy(results(repeats)[1], other)
    change(other, *NO_REPEATS[sentence])
    outcome = xpcs("average", results(repeats)[0], other, "-o", tmp_path / "average.hdf")
    assert outcome.status == 1
    assert "other_results.hdf and run_0_results.hdf are no repeats" in outcome.err
    assert sentence in outcome.err
    assert not (tmp_path / "average.hdf").exists()


def test_intensities_without_g2_are_averaged(repeats, tmp_path):
    files = [tmp_path / path.name for path in results(repeats, 3)]
    for source, path in zip(results(repeats), files, strict=False):
        shutil.copy(source, path)
        with h5py.File(path, "r+") as file:
            for name in ("normalized_g2", "normalized_g2_err", "delay_list"):
                del file[f"/xpcs/multitau/{name}"]
    report = run(average_files(files, tmp_path / "average.hdf"))
    assert report.remarks == ("The files hold no g2: intensities alone are averaged.",)
    average = open_path(tmp_path / "average.hdf")
    expected = np.mean([open_path(path).scattering for path in files], axis=0)
    np.testing.assert_allclose(average.scattering, expected, rtol=1e-6)
    with_g2 = run(average_files([results(repeats)[0], files[1]], tmp_path / "other.hdf"))
    assert with_g2.left_out[0].left_out == "It holds no g2."


def test_files_of_boost_corr(xpcs, shared_data, tmp_path):
    source = shared_data / "synthetic" / "Z0001_multitau_results.hdf"
    copy = tmp_path / "copy_results.hdf"
    shutil.copy(source, copy)
    copy.chmod(0o644)
    change(copy, "/xpcs/multitau/normalized_g2", lambda g2: np.where(g2 == 0, 0, g2 + 0.02))
    outcome = xpcs("average", source, copy, "-o", tmp_path / "average.hdf", "--json")
    assert outcome.status == 0, outcome.err
    one, average = open_path(source), open_path(tmp_path / "average.hdf")
    measured = np.isfinite(one.curves.g2)
    np.testing.assert_allclose(
        average.curves.g2[measured], one.curves.g2[measured] + 0.01, rtol=1e-5
    )
    np.testing.assert_allclose(
        average.curves.error[measured], one.curves.error[measured] / np.sqrt(2), rtol=1e-5
    )
    np.testing.assert_array_equal(average.curves.bins.q, one.curves.bins.q)
    assert average.known["energy_kev"].value == one.known["energy_kev"].value
