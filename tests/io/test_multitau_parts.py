from pathlib import Path

import h5py
import numpy as np

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.io.multitau_parts import read_parts
from napari_xpcs.io.result_writer import write_result
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.progress import run


def one_bin(mask: np.ndarray) -> Partition:
    bins = Bins(
        labels=mask.astype(np.int32),
        grid=(1, 1),
        index=np.zeros(1, int),
        centers=(np.zeros(1), np.zeros(1)),
        edges=None,
        pixels=np.array([mask.sum()]),
    )
    return Partition(mask=mask, dynamic=bins, static=bins)


def test_the_later_frames_come_before_the_earlier_ones(tmp_path: Path) -> None:
    counts = np.random.default_rng(1).poisson(3.0, (90, 4, 5)).astype(np.uint16)
    mask = np.ones((4, 5), dtype=bool)
    mask[0, 0] = False
    result = run(
        correlate_multitau(
            counts, one_bin(mask), frame_time_s=1e-3, xp=NumPyBackend(), pixel_averages=True,
            partials=2, skipped=[5],
        )
    )  # fmt: skip
    path = tmp_path / "results.hdf"
    write_result(path, source="run.h5", partition=one_bin(mask), multitau=result)
    with h5py.File(path) as file:
        group = file["xpcs/multitau"]
        pixels, partial = group["unnormalized_G2"][()], group["normalized_g2_partial"][()]
        labels = group["normalized_g2_partial_labels"][()]
        assert group["config/engine"].asstr()[()] == "numba"
        assert group["config/save_G2"][()]
        assert file["xpcs/napari_xpcs/skipped_frames"][()].tolist() == [5]
    there = np.arange(90) != 5
    x = counts.astype(float)
    both = there[:-2] & there[2:]
    expected = [
        (x[:-2] * x[2:])[both].mean(0),
        x[2:][there[2:]].mean(0),
        x[:-2][there[:-2]].mean(0),
    ]
    np.testing.assert_allclose(pixels[1], np.where(mask, expected, 0.0), rtol=1e-6)
    assert labels.tolist() == [32.0, 64.0, 90.0]
    np.testing.assert_allclose(partial[-1], result.g2, rtol=1e-6)
    assert np.isnan(partial[0, -1]).all()
    parts = read_parts(path)
    np.testing.assert_allclose(parts.g2_err[-1], result.g2_err, rtol=1e-6)
    # Fewer frames, more noise.
    np.testing.assert_array_less(result.g2_err[:8], parts.g2_err[0, :8])
