"""Two-time maps for the screen: read in a thread, averaged and not thinned, diagonal masked."""

import threading

import h5py
import numpy as np
import pytest
from napari.layers import Layer

from napari_xpcs.io.twotime_maps import TwoTimeMaps
from napari_xpcs.kernels.multitau_twotime import AgeLevel, MultiTauTwoTime
from napari_xpcs.plugin import twotime_image
from napari_xpcs.plugin import twotime_layers as layers_of_twotime
from napari_xpcs.plugin.twotime_image import ages_image, display_steps
from napari_xpcs.plugin.twotime_layers import twotime_layers
from napari_xpcs.progress import run

FRAMES = 60


def full_map(frames=FRAMES):
    t = np.arange(frames)
    apart = np.abs(t[:, None] - t)
    c2 = (1.0 + 0.3 * np.exp(-apart / (5.0 + 0.2 * t))).astype(np.float32)
    c2 = np.triu(c2) + np.triu(c2, 1).T
    np.fill_diagonal(c2, 9.0)
    return c2


@pytest.fixture
def maps(tmp_path):
    path = tmp_path / "results.hdf"
    with h5py.File(path, "w") as file:
        file["map"] = np.triu(full_map())
    return TwoTimeMaps(path=path, datasets=("map",), bins=np.array([4]), frame_time_s=0.5)


def test_map_of_a_file_without_curves_is_shown_and_read_in_a_thread(maps, viewer, qtbot):
    (one,) = twotime_layers(maps, "results.hdf")
    layer = viewer.add_layer(Layer.create(*one))
    assert layer.name == "two-time bin 4"
    assert not layer.visible
    read_in = []
    layer.data.loaded.connect(lambda: read_in.append(threading.current_thread()))
    assert np.isnan(layer.data[:5, :5]).all()
    qtbot.waitUntil(lambda: layer.data.is_loaded)
    off = ~np.eye(FRAMES, dtype=bool)
    shown = layer.data[:]
    assert np.isnan(shown[~off]).all()
    np.testing.assert_array_equal(shown[off], full_map()[off])
    assert read_in == [threading.main_thread()]


@pytest.mark.parametrize("kind", ["upper", "lower", "upward", "full", "one dataset"])
def test_every_way_to_store_a_map_looks_the_same(tmp_path, kind):
    path, c2 = tmp_path / "results.hdf", full_map()
    stored = {
        "upper": np.triu(c2),
        "lower": np.tril(c2),
        "upward": c2[::-1],
        "full": c2,
        "one dataset": np.stack([c2 * 0, c2], axis=2),
    }[kind]
    with h5py.File(path, "w") as file:
        file["map"] = stored
    single = kind == "one dataset"
    maps = TwoTimeMaps(
        path=path,
        datasets=("map",),
        bins=np.array([1, 2] if single else [1]),
        lower=kind == "lower",
        upward=kind == "upward",
        bin_axis=2 if single else None,
    )
    position = 1 if single else 0
    shown, (low, high) = run(display_steps(maps, position, 1))
    np.fill_diagonal(c2, np.nan)
    np.testing.assert_array_equal(shown, c2)
    assert 1.0 <= low < high < 1.31


@pytest.mark.parametrize("step", [2, 7])
def test_large_map_is_averaged_over_blocks(maps, step):
    shown, _ = run(display_steps(maps, 0, step))
    c2 = full_map().astype(float)
    c2[np.tril_indices(FRAMES)] = np.nan
    rows = -(-FRAMES // step)
    for row in range(rows):
        for col in range(row, rows):
            block = c2[row * step : (row + 1) * step, col * step : (col + 1) * step]
            assert shown[row, col] == shown[col, row] == pytest.approx(np.nanmean(block), rel=1e-6)


def test_large_map_lies_where_its_frames_are(maps, monkeypatch):
    monkeypatch.setattr(twotime_image, "MOST_ROWS", 16)
    ((image, arguments, _),) = twotime_layers(maps, "")
    assert image.shape == (15, 15)
    assert arguments["scale"] == (2.0, 2.0)
    # Block 0 holds the frames at 0, 0.5, 1 and 1.5 s.
    assert arguments["translate"] == (0.75, 0.75)


def test_damaged_map_is_left_out_and_named(tmp_path, monkeypatch):
    path, said = tmp_path / "results.hdf", []
    with h5py.File(path, "w") as file:
        file["good"], file["bad"] = full_map(), np.zeros((3, 4))
    maps = TwoTimeMaps(path=path, datasets=("bad", "good"), bins=np.array([3, 8]))
    monkeypatch.setattr(layers_of_twotime, "show_warning", said.append)
    ((_, arguments, _),) = twotime_layers(maps, "")
    assert arguments["name"] == "two-time bin 8"
    assert "bin 3" in said[0]
    assert "square" in said[0]


def test_ages_of_a_long_run_are_an_image_over_delay_and_age():
    frames = 64
    levels = []
    for level, lags in ((0, [1, 2]), (1, [2])):
        per_sum = 1 << level
        age = (np.arange(frames // per_sum) + (1 + np.array(lags)[:, None]) / 2) * per_sum - 0.5
        c2 = age.astype(np.float32)
        for row, lag in enumerate(lags):
            c2[row, frames // per_sum - lag :] = np.nan
        levels.append(AgeLevel(frames_per_sum=per_sum, lags=np.array(lags), c2=c2[None]))
    run_ = MultiTauTwoTime(levels=tuple(levels), processed_bins=np.array([1]), frame_time_s=0.1)
    image, delay_s, step_s = ages_image(run_, 0)
    np.testing.assert_allclose(delay_s, [0.1, 0.2, 0.4])
    assert step_s == pytest.approx(0.1)
    ages = np.arange(frames)
    for row in image:
        there = np.isfinite(row)
        assert there.sum() > 50
        np.testing.assert_allclose(row[there], ages[there], atol=1.01)
