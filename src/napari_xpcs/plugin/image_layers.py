"""Frames, sums of frames and mean images as layers, on a scale of counts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_xpcs._typing import Image, Mask
from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.plugin.display import DisplayFrames, contrast_limits, image_contrast, log_view
from napari_xpcs.plugin.layers import LayerData, layer_metadata

SCATTERING_FLOOR = 1e-3
"""Mean counts below this part of the brightest are shown on a linear scale."""


def frames_layer(
    frames: Frames,
    *,
    name: str = "frames",
    known: KnownGeometry,
    mask: Mask | None = None,
    truth: Mapping[str, Any] | None = None,
    source: str = "",
) -> LayerData:
    """Return a lazy (t, y, x) Image; the time axis is in s where the frame time is known."""
    frame_time = known["frame_time_s"].value if "frame_time_s" in known else None
    metadata = layer_metadata(
        "frames", frames=frames, known=known, truth=dict(truth or {}), source=source
    )
    arguments = {
        "name": name,
        "rgb": False,
        "scale": (frame_time or 1.0, 1.0, 1.0),
        "units": ("s" if frame_time else "pixel", "pixel", "pixel"),
        "axis_labels": ("t", "y", "x"),
        "metadata": metadata,
        **log_view(contrast_limits(frames)),
    }
    return DisplayFrames(frames, mask), arguments, "image"


def sum_layer(total: Image, *, source: str = "") -> LayerData:
    """Return the sum of some frames as an Image on the scale of counts."""
    arguments = {
        "name": "sum of frames",
        "rgb": False,
        "axis_labels": ("y", "x"),
        "metadata": layer_metadata("sum", source=source),
        **log_view(image_contrast(total, at_least=1.0)),
    }
    return napari_adapter.to_numpy(total), arguments, "image"


def scattering_layer(
    scattering: Image, *, known: KnownGeometry, mask: Mask | None = None, source: str = ""
) -> LayerData:
    """Return the mean counts per pixel and frame as an Image, unused pixels transparent."""
    shown = np.array(scattering, dtype=np.float32)
    if mask is not None:
        shown[~mask] = np.nan
    metadata = layer_metadata("scattering", known=known, source=source)
    limits = image_contrast(shown)
    arguments = {
        "name": "scattering",
        "rgb": False,
        "axis_labels": ("y", "x"),
        "metadata": metadata,
        **log_view(limits, one=limits[1] * SCATTERING_FLOOR),
    }
    return napari_adapter.to_numpy(shown), arguments, "image"
