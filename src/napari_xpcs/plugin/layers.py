"""What a layer carries: the only reader and writer of ``layer.metadata["xpcs"]``.

The dict there has the key ``role`` (frames, sum, scattering, map, mask, mask shapes, partition,
regions, ring, beam, twotime, age, ages, or that of lines), and what widgets need of such a layer.
Layers are made in the modules ``*_layers``, one for each subject.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from napari.layers import Layer

from napari_xpcs._typing import Mask
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.kernels.mask_painting import painted_difference
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.plugin.twotime_image import Maps

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]
"""What an npe2 reader returns: data, keyword arguments of ``add_*``, layer type."""

_KEY = "xpcs"


def layer_metadata(role: str, **values: Any) -> dict[str, Any]:
    """Return the metadata of a new layer of ours: its role, and what widgets need of it."""
    return {_KEY: {"role": role, **values}}


def values_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`layer_metadata` put into the ``arguments`` of a layer, empty for others.

    For readers and writers of npe2, which handle arguments in place of layers.
    """
    values: dict[str, Any] = arguments.get("metadata", {}).get(_KEY, {})
    return values


def attach_values(layer: Layer, arguments: Mapping[str, Any]) -> None:
    """Let a layer carry what the ``arguments`` of another one do, and tell the widgets."""
    layer.metadata.update(arguments["metadata"])
    layer.events.metadata()


def partition_metadata(
    partition: Partition, known: KnownGeometry, curves: G2Curves | None, source: str
) -> dict[str, Any]:
    """Return what a partition layer carries for the widgets."""
    return layer_metadata(
        "partition", partition=partition, known=known, curves=curves, source=source
    )


def layer_role(layer: Layer) -> str:
    """Return the role of a layer of ours, an empty string for any other."""
    return str(layer.metadata.get(_KEY, {}).get("role", ""))


def layers_with_role(layers: Iterable[Layer], *roles: str) -> list[Layer]:
    """Return the layers of ours that have one of ``roles``, topmost first."""
    return [layer for layer in reversed(list(layers)) if layer_role(layer) in roles]


def label_at(layer: Layer, event: Any) -> int:
    """Return the label of a Labels layer under the cursor of a mouse event, 0 for none."""
    value = layer.get_value(
        event.position,
        view_direction=event.view_direction,
        dims_displayed=event.dims_displayed,
        world=True,
    )
    return int(value or 0)


def layer_frames(layer: Layer) -> Frames:
    """Return the raw frames of a frames layer."""
    frames: Frames = layer.metadata[_KEY]["frames"]
    return frames


def layer_known(layer: Layer) -> KnownGeometry:
    """Return what is known of the geometry from the file of the layer."""
    known: KnownGeometry = layer.metadata[_KEY].get("known", {})
    return known


def attach_known(layer: Layer, known: KnownGeometry) -> None:
    """Tell an image layer another geometry, and the widgets that look at it."""
    layer.metadata[_KEY]["known"] = known
    layer.events.metadata()


def layer_source(layer: Layer) -> str:
    """Return the path of the file that the layer was read from, or an empty string."""
    return str(layer.metadata[_KEY]["source"])


def layer_truth(layer: Layer) -> Mapping[str, Any]:
    """Return the true parameters of a simulated run, empty for a measured one."""
    truth: Mapping[str, Any] = layer.metadata[_KEY].get("truth", {})
    return truth


def layer_mask(layer: Layer) -> Mask:
    """Return the mask that a mask layer shows (label 0 = used)."""
    mask: Mask = np.asarray(layer.data) == 0
    return mask


def layer_steps(layer: Layer) -> tuple[MaskStep, ...]:
    """Return the steps that make what a mask layer shows, none where they are not known.

    What was painted since :func:`attach_steps` is a step of its own, the last one.
    """
    steps, shown = attached_steps(layer), layer_mask(layer)
    if not steps:
        return ()
    made = layer.metadata[_KEY]["made"]
    return steps if np.array_equal(made, shown) else (*steps, painted_difference(made, shown))


def attached_steps(layer: Layer) -> tuple[MaskStep, ...]:
    """Return the steps of :func:`attach_steps`, none where nobody told them."""
    steps: tuple[MaskStep, ...] = layer.metadata.get(_KEY, {}).get("steps", ())
    return steps


def attach_steps(layer: Layer, steps: tuple[MaskStep, ...], made: Mask) -> None:
    """Tell a mask layer the steps that it was made by, and what they made."""
    layer.metadata[_KEY] |= {"steps": steps, "made": made}


def layer_partition(layer: Layer) -> Partition:
    """Return the partition that a partition layer shows."""
    partition: Partition = layer.metadata[_KEY]["partition"]
    return partition


def attach_partition(layer: Layer, partition: Partition, known: KnownGeometry, source: str) -> None:
    """Give a partition layer other bins; whoever does so shows them and emits the event."""
    layer.metadata.update(partition_metadata(partition, known, None, source))


def layer_parameter(layer: Layer) -> str:
    """Return which parameter of a fit a map on the detector shows, an empty string for none."""
    return str(layer.metadata[_KEY].get("parameter", ""))


def layer_bin(layer: Layer) -> int:
    """Return the label of the bin of a two-time map."""
    return int(layer.metadata[_KEY]["bin"])


def layer_maps(layer: Layer) -> tuple[Maps | None, int]:
    """Return where the map of a two-time layer is; no maps where a long run has ages."""
    ours = layer.metadata[_KEY]
    return ours.get("maps"), int(ours["position"])


def layer_ages(layer: Layer) -> MultiTauTwoTime | None:
    """Return the ages of a long run that a two-time layer shows, ``None`` for a map."""
    ages: MultiTauTwoTime | None = layer.metadata[_KEY].get("ages")
    return ages


def layer_bin_values(layer: Layer) -> dict[str, Any]:
    """Return ``q``, ``phi_deg`` and ``pixels`` of the bin of a two-time map."""
    ours = layer.metadata[_KEY]
    return {name: ours[name] for name in ("q", "phi_deg", "pixels")}


def layer_curves(layer: Layer) -> G2Curves | None:
    """Return the g2 curves that a layer carries, if there are any yet."""
    curves: G2Curves | None = layer.metadata.get(_KEY, {}).get("curves")
    return curves


def attach_curves(layer: Layer, curves: G2Curves | None) -> None:
    """Give a partition layer its g2 curves and tell the widgets that look at it."""
    layer.metadata[_KEY]["curves"] = curves
    layer.events.metadata()


def layer_fit_columns(layer: Layer) -> list[str]:
    """Return the names of the features of a layer that a fit wrote."""
    columns: list[str] = layer.metadata[_KEY].get("fit_columns", [])
    return columns


def attach_fit_columns(layer: Layer, columns: list[str]) -> None:
    """Remember which features of a layer a fit wrote."""
    layer.metadata[_KEY]["fit_columns"] = columns
