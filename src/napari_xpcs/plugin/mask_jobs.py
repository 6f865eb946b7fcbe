"""What XPCS: Mask does in a thread: the steps of a mask, and the file of a mask."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from napari.layers import Layer

from napari_xpcs._typing import Mask
from napari_xpcs.backends import get_backend
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.mask_writer import write_mask
from napari_xpcs.io.masks import read_mask_step
from napari_xpcs.kernels.geometry import Geometry, beam_on_detector
from napari_xpcs.kernels.mask_inputs import MaskInputs
from napari_xpcs.kernels.mask_of_steps import MaskResult, do_steps
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.progress import Progress, Steps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskSource:
    """The image whose mask is made, and the geometry that is known for it."""

    layer: Layer
    shape: tuple[int, int]
    geometry: Geometry | None


def mask_job(
    source: MaskSource, steps: tuple[MaskStep, ...], previous: MaskResult | None
) -> Steps[tuple[MaskSource, MaskResult]]:
    """Do the steps; runs in the thread."""
    xp = get_backend()
    if previous is None:
        yield Progress(0, 1, "Q-map")
        inputs = _mask_inputs(source)
    else:
        inputs = previous.inputs
    result = yield from do_steps(steps, inputs, xp=xp, previous=previous)
    return source, result


def _mask_inputs(source: MaskSource) -> MaskInputs:
    """Return what steps may look at; computes the Q-map where the geometry is known."""
    layer, geometry = source.layer, source.geometry
    if xpcs_layers.layer_role(layer) == "frames":
        frames, image = xpcs_layers.layer_frames(layer), None
    elif layer.ndim == 3:
        frames, image = layer.data, None
    else:
        frames, image = None, np.asarray(layer.data)
    return MaskInputs(
        shape=source.shape,
        image=image,
        frames=frames,
        maps=None if geometry is None else q_maps(geometry, xp=get_backend()),
        center_px=None if geometry is None else beam_on_detector(geometry),
        read_file=partial(read_mask_step, shape=source.shape),
    )


def save_job(path: Path, mask: Mask, source: str) -> Steps[Path]:
    """Write a mask file; runs in the thread."""
    yield Progress(0, 1, "files")
    refuse_input_as_output(path, Path(source))
    write_mask(path, mask, force=True)
    return path
