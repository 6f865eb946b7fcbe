"""``napari-xpcs demo``: the main job on the built-in sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xpcs.cli._console import out, print_fault, print_json, with_progress
from napari_xpcs.cli._fit_report import dispersion_facts, print_fit
from napari_xpcs.cli._options import Json
from napari_xpcs.errors import XpcsError

if TYPE_CHECKING:
    from napari_xpcs.pipeline.demo import DemoReport


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for files and pictures.")
    ] = Path("demo-output"),
    as_json: Json = False,
) -> None:
    """Simulate a run, bin, correlate and fit it; compare with the known D; show it in napari."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.pipeline.demo import run_demo
    from napari_xpcs.plugin.screen import has_screen

    report = with_progress(run_demo(output, xp=get_backend()))
    window = has_screen() and not as_json
    pictures = [] if window else _demo_pictures(report, output)
    if as_json:
        print_json(
            {
                "truth": {"D_m2_per_s": report.true_diffusion_m2_per_s},
                "fit": dispersion_facts(report.dispersion),
                "pictures": pictures,
                "seconds": dict(report.seconds),
            }
        )
        return
    print_fit(report.fit, report.dispersion)
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
        print_fault(error)
        return []
