"""Do the steps of a mask one after the other, and tell what each of them took away."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from napari_xpcs._typing import Array, Image, Mask
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.errors import MaskError, XpcsError
from napari_xpcs.kernels.axis_values import MAP_FIELDS, axis_values
from napari_xpcs.kernels.mask import check_mask_shape, disc_pixels, not_counted, threshold_mask
from napari_xpcs.kernels.mask_morphology import MORPHOLOGY, grown, mirrored
from napari_xpcs.kernels.mask_outliers import outlier_pixels, ring_regions, tile_regions
from napari_xpcs.kernels.mask_parameters import Condition
from napari_xpcs.kernels.mask_steps import (
    SAMPLED_FRAMES,
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
from napari_xpcs.kernels.pixel_statistics import (
    PixelStatistics,
    dead_pixels,
    hot_pixels,
    pixel_statistics,
)
from napari_xpcs.kernels.qmap import QMaps
from napari_xpcs.kernels.regions import region_mask
from napari_xpcs.progress import Progress, Steps, run

FEW_COUNTS = 7.0
"""One pixel in a thousand that counts so many on average counts none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskInputs:
    """What steps may look at; a step that needs what is not there says so.

    Parameters
    ----------
    shape
        Rows and columns of the detector.
    image
        Counts of every pixel, such as a mean or a sum of frames.
    frames
        The run, (frame, row, col); stands for ``image`` by the mean of a sample of it.
    maps
        q and angles of every pixel.
    center_px
        Row and column of the direct beam on the detector, in pixel index.
    read_file
        Returns the mask (True = used) of a :class:`FileStep`, checked against ``shape``.
    """

    shape: tuple[int, int]
    image: Image | None = None
    frames: Any = None
    maps: QMaps | None = None
    center_px: tuple[float, float] | None = None
    read_file: Callable[[FileStep], Mask] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What a step did: pixels it took away and gave back, or why it was left out.

    ``note`` tells what to think of when the numbers are read.
    """

    removed: int = 0
    returned: int = 0
    fault: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskResult:
    """The mask that steps make.

    Parameters
    ----------
    steps, outcomes
        The steps and what each of them did.
    after
        The mask (True = used) behind every step.
    inputs
        What the steps looked at.
    statistics
        Of the sampled frames, by the size of the sample that was asked for.
    """

    steps: tuple[MaskStep, ...]
    outcomes: tuple[StepOutcome, ...]
    after: tuple[Mask, ...]
    inputs: MaskInputs
    statistics: Mapping[int, PixelStatistics]

    @property
    def mask(self) -> Mask:
        """The mask behind the last step; all pixels are used where there is no step."""
        return self.before(len(self.steps))

    def before(self, position: int) -> Mask:
        """Return the mask that the step at ``position`` starts from."""
        return self.after[position - 1] if position else np.ones(self.inputs.shape, dtype=bool)


def mask_of_steps(
    steps: Sequence[MaskStep], inputs: MaskInputs, *, xp: BackendProtocol
) -> MaskResult:
    """Return the mask that ``steps`` make of a detector on which every pixel is used.

    Raises
    ------
    MaskError
        A step cannot be done, or would leave no pixel; the message names the step.
    """
    result = run(do_steps(steps, inputs, xp=xp))
    for position, outcome in enumerate(result.outcomes):
        if outcome.fault:
            msg = f"Mask step {position + 1} ({result.steps[position].title}): {outcome.fault}"
            raise MaskError(msg)
    return result


def needs_geometry(step: MaskStep) -> bool:
    """Say whether what ``step`` does depends on the geometry of the experiment."""
    if isinstance(step, ConstraintStep):
        return any(condition.axis not in ("x", "y") for condition in step.conditions)
    if isinstance(step, OutliersStep):
        return step.within == "ring"
    if isinstance(step, ShapesStep):
        return any(region.kind == "sector" for region in step.shapes)
    if isinstance(step, SymmetryStep | BeamStopStep):
        return step.center_row_px is None or step.center_col_px is None
    return False


def do_steps(
    steps: Sequence[MaskStep],
    inputs: MaskInputs,
    *,
    xp: BackendProtocol,
    previous: MaskResult | None = None,
) -> Steps[MaskResult]:
    """Do ``steps`` one after the other; one that cannot be done is left out and says why.

    Parameters
    ----------
    previous
        A result for the same ``inputs``: what the first steps made that are still the same,
        and the statistics of frames, are taken from it.
    """
    known = previous if previous is not None and previous.inputs is inputs else None
    statistics = {} if known is None else dict(known.statistics)
    same = 0
    if known is not None:
        for before, now in zip(known.steps, steps, strict=False):
            if before != now:
                break
            same += 1
    outcomes = [] if known is None else list(known.outcomes[:same])
    after = [] if known is None else list(known.after[:same])
    look = _Look(inputs, statistics, xp, [])
    used = after[-1] if after else np.ones(inputs.shape, dtype=bool)
    for position, step in enumerate(steps[same:], start=same):
        yield Progress(position, len(steps), "mask steps")
        outcome = StepOutcome()
        look.notes.clear()
        if step.enabled:
            try:
                found: Mask = yield from _RULES[type(step)](step, used, look)
                if not found.any() and used.any():
                    msg = "This would mask every pixel, so it is left out."
                    raise MaskError(msg)
                outcome = StepOutcome(
                    removed=int(np.count_nonzero(used & ~found)),
                    returned=int(np.count_nonzero(found & ~used)),
                    note=" ".join(look.notes),
                )
                used = found
            except XpcsError as fault:
                outcome = StepOutcome(fault=str(fault))
        outcomes.append(outcome)
        after.append(used)
    return MaskResult(
        steps=tuple(steps),
        outcomes=tuple(outcomes),
        after=tuple(after),
        inputs=inputs,
        statistics=statistics,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """The inputs, and statistics of frames that were read already."""

    inputs: MaskInputs
    statistics: dict[int, PixelStatistics]
    xp: BackendProtocol
    notes: list[str]

    def statistics_of(self, sample: int) -> Steps[PixelStatistics]:
        if self.inputs.frames is None:
            msg = "This needs the frames of a run, and there is only one image."
            raise MaskError(msg)
        if sample not in self.statistics:
            self.statistics[sample] = yield from pixel_statistics(self.inputs.frames, sample)
        found = self.statistics[sample]
        check_mask_shape(found.mean, self.inputs.shape)
        return found

    def image(self, sample: int = SAMPLED_FRAMES) -> Steps[Image]:
        """Return the counts of every pixel, NaN where nothing was counted."""
        if self.inputs.image is not None:
            check_mask_shape(self.inputs.image, self.inputs.shape)
            image = np.asarray(self.inputs.image)
            return np.where(not_counted(image), np.nan, image)
        if self.inputs.frames is None:
            msg = "This needs counts, and there is neither an image nor a run of frames."
            raise MaskError(msg)
        return (yield from self.statistics_of(sample)).mean

    def axis(self, name: str) -> Float[Array, "row col"]:
        maps = self.inputs.maps
        if name in MAP_FIELDS and maps is None:
            msg = f"This needs {name} of every pixel, and the geometry is not known."
            raise MaskError(msg)
        fields = {field: getattr(maps, field, None) for field in MAP_FIELDS.values()}
        return axis_values(name, fields, self.inputs.shape, xp=self.xp)

    def center(self, row: float | None, col: float | None) -> tuple[float, float]:
        beam = self.inputs.center_px
        if (row is None or col is None) and beam is None:
            msg = "This needs the beam centre: type it, or give the geometry."
            raise MaskError(msg)
        at = beam or (0.0, 0.0)
        return at[0] if row is None else row, at[1] if col is None else col


_Rule = Generator[Progress, None, Any]


def _file(step: FileStep, used: Mask, look: _Look) -> _Rule:
    if look.inputs.read_file is None:
        msg = "Files of masks cannot be read here."
        raise MaskError(msg)
    yield Progress(0, 1, "files")
    return used & look.inputs.read_file(step)


def _painted(step: PaintedStep, used: Mask, look: _Look) -> _Rule:
    yield from ()
    shape = look.inputs.shape
    if step.shape != shape:
        msg = (
            f"This was painted on {step.shape[0]} x {step.shape[1]} pixels, the detector has "
            f"{shape[0]} x {shape[1]}."
        )
        raise MaskError(msg)
    return (used & ~unpack_pixels(step.masked, shape)) | unpack_pixels(step.used, shape)


def _threshold(step: ThresholdStep, used: Mask, look: _Look) -> _Rule:
    low = -np.inf if step.low is None else step.low
    high = np.inf if step.high is None else step.high
    if step.of == "maximum" and look.inputs.frames is not None:
        image = (yield from look.statistics_of(step.frames)).maximum
    else:
        image = yield from look.image(step.frames)
    return used & ensure_numpy(threshold_mask(image, low, high, xp=look.xp))


def _shapes(step: ShapesStep, used: Mask, look: _Look) -> _Rule:
    inside = np.zeros(look.inputs.shape, dtype=bool)
    for done, region in enumerate(step.shapes):
        yield Progress(done, len(step.shapes), "shapes")
        inside |= region_mask(region, look.inputs.shape, look.inputs.maps, xp=look.xp)
    if not inside.any():
        msg = "The shapes hold no pixel of the detector."
        raise MaskError(msg)
    return used & (inside if step.keep else ~inside)


def _constraint(step: ConstraintStep, used: Mask, look: _Look) -> _Rule:
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


def _defects(step: DefectsStep, used: Mask, look: _Look) -> _Rule:
    statistics = yield from look.statistics_of(step.frames)
    kept = _without_dead(statistics, used, look) if step.dead else used
    yield Progress(0, 1, "hot pixels")
    return kept & ~hot_pixels(statistics, kept, step.cutoff) if step.hot else kept


def _without_dead(statistics: PixelStatistics, used: Mask, look: _Look) -> Mask:
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


def _outliers(step: OutliersStep, used: Mask, look: _Look) -> _Rule:
    image = yield from look.image()
    judged = used & np.isfinite(image)
    if step.within == "ring":
        regions = ring_regions(ensure_numpy(look.axis("q")), judged, step.rings)
    else:
        regions = tile_regions(look.inputs.shape, step.tile_px)
        judged = judged & (image > 0)
    return used & ~(yield from outlier_pixels(image, regions, judged, step.rule, step.cutoff))


def _morphology(step: MorphologyStep, used: Mask, _: _Look) -> _Rule:
    yield Progress(0, 1, "morphology")
    return ~MORPHOLOGY[step.operation](~used, step.pixels)


def _gaps(step: GapsStep, used: Mask, look: _Look) -> _Rule:
    empty = ~used
    if look.inputs.image is not None or look.inputs.frames is not None:
        image = yield from look.image()
        empty = empty | np.isnan(image)
        if step.value is not None:
            empty |= image == step.value
    lines = (np.asarray(empty.all(axis=axis, keepdims=True)) for axis in (1, 0))
    rows, cols = (grown(line, step.margin_px) for line in lines)
    return used & ~(rows | cols)


def _symmetry(step: SymmetryStep, used: Mask, look: _Look) -> _Rule:
    yield Progress(0, 1, "symmetry")
    return used & ~mirrored(~used, look.center(step.center_row_px, step.center_col_px))


def _beam_stop(step: BeamStopStep, used: Mask, look: _Look) -> _Rule:
    yield Progress(0, 1, "beam stop")
    center = look.center(step.center_row_px, step.center_col_px)
    return used & ~disc_pixels(look.inputs.shape, center, step.radius_px)


_RULES: Mapping[type[MaskStep], Callable[[Any, Mask, _Look], _Rule]] = {
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
