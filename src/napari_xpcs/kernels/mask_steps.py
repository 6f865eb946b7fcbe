"""A mask as the product of a list of steps: what each kind of step is.

A step says what is asked for, as numbers and words; :mod:`napari_xpcs.kernels.mask_of_steps`
does it, and :mod:`napari_xpcs.kernels.mask_step_dicts` writes it down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from napari_xpcs.errors import MaskError
from napari_xpcs.kernels.mask_parameters import Condition, Parameter, ParameterType
from napari_xpcs.kernels.regions import Region

SAMPLED_FRAMES = 100
"""Frames, evenly spread over a run, that stand for all of it unless more are asked for."""


def _parameter(default: Any, type_: ParameterType, label: str, help_: str, **more: Any) -> Any:
    return field(
        default=default, metadata={"of": Parameter(type=type_, label=label, help=help_, **more)}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskStep:
    """One step.  ``enabled`` False: it stays in the list and does nothing.

    Raises
    ------
    MaskError
        A parameter is not what it can be; the message names it.
    """

    kind: ClassVar[str]
    title: ClassVar[str]

    enabled: bool = True

    def __post_init__(self) -> None:
        for name, parameter in self.parameters().items():
            try:
                value = parameter.checked(getattr(self, name))
            except ValueError as fault:
                msg = f"{self.kind}.{name}: {fault}"
                raise MaskError(msg) from None
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        """Refuse parameters that contradict each other."""

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """Return the parameters by name, in the order in which they are shown."""
        return {entry.name: entry.metadata["of"] for entry in fields(cls) if "of" in entry.metadata}


_FRAMES_HELP = "Frames to look at, spread evenly over the run; 0: all of them."


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStep(MaskStep):
    """The mask in a file."""

    kind: ClassVar[str] = "file"
    title: ClassVar[str] = "File"

    path: str = _parameter("", "file", "File", "npy, tif, edf, cbf, msk, mask or HDF5.")
    ones: str = _parameter(
        "auto",
        "choice",
        "1 means",
        "What pixels that are not 0 mean; auto: what the format says, or the rarer ones are bad.",
        choices=("auto", "good", "bad"),
    )
    dataset: str | None = _parameter(
        None, "text", "Dataset", "Only for HDF5 with the mask at an unusual place.", optional=True
    )

    def _check(self) -> None:
        if not self.path:
            msg = "file.path: name the file of the mask."
            raise MaskError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintedStep(MaskStep):
    """Pixels set by hand on top of the steps before: some masked, some used again."""

    kind: ClassVar[str] = "painted"
    title: ClassVar[str] = "Painted"

    shape: tuple[int, int] = _parameter((0, 0), "size", "Detector", "Rows and columns.")
    masked: str = _parameter("", "pixels", "Masked", "Pixels that were masked, packed.")
    used: str = _parameter("", "pixels", "Used", "Pixels that were made used again, packed.")
    source: str = _parameter("", "text", "From", "Where the pixels came from.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdStep(MaskStep):
    """Keep ``low <= counts < high``."""

    kind: ClassVar[str] = "threshold"
    title: ClassVar[str] = "Threshold"

    low: float | None = _parameter(
        None, "number", "Keep from", "Counts below are masked; empty: no limit.", optional=True,
        unit="counts",
    )  # fmt: skip
    high: float | None = _parameter(
        None, "number", "to below", "Counts from here on are masked; empty: no limit.",
        optional=True, unit="counts",
    )  # fmt: skip
    of: str = _parameter(
        "mean",
        "choice",
        "Of the",
        "mean: average count of the frames; maximum: the highest count in any frame.",
        choices=("mean", "maximum"),
    )
    frames: int = _parameter(SAMPLED_FRAMES, "whole", "Frames", _FRAMES_HELP, low=0.0)

    def _check(self) -> None:
        if self.low is None and self.high is None:
            msg = "threshold: give low, high, or both."
            raise MaskError(msg)
        if self.low is not None and self.high is not None and not self.low < self.high:
            msg = f"threshold: low must be below high, got {self.low:g} and {self.high:g}."
            raise MaskError(msg)


def saturated(dtype: np.dtype[Any]) -> ThresholdStep | None:
    """Return the step that leaves out pixels at the top of ``dtype``, if that has a top."""
    if np.dtype(dtype).kind not in "iu":
        return None
    return ThresholdStep(high=float(np.iinfo(dtype).max), of="maximum")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapesStep(MaskStep):
    """Shapes drawn on the image."""

    kind: ClassVar[str] = "shapes"
    title: ClassVar[str] = "Shapes"

    keep: bool = _parameter(
        False, "flag", "Keep only the inside", "Mask all but the inside of the shapes."
    )
    shapes: tuple[Region, ...] = _parameter((), "shapes", "Shapes", "Taken from a layer.")

    def _check(self) -> None:
        if not self.shapes:
            msg = "shapes.shapes: at least one shape is needed."
            raise MaskError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintStep(MaskStep):
    """Keep the pixels whose q, phi, x, y, qx, qy or 2 theta obeys conditions."""

    kind: ClassVar[str] = "constraint"
    title: ClassVar[str] = "q / phi / x / y"

    conditions: tuple[Condition, ...] = _parameter(
        (), "conditions", "Keep", "Pixels for which all of this holds are kept."
    )

    def _check(self) -> None:
        if not self.conditions:
            msg = "constraint.conditions: at least one condition is needed."
            raise MaskError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectsStep(MaskStep):
    """Pixels that never count, or that count unlike their surroundings, over the frames."""

    kind: ClassVar[str] = "defects"
    title: ClassVar[str] = "Hot and dead pixels"

    dead: bool = _parameter(True, "flag", "Dead", "Pixels with zero counts in every frame.")
    hot: bool = _parameter(
        True, "flag", "Hot", "Pixels whose mean or variance is far above that of the tile around."
    )
    cutoff: float = _parameter(
        10.0, "number", "Hot from", "Distance from the median of the tile, in robust standard "
        "deviations (1.4826 MAD, at least that of photon noise).", low=0.0, unit="sigma",
    )  # fmt: skip
    frames: int = _parameter(SAMPLED_FRAMES, "whole", "Frames", _FRAMES_HELP, low=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutliersStep(MaskStep):
    """Pixels far from the others of their q ring or tile."""

    kind: ClassVar[str] = "outliers"
    title: ClassVar[str] = "Outliers"

    within: str = _parameter(
        "ring", "choice", "Within", "Rings of equal width in q, or square tiles.",
        choices=("ring", "tile"),
    )  # fmt: skip
    rings: int = _parameter(
        180, "whole", "Rings", "Number of rings over the range of q.", low=1.0,
        only_with=("within", "ring"),
    )  # fmt: skip
    tile_px: int = _parameter(
        32, "whole", "Tile", "Side of a tile; what is left over at the edge stays.", low=2.0,
        unit="px", only_with=("within", "tile"),
    )  # fmt: skip
    rule: str = _parameter(
        "mad", "choice", "Rule",
        "mad: distance from the median, in median absolute deviations; percentile: from the mean, "
        "in standard deviations, both of the values between the 5 and 95 % percentiles.",
        choices=("mad", "percentile"),
    )  # fmt: skip
    cutoff: float = _parameter(
        10.0, "number", "Cutoff", "Distance from which a pixel is masked, in units of the rule.",
        low=0.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphologyStep(MaskStep):
    """Change the outline of what the steps before have masked."""

    kind: ClassVar[str] = "morphology"
    title: ClassVar[str] = "Grow, shrink, clean"

    operation: str = _parameter(
        "grow", "choice", "Do",
        "grow, shrink: the masked areas; open: shrink, then grow; close: grow, then shrink; "
        "remove specks: use masked groups again that are smaller; "
        "remove islands: mask used groups that are smaller.",
        choices=("grow", "shrink", "open", "close", "remove specks", "remove islands"),
    )  # fmt: skip
    pixels: int = _parameter(
        1, "whole", "By", "Distance in pixels; for specks and islands the number of pixels from "
        "which a group stays.", low=1.0, unit="px",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GapsStep(MaskStep):
    """Rows and columns in which no pixel counts: the gaps between modules."""

    kind: ClassVar[str] = "gaps"
    title: ClassVar[str] = "Module gaps"

    value: float | None = _parameter(
        None, "number", "Gaps hold", "Count that fills the gaps; empty: what stands for "
        "\"no value\", or pixels that the steps before have masked.", optional=True, unit="counts",
    )  # fmt: skip
    margin_px: int = _parameter(
        0, "whole", "Margin", "Rows and columns masked on either side of a gap.", low=0.0, unit="px"
    )


_BEAM = "Empty: the direct beam."


@dataclass(frozen=True, slots=True, kw_only=True)
class SymmetryStep(MaskStep):
    """Mask also what lies opposite, seen from the beam, of what the steps before have masked."""

    kind: ClassVar[str] = "symmetry"
    title: ClassVar[str] = "Symmetric copy"

    center_row_px: float | None = _parameter(
        None, "number", "Centre row", _BEAM, optional=True, unit="px"
    )
    center_col_px: float | None = _parameter(
        None, "number", "Centre column", _BEAM, optional=True, unit="px"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamStopStep(MaskStep):
    """A disc."""

    kind: ClassVar[str] = "beam-stop"
    title: ClassVar[str] = "Beam stop"

    radius_px: float = _parameter(15.0, "number", "Radius", "Of the disc.", low=0.0, unit="px")
    center_row_px: float | None = _parameter(
        None, "number", "Centre row", _BEAM, optional=True, unit="px"
    )
    center_col_px: float | None = _parameter(
        None, "number", "Centre column", _BEAM, optional=True, unit="px"
    )


STEP_KINDS: Mapping[str, type[MaskStep]] = {
    step.kind: step
    for step in (
        FileStep,
        ThresholdStep,
        ShapesStep,
        ConstraintStep,
        DefectsStep,
        OutliersStep,
        MorphologyStep,
        GapsStep,
        SymmetryStep,
        BeamStopStep,
        PaintedStep,
    )
}
"""Steps by the word that names them in files."""

THRESHOLD_PRESETS: Mapping[str, ThresholdStep] = {
    "0 and more": ThresholdStep(low=0.0),
    "1 and more": ThresholdStep(low=1.0),
} | {
    f"saturated, {name}": ThresholdStep(high=float(top), of="maximum")
    for name, top in (
        ("8 bit", 2**8 - 1),
        ("12 bit", 2**12 - 1),
        ("16 bit", 2**16 - 1),
        ("32 bit", 2**32 - 1),
        ("signed 8 bit", 2**7 - 1),
        ("signed 16 bit", 2**15 - 1),
        ("signed 32 bit", 2**31 - 1),
    )
}
"""Thresholds that are often wanted: no negative counts, no pixel at the top of its type."""
