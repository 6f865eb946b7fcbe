"""The multi-tau part of a result file."""

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_xpcs.backends.io_adapter import hdf5_adapter
from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import put_array

if TYPE_CHECKING:
    from napari_xpcs.kernels.multitau import MultiTauResult, PixelAverages

PIXEL_SLOTS = ("G2", "later frames", "earlier frames")
"""Order in which boost_corr stores the averages of a pixel, whatever it calls them."""


def write_multitau(file: h5py.File, result: "MultiTauResult") -> None:
    """Write g2, its error, and what was asked for beside them; not measured is 0."""
    g2 = hdf5_adapter.to_numpy(result.g2)
    file[layouts.MULTITAU_DELAYS] = hdf5_adapter.to_numpy(result.delay_frames).astype(np.int64)
    error = np.where(np.isfinite(g2), hdf5_adapter.to_numpy(result.g2_err), 0.0)
    put_array(file, layouts.MULTITAU_G2, np.nan_to_num(g2))
    put_array(file, layouts.MULTITAU_G2_ERR, np.nan_to_num(error))
    file[layouts.G2_AVERAGING] = result.averaging_s
    if result.covariance is not None:
        put_array(file, layouts.G2_COVARIANCE, result.covariance)
    if result.partial_g2 is not None and result.partial_frames is not None:
        # Here NaN stands for delays that a part does not reach, as in the files of boost_corr.
        put_array(file, layouts.MULTITAU_PARTIAL, result.partial_g2)
        file[layouts.MULTITAU_PARTIAL_FRAMES] = result.partial_frames.astype(np.float64)
    if result.pixel_averages is not None:
        _write_pixels(file, result.pixel_averages, len(result.delay_frames))
    if result.skipped_frames:
        file[layouts.SKIPPED_FRAMES] = np.array(result.skipped_frames, dtype=np.int64)


def multitau_options(result: "MultiTauResult") -> dict[str, Any]:
    """Return how a result was made, for the options of a run in the file."""
    return {
        "normalize_frame": result.normalize_frame,
        "errors": result.errors,
        "save_G2": result.pixel_averages is not None,
        "num_partial_g2": 0 if result.partial_frames is None else len(result.partial_frames),
        **result.engine,
    }


def _write_pixels(file: h5py.File, averages: "PixelAverages", delays: int) -> None:
    """Write the averages of every pixel, one delay in memory at a time."""
    shape = averages.mask.shape
    stored = file.create_dataset(
        layouts.MULTITAU_PIXELS,
        shape=(delays, 3, *shape),
        dtype=np.float32,
        chunks=(1, 1, *shape),
        compression="lzf",
    )
    stored.attrs["slots"] = PIXEL_SLOTS
    for delay in range(delays):
        product, past, future = averages.image(delay)
        stored[delay] = np.stack([product, future, past])
