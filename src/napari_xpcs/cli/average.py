"""``napari-xpcs average``: repeats to one result."""

from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from napari_xpcs.cli._console import out, print_json, with_progress
from napari_xpcs.cli._options import Force, Json
from napari_xpcs.errors import FileFormatError

if TYPE_CHECKING:
    from napari_xpcs.io.average import AverageReport
    from napari_xpcs.io.gathered_repeats import Repeat


def average(
    results: Annotated[
        list[str], typer.Argument(help="Result files of repeats, or patterns as 'run_*.hdf'.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Result file to write, *.hdf.")],
    baseline: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Leave out files whose mean g2 over the four longest delays and all bins is "
            "outside.",
            metavar="MIN MAX",
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Average g2 and intensities of repeats; tell how far these agree and what was left out."""
    from napari_xpcs.io.average import average_files

    if baseline is not None and not baseline[0] < baseline[1]:
        raise typer.BadParameter("--baseline wants MIN below MAX.")
    report = with_progress(
        average_files(_expand(results), output, baseline_range=baseline, force=force)
    )
    if as_json:
        print_json(_facts(report))
        return
    _print_files(report)
    out.print(f"wrote {report.path}", highlight=False, soft_wrap=True, markup=False)
    between = f"; reduced chi² between them: {_number(report.chi2)}" if len(report.used) > 1 else ""
    out.print(
        f"{len(report.used)} of {len(report.repeats)} files averaged{between}",
        highlight=False,
        soft_wrap=True,
    )
    for remark in report.remarks:
        out.print(f"note: {remark}", highlight=False, soft_wrap=True, markup=False)


def _expand(names: list[str]) -> list[Path]:
    """Return the files, those of a pattern in the order of their names."""
    paths: list[Path] = []
    for name in names:
        if not has_magic(name) or Path(name).exists():
            paths.append(Path(name))
            continue
        found = sorted(glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute one
        if not found:
            msg = f"No file matches {name}."
            raise FileFormatError(msg)
        paths += map(Path, found)
    return paths


def _facts(report: "AverageReport") -> dict[str, Any]:
    def plain(repeat: "Repeat") -> dict[str, Any]:
        facts: dict[str, Any] = {"file": str(repeat.path), "baseline": repeat.baseline}
        if repeat.left_out:
            return facts | {"why": repeat.left_out}
        return facts | {"reduced_chi2": repeat.chi2}

    return {
        "file": str(report.path),
        "used": [plain(repeat) for repeat in report.used],
        "left_out": [plain(repeat) for repeat in report.left_out],
        "reduced_chi2": report.chi2,
        "notes": list(report.remarks),
    }


def _print_files(report: "AverageReport") -> None:
    table = Table("file", "baseline", "reduced chi²", "left out")
    for repeat in report.repeats:
        table.add_row(
            repeat.path.name, _number(repeat.baseline), _number(repeat.chi2), repeat.left_out
        )
    out.print(table)


def _number(value: float) -> str:
    return f"{value:.4g}" if value == value else ""
