"""The result of a run as layers of the viewer that it was asked for in."""

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


def show_result(
    viewer: ViewerModel, result: Correlated, frames: Layer, bins: Labels
) -> G2Curves | None:
    """Add or renew the layers of a result; return its g2.

    Parameters
    ----------
    frames, bins
        The layers that were correlated.  Bins that were changed or closed meanwhile come back
        as a layer of their own, with their curves.
    """
    request = result.request
    source, partition = request.source, request.partition
    known = xpcs_layers.layer_known(frames)
    curves = None
    if result.multitau is not None:
        curves = result.multitau.curves(partition, source)
        if bins in viewer.layers and xpcs_layers.layer_partition(bins) is partition:
            xpcs_layers.attach_curves(bins, curves)
        else:
            data, arguments, _ = partition_layer(
                partition, known=known, curves=curves, source=source
            )
            bins = viewer.add_labels(data, **arguments)
    for one in result.maps:
        _renew(viewer, Layer.create(*one))
    means = result.multitau or result.twotime or result.ages
    if means is not None:
        _show_scattering(viewer, means.mean_frame, partition, known, source)
    if bins in viewer.layers:
        viewer.layers.selection.active = bins
    return curves


def _renew(viewer: ViewerModel, layer: Layer) -> None:
    """Put a map in the place of the older one of the same bin and run."""
    for old in xpcs_layers.layers_with_role(viewer.layers, "twotime"):
        if old.name == layer.name and xpcs_layers.layer_source(old) == xpcs_layers.layer_source(
            layer
        ):
            viewer.layers.remove(old)
    viewer.add_layer(layer)


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
