"""Whether the counts, or I(q), stay the same within runs and from run to run."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from napari_xpcs.io.run_summary import PROFILE, TIMES, RunSummary
from napari_xpcs.kernels.radial_profile import RadialProfile
from napari_xpcs.kernels.same_bins import SAME_NUMBER
from napari_xpcs.kernels.stability import Drift, drift
from napari_xpcs.pipeline.comparison import (
    NAMED,
    Comparison,
    Line,
    Part,
    Runs,
    named,
    other_exposures,
    runs_having,
)

LARGEST_CHANCE = 0.01
"""A change that scatter alone makes in one of a hundred cases is one."""

TIME_PARTS = 10
"""The counts of a run are compared between so many equal parts of it."""


def compare_times(runs: Runs, *, relative: bool = False) -> Comparison:
    """Return I(t) of the runs, and by how much the counts change within one.

    Parameters
    ----------
    relative
        Every run beside its own mean: runs of other brightness are else flat lines.
    """
    kept, remarks = runs_having(runs, lambda run: run.intensity, TIMES)
    alone = len(kept) == 1
    lines = []
    for run, name, series in kept:
        unit = float(series.mean.mean()) if relative else 1.0
        if not unit > 0:
            remarks.append(f"{name}: nothing was counted, so that there is no mean to divide by.")
            continue
        error = series.error / unit if alone else None
        y = series.mean / unit
        lines.append(Line(name=name, path=run.path, x=series.time_s, y=y, error=error))
    if not relative:
        remarks += other_exposures([run for run, _, _ in kept])
    long = [(name, series) for _, name, series in kept if len(series.mean) >= TIME_PARTS]
    findings: tuple[str, ...] = ()
    if long:
        parts = [[part.mean() for part in np.array_split(one.mean, TIME_PARTS)] for _, one in long]
        names = [f"in {name}" for name, _ in long]
        change = drift(np.array(parts).T)
        findings = (_finding("Counts within a run", change, names, f"{TIME_PARTS} parts"),)
    return Comparison(
        lines=tuple(lines),
        x_label="time from the first frame (s)",
        y_label="I(t) / mean of the run" if relative else "counts per pixel and frame",
        title="I(t), mean of all used pixels",
        log="",
        level=1.0 if relative else None,
        findings=findings,
        remarks=tuple(remarks),
    )


def compare_segments(runs: Runs) -> Comparison:
    """Return how I(q) changes within each run, by its segments in time.

    Of one run every segment beside their mean; of several the change from the first segment to
    the last with its error.
    """
    kept, remarks = runs_having(runs, lambda run: run.segments, "I(q) of its segments in time")
    rest = [name for run, name, _ in kept if not run.segments_in_counts]
    if rest:
        remarks.append(
            f"{named(rest)}: the segments are stored in other units than I(q). They show by how "
            "much the shape changes; I(t) shows by how much the counts do."
        )
    changes = [drift(segments) for _, _, segments in kept]
    findings = tuple(
        _finding(f"I(q) within {name}", change, _at(_q(run)), f"{change.parts} segments")
        for change, (run, name, _) in _surest(changes, kept)
    )
    if len(changes) > len(findings):
        moved = sum(change.chance < LARGEST_CHANCE for change in changes)
        findings += (f"{moved} of {len(changes)} runs change by more than scatter makes.",)
    if len(kept) == 1:
        run, name, segments = kept[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = segments / segments.mean(axis=0)
        number = len(segments)
        lines = tuple(
            Line(name=f"segment {k + 1} of {number}", path=run.path, x=_q(run), y=row)
            for k, row in enumerate(relative)
        )
        title, label, level = f"{name}, segments in time", "I(q) / mean of the segments", 1.0
    else:
        lines = tuple(
            Line(
                name=name,
                path=run.path,
                x=_q(run),
                y=100 * change.change,
                error=100 * change.error,
            )
            for change, (run, name, _) in zip(changes, kept, strict=True)
        )
        title, label, level = "first to last segment", "change of I(q) (%)", 0.0
    return Comparison(
        lines=lines,
        x_label="q (1/Å)",
        y_label=label,
        title=title,
        level=level,
        findings=findings,
        remarks=tuple(remarks),
    )


def compare_drift(runs: Runs) -> Comparison:
    """Return I(q) of every run beside the mean of the runs, in their order."""
    kept, remarks = runs_having(runs, lambda run: run.profile, PROFILE)
    same: list[tuple[str, RadialProfile]] = []
    other: list[str] = []
    compared: list[RunSummary] = []
    for run, name, profile in kept:
        if not same or _same_rings(same[0][1], profile):
            same.append((name, profile))
            compared.append(run)
        else:
            other.append(name)
    remarks += other_exposures(compared)
    if other:
        remarks.append(
            f"{named(other)}: the static bins lie at another q than those "
            f"of {same[0][0]}, not compared."
        )
    if len(same) < 2:
        remarks.append("Select two runs or more with the same static bins to compare them.")
        same = []
    lines: tuple[Line, ...] = ()
    findings: tuple[str, ...] = ()
    if same:
        q = same[0][1].q
        profiles = np.stack([profile.intensity for _, profile in same])
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = profiles / profiles.mean(axis=0)
        lines = tuple(
            Line(name=name, path=run.path, x=q, y=row)
            for run, (name, _), row in zip(compared, same, relative, strict=True)
        )
        findings = (
            _finding("I(q) of the runs", drift(profiles), _at(q), f"{len(same)} runs"),
            _finding("Sum over all q", drift(_totals(same)), [""], f"{len(same)} runs"),
        )
    return Comparison(
        lines=lines,
        x_label="q (1/Å)",
        y_label="I(q) / mean of the runs",
        title="run by run",
        level=1.0,
        findings=findings,
        remarks=tuple(remarks),
    )


def _surest(
    changes: Sequence[Drift], kept: Sequence[tuple[RunSummary, str, Part]]
) -> list[tuple[Drift, tuple[RunSummary, str, Part]]]:
    """Return the few runs whose change is least likely to be scatter."""
    pairs = list(zip(changes, kept, strict=True))
    return sorted(pairs, key=lambda pair: np.nan_to_num(pair[0].chance, nan=2.0))[:NAMED]


def _finding(what: str, change: Drift, where: Sequence[str], parts: str) -> str:
    """Return the strongest change with its error, and whether scatter makes one like it."""
    strongest = change.strongest
    if strongest is None:
        known = np.isfinite(change.change)
        if not known.any():
            return f"{what}: no change is known."
        largest = int(np.nanargmax(np.abs(change.change)))
        told = f"{100 * change.change[largest]:+.3g} % {where[largest]}".rstrip()
        return f"{what}: at most {told} among {parts}; an error of it takes three or more."
    value, error = 100 * change.change[strongest], 100 * change.error[strongest]
    digits = max(1 - int(np.floor(np.log10(error))), 0)
    text = f"{value:+.{digits}f} ± {error:.{digits}f} %"
    told = f"{what}: {text} from the first to the last of {parts} {where[strongest]}".rstrip()
    if change.chance < LARGEST_CHANCE:
        return f"{told}, more than scatter makes."
    many = f" among {change.known}" if change.known > 1 else ""
    return f"{told}, as scatter makes by itself{many} (chance {change.chance:.0%})."


def _totals(runs: Sequence[tuple[str, RadialProfile]]) -> Float[np.ndarray, "run one"]:
    """Return the counts per frame of all bins, of those that every run knows."""
    intensity = np.stack([profile.intensity for _, profile in runs])
    known = np.isfinite(intensity).all(axis=0)
    total: np.ndarray = intensity[:, known] @ runs[0][1].pixels[known]
    return total[:, None]


def _same_rings(one: RadialProfile, other: RadialProfile) -> bool:
    return len(one.q) == len(other.q) and np.allclose(one.q, other.q, rtol=SAME_NUMBER, atol=0.0)


def _q(run: RunSummary) -> Float[np.ndarray, " q"]:
    assert run.profile is not None  # segments are read at the q of the profile
    return run.profile.q


def _at(q: Float[np.ndarray, " q"]) -> list[str]:
    return [f"at q = {one:.4g} 1/Å" for one in q]
