"""Steps of a mask in a few words, for a list that is 300 px wide."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napari_xpcs.kernels import mask_steps
from napari_xpcs.kernels.axis_request import AXIS_UNITS
from napari_xpcs.kernels.mask_of_steps import StepOutcome
from napari_xpcs.kernels.mask_parameters import Condition
from napari_xpcs.kernels.mask_steps import MaskStep


def step_text(step: MaskStep) -> str:
    """Return what ``step`` does."""
    return _TEXTS[type(step)](step)


def outcome_text(step: MaskStep, outcome: StepOutcome | None, *, working: bool = False) -> str:
    """Return what ``step`` did, or why it did nothing; empty where that is not known."""
    if not step.enabled:
        return "off"
    if outcome is None:
        return "..." if working else ""
    if outcome.fault:
        return f"left out: {outcome.fault}"
    text = f"{thousands(outcome.removed)} px masked"
    if outcome.returned:
        text += f", {thousands(outcome.returned)} used again"
    return f"{text}. {outcome.note}" if outcome.note else text


def thousands(number: int) -> str:
    """Return ``number`` in groups of three digits."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _limits(low: float | None, name: str, high: float | None, upper: str = "≤") -> str:
    before = "" if low is None else f"{low:.10g} ≤ "
    after = "" if high is None else f" {upper} {high:.10g}"
    return f"{before}{name}{after}"


def _condition(condition: Condition) -> str:
    unit = AXIS_UNITS[condition.axis]
    if condition.axis == "phi" and condition.low is not None and condition.high is not None:
        text = f"phi from {condition.low:.10g} to {condition.high:.10g} {unit}"
    else:
        text = f"{_limits(condition.low, condition.axis, condition.high)} {unit}"
    return f"not ({text})" if condition.negate else text


def _conditions(step: mask_steps.ConstraintStep) -> str:
    first, *others = step.conditions
    return " ".join(["Keep", _condition(first), *(f"{c.join} {_condition(c)}" for c in others)])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _threshold(step: mask_steps.ThresholdStep) -> str:
    name = "counts" if step.of == "mean" else "maximum"
    return f"Keep {_limits(step.low, name, step.high, '<')}"


def _defects(step: mask_steps.DefectsStep) -> str:
    names = [name for name, on in (("dead", step.dead), ("hot", step.hot)) if on]
    frames = f"{step.frames} frames" if step.frames else "all frames"
    return f"{' and '.join(names).capitalize() or 'No'} pixels in {frames}"


def _outliers(step: mask_steps.OutliersStep) -> str:
    where = f"{step.rings} q rings" if step.within == "ring" else f"tiles of {step.tile_px} px"
    return f"Outliers in {where}, {step.rule} {step.cutoff:g}"


def _morphology(step: mask_steps.MorphologyStep) -> str:
    group = step.operation.startswith("remove")
    return f"{step.operation.capitalize()} {'below' if group else 'by'} {step.pixels} px"


def _disc(step: mask_steps.BeamStopStep) -> str:
    at_beam = step.center_row_px is None or step.center_col_px is None
    place = "" if at_beam else f" at {step.center_row_px:g}, {step.center_col_px:g}"
    return f"Beam stop, radius {step.radius_px:g} px{place}"


def _gaps(step: mask_steps.GapsStep) -> str:
    return f"Module gaps, margin {step.margin_px} px"


def _shapes(step: mask_steps.ShapesStep) -> str:
    return f"{'Keep only' if step.keep else 'Leave out'} {_count(len(step.shapes), 'shape')}"


BY_HAND = "by hand"
"""Source of strokes of the brush, among painted steps that come from files."""


def _painted(step: mask_steps.PaintedStep) -> str:
    return f"Painted {BY_HAND}" if step.source in ("", BY_HAND) else f"Masked {step.source}"


_TEXTS: Mapping[type[MaskStep], Callable[[Any], str]] = {
    mask_steps.FileStep: lambda step: f"File {Path(step.path).name}",
    mask_steps.ThresholdStep: _threshold,
    mask_steps.ShapesStep: _shapes,
    mask_steps.ConstraintStep: _conditions,
    mask_steps.DefectsStep: _defects,
    mask_steps.OutliersStep: _outliers,
    mask_steps.MorphologyStep: _morphology,
    mask_steps.GapsStep: _gaps,
    mask_steps.SymmetryStep: lambda _: "Copy to the opposite side of the beam",
    mask_steps.BeamStopStep: _disc,
    mask_steps.PaintedStep: _painted,
}
