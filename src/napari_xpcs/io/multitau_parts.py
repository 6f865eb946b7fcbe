"""The multi-tau part of a result file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from jaxtyping import Float, Float32, Int

from napari_xpcs.backends.io_adapter import hdf5_adapter
from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import holds, open_dataset, open_hdf5, put_array, read_array, reading

if TYPE_CHECKING:
    from napari_xpcs.kernels.multitau_result import MultiTauResult, PixelAverages


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiTauParts:
    """What a result file holds of g2 beside the curves of the whole run.

    Parameters
    ----------
    path
        The file.
    frames
        Used frames of each part; all start at the first one.
    g2
        (part, delay, bin), NaN where a part does not reach or nothing was counted.
    g2_err
        Its standard errors; NaN in files of other programs.
    pixel_delays
        Delays for which averages of every pixel are there, 0 for none.
    """

    path: Path
    frames: Int[np.ndarray, " part"]
    g2: Float[np.ndarray, "part delay bin"]
    g2_err: Float[np.ndarray, "part delay bin"]
    pixel_delays: int

    def pixel_g2(self, delay: int) -> Float32[np.ndarray, "row col"]:
        """Return g2 of every pixel at the delay of this number, NaN where nothing was counted.

        Raises
        ------
        FileFormatError
            It cannot be read.
        """
        with open_hdf5(self.path) as file:
            dataset = open_dataset(file, layouts.MULTITAU_PIXELS)
            with reading(self.path, layouts.MULTITAU_PIXELS):
                product, later, earlier = np.asarray(dataset[delay], dtype=np.float32)
        return pixel_ratio(product, later, earlier)


def read_parts(path: Path) -> MultiTauParts | None:
    """Return what the result file at ``path`` holds beside the curves, ``None`` if nothing.

    Raises
    ------
    FileFormatError
        It cannot be read.
    """
    with open_hdf5(path) as file:
        g2 = read_array(file, layouts.MULTITAU_PARTIAL)
        frames = read_array(file, layouts.MULTITAU_PARTIAL_FRAMES)
        error = read_array(file, layouts.PARTIAL_G2_ERR)
        pixels = holds(file, layouts.MULTITAU_PIXELS)
        shape: tuple[int, ...] = ()
        if pixels:
            shape = tuple(open_dataset(file, layouts.MULTITAU_PIXELS).shape)
    there = g2 is not None and g2.ndim == 3 and frames is not None and len(frames) == len(g2)
    delays = shape[0] if len(shape) == 4 and shape[1] == len(PIXEL_SLOTS) else 0
    if not there and not delays:
        return None
    if g2 is None or frames is None or not there:
        g2, frames = np.empty((0, 0, 0)), np.empty(0)
    return MultiTauParts(
        path=path,
        frames=frames.astype(np.int64),
        g2=np.where(g2 == 0.0, np.nan, g2),
        g2_err=np.full(g2.shape, np.nan) if error is None or error.shape != g2.shape else error,
        pixel_delays=delays,
    )


def parts_text(parts: MultiTauParts) -> str:
    """Return in words what there is."""
    said = []
    if len(parts.frames):
        said.append(f"g2 of {len(parts.frames)} parts of the run")
    if parts.pixel_delays:
        said.append(f"g2 of every pixel at {parts.pixel_delays} delays")
    return " and ".join(said)


def pixel_ratio(
    product: Float32[np.ndarray, "row col"],
    later: Float32[np.ndarray, "row col"],
    earlier: Float32[np.ndarray, "row col"],
) -> Float32[np.ndarray, "row col"]:
    """Return G2 / (IP IF), NaN where nothing was counted."""
    both = later * earlier
    return np.where(both > 0, product / np.where(both > 0, both, 1.0), np.nan).astype(np.float32)


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
        if result.partial_g2_err is not None:
            put_array(file, layouts.PARTIAL_G2_ERR, result.partial_g2_err)
    if result.pixel_averages is not None:
        _write_pixels(file, result.pixel_averages, len(result.delay_frames))


BROKEN_OFF = "broken_off"
"""Option of a run that was broken off: in words, how many frames the file rests on."""


def multitau_options(result: "MultiTauResult") -> dict[str, Any]:
    """Return how a result was made, for the options of a run in the file."""
    return {
        "normalize_frame": result.normalize_frame,
        "errors": result.errors,
        "save_G2": result.pixel_averages is not None,
        "num_partial_g2": 0 if result.partial_frames is None else len(result.partial_frames),
        BROKEN_OFF: " ".join(result.broken_off()) or None,
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
