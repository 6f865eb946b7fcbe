"""What each kind of step of a mask does to the pixels that are used: :data:`RULES`."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from napari_xpcs._typing import Array, Mask
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.errors import MaskError
from napari_xpcs.kernels.mask import disc_pixels, threshold_mask
from napari_xpcs.kernels.mask_inputs import Look
from napari_xpcs.kernels.mask_morphology import MORPHOLOGY, grown, mirrored
from napari_xpcs.kernels.mask_outliers import outlier_pixels, ring_regions, tile_regions
from napari_xpcs.kernels.mask_parameters import Condition
from napari_xpcs.kernels.mask_steps import (
    BeamStopStep,
    ConstraintStep,
    DefectsStep,
    FileStep,
    GapsStep,
    MaskStep,
    MorphologyStep,
    OutliersStep,
    PaintedStep,
    ShapesStep,
    SymmetryStep,
    ThresholdStep,
)
from napari_xpcs.kernels.packed_pixels import unpack_pixels
from napari_xpcs.kernels.pixel_statistics import PixelStatistics, dead_pixels, hot_pixels
from napari_xpcs.kernels.regions import region_mask
from napari_xpcs.progress import Progress, Steps

FEW_COUNTS = 7.0
"""One pixel in a thousand that counts so many on average counts none."""


def _file(step: FileStep, used: Mask, look: Look) -> Steps[Any]:
    if look.inputs.read_file is None:
        msg = "Files of masks cannot be read here."
        raise MaskError(msg)
    yield Progress(0, 1, "files")
    return used & look.inputs.read_file(step)


def _painted(step: PaintedStep, used: Mask, look: Look) -> Steps[Any]:
    yield from ()
    shape = look.inputs.shape
    if step.shape != shape:
        msg = (
            f"This was painted on {step.shape[0]} x {step.shape[1]} pixels, the detector has "
            f"{shape[0]} x {shape[1]}."
        )
        raise MaskError(msg)
    return (used & ~unpack_pixels(step.masked, shape)) | unpack_pixels(step.used, shape)


def _threshold(step: ThresholdStep, used: Mask, look: Look) -> Steps[Any]:
    low = -np.inf if step.low is None else step.low
    high = np.inf if step.high is None else step.high
    if step.of == "maximum" and look.inputs.frames is not None:
        image = (yield from look.statistics_of(step.frames)).maximum
    else:
        image = yield from look.image(step.frames)
    return used & ensure_numpy(threshold_mask(image, low, high, xp=look.xp))


def _shapes(step: ShapesStep, used: Mask, look: Look) -> Steps[Any]:
    inside = np.zeros(look.inputs.shape, dtype=bool)
    for done, region in enumerate(step.shapes):
        yield Progress(done, len(step.shapes), "shapes")
        inside |= region_mask(region, look.inputs.shape, look.inputs.maps, xp=look.xp)
    if not inside.any():
        msg = "The shapes hold no pixel of the detector."
        raise MaskError(msg)
    return used & (inside if step.keep else ~inside)


def _constraint(step: ConstraintStep, used: Mask, look: Look) -> Steps[Any]:
    kept: Array = None
    for done, condition in enumerate(step.conditions):
        yield Progress(done, len(step.conditions), "conditions")
        holds = _holds(condition, look.axis(condition.axis), look.xp)
        if kept is None:
            kept = holds
        elif condition.join == "or":
            kept = kept | holds
        else:
            kept = kept & holds
    return used & ensure_numpy(kept)


def _holds(
    condition: Condition, values: Float[Array, "row col"], xp: BackendProtocol
) -> Bool[Array, "row col"]:
    """Return where ``low <= values <= high``; phi is compared on the circle."""
    low, high = condition.low, condition.high
    if condition.axis == "phi" and low is not None and high is not None:
        turn = 360.0 if high - low >= 360.0 else (high - low) % 360.0
        holds = xp.mod(values - low, 360.0) <= turn
    else:
        holds = xp.logical_and(
            values >= (-xp.inf if low is None else low),
            values <= (xp.inf if high is None else high),
        )
    return ~holds if condition.negate else holds


def _defects(step: DefectsStep, used: Mask, look: Look) -> Steps[Any]:
    statistics = yield from look.statistics_of(step.frames)
    kept = _without_dead(statistics, used, look) if step.dead else used
    yield Progress(0, 1, "hot pixels")
    return kept & ~hot_pixels(statistics, kept, step.cutoff) if step.hot else kept


def _without_dead(statistics: PixelStatistics, used: Mask, look: Look) -> Mask:
    kept: Mask = used & ~dead_pixels(statistics)
    frames = statistics.frames
    if 2 * np.count_nonzero(kept) < np.count_nonzero(used):
        msg = (
            f"More than half of the pixels counted nothing in {frames} frames, so they are hardly "
            "dead; look at more frames, or leave out Dead."
        )
        raise MaskError(msg)
    typical = float(np.nanmedian(statistics.mean[used])) * frames if used.any() else 0.0
    if typical < FEW_COUNTS:
        look.notes.append(
            f"A typical pixel counted {typical:.3g} in {frames} frames, so living pixels may look "
            "dead; look at more frames."
        )
    return kept


def _outliers(step: OutliersStep, used: Mask, look: Look) -> Steps[Any]:
    image = yield from look.image()
    judged = used & np.isfinite(image)
    if step.within == "ring":
        regions = ring_regions(ensure_numpy(look.axis("q")), judged, step.rings)
    else:
        regions = tile_regions(look.inputs.shape, step.tile_px)
        judged = judged & (image > 0)
    return used & ~(yield from outlier_pixels(image, regions, judged, step.rule, step.cutoff))


def _morphology(step: MorphologyStep, used: Mask, _: Look) -> Steps[Any]:
    yield Progress(0, 1, "morphology")
    return ~MORPHOLOGY[step.operation](~used, step.pixels)


def _gaps(step: GapsStep, used: Mask, look: Look) -> Steps[Any]:
    empty = ~used
    if look.inputs.image is not None or look.inputs.frames is not None:
        image = yield from look.image()
        empty = empty | np.isnan(image)
        if step.value is not None:
            empty |= image == step.value
    lines = (np.asarray(empty.all(axis=axis, keepdims=True)) for axis in (1, 0))
    rows, cols = (grown(line, step.margin_px) for line in lines)
    return used & ~(rows | cols)


def _symmetry(step: SymmetryStep, used: Mask, look: Look) -> Steps[Any]:
    yield Progress(0, 1, "symmetry")
    return used & ~mirrored(~used, look.center(step.center_row_px, step.center_col_px))


def _beam_stop(step: BeamStopStep, used: Mask, look: Look) -> Steps[Any]:
    yield Progress(0, 1, "beam stop")
    center = look.center(step.center_row_px, step.center_col_px)
    return used & ~disc_pixels(look.inputs.shape, center, step.radius_px)


RULES: Mapping[type[MaskStep], Callable[[Any, Mask, Look], Steps[Any]]] = {
    FileStep: _file,
    PaintedStep: _painted,
    ThresholdStep: _threshold,
    ShapesStep: _shapes,
    ConstraintStep: _constraint,
    DefectsStep: _defects,
    OutliersStep: _outliers,
    MorphologyStep: _morphology,
    GapsStep: _gaps,
    SymmetryStep: _symmetry,
    BeamStopStep: _beam_stop,
}
