"""g2 of one bin at some ages, from its two-time map; runs in a thread."""

from functools import lru_cache
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_xpcs.kernels.ages import curves_at_ages, long_run_at_ages
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.twotime_image import Maps
from napari_xpcs.progress import Progress, Steps


def ages_of(layer: Layer) -> tuple[float, float]:
    """Return the time between two used frames of a two-time layer and its last age, s."""
    long_run = xpcs_layers.layer_ages(layer)
    if long_run is not None:
        frames, step = long_run.levels[0].c2.shape[2], long_run.frame_time_s
    else:
        frames, step = layer.data.frames, layer.data.maps.frame_time_s or 1.0
    return step, (frames - 1) * step


def cut_steps(layer: Layer, ages_s: np.ndarray, width_s: float) -> Steps[G2Curves]:
    """Cut g2 at ages, a column each.

    Parameters
    ----------
    layer
        A two-time layer.
    ages_s, width_s
        The ages, and the full width of the window around each, s.
    """
    maps, position = xpcs_layers.layer_maps(layer)
    ages = xpcs_layers.layer_ages(layer)
    options: dict[str, Any] = {
        **xpcs_layers.layer_bin_values(layer),
        "source": f"{layer.name} of {xpcs_layers.layer_source(layer)}",
    }
    columns: list[G2Curves] = []
    for number, age in enumerate(ages_s):
        yield Progress(number, len(ages_s), "ages")
        columns.append(_cut(maps, ages, position, float(age), width_s, options))
    yield Progress(len(ages_s), len(ages_s), "ages")
    return _joined(columns)


def _cut(
    maps: Maps | None,
    ages: MultiTauTwoTime | None,
    position: int,
    age_s: float,
    width_s: float,
    options: dict[str, Any],
) -> G2Curves:
    if ages is not None:
        return long_run_at_ages(ages, position, [age_s], width_s, **options)
    assert maps is not None
    step = maps.frame_time_s or 1.0
    half = _upper(maps, position)
    return curves_at_ages(half, [age_s], width_s, frame_time_s=step, **options)


@lru_cache(maxsize=1)
def _upper(maps: Maps, position: int) -> np.ndarray:
    """Keep the map that is looked at: 1.6 GB for 20 000 frames."""
    return maps.upper(position)


def _joined(columns: list[G2Curves]) -> G2Curves:
    first, count = columns[0], len(columns)
    return G2Curves(
        delay_s=first.delay_s,
        g2=np.concatenate([one.g2 for one in columns], axis=1),
        error=np.concatenate([one.error for one in columns], axis=1),
        bins=BinTable(
            label=np.arange(1, count + 1),
            q=np.repeat(first.bins.q, count),
            phi_deg=np.repeat(first.bins.phi_deg, count),
            pixels=np.repeat(first.bins.pixels, count),
        ),
        source=first.source,
        averaging_s=first.averaging_s,
    )
