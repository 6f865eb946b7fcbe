"""What runs beside each other are drawn and described by: lines, sentences, short names."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float

from napari_xpcs.io.run_summary import FILE, RunSummary
from napari_xpcs.kernels.same_bins import SAME_NUMBER

NAMED = 2
"""So many of many runs are named in a sentence."""

_ENDINGS = re.compile(r"_results?$")

Runs: TypeAlias = Sequence[RunSummary]
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One curve: its name, the file it is of, and numbers in the units of the axes.

    ``error`` is one standard deviation, NaN where it is not known.
    """

    name: str
    path: Path
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


def runs_having(
    runs: Runs, part: Callable[[RunSummary], Part | None], what: str
) -> tuple[list[tuple[RunSummary, str, Part]], list[str]]:
    """Return the runs that hold a part, with short names; and sentences on the others."""
    kept: list[tuple[RunSummary, str, Part]] = []
    said = Said()
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


def other_exposures(runs: Runs) -> list[str]:
    """Return a sentence where the runs were not exposed alike, so that their counts are not."""
    known = [run.count_time_s for run in runs if run.count_time_s is not None]
    if not known or np.isclose(min(known), max(known), rtol=SAME_NUMBER, atol=0.0):
        return []
    return [
        f"Frames were exposed from {min(known):.4g} to {max(known):.4g} s: counts per frame differ "
        "by that alone."
    ]


class Said:
    """Runs by what is said of them."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, text: str, name: str) -> None:
        """Say ``text`` of a run."""
        self._names.setdefault(text, []).append(name)

    def sentences(self, ending: str) -> list[str]:
        """Return a sentence for each text, with the runs that it is said of."""
        return [f"{named(names)}: {text}{ending}" for text, names in self._names.items()]


def named(names: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    if len(names) <= NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
