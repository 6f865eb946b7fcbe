"""The result of a run as layers of the viewer that it was asked for in."""

from collections.abc import Iterator

from napari.components.viewer_model import ViewerModel
from napari.layers import Labels, Layer

from napari_xpcs._typing import Image
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_layers import partition_layer
from napari_xpcs.plugin.correlation import Correlated
from napari_xpcs.plugin.image_layers import scattering_layer


def show_curves(
    viewer: ViewerModel, result: Correlated, frames: Layer, bins: Labels
) -> tuple[G2Curves, Labels] | None:
    """Give the bins their g2, and return it and the layer that has it now, if there is any.

    Parameters
    ----------
    frames, bins
        The layers that were correlated.  Bins that were changed or closed meanwhile come back
        as a layer of their own, with their curves.
    """
    if result.multitau is None:
        return None
    partition, source = result.request.partition, result.request.source
    curves = result.multitau.curves(partition, source)
    if bins in viewer.layers and xpcs_layers.layer_partition(bins) is partition:
        xpcs_layers.attach_curves(bins, curves)
        return curves, bins
    known = xpcs_layers.layer_known(frames)
    data, arguments, _ = partition_layer(partition, known=known, curves=curves, source=source)
    return curves, viewer.add_labels(data, **arguments)


def show_images(
    viewer: ViewerModel, result: Correlated, frames: Layer, bins: Labels
) -> Iterator[None]:
    """Add or renew the image layers of a result, one at each step.

    napari takes a tenth of a second for each new layer: let the window live between them.
    """
    request = result.request
    for one in result.maps:
        _renew(viewer, one)
        yield
    means = result.multitau or result.twotime or result.ages
    if means is not None:
        known = xpcs_layers.layer_known(frames)
        _show_scattering(viewer, means.mean_frame, request.partition, known, request.source)
        yield
    if bins in viewer.layers:
        viewer.layers.selection.active = bins


def _renew(viewer: ViewerModel, made: xpcs_layers.LayerData) -> None:
    """Put a map into the layer of the older one of the same bin and run; else add it.

    To take a layer away costs napari half a second.
    """
    data, arguments, _ = made
    source = xpcs_layers.values_of(arguments)["source"]
    for old in xpcs_layers.layers_with_role(viewer.layers, "twotime"):
        if old.name == arguments["name"] and xpcs_layers.layer_source(old) == source:
            old.data = data
            for name in ("scale", "translate", "contrast_limits"):
                if name in arguments:
                    setattr(old, name, arguments[name])
            xpcs_layers.attach_values(old, arguments)
            return
    viewer.add_layer(Layer.create(*made))


def _show_scattering(
    viewer: ViewerModel, mean_frame: Image, partition: Partition, known: KnownGeometry, source: str
) -> None:
    data, arguments, _ = scattering_layer(
        mean_frame, known=known, mask=partition.mask, source=source
    )
    for layer in xpcs_layers.layers_with_role(viewer.layers, "scattering"):
        if xpcs_layers.layer_source(layer) == source and layer.data.shape == data.shape:
            layer.data = data
            return
    image = viewer.add_image(data, **arguments)
    lowest_labels = min(
        (i for i, layer in enumerate(viewer.layers) if isinstance(layer, Labels)),
        default=len(viewer.layers),
    )
    viewer.layers.move(viewer.layers.index(image), lowest_labels)
    image.visible = False
