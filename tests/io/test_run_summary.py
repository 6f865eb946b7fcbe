"""What is compared of a run: right numbers in right units, or a reason."""

import shutil

import h5py
import numpy as np
import pytest

from napari_xpcs.io.open import open_path
from napari_xpcs.io.run_summary import G2, PROFILE, TIMES, read_summary
from napari_xpcs.kernels.saxs import bin_mean


@pytest.fixture
def copy(one_result, tmp_path):
    return shutil.copy(one_result, tmp_path / "copy_results.hdf")


def test_profile_and_times_are_those_of_the_frames(one_result, xp):
    summary = read_summary(one_result, xp=xp)
    opened = open_path(one_result)
    static = opened.partition.static
    frames = np.asarray(open_path(one_result.with_name("run.h5")).frames[:])
    mean = np.asarray(bin_mean(frames.mean(axis=0), static.labels, len(static), xp=xp))
    np.testing.assert_allclose(summary.profile.intensity, mean, rtol=1e-5)
    np.testing.assert_allclose(summary.profile.q, static.center_of_bins(0))
    used = frames[:, static.labels > 0].mean(axis=1)
    np.testing.assert_allclose(summary.intensity.mean, used, rtol=1e-5)
    frame_time = opened.known["frame_time_s"].value
    np.testing.assert_allclose(summary.intensity.time_s, np.arange(160) * frame_time, rtol=1e-6)
    assert summary.count_time_s == opened.known["count_time_s"].value
    assert summary.segments_in_counts
    assert summary.segments.shape[1] == len(summary.profile.q)
    assert not summary.problems


def test_segments_of_boost_corr_are_in_units_of_their_own(shared_data, xp):
    folder = shared_data / "synthetic"
    assert not read_summary(folder / "Z0001_multitau_results.hdf", xp=xp).segments_in_counts
    twotime = read_summary(folder / "Z0001_twotime_results.hdf", xp=xp)
    assert twotime.segments_in_counts
    assert twotime.problems == {G2: "the file holds two-time maps alone, see XPCS: Two-time."}


def test_many_frames_are_shown_as_blocks(shared_data, xp):
    path = shared_data / "aps_8idi" / "E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf"
    summary = read_summary(path, xp=xp)
    assert len(summary.intensity.mean) == 400
    with h5py.File(path) as file:
        stored = file["/xpcs/spatial_mean/intensity_vs_time"][1].astype(float)
        q = file["/xpcs/qmap/static_v_list_dim0"][()]
    assert summary.intensity.mean.mean() == pytest.approx(stored.mean())
    assert summary.intensity.time_s[-1] == pytest.approx(2.0, rel=0.01)
    np.testing.assert_allclose(summary.profile.q, q)


def test_without_stored_profile_the_mean_image_tells_it(copy, xp):
    whole = read_summary(copy, xp=xp)
    with h5py.File(copy, "r+") as file:
        del file["/xpcs/temporal_mean/scattering_1d"]
        file["/xpcs/temporal_mean/scattering_1d"] = np.ones((1, 3), np.float32)
    summary = read_summary(copy, xp=xp)
    np.testing.assert_allclose(summary.profile.intensity, whole.profile.intensity, rtol=1e-5)
    assert summary.problems[PROFILE] == (
        "I(q) is made from the mean image: the file has 3 values for 12 static bins."
    )


def test_without_a_frame_time_there_is_no_time_axis(copy, xp):
    with h5py.File(copy, "r+") as file:
        del file["/entry/instrument/detector_1/frame_time"]
    summary = read_summary(copy, xp=xp)
    assert summary.intensity is None
    assert summary.problems[TIMES] == "no time between frames is known."
    assert summary.profile is not None
