"""The image that stands for a run: some of its frames, spread over it, added up."""

from dataclasses import dataclass

import numpy as np
from napari.layers import Layer

from napari_xpcs._typing import Image, Mask
from napari_xpcs.kernels.mask import not_counted
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.progress import Progress, Steps

MOST_FRAMES = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunImage:
    """``total`` counts of ``frames`` frames, and the pixels that counted in all of them."""

    total: Image
    counted: Mask
    frames: int

    def mean(self) -> Image:
        """Return the mean counts per frame, NaN where a pixel did not count."""
        mean: Image = np.where(self.counted, self.total / self.frames, np.nan)
        return mean


def run_image_steps(layer: Layer, most: int = MOST_FRAMES) -> Steps[RunImage]:
    """Add up at most ``most`` frames of a layer, evenly spread over the run."""
    if xpcs_layers.layer_role(layer) == "frames":
        frames = xpcs_layers.layer_frames(layer)
        chosen = np.unique(np.linspace(0, frames.shape[0] - 1, most).astype(int))
    else:
        frames = layer.data[None] if layer.ndim == 2 else layer.data
        frames = frames.reshape(-1, *frames.shape[-2:]) if frames.ndim > 3 else frames
        chosen = np.unique(np.linspace(0, frames.shape[0] - 1, most).astype(int))
    total = np.zeros(tuple(frames.shape[-2:]))
    counted = np.ones(total.shape, dtype=bool)
    for done, index in enumerate(chosen):
        frame = np.asarray(frames[int(index)])
        counted &= ~not_counted(frame)
        total += np.where(counted, frame, 0)
        yield Progress(done + 1, len(chosen), "frames")
    return RunImage(total=total, counted=counted, frames=len(chosen))
