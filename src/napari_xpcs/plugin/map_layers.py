"""What is known of every bin or pixel as a map over the detector: a fit, g2 at one delay."""

from typing import get_args

import numpy as np
from napari.layers import Layer

from napari_xpcs._typing import Image
from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.fitting.results import FitStatus, G2Fit
from napari_xpcs.plugin.layers import (
    LayerData,
    attach_fit_columns,
    layer_fit_columns,
    layer_metadata,
    layer_source,
)
from napari_xpcs.plugin.twotime_image import CONTRAST

CHI2 = "reduced chi2"
"""How the goodness of a fit is called among the parameters."""
STATUS = "status"
STATUSES = tuple(get_args(FitStatus))
"""First words of a status, in the order of their numbers on a map."""


def parameter_map_layer(bins: Layer, fit: G2Fit, name: str) -> LayerData:
    """Return a parameter of the fit as an Image over its bins, transparent where it has none.

    ``name`` is a parameter of the model, ``reduced chi2``, or ``status``: its place in
    :data:`STATUSES`.
    """
    labels = np.asarray(bins.data)
    values = fit_values(fit, name, int(labels.max(initial=0)))
    of_label = np.concatenate([[np.nan], values]).astype(np.float32)
    found = values[np.isfinite(values)]
    limits = (float(found.min()), float(found.max())) if found.size else (0.0, 1.0)
    if name == STATUS:
        limits = (0.0, len(STATUSES) - 1.0)
    arguments = {
        "name": f"{name} map",
        "rgb": False,
        "scale": bins.scale,
        "translate": bins.translate,
        "axis_labels": bins.axis_labels,
        "contrast_limits": limits if limits[0] < limits[1] else (limits[0], limits[0] + 1.0),
        "colormap": "viridis",
        "metadata": layer_metadata("map", parameter=name, source=layer_source(bins)),
    }
    return napari_adapter.to_numpy(of_label[labels]), arguments, "image"


def fit_values(fit: G2Fit, name: str, count: int) -> np.ndarray:
    """Return what :func:`parameter_map_layer` shows, for the labels 1 to ``count``.

    Of a fit of several runs, those of the first.
    """
    label, first = np.unique(fit.bins.label, return_index=True)
    known = (label >= 1) & (label <= count)
    if name == STATUS:
        values = np.array([STATUSES.index(each.partition(":")[0]) for each in fit.status], float)
    else:
        values = fit.reduced_chi2 if name == CHI2 else fit.value[:, fit.names.index(name)]
    of_label = np.full(count, np.nan)
    of_label[label[known] - 1] = values[first[known]]
    return of_label


def show_fit_features(layer: Layer, fit: G2Fit) -> None:
    """Write the fit beside the bins, where napari shows it under the cursor and in its table.

    Columns of an earlier fit go.
    """
    features = layer.features.drop(columns=layer_fit_columns(layer), errors="ignore")
    names = [*fit.names, CHI2]
    for name in names:
        features[name] = fit_values(fit, name, len(features))
    status = fit_values(fit, STATUS, len(features))
    features[STATUS] = [STATUSES[int(at)] if np.isfinite(at) else "" for at in status]
    attach_fit_columns(layer, [*names, STATUS])
    layer.features = features


def pixel_g2_layer(image: Image, delay_s: float, *, source: str = "") -> LayerData:
    """Return g2 of every pixel at one delay as an Image, transparent where nothing was counted."""
    counted = image[np.isfinite(image)]
    low, high = np.quantile(counted, CONTRAST) if counted.size else (1.0, 1.5)
    arguments = {
        "name": f"g2 of pixels at {delay_s:.3g} s",
        "rgb": False,
        "axis_labels": ("y", "x"),
        "contrast_limits": (float(low), float(high) if high > low else float(low) + 0.1),
        "colormap": "viridis",
        "metadata": layer_metadata("map", source=source),
    }
    return napari_adapter.to_numpy(image), arguments, "image"
