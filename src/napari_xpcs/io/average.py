"""The average of result files of repeats, with a record of what went into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from napari_xpcs.errors import AverageError
from napari_xpcs.io import layouts
from napari_xpcs.io.atomic import atomic_path, refuse_input_as_output, refuse_to_overwrite
from napari_xpcs.io.entry_group import copy_entry
from napari_xpcs.io.gathered_repeats import GatheredRepeats, Repeat
from napari_xpcs.io.hdf5 import put_array
from napari_xpcs.io.new_hdf5 import new_hdf5
from napari_xpcs.io.nxxpcs_links import drop_nxxpcs_view
from napari_xpcs.io.result_copy import fill_result
from napari_xpcs.kernels.average import LAST_DELAYS, AveragedG2
from napari_xpcs.progress import Progress, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What goes into an average and how far the files agree; remarks in words."""

    repeats: tuple[Repeat, ...]
    chi2: float
    remarks: tuple[str, ...]

    @property
    def used(self) -> tuple[Repeat, ...]:
        """The files that the average is made of."""
        return tuple(repeat for repeat in self.repeats if not repeat.left_out)

    @property
    def left_out(self) -> tuple[Repeat, ...]:
        """The files that were left out."""
        return tuple(repeat for repeat in self.repeats if repeat.left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageReport(Verdict):
    """The verdict on files whose average was written to ``path``."""

    path: Path


def average_files(
    paths: Sequence[Path],
    output: Path,
    *,
    baseline_range: tuple[float, float] | None = None,
    force: bool = False,
) -> Steps[AverageReport]:
    """Average result files of repeats and write a result file.

    The two steps of it are :func:`judge_files` and :func:`write_average`.

    Raises
    ------
    AverageError
        Files differ in bins, delays or options, so that they are no repeats; or none is left.
    FileFormatError
        ``output`` cannot be written, or a file holds no results at all.
    """
    refuse_input_as_output(output, *paths)
    refuse_to_overwrite(output, force)
    judged = yield from judge_files(paths, baseline_range=baseline_range)
    return (yield from write_average(judged, output, force=force))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedFiles:
    """Files that were read to be averaged, and the verdict on them; nothing is written yet."""

    paths: tuple[Path, ...]
    verdict: Verdict
    averaged: AveragedG2 | None
    gathered: GatheredRepeats
    baseline_range: tuple[float, float] | None


def judge_files(
    paths: Sequence[Path], *, baseline_range: tuple[float, float] | None = None
) -> Steps[JudgedFiles]:
    """Read result files of repeats and tell which of them an average is made of.

    A file that cannot be read, that lacks what the first one has, or whose baseline lies outside
    ``baseline_range`` is left out, and the verdict says so.  One file is in memory at a time,
    but for g2 and I(t).

    Raises
    ------
    AverageError
        Files differ in bins, delays or options, so that they are no repeats.
    FileFormatError
        A file is not there.
    """
    paths, twice = _once(paths)
    gathered = GatheredRepeats(baseline_range)
    for number, path in enumerate(paths):
        yield Progress(number, len(paths), path.name)
        gathered.take(path)
    averaged = gathered.average()
    verdict = Verdict(
        repeats=gathered.judged(averaged),
        chi2=float("nan") if averaged is None else averaged.chi2,
        remarks=(*twice, *gathered.remarks(averaged)),
    )
    return JudgedFiles(
        paths=tuple(paths),
        verdict=verdict,
        averaged=averaged,
        gathered=gathered,
        baseline_range=baseline_range,
    )


def write_average(
    judged: JudgedFiles, output: Path, *, force: bool = False
) -> Steps[AverageReport]:
    """Write the average of files that were judged.

    Raises
    ------
    AverageError
        None of the files is left, or the time between frames is unknown.
    FileFormatError
        ``output`` cannot be written, is one of the files, or exists and ``force`` is not set.
    """
    refuse_input_as_output(output, *judged.paths)
    gathered, averaged, verdict = judged.gathered, judged.averaged, judged.verdict
    template, partition = gathered.template()
    frame_time = template.known["frame_time_s"].value
    if frame_time is None:
        msg = f"{template.path.name} does not tell the time between frames, which results need."
        raise AverageError(msg)
    with atomic_path(output, force) as unfinished, new_hdf5(unfinished) as file:
        if template.layout == "aps-results":
            copy_entry(template.path, file)
            drop_nxxpcs_view(file)
        yield from fill_result(file, gathered.result(averaged), partition, frame_time)
        _write_record(file, judged)
    yield Progress(len(judged.paths), len(judged.paths), "average")
    return AverageReport(
        path=output, repeats=verdict.repeats, chi2=verdict.chi2, remarks=verdict.remarks
    )


def _once(paths: Sequence[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """Return the paths without those that name a file again, and a remark about these."""
    found: dict[Path, Path] = {}
    for path in paths:
        found.setdefault(path.resolve(), path)
    again = len(paths) - len(found)
    said = f"Files named twice and taken once: {again}."
    return list(found.values()), (said,) * bool(again)


def _write_record(file: h5py.File, judged: JudgedFiles) -> None:
    """Write what the average is made of: for the programs of 8-ID by name, for ours in full."""
    report, averaged, gathered = judged.verdict, judged.averaged, judged.gathered
    file[layouts.AVERAGED_FILES] = [repeat.path.name for repeat in report.used]
    raw = f"{layouts.MULTITAU}/config/raw"
    if raw in file:
        del file[raw]
    file[raw] = gathered.raw
    analysis = f"{layouts.MULTITAU}/config/analysis_type"
    if averaged is None and analysis not in file:
        file[analysis] = "intensities"
    group = file.create_group(layouts.AVERAGE)
    group["files"] = [str(repeat.path.resolve()) for repeat in report.used]
    group["baseline"] = [repeat.baseline for repeat in report.used]
    group["reduced_chi2_of_files"] = [repeat.chi2 for repeat in report.used]
    if report.left_out:
        group["left_out"] = [str(repeat.path.resolve()) for repeat in report.left_out]
        group["left_out_why"] = [repeat.left_out for repeat in report.left_out]
        group["left_out_baseline"] = [repeat.baseline for repeat in report.left_out]
    if report.remarks:
        group["remarks"] = list(report.remarks)
    if averaged is not None:
        group["files_of_points"] = averaged.files
        group["g2_err_from_scatter"] = averaged.scatter
        group["reduced_chi2_of_bins"] = averaged.chi2_of_bins
        group.attrs["reduced_chi2"] = averaged.chi2
        group.attrs["baseline_is"] = f"mean g2 over the {LAST_DELAYS} longest delays and all bins"
    if gathered.intensities:
        put_array(file, f"{layouts.AVERAGE}/intensity_vs_time", gathered.intensity_of_files())
    if judged.baseline_range is not None:
        group.attrs["baseline_range"] = judged.baseline_range
