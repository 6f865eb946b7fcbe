"""Result files of repeats, read one after the other into what their average is made of."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xpcs.errors import AverageError, FileFormatError
from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.open import open_path
from napari_xpcs.io.repeats import require_repeat
from napari_xpcs.kernels.average import AveragedG2, average_g2, baseline
from napari_xpcs.kernels.partition import Partition

if TYPE_CHECKING:
    from napari_xpcs.kernels.curves import G2Curves


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A file that was to be averaged.

    Parameters
    ----------
    baseline
        Mean g2 over the longest delays and all bins, NaN without g2.
    left_out
        Why it does not enter the average, empty for a file that does.
    chi2
        How far it is off the average: 1 as far as the errors tell, NaN where it is unknown.
    """

    path: Path
    baseline: float = float("nan")
    left_out: str = ""
    chi2: float = float("nan")


class GatheredRepeats:
    """What the files read so far hold."""

    def __init__(self, baseline_range: tuple[float, float] | None) -> None:
        self._range = baseline_range
        self._first: ResultFile | None = None
        self._template: ResultFile | None = None
        self.repeats: list[Repeat] = []
        self.curves: list[G2Curves] = []
        self.raw: list[str] = []
        self.intensities: list[np.ndarray] = []
        self._means = {
            name: _Mean() for name in ("scattering", "scattering_1d", "scattering_1d_segments")
        }

    def take(self, path: Path) -> None:
        """Read a file and add it, or note why it is left out."""
        try:
            opened = open_path(path)
        except FileFormatError as fault:
            if not path.is_file():
                raise
            self.repeats.append(Repeat(path=path, left_out=str(fault)))
            return
        if not isinstance(opened, ResultFile):
            msg = f"{path} holds no results to average; `napari-xpcs info` tells what it holds."
            raise AverageError(msg)
        if opened.partition is None:
            reason = " ".join(opened.problems) or "It holds no bins."
            self.repeats.append(Repeat(path=path, left_out=reason))
            return
        if self._first is None:
            # It stands for the others, so what is compared is kept and what is big is not.
            self._first = replace(opened, scattering=None)
            if opened.curves is None and self._range is not None:
                msg = f"{path.name} holds no g2, so it has no baseline to judge it by."
                raise AverageError(msg)
        first = self._first
        if opened.curves is None and first.curves is not None:
            self.repeats.append(Repeat(path=path, left_out="It holds no g2."))
            return
        require_repeat(first, opened)
        self._judge(opened)

    def _judge(self, opened: ResultFile) -> None:
        level = float("nan") if opened.curves is None else baseline(opened.curves.g2)
        left_out = ""
        if self._range is not None:
            low, high = self._range
            if not low <= level <= high:
                left_out = f"Its baseline {level:.4g} is outside {low:g} to {high:g}."
        self.repeats.append(Repeat(path=opened.path, baseline=level, left_out=left_out))
        if not left_out:
            self._add(opened)

    def _add(self, opened: ResultFile) -> None:
        if self._template is None:
            self._template = opened
        if opened.curves is not None:
            self.curves.append(opened.curves)
        for name, mean in self._means.items():
            mean.add(getattr(opened, name))
        if opened.intensity_vs_time is not None and len(opened.intensity_vs_time) == 2:
            self.intensities.append(opened.intensity_vs_time)
        raw = opened.config.get("raw", opened.path)
        self.raw += [str(each) for each in (raw if isinstance(raw, list) else [raw])]

    def template(self) -> tuple[ResultFile, Partition]:
        """Return the first file of the average with its bins."""
        template = self._template
        if template is None or template.partition is None:
            raise AverageError(self._none_left())
        return template, template.partition

    def _none_left(self) -> str:
        levels = [repeat.baseline for repeat in self.repeats if np.isfinite(repeat.baseline)]
        if not levels or self._range is None:
            reasons = self.repeats[0].left_out if self.repeats else "No file was named."
            return f"No file is left to average. {reasons}"
        low, high = self._range
        return (
            f"No file is left to average: the baselines of {len(levels)} files lie between "
            f"{min(levels):.4g} and {max(levels):.4g}, asked for was {low:g} to {high:g}."
        )

    def average(self) -> AveragedG2 | None:
        """Return the average of g2, if there is any."""
        if not self.curves:
            return None
        covariances = [each.covariance for each in self.curves if each.covariance is not None]
        return average_g2(
            np.stack([each.g2 for each in self.curves]),
            np.stack([each.error for each in self.curves]),
            np.stack(covariances) if len(covariances) == len(self.curves) else None,
        )

    def judged(self, averaged: AveragedG2 | None) -> tuple[Repeat, ...]:
        """Return the files with how far each is off the average."""
        if averaged is None:
            return tuple(self.repeats)
        chi2 = iter(averaged.chi2_of_files.tolist())
        return tuple(
            repeat if repeat.left_out else replace(repeat, chi2=next(chi2))
            for repeat in self.repeats
        )

    def intensity_of_files(self) -> np.ndarray:
        """Return I(t) of every file (file, frame), NaN behind the end of a shorter one."""
        frames = max(each.shape[1] for each in self.intensities)
        together = np.full((len(self.intensities), frames), np.nan, dtype=np.float32)
        for row, each in zip(together, self.intensities, strict=True):
            row[: each.shape[1]] = each[1]
        return together

    def result(self, averaged: AveragedG2 | None) -> ResultFile:
        """Return the average as what a result file holds."""
        template, _ = self.template()
        first = template.curves
        curves = None
        if averaged is not None and first is not None:
            curves = replace(
                first, g2=averaged.g2, error=averaged.error, covariance=averaged.covariance
            )
        intensity = None
        if self.intensities:
            longest = max(self.intensities, key=lambda each: each.shape[1])
            mean = _Mean()
            for row in self.intensity_of_files():
                mean.add(row)
            intensity = np.stack([longest[0], mean.value()])
        means: dict[str, Any] = {name: mean.value() for name, mean in self._means.items()}
        return replace(
            template,
            curves=curves,
            twotime=None,
            ages=None,
            intensity_vs_time=intensity,
            config={**template.config, "raw": self.raw[0]},
            **means,
        )

    def remarks(self, averaged: AveragedG2 | None) -> tuple[str, ...]:
        """Return in words what a reader of the average should know."""
        used = sum(not repeat.left_out for repeat in self.repeats)
        if not used:
            return (self._none_left(),)
        said = []
        if used == 1:
            said.append("The average is that of one file.")
        if averaged is None:
            said.append("The files hold no g2: intensities alone are averaged.")
        elif averaged.chi2 > averaged.chi2_limit:
            worst = int(np.nanargmax(averaged.chi2_of_files))
            name = [each for each in self.repeats if not each.left_out][worst].path.name
            said.append(
                f"The files differ by more than their errors tell: reduced chi² "
                f"{averaged.chi2:.3g}, most of all {name}. The sample may drift or be damaged."
            )
        if any(mean.refused for mean in self._means.values()):
            said.append("Mean intensities of another shape than in the first file are left out.")
        return tuple(said)


class _Mean:
    """A running mean of arrays over those files that hold the value."""

    def __init__(self) -> None:
        self._sum: np.ndarray | None = None
        self._number: np.ndarray | None = None
        self.refused = False

    def add(self, values: np.ndarray | None) -> None:
        if values is None:
            return
        there = np.isfinite(values)
        if self._sum is None or self._number is None:
            self._sum, self._number = np.where(there, values, 0.0), there.astype(np.int64)
        elif self._sum.shape != values.shape:
            self.refused = True
        else:
            self._sum += np.where(there, values, 0.0)
            self._number += there

    def value(self) -> Any:
        if self._sum is None or self._number is None:
            return None
        return np.where(self._number > 0, self._sum / np.maximum(self._number, 1), np.nan)
