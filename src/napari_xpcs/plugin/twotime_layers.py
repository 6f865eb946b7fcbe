"""Two-time maps, ages of long runs, and what is cut out of them, as layers."""

from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Labels, Layer
from napari.utils.notifications import show_warning

from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.errors import FileFormatError
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime
from napari_xpcs.plugin.layers import (
    LayerData,
    layer_ages,
    layer_bin,
    layer_metadata,
    layer_source,
)
from napari_xpcs.plugin.twotime_image import CONTRAST, Maps, TwoTimeImage, ages_image

AGE = "age (s)"
"""Feature of a band."""
BAND_PIXELS = 512
"""Side of the image that shows ages as bands."""


def twotime_layers(maps: Maps, source: str, bins: BinTable | None = None) -> list[LayerData]:
    """Return one hidden Image per two-time map, read when it is shown, with its axes in s.

    The diagonal, which is shot noise, is transparent.  A damaged map is left out with a warning.
    """
    found: list[LayerData] = []
    time_s = maps.frame_time_s or 1.0
    for position, label in enumerate(maps.bins):
        try:
            image = TwoTimeImage(maps, position, maps.frames(position))
        except FileFormatError as fault:
            show_warning(f"The map of bin {int(label)} is left out: {fault}")
            continue
        step = time_s * image.step
        arguments = {
            "name": f"two-time bin {int(label)}",
            "rgb": False,
            "scale": (step, step),
            "translate": ((step - time_s) / 2,) * 2,
            # napari ignores all units where seconds meet pixels on one axis: the label has it.
            "axis_labels": ("t1 (s)", "t2 (s)") if maps.frame_time_s else ("t1", "t2"),
            "visible": False,
            "contrast_limits": (1.0, 1.5),
            "colormap": "viridis",
            "metadata": layer_metadata(
                "twotime",
                source=source,
                maps=maps,
                position=position,
                **_bin_values(int(label), bins),
            ),
        }
        found.append((image, arguments, "image"))
    return found


def ages_layers(run: MultiTauTwoTime, source: str, bins: BinTable | None = None) -> list[LayerData]:
    """Return one hidden Image (delay, age) per bin of a long run; delays are a row each."""
    found: list[LayerData] = []
    for position, label in enumerate(run.processed_bins):
        image, delay_s, step_s = ages_image(run, position)
        counted = image[np.isfinite(image)]
        limits = np.quantile(counted, CONTRAST).tolist() if counted.size else [1.0, 1.5]
        # Delays grow by factors: a row each, all rows together half as high as the ages are long.
        height = step_s * image.shape[1] / (2 * len(delay_s))
        arguments = {
            "name": f"two-time ages bin {int(label)}",
            "rgb": False,
            "scale": (height, step_s),
            "axis_labels": ("delay (row)", "age (s)"),
            "visible": False,
            "contrast_limits": limits if limits[0] < limits[1] else [limits[0], limits[0] + 0.1],
            "colormap": "viridis",
            "metadata": layer_metadata(
                "twotime",
                source=source,
                ages=run,
                position=position,
                **_bin_values(int(label), bins),
            ),
        }
        found.append((napari_adapter.to_numpy(image), arguments, "image"))
    return found


def _bin_values(label: int, bins: BinTable | None) -> dict[str, Any]:
    """Return what is known of a bin, for the metadata of its map."""
    here = np.flatnonzero(bins.label == label) if bins is not None else np.empty(0, int)
    if bins is None or not here.size:
        return {"bin": label, "q": np.nan, "phi_deg": np.nan, "pixels": 0}
    row = int(here[0])
    return {
        "bin": label,
        "q": float(bins.q[row]),
        "phi_deg": float(bins.phi_deg[row]),
        "pixels": int(bins.pixels[row]),
    }


def age_line_layer(line: np.ndarray, width: float) -> LayerData:
    """Return a line across a two-time map at one age, to be dragged."""
    arguments = {
        "name": "age",
        "ndim": 2,
        "shape_type": "line",
        "edge_color": "red",
        "edge_width": width,
        "metadata": layer_metadata("age"),
    }
    return [line], arguments, "shapes"


def age_bands_layer(
    curves: G2Curves, of_map: Layer, ages_s: np.ndarray, width_s: float
) -> LayerData:
    """Return the ages of ``curves`` as bands over the map that they were cut from.

    A band is label and column of one age, so that a click on it shows its g2 in the fit dock.
    """
    (top, left), (bottom, right) = of_map.extent.world[:, -2:]
    pixel = np.array([bottom - top, right - left]) / BAND_PIXELS
    rows, cols = (
        low + (np.arange(BAND_PIXELS) + 0.5) * step
        for low, step in zip((top, left), pixel, strict=True)
    )
    ages = np.broadcast_to(cols, (BAND_PIXELS, BAND_PIXELS))
    if layer_ages(of_map) is None:
        ages = (rows[:, None] + cols) / 2
    labels = np.zeros(ages.shape, np.uint16)
    for label, age in enumerate(ages_s, start=1):
        labels[np.abs(ages - age) <= width_s / 2] = label
    arguments = {
        "name": f"g2 at {len(ages_s)} ages, bin {layer_bin(of_map)}",
        "opacity": 0.8,
        "scale": tuple(pixel),
        "translate": (top + pixel[0] / 2, left + pixel[1] / 2),
        "features": pd.DataFrame(
            {"index": np.arange(1, len(ages_s) + 1), AGE: np.round(ages_s, 9)}
        ),
        "metadata": layer_metadata("ages", curves=curves, source=layer_source(of_map)),
    }
    return labels, arguments, "labels"


def layer_age_s(layer: object, label: int) -> float | None:
    """Return the age of a band of :func:`age_bands_layer`, ``None`` for any other source."""
    if not isinstance(layer, Labels) or AGE not in layer.features.columns:
        return None
    row = layer.features.index[layer.features["index"] == label]
    return float(layer.features[AGE][row[0]]) if len(row) else None
