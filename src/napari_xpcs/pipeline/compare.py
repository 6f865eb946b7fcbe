"""Runs beside each other: what is drawn, with units, and what is to be said about it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import XpcsError
from napari_xpcs.io.run_summary import FILE, PROFILE, TIMES, RunSummary, read_summary
from napari_xpcs.kernels.curves import G2Curves, bin_text
from napari_xpcs.kernels.radial_profile import RadialProfile, block_means
from napari_xpcs.kernels.same_bins import (
    SAME_NUMBER,
    SAME_Q,
    delay_differences,
    same_bin,
    table_differences,
)
from napari_xpcs.kernels.stability import Drift, drift
from napari_xpcs.progress import Progress, Steps

LARGEST_CHANCE = 0.01
"""A change that scatter alone makes in one of a hundred cases is one."""

TIME_PARTS = 10
"""The counts of a run are compared between so many equal parts of it."""

_ENDINGS = re.compile(r"_results?$")
_NAMED = 2

Runs: TypeAlias = Sequence[RunSummary]
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One curve: its name, and numbers in the units of the axes; ``error`` where it is known."""

    name: str
    x: Float[np.ndarray, " point"]
    y: Float[np.ndarray, " point"]
    error: Float[np.ndarray, " point"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """What to draw and what to say.

    Parameters
    ----------
    lines
        In the order of the runs or of time.
    x_label, y_label
        With units.
    log
        Which axes are logarithmic: "", "x" or "xy".
    level
        Where nothing changes, drawn as a line; ``None`` without one.
    findings
        Sentences with the numbers that the comparison is about.
    remarks
        Sentences on runs that differ or are left out.
    """

    lines: tuple[Line, ...]
    x_label: str
    y_label: str
    title: str = ""
    log: str = "x"
    level: float | None = None
    findings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def read_runs(
    paths: Sequence[Path],
    before: Mapping[Path, RunSummary] | None = None,
    *,
    xp: BackendProtocol,
) -> Steps[dict[Path, RunSummary]]:
    """Read what is compared of every file; one that cannot be read holds nothing but the reason.

    Parameters
    ----------
    before
        Runs that need not be read again.
    """
    runs: dict[Path, RunSummary] = {}
    for number, path in enumerate(paths):
        yield Progress(number, len(paths), "runs")
        if before is not None and path in before:
            runs[path] = before[path]
            continue
        try:
            runs[path] = read_summary(path, xp=xp)
        except XpcsError as fault:
            runs[path] = RunSummary(path=path, problems={FILE: str(fault)})
    yield Progress(len(paths), len(paths), "runs")
    return runs


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return names that tell files apart: without what all of them begin with.

    >>> short_names([Path("B0147_r00001_results.hdf"), Path("B0147_r00002_results.hdf")])
    ['r00001', 'r00002']
    >>> short_names([Path("silica_results.hdf")])
    ['silica']
    """
    stems = [_ENDINGS.sub("", path.stem) for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{path.parent.name}/{stem}" for path, stem in zip(paths, stems, strict=True)]
    if len(stems) < 2:
        return stems
    letters = enumerate(zip(*stems, strict=False))
    end = next((k for k, several in letters if len(set(several)) > 1), 0)
    start = 1 + max(stems[0].rfind(sign, 0, end) for sign in "_- /.")
    cut = [stem[start:] for stem in stems]
    return cut if all(cut) else stems


def compare_g2(runs: Runs, label: int, *, errors: bool = True) -> Comparison:
    """Return g2 of one bin of the first run that has g2, and of the like bins of the others.

    Parameters
    ----------
    label
        Of the bin in that first run.
    errors
        With error bars.
    """
    kept, remarks = _having(runs, lambda run: run.curves, "g2")
    lines, other_bins, other_delays, absent = [], _Said(), _Said(), []
    title = ""
    first: G2Curves | None = None
    for _, name, curves in kept:
        if first is None:
            first = curves
        found = np.flatnonzero(first.bins.label == label)
        if not found.size:
            break
        column: int | None = int(found[0])
        title = title or bin_text(first.bins, int(found[0]))
        shown = name
        difference = next(table_differences(first.bins, curves.bins), "")
        if difference:
            column = same_bin(first, int(found[0]), curves)
            other_bins.add(difference, name)
        if column is None:
            absent.append(name)
            continue
        if difference:
            shown = f"{name}, {bin_text(curves.bins, column)}"
        for difference in delay_differences(first.delay_s, curves.delay_s):
            other_delays.add(difference, name)
        line = _g2_line(shown, curves, column, errors)
        if len(line.x):
            lines.append(line)
        else:
            remarks.append(f"{name}: nothing was counted in this bin.")
    reference = kept[0][1] if kept else ""
    remarks += other_bins.sentences(
        f" (beside {reference}). Drawn is the bin nearest in q, which the legend tells."
    )
    if absent:
        remarks.append(f"{_named(absent)}: no bin within {SAME_Q:.0%} of this q, not drawn.")
    remarks += other_delays.sentences(f" (beside {reference}). Each is drawn at its own.")
    return Comparison(
        lines=tuple(lines),
        x_label="delay (s)",
        y_label="g2",
        title=title,
        remarks=tuple(remarks),
    )


def _g2_line(name: str, curves: G2Curves, column: int, errors: bool) -> Line:
    g2 = curves.g2[:, column]
    counted = np.isfinite(g2) & (curves.delay_s > 0)
    error = np.nan_to_num(curves.error[:, column][counted]) if errors else None
    return Line(name=name, x=curves.delay_s[counted], y=g2[counted], error=error)


def compare_profiles(runs: Runs) -> Comparison:
    """Return I(q) of the runs."""
    kept, remarks = _having(runs, lambda run: run.profile, PROFILE)
    lines = tuple(
        Line(name=name, x=profile.q, y=_above_zero(profile.intensity)) for _, name, profile in kept
    )
    return Comparison(
        lines=lines,
        x_label="q (1/Å)",
        y_label="counts per pixel and frame",
        title="I(q) of the static bins",
        log="xy",
        remarks=tuple(remarks),
    )


def compare_times(runs: Runs) -> Comparison:
    """Return I(t) of the runs, and by how much the counts change within one."""
    kept, remarks = _having(runs, lambda run: run.intensity, TIMES)
    alone = len(kept) == 1
    lines = tuple(
        Line(name=name, x=series.time_s, y=series.mean, error=series.error if alone else None)
        for _, name, series in kept
    )
    long = [(name, series) for _, name, series in kept if len(series.mean) >= TIME_PARTS]
    findings: tuple[str, ...] = ()
    if long:
        parts = [block_means(one.time_s, one.mean, TIME_PARTS).mean for _, one in long]
        shortest = min(map(len, parts))
        change = drift(np.stack([part[:shortest] for part in parts], axis=1))
        names = [f"in {name}" for name, _ in long]
        findings = (_finding("Counts within a run", change, names, f"{shortest} parts"),)
    return Comparison(
        lines=lines,
        x_label="time from the first frame (s)",
        y_label="counts per pixel and frame",
        title="I(t), mean of all used pixels",
        log="",
        findings=findings,
        remarks=tuple(remarks),
    )


def compare_segments(runs: Runs) -> Comparison:
    """Return how I(q) changes within each run, by its segments in time.

    Of one run every segment beside their mean; of several the change from the first segment to
    the last with its error.
    """
    kept, remarks = _having(runs, lambda run: run.segments, "I(q) of its segments in time")
    rest = [name for run, name, _ in kept if not run.segments_in_counts]
    if rest:
        remarks.append(
            f"{_named(rest)}: the segments are stored in other units than I(q). They show by how "
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
            Line(name=f"segment {k + 1} of {number}", x=_q(run), y=row)
            for k, row in enumerate(relative)
        )
        title, label, level = f"{name}, segments in time", "I(q) / mean of the segments", 1.0
    else:
        lines = tuple(
            Line(name=name, x=_q(run), y=100 * change.change, error=100 * change.error)
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
    kept, remarks = _having(runs, lambda run: run.profile, PROFILE)
    same: list[tuple[str, RadialProfile]] = []
    other: list[tuple[str, RadialProfile]] = []
    for _, name, profile in kept:
        (same if not same or _same_rings(same[0][1], profile) else other).append((name, profile))
    if other:
        remarks.append(
            f"{_named([name for name, _ in other])}: the static bins lie at another q than those "
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
            Line(name=name, x=q, y=row) for (name, _), row in zip(same, relative, strict=True)
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


def _having(
    runs: Runs, part: Callable[[RunSummary], Part | None], what: str
) -> tuple[list[tuple[RunSummary, str, Part]], list[str]]:
    """Return the runs that hold a part, with short names; and sentences on the others."""
    kept: list[tuple[RunSummary, str, Part]] = []
    said = _Said()
    for run, name in zip(runs, short_names([run.path for run in runs]), strict=True):
        held = part(run)
        if held is not None:
            kept.append((run, name, held))
            if what in run.problems:
                said.add(run.problems[what], name)
        elif FILE in run.problems:
            said.add(run.problems[FILE], name)
        else:
            said.add(f"no {what}: {run.problems.get(what, 'the file holds none.')}", name)
    return kept, said.sentences("")


def _surest(
    changes: Sequence[Drift], kept: Sequence[tuple[RunSummary, str, Part]]
) -> list[tuple[Drift, tuple[RunSummary, str, Part]]]:
    """Return the few runs whose change is least likely to be scatter."""
    pairs = list(zip(changes, kept, strict=True))
    return sorted(pairs, key=lambda pair: np.nan_to_num(pair[0].chance, nan=2.0))[:_NAMED]


def _finding(what: str, change: Drift, where: Sequence[str], parts: str) -> str:
    """Return the strongest change with its error, and whether scatter makes one like it."""
    strongest = change.strongest
    if strongest is None:
        known = np.isfinite(change.change)
        if not known.any():
            return f"{what}: no change is known."
        largest = int(np.nanargmax(np.abs(change.change)))
        told = f"{100 * change.change[largest]:+.2g} % {where[largest]}".rstrip()
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


def _above_zero(values: Float[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
    """Return NaN where a logarithm has nothing to show."""
    return np.where(values > 0, values, np.nan)


class _Said:
    """Runs by what is said of them."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, text: str, name: str) -> None:
        self._names.setdefault(text, []).append(name)

    def sentences(self, ending: str) -> list[str]:
        return [f"{_named(names)}: {text}{ending}" for text, names in self._names.items()]


def _named(names: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
