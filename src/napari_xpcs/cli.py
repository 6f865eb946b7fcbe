"""The command line: every step of the plugin without a screen.

Thin on purpose: a command reads its options, calls one function of the house and prints.
Results go to stdout (``--json``: for machines), progress and faults to stderr.
Exit status 0: done; 1: the data or the job failed, with one sentence why; 2: wrong usage.
Imports of what is heavy stand in the commands: ``--help`` must be instant.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from napari_xpcs.errors import XpcsError
from napari_xpcs.progress import Progress, Steps, run

if TYPE_CHECKING:
    from napari_xpcs.fitting.dispersion import Dispersion
    from napari_xpcs.fitting.results import G2Fit
    from napari_xpcs.pipeline import DemoReport

app = typer.Typer(
    name="napari-xpcs",
    help="X-ray photon correlation spectroscopy: from frames to g2 to dynamics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True)

Result = TypeVar("Result")

Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


class Spacing(StrEnum):
    """Spacing of bin edges along q."""

    linear = "linear"
    log = "log"


class QConvention(StrEnum):
    """Formula of q; the second reproduces maps stored by older tools."""

    exact = "exact"
    sin2theta = "sin2theta"


class Target(StrEnum):
    """What a file can be converted to."""

    # In capitals, because "partition" is a method of strings.
    FRAMES = "frames"
    EVENTS = "events"
    RESULTS = "results"
    PARTITION = "partition"
    MASK = "mask"


class Polarity(StrEnum):
    """What pixels that are not 0 mean in a mask file."""

    good = "good"
    bad = "bad"


class Correlation(StrEnum):
    """What is computed from the frames."""

    multitau = "multitau"
    twotime = "twotime"
    both = "both"


def main() -> None:
    """Run the command line; expected faults end it with one sentence and status 1."""
    signal.signal(signal.SIGTERM, _end)
    try:
        try:
            app()
        finally:
            _print_conversions()
    except (XpcsError, OSError) as error:
        _print_fault(error)
        sys.exit(1)
    except MemoryError as error:
        _print_fault(f"There is not enough memory for this: {error or 'none is left'}.")
        sys.exit(1)


def _end(signal_number: int, _frame: object) -> None:
    """End as Ctrl-C does, so that half-written files are removed."""
    sys.exit(128 + signal_number)


# -- commands


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for files and pictures.")
    ] = Path("demo-output"),
    as_json: Json = False,
) -> None:
    """Simulate a run, bin, correlate and fit it; compare with the known D; show it in napari."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.pipeline import run_demo
    from napari_xpcs.plugin.screen import has_screen

    report = _with_progress(run_demo(output, xp=get_backend()))
    window = has_screen() and not as_json
    pictures = [] if window else _demo_pictures(report, output)
    if as_json:
        _print_json(
            {
                "truth": {"D_m2_per_s": report.true_diffusion_m2_per_s},
                "fit": _dispersion_facts(report.dispersion),
                "pictures": pictures,
                "seconds": dict(report.seconds),
            }
        )
        return
    _print_fit(report.fit, report.dispersion)
    out.print(report.verdict(), highlight=False, soft_wrap=True)
    for picture in pictures:
        out.print(f"picture: {picture}", highlight=False, soft_wrap=True)
    if window:
        from napari_xpcs.plugin.demo_window import open_demo

        open_demo(report.frames, report.results)


def _demo_pictures(report: "DemoReport", folder: Path) -> list[Path]:
    """Return pictures of the window, or say why there are none: the numbers stand without them."""
    from napari_xpcs.plugin.screen import virtual_screen

    try:
        with virtual_screen():
            from napari_xpcs.plugin.demo_window import take_pictures

            return take_pictures(report.frames, report.results, folder)
    except XpcsError as error:
        _print_fault(error)
        return []


@app.command("open")
def open_files(
    files: Annotated[list[Path], typer.Argument(help="Frames, result or Q-map files.")],
) -> None:
    """Open napari with the files and the docks of this plugin."""
    from napari_xpcs.plugin.screen import has_screen

    if not has_screen():
        raise XpcsError("There is no screen to open napari on (DISPLAY is not set).")
    from napari_xpcs.plugin.window import open_window

    open_window(files)


