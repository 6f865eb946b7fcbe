"""How counts are shown: masked pixels transparent, contrast from what was counted."""

import math
from typing import Any

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap

from napari_xpcs._typing import Mask
from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.kernels.mask import not_counted

SAMPLED_FRAMES = 3
"""Frames that are read to choose a contrast; one costs some 10 ms to decompress."""


class DisplayFrames:
    """Counts as float32 with NaN, which napari leaves transparent, where nothing was counted.

    An array-like for ``napari.layers.Image``: every read goes to ``frames``, nothing is kept.
    Counts above 2**24 are shown rounded; calculations use ``frames`` itself.
    """

    def __init__(self, frames: Frames, mask: Mask | None = None) -> None:
        self.frames = frames
        self.mask = mask
        self.shape = tuple(frames.shape)
        self.dtype = np.dtype(np.float32)
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        raw = np.asarray(self.frames[int(first) if isinstance(first, np.integer) else first])
        shown = raw.astype(np.float32)
        shown[not_counted(raw)] = np.nan
        if self.mask is not None:
            shown[..., ~self.mask] = np.nan
        axes_before = shown.ndim - 2
        return napari_adapter.to_numpy(shown[(slice(None),) * axes_before + tuple(rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return np.asarray(self[:], dtype=dtype)


def contrast_limits(frames: Frames) -> tuple[float, float]:
    """Return 0 and the 99.5 % quantile, at least 1, of a few frames' counts."""
    count = frames.shape[0]
    chosen = sorted({0, count // 2, count - 1})[:SAMPLED_FRAMES]
    sample = np.concatenate([np.asarray(frames[index]).ravel() for index in chosen])
    return image_contrast(sample, at_least=1.0)


def image_contrast(image: np.ndarray, at_least: float = 0.0) -> tuple[float, float]:
    """Return 0 and the 99.5 % quantile of what was counted in ``image``."""
    counts = image[~not_counted(image)]
    top = float(np.quantile(counts, 0.995)) if counts.size else 0.0
    if top <= 0.0 and counts.size:
        top = float(counts.max())
    return 0.0, max(top, at_least) or 1.0


LOG_GAMMA = 0.25


def log_view(limits: tuple[float, float], one: float = 1.0, colors: str = "gray") -> dict[str, Any]:
    """Return the arguments of an Image that shows ``log(1 + value/one)``, values untouched.

    napari has no logarithmic scale, and a colour table alone cannot resolve small counts below
    a large maximum.  Gamma does: the table is made for values that gamma has spread already.
    Set gamma to 1 and another colour map for a linear view.

    Parameters
    ----------
    limits
        Values at the ends of the colour scale; the first is 0.
    one
        The value where the scale turns from linear to logarithmic.
    """
    span = limits[1] / one
    spread = np.linspace(0.0, 1.0, 256)
    shades = np.log1p(span * spread ** (1.0 / LOG_GAMMA)) / np.log1p(span)
    table = Colormap(ensure_colormap(colors).map(shades), name=f"log {colors}")
    return {"colormap": table, "gamma": LOG_GAMMA, "contrast_limits": limits}
