"""The layers of a file that was read: of frames, of results, of bins."""

import numpy as np
from napari.utils.notifications import show_info

from napari_xpcs.io.events import EventFrames
from napari_xpcs.io.files import FramesFile, PartitionFile, ResultFile
from napari_xpcs.kernels.mask import marked_pixels
from napari_xpcs.plugin.bin_layers import partition_layer
from napari_xpcs.plugin.drawn_layers import regions_layer
from napari_xpcs.plugin.image_layers import frames_layer, scattering_layer
from napari_xpcs.plugin.layers import LayerData
from napari_xpcs.plugin.mask_layers import mask_layer, mask_of_partition
from napari_xpcs.plugin.twotime_layers import ages_layers, twotime_layers

MARK_FRAMES = 3
"""Frames that are looked at for pixels without a value: first, middle and last."""


def frames_file_to_layers(file: FramesFile) -> list[LayerData]:
    """Return the layers of a frames file.

    Where the file has no mask, the pixels that hold "no value" in some frames become one.
    """
    mask = file.mask
    if mask is None and not isinstance(file.frames, EventFrames):
        marked = marked_pixels(file.frames, sample=MARK_FRAMES)
        if marked.any():
            mask = ~marked
            show_info(
                f"{file.path.name}: {np.count_nonzero(marked)} pixels hold no value in the frames "
                "looked at (the largest number of their type, or none): they are masked."
            )
    layers = [
        frames_layer(
            file.frames, known=file.known, mask=mask, truth=file.truth, source=str(file.path)
        )
    ]
    if mask is not None:
        layers.append(mask_layer(mask, source=str(file.path)))
    return layers


def result_file_to_layers(file: ResultFile) -> list[LayerData]:
    """Return the layers of a result file: what is there of scattering, mask, bins and regions."""
    source = str(file.path)
    layers: list[LayerData] = []
    if file.scattering is not None:
        layers.append(scattering_layer(file.scattering, known=file.known, source=source))
    if file.partition is not None:
        layers.append(mask_of_partition(file.partition, source))
        layers.append(
            partition_layer(file.partition, known=file.known, curves=file.curves, source=source)
        )
        if file.partition.regions:
            layers.append(regions_layer(file.partition.regions, file.partition.geometry))
    bins = None if file.partition is None else file.partition.table()
    if file.twotime is not None:
        layers.extend(twotime_layers(file.twotime, source, bins))
    if file.ages is not None:
        layers.extend(ages_layers(file.ages, source, bins))
    return layers


def partition_file_to_layers(file: PartitionFile) -> list[LayerData]:
    """Return mask, bins and the regions that made them of a partition file."""
    source, partition = str(file.path), file.partition
    found = [
        mask_of_partition(partition, source),
        partition_layer(partition, known=file.known, source=source),
    ]
    if partition.regions:
        found.append(regions_layer(partition.regions, partition.geometry))
    return found