@app.command()
def info(
    file: Annotated[
        Path | None, typer.Argument(help="Any file of frames, results, bins or masks.")
    ] = None,
    system: Annotated[
        bool, typer.Option("--system", help="Tell backend, device and versions instead.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="HDF5 path of the frames, PATH[CHANNEL] for one of several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what a file holds: shape, geometry with the origin of each value, what is missing."""
    if system:
        from napari_xpcs.backends import system_report

        facts = system_report()
    elif file is None:
        msg = "Name a FILE, or ask for --system."
        raise typer.BadParameter(msg)
    else:
        from napari_xpcs.io.describe import describe

        facts = describe(file, dataset)
    if as_json:
        _print_json(facts)
        return
    for name, value in facts.items():
        if name == "geometry":
            _print_geometry(value)
        elif isinstance(value, list) and name in {"missing", "problems"}:
            for line in value:
                out.print(f"{name}: {line}", highlight=False, soft_wrap=True, markup=False)
        else:
            out.print(f"{name}: {value}", highlight=False, soft_wrap=True, markup=False)


@app.command()
def simulate(
    output: Annotated[
        Path, typer.Argument(help="Frames file to write, *.h5; *_metadata.hdf goes beside it.")
    ],
    frames: Annotated[int, typer.Option(help="Number of frames.", min=2)] = 1000,
    rows: Annotated[int, typer.Option(help="Detector rows.", min=8)] = 128,
    cols: Annotated[int, typer.Option(help="Detector columns.", min=8)] = 128,
    diffusion: Annotated[float, typer.Option(help="Diffusion coefficient, m^2/s.")] = 5e-14,
    contrast: Annotated[float, typer.Option(help="Speckle contrast, 0 to 1.")] = 0.25,
    counts: Annotated[float, typer.Option(help="Mean counts per pixel and frame.")] = 2.0,
    frame_time: Annotated[float, typer.Option(help="Time between frames, s.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a simulated Brownian run in the raw layout of the APS, the truth in /simulation."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.simulate import Simulation
    from napari_xpcs.pipeline import simulate_file

    simulation = Simulation(
        frames=frames,
        rows=rows,
        cols=cols,
        diffusion_m2_per_s=diffusion,
        contrast=contrast,
        mean_counts=counts,
        frame_time_s=frame_time,
        seed=seed,
    )
    _with_progress(simulate_file(output, simulation, xp=get_backend(), force=force))
    if as_json:
        _print_json({"file": str(output), "truth": simulation.truth()})
    else:
        out.print(f"wrote {output}", highlight=False, soft_wrap=True)


@app.command()
def qmap(
    output: Annotated[Path, typer.Option("--output", "-o", help="Q-map file to write, *.hdf.")],
    frames: Annotated[Path | None, typer.Argument(help="File to take the geometry from.")] = None,
    shape: Annotated[
        tuple[int, int] | None, typer.Option(help="ROWS COLS of the detector.")
    ] = None,
    energy_kev: Annotated[float | None, typer.Option(help="Photon energy, keV.")] = None,
    distance_m: Annotated[float | None, typer.Option(help="Sample to detector, m.")] = None,
    pixel_m: Annotated[float | None, typer.Option(help="Pitch of square pixels, m.")] = None,
    pixel_row_m: Annotated[float | None, typer.Option(help="Pitch from row to row, m.")] = None,
    pixel_col_m: Annotated[
        float | None, typer.Option(help="Pitch from column to column, m.")
    ] = None,
    center_row_px: Annotated[float | None, typer.Option(help="Direct beam, row index, px.")] = None,
    center_col_px: Annotated[
        float | None, typer.Option(help="Direct beam, column index, px.")
    ] = None,
    swing_horizontal_deg: Annotated[float | None, typer.Option(help="Detector swing, deg.")] = None,
    swing_vertical_deg: Annotated[float | None, typer.Option(help="Detector swing, deg.")] = None,
    incident_angle_deg: Annotated[
        float | None, typer.Option(help="Grazing incidence, deg.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Mask: npy, tif, edf, msk, mask, or HDF5 with /qmap/mask.")
    ] = None,
    mask_ones: Annotated[
        Polarity | None,
        typer.Option(help="What 1 means in the mask; default: what its format says, or a guess."),
    ] = None,
    dq: Annotated[int, typer.Option(help="Dynamic bins along q.", min=1)] = 36,
    sq: Annotated[int, typer.Option(help="Static bins along q.", min=1)] = 360,
    dp: Annotated[int, typer.Option(help="Dynamic bins along phi.", min=1)] = 1,
    sp: Annotated[int, typer.Option(help="Static bins along phi.", min=1)] = 1,
    mode: Annotated[
        str, typer.Option(help="The two axes: q-phi, x-y, or any two of q phi x y qx qy tth.")
    ] = "q-phi",
    spacing: Annotated[Spacing, typer.Option(help="Edges along q.")] = Spacing.linear,
    q_range: Annotated[
        tuple[float, float] | None, typer.Option(help="FROM TO, 1/angstrom.")
    ] = None,
    phi_range: Annotated[
        tuple[float, float] | None, typer.Option(help="FROM TO, deg; may wrap at 180.")
    ] = None,
    phi_offset_deg: Annotated[
        float | None, typer.Option(help="Added to phi before binning, deg.")
    ] = None,
    phi_fold: Annotated[int, typer.Option(help="Symmetry fold of phi.", min=1)] = 1,
    edges: Annotated[
        str, typer.Option(help="data, equal-count, or a JSON file with edges.")
    ] = "data",
    q_convention: Annotated[QConvention, typer.Option(help="Formula of q.")] = QConvention.exact,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make q/phi bins from the geometry of a file, or from options alone, and save them."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.io.edges_file import read_edges
    from napari_xpcs.kernels.partition import PartitionSpec
    from napari_xpcs.pipeline import partition_file

    values = {
        "energy_kev": energy_kev,
        "distance_m": distance_m,
        "pixel_row_m": pixel_m if pixel_row_m is None else pixel_row_m,
        "pixel_col_m": pixel_m if pixel_col_m is None else pixel_col_m,
        "center_row_px": center_row_px,
        "center_col_px": center_col_px,
        "swing_horizontal_deg": swing_horizontal_deg,
        "swing_vertical_deg": swing_vertical_deg,
        "incident_angle_deg": incident_angle_deg,
    }
    made = {"data", "equal-count"}
    explicit = {} if edges in made else read_edges(Path(edges))
    spec = PartitionSpec(
        dq=dq,
        sq=sq,
        dp=dp,
        sp=sp,
        mode=mode,
        spacing=spacing.value,
        edges="equal-count" if edges == "equal-count" else "data",
        edges_q=explicit.get("q"),
        edges_phi=explicit.get("phi"),
        q_range=q_range,
        phi_range_deg=phi_range,
        phi_offset_deg=phi_offset_deg,
        phi_fold=phi_fold,
        q_convention=q_convention.value,
    )
    partition = partition_file(
        output,
        frames=frames,
        shape=shape,
        values={name: value for name, value in values.items() if value is not None},
        mask=mask,
        mask_ones=None if mask_ones is None else mask_ones.value,
        spec=spec,
        xp=get_backend(),
        force=force,
    )
    facts = {
        "file": str(output),
        "shape": list(partition.shape),
        "dynamic_bins": len(partition.dynamic),
        "static_bins": len(partition.static),
        "pixels": int(partition.dynamic.pixels.sum()),
        "notes": list(partition.notes),
    }
    if as_json:
        _print_json(facts)
    else:
        out.print(
            f"wrote {output}: {facts['dynamic_bins']} dynamic and {facts['static_bins']} static "
            f"bins, {facts['pixels']} pixels",
            highlight=False,
            soft_wrap=True,
        )
        for note in partition.notes:
            out.print(f"note: {note}", highlight=False, soft_wrap=True)


@app.command()
def correlate(
    frames: Annotated[Path, typer.Argument(help="Frames file.")],
    qmap: Annotated[Path, typer.Option(help="Q-map file, or a result file with bins.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Result file to write, *.hdf.")],
    kind: Annotated[
        Correlation, typer.Option("--type", help="What to compute.")
    ] = Correlation.multitau,
    begin: Annotated[int, typer.Option(help="First frame, counted from 0.", min=0)] = 0,
    end: Annotated[
        int | None, typer.Option(help="Frame behind the last one; default: all.")
    ] = None,
    stride: Annotated[int, typer.Option(help="Use every n-th frame.", min=1)] = 1,
    avg: Annotated[int, typer.Option(help="Average n frames before correlating.", min=1)] = 1,
    bins: Annotated[
        str | None, typer.Option(help="Labels for the two-time maps, as 1,4,9.")
    ] = None,
    normalization: Annotated[
        str, typer.Option(help="symmetric, pixel-weighted or no-static; written to the file.")
    ] = "symmetric",
    normalize_frame: Annotated[
        bool, typer.Option("--normalize-frame", help="Divide each frame by its mean first.")
    ] = False,
    frame_time: Annotated[
        float | None, typer.Option(help="Time between raw frames, s, in place of the file's.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="HDF5 path of the frames where it is unusual.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Correlate frames in the bins of a Q-map: g2 with errors, I(q), I(t), two-time maps."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.selection import FrameSelection
    from napari_xpcs.pipeline import correlate_file

    if bins is not None and kind is Correlation.multitau:
        raise typer.BadParameter("--bins chooses two-time maps; add --type twotime or both.")
    remarks = _with_progress(
        correlate_file(
            frames,
            qmap,
            output,
            multitau=kind is not Correlation.twotime,
            twotime=kind is not Correlation.multitau,
            bins=_labels(bins),
            selection=FrameSelection(begin=begin, end=end, stride=stride, average=avg),
            normalization=normalization,
            normalize_frame=normalize_frame,
            frame_time_s=frame_time,
            dataset=dataset,
            xp=get_backend(),
            force=force,
        )
    )
    if as_json:
        _print_json({"file": str(output), "notes": list(remarks)})
    else:
        out.print(f"wrote {output}", highlight=False, soft_wrap=True)
        for remark in remarks:
            out.print(f"note: {remark}", highlight=False, soft_wrap=True)


@app.command()
def fit(
    results: Annotated[Path, typer.Argument(help="Result file, or CSV of curves.")],
    model: Annotated[
        str,
        typer.Option(
            help="single, stretched, double, double-stretched, cumulant, flow, heterodyne."
        ),
    ] = "single",
    bins: Annotated[str | None, typer.Option(help="Labels to fit, as 1,4,9; default: all.")] = None,
    fix: Annotated[
        list[str] | None, typer.Option(help="Hold a parameter: contrast=0.15. May be repeated.")
    ] = None,
    bound: Annotated[
        list[str] | None, typer.Option(help="Bounds: tau_s=1e-6,10. May be repeated.")
    ] = None,
    table: Annotated[Path | None, typer.Option("--csv", help="Write the table as CSV.")] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Store the table in the result file.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Fit g2 of every bin and the law of tau(q); say which bins hold no answer."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.fitting.dispersion import fit_dispersion
    from napari_xpcs.fitting.least_squares import fit_g2
    from napari_xpcs.io.atomic import refuse_input_as_output
    from napari_xpcs.io.fit_table import append_fit, fit_rows, write_fit_csv
    from napari_xpcs.pipeline import curves_of

    fixed = {name: _number(value) for name, value in map(_assignment, fix or ())}
    bounds = {name: _number_pair(value) for name, value in map(_assignment, bound or ())}
    labels = _labels(bins)
    fitted = _with_progress(
        fit_g2(
            curves_of(results),
            model,
            bins=labels,
            fixed=fixed,
            bounds=bounds,
            xp=get_backend(),
        )
    )
    dispersion = fit_dispersion(fitted)
    if table is not None:
        refuse_input_as_output(table, results)
        write_fit_csv(table, fitted, force=force)
    if append:
        append_fit(results, fitted, force=force)
    if as_json:
        _print_json({"bins": fit_rows(fitted), "dispersion": _dispersion_facts(dispersion)})
    else:
        _print_fit(fitted, dispersion)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Frames, events, results, bins or mask.")],
    target: Annotated[
        Path,
        typer.Argument(help="File to write: *.hdf or *.h5, *.cmp (events), *.tif *.npy *.edf."),
    ],
    to: Annotated[
        Target | None,
        typer.Option(help="What to write; default: by the ending, HDF5 as what the source is."),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Counts above it become events.", min=0.0)] = 0.0,
    dataset: Annotated[
        str | None, typer.Option(help="HDF5 path of the frames where it is unusual.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a file in another format: frames, events, results, bins, masks."""
    from napari_xpcs.io.convert import convert as convert_file

    _with_progress(
        convert_file(
            source,
            target,
            to=None if to is None else to.value,
            dataset=dataset,
            threshold=threshold,
            force=force,
        )
    )
    if as_json:
        _print_json({"file": str(target)})
    else:
        out.print(f"wrote {target}", highlight=False, soft_wrap=True)


# -- reading options


def _labels(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(label) for label in text.split(",")]
    except ValueError:
        msg = f"--bins wants whole numbers as 1,4,9, got {text!r}."
        raise typer.BadParameter(msg) from None


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        msg = f"expected NAME=VALUE, got {text!r}."
        raise typer.BadParameter(msg)
    return name.strip(), value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"expected a number, got {text!r}."
        raise typer.BadParameter(msg) from None


def _number_pair(text: str) -> tuple[float, float]:
    low, comma, high = text.partition(",")
    if not comma:
        msg = f"expected LOW,HIGH, got {text!r}."
        raise typer.BadParameter(msg)
    return _number(low), _number(high)


# -- printing


def _with_progress(steps: Steps[Result]) -> Result:
    """Drain ``steps`` with a bar on stderr, which a file or pipe does not get."""
    with ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, completed=progress.done, total=progress.total, description=progress.what
            )

        return run(steps, show)


def _print_json(facts: Any) -> None:
    print(json.dumps(_plain(facts), indent=1, ensure_ascii=False))  # noqa: T201 - rich would wrap it


def _print_fault(error: Exception | str) -> None:
    err.print(f"napari-xpcs: {error}", markup=False, highlight=False, soft_wrap=True)


def _print_conversions() -> None:
    """Tell what was converted to NumPy, for developers who ask by XPCS_MONITOR."""
    if "XPCS_MONITOR" not in os.environ:
        return
    from napari_xpcs.backends.io_adapter import conversion_report

    err.print(conversion_report(), markup=False, highlight=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it; a number that is not one becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def _print_geometry(geometry: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table("geometry", "value", "unit", "from")
    for name, entry in geometry.items():
        value = "unknown" if entry["value"] is None else f"{entry['value']}"
        table.add_row(name, value, f"{entry['unit']}", f"{entry['origin']}")
    out.print(table)


def _print_fit(fitted: "G2Fit", dispersion: "Dispersion") -> None:
    units = [
        f"{name} ({unit})" if unit else name
        for name, unit in zip(fitted.names, fitted.units, strict=True)
    ]
    table = Table("bin", "q (1/Å)", *units, "chi2/dof", "status")
    for row in range(len(fitted.status)):
        values = [
            f"{value:.4g} ± {error:.2g}" if isfinite(value) else ""
            for value, error in zip(fitted.value[row], fitted.error[row], strict=True)
        ]
        chi2 = fitted.reduced_chi2[row]
        table.add_row(
            str(fitted.bins.label[row]),
            f"{fitted.bins.q[row]:.4g}",
            *values,
            f"{chi2:.2f}" if isfinite(chi2) else "",
            fitted.status[row],
        )
    out.print(table)
    out.print(dispersion.text(), highlight=False, soft_wrap=True)


def _dispersion_facts(dispersion: "Dispersion") -> dict[str, Any]:
    return {
        "model": dispersion.law,
        "status": dispersion.status,
        "D_m2_per_s": dispersion.D_m2_per_s,
        "D_m2_per_s_err": dispersion.D_m2_per_s_err,
        "exponent": dispersion.exponent,
        "exponent_err": dispersion.exponent_err,
        "n_bins": dispersion.n_bins,
    }


if __name__ == "__main__":
    main()
