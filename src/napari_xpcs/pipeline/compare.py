"""Runs beside each other: g2 of like bins, and I(q)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import XpcsError
from napari_xpcs.io.run_summary import FILE, G2, PROFILE, RunSummary, read_summary
from napari_xpcs.kernels.curves import G2Curves, bin_text
from napari_xpcs.kernels.same_bins import SAME_Q, delay_differences, same_bin, table_differences
from napari_xpcs.pipeline.comparison import (
    Comparison,
    Line,
    Runs,
    Said,
    named,
    other_exposures,
    runs_having,
)
from napari_xpcs.progress import Progress, Steps


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


def compare_g2(runs: Runs, label: int, *, errors: bool = True) -> Comparison:
    """Return g2 of one bin of the first run that has g2, and of the like bins of the others.

    Parameters
    ----------
    label
        Of the bin in that first run.
    errors
        With error bars.
    """
    kept, remarks = runs_having(runs, lambda run: run.curves, G2)
    lines, other_bins, other_delays, absent = [], Said(), Said(), []
    title = ""
    first: G2Curves | None = None
    for run, name, curves in kept:
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
        line = _g2_line(shown, run.path, curves, column, errors)
        if len(line.x):
            lines.append(line)
        else:
            remarks.append(f"{name}: nothing was counted in this bin.")
    reference = kept[0][1] if kept else ""
    remarks += other_bins.sentences(
        f" (beside {reference}). Drawn is the bin nearest in q, which the legend tells."
    )
    if absent:
        remarks.append(f"{named(absent)}: no bin within {SAME_Q:.0%} of this q, not drawn.")
    remarks += other_delays.sentences(f" (beside {reference}). Each is drawn at its own.")
    return Comparison(
        lines=tuple(lines),
        x_label="delay (s)",
        y_label="g2",
        title=title,
        remarks=tuple(remarks),
    )


def _g2_line(name: str, path: Path, curves: G2Curves, column: int, errors: bool) -> Line:
    g2 = curves.g2[:, column]
    counted = np.isfinite(g2) & (curves.delay_s > 0)
    error = curves.error[counted, column]
    known = np.where(np.isfinite(error), error, np.nan) if errors else None
    return Line(name=name, path=path, x=curves.delay_s[counted], y=g2[counted], error=known)


def compare_profiles(runs: Runs) -> Comparison:
    """Return I(q) of the runs."""
    kept, remarks = runs_having(runs, lambda run: run.profile, PROFILE)
    remarks += other_exposures([run for run, _, _ in kept])
    lines = tuple(
        Line(name=name, path=run.path, x=profile.q, y=_above_zero(profile.intensity))
        for run, name, profile in kept
    )
    return Comparison(
        lines=lines,
        x_label="q (1/Å)",
        y_label="counts per pixel and frame",
        title="I(q) of the static bins",
        log="xy",
        remarks=tuple(remarks),
    )


def _above_zero(values: Float[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
    """Return NaN where a logarithm has nothing to show."""
    return np.where(values > 0, values, np.nan)
