"""Do the steps of a mask one after the other, and tell what each of them took away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_xpcs._typing import Mask
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import MaskError, XpcsError
from napari_xpcs.kernels.mask_inputs import Look, MaskInputs
from napari_xpcs.kernels.mask_rules import RULES
from napari_xpcs.kernels.mask_steps import (
    BeamStopStep,
    ConstraintStep,
    MaskStep,
    OutliersStep,
    ShapesStep,
    SymmetryStep,
)
from napari_xpcs.kernels.pixel_statistics import PixelStatistics
from napari_xpcs.progress import Progress, Steps, run


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
    look = Look(inputs, statistics, xp, [])
    used = after[-1] if after else np.ones(inputs.shape, dtype=bool)
    for position, step in enumerate(steps[same:], start=same):
        yield Progress(position, len(steps), "mask steps")
        outcome = StepOutcome()
        look.notes.clear()
        if step.enabled:
            try:
                found: Mask = yield from RULES[type(step)](step, used, look)
                if not found.any() and used.any():
                    msg = "This would mask every pixel."
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
