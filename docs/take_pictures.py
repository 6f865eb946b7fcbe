"""Draw the pictures of README and docs: those of the demo, and of the docks that it leaves out.

``python docs/take_pictures.py FOLDER`` needs Xvfb, no screen, and writes palette PNGs.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QTabBar,
    QTableView,
    QTabWidget,
    QToolButton,
)

from napari_xpcs.backends import get_backend
from napari_xpcs.kernels.mask_parameters import Condition
from napari_xpcs.kernels.mask_steps import BeamStopStep, ConstraintStep, MorphologyStep
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.pipeline.bins import partition_file
from napari_xpcs.pipeline.correlate import correlate_file
from napari_xpcs.pipeline.demo import run_demo
from napari_xpcs.pipeline.simulate import simulate_file
from napari_xpcs.plugin.screen import virtual_screen
from napari_xpcs.progress import run

COLOURS = 256
ADD_UP = 4
"""Frames, for the two-time map: that of a thousand is noise that no PNG compresses."""
SETTLE_S = 1.0
RUNS = 6
LONG = 5000
"""Frames, of a correlation that takes long enough to be looked at."""
LOST_PER_RUN = 0.02


def main(folder: Path) -> None:
    """Write every picture into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, virtual_screen():
        from napari_xpcs.plugin.demo_window import take_pictures

        report = run(run_demo(Path(scratch), xp=get_backend()))
        pictures = take_pictures(report.frames, report.results, Path(scratch))
        pictures += take_more(report.frames, report.results, Path(scratch))
        pictures += take_runs(Path(scratch))
        pictures += take_live(Path(scratch))
        for picture in pictures:
            colours = Image.open(picture).convert("RGB")
            palette = colours.quantize(COLOURS, dither=Image.Dither.NONE)
            palette.save(folder / picture.name, optimize=True)
            print(folder / picture.name)


def take_more(frames: Path, results: Path, folder: Path) -> list[Path]:
    """Draw posteriors, a two-time map and the mask, each after what a user does in its dock."""
    from napari_xpcs.plugin import demo_window as demo
    from napari_xpcs.plugin.correlate_widget import CorrelateWidget
    from napari_xpcs.plugin.mask_widget import MaskWidget
    from napari_xpcs.plugin.twotime_widget import TwoTimeWidget
    from napari_xpcs.plugin.window import new_window

    viewer, docks = new_window()
    viewer.window.resize(1500, 950)
    fit = demo._load(viewer, docks, frames, results)  # noqa: SLF001
    pictures = []

    def picture(name, dock):
        demo.bring_to_front(dock)
        demo._let_pass(SETTLE_S)  # noqa: SLF001
        pictures.append(folder / f"{name}.png")
        viewer.screenshot(str(pictures[-1]), canvas_only=False, flash=False)

    demo.bring_to_front(fit)
    fit.findChild(QToolButton, "sampling_section").setChecked(True)
    fit.findChild(QTabWidget, "tabs").hide()  # the posterior stands below the curve: too far down
    sample = fit.findChild(QPushButton, "sample")
    sample.click()
    append = fit.findChild(QPushButton, "append_posterior")
    demo.wait_until(lambda: append.isEnabled() and sample.text() == "Sample")
    picture("sampling", fit)

    twotime = docks[TwoTimeWidget]
    correlate = docks[CorrelateWidget]
    kind = correlate.findChild(QComboBox, "kind")
    kind.setCurrentIndex(kind.findData("twotime", Qt.ItemDataRole.UserRole))
    correlate.findChild(QSpinBox, "average").setValue(ADD_UP)
    next(b for b in correlate.findChildren(QPushButton) if b.text() == "Correlate").click()
    demo.wait_until(lambda: twotime.findChild(QComboBox, "map").currentData() is not None)
    demo.bring_to_front(twotime)
    demo._let_pass(SETTLE_S)  # noqa: SLF001
    twotime.findChild(QPushButton, "alone").click()
    next(b for b in twotime.findChildren(QPushButton) if b.text().startswith("Cut g2")).click()
    demo.wait_until(lambda: any("ages" in layer.name for layer in viewer.layers))
    picture("two-time", twotime)
    for layer in list(viewer.layers)[6:]:
        viewer.layers.remove(layer)

    mask = docks[MaskWidget]
    for layer in viewer.layers:
        layer.visible = layer.name in ("frames", "mask")
    viewer.layers.selection.active = viewer.layers["mask"]
    viewer.layers["mask"].opacity = 0.7
    viewer.reset_view()
    mask.change(
        (
            *mask.steps(),
            BeamStopStep(radius_px=14),
            ConstraintStep(conditions=(Condition(axis="q", high=0.0052),)),
            MorphologyStep(operation="grow", pixels=1),
        )
    )
    mask.open_form("threshold")
    picture("mask", mask)
    viewer.close()
    return pictures


def take_runs(folder: Path) -> list[Path]:
    """Draw runs beside each other: a sample that loses some of its intensity from run to run."""
    from napari_xpcs.plugin import demo_window as demo
    from napari_xpcs.plugin.compare_widget import PAGES, CompareWidget
    from napari_xpcs.plugin.window import show_files

    results = simulate_runs(folder / "night")
    viewer, docks = show_files([results[0].parent])
    viewer.window.resize(1500, 950)
    compare = docks[CompareWidget]
    runs = compare.findChild(QTableView, "runs")
    demo.wait_until(lambda: runs.model().rowCount() == RUNS)
    runs.opened.emit(results[0])
    demo.wait_until(lambda: len(viewer.layers) == 3)
    demo.bring_to_front(compare)
    runs.selectAll()
    pictures = []
    kind = compare.findChild(QComboBox, "stability")
    kind.setCurrentIndex(kind.findData("runs"))
    for name, page in (("compare-g2", "g2"), ("compare-stability", "Stability")):
        compare.findChild(QTabBar, "pages").setCurrentIndex(PAGES.index(page))
        demo._let_pass(SETTLE_S)  # noqa: SLF001
        demo.wait_until(compare.is_drawn)
        pictures.append(folder / f"{name}.png")
        viewer.screenshot(str(pictures[-1]), canvas_only=False, flash=False)
    viewer.close()
    return pictures


def take_live(folder: Path) -> list[Path]:
    """Draw a correlation in its middle, with g2 of the frames so far."""
    from napari_xpcs.plugin import demo_window as demo
    from napari_xpcs.plugin.correlate_widget import CorrelateWidget
    from napari_xpcs.plugin.window import show_files

    frames, bins = folder / "long.h5", folder / "long_bins.hdf"
    simulation = Simulation(frames=LONG, rows=512, cols=512, seed=1)
    run(simulate_file(frames, simulation, xp=get_backend()))
    spec = PartitionSpec(dq=9, sq=90, dp=1, sp=1)
    partition_file(bins, frames=frames, values={}, spec=spec, xp=get_backend())
    viewer, docks = show_files([frames, bins])
    viewer.window.resize(1500, 950)
    demo.wait_until(lambda: "partition" in viewer.layers)
    viewer.layers["partition"].selected_label = 3
    correlate = docks[CorrelateWidget]
    demo.bring_to_front(correlate)
    viewer.reset_view()
    start = next(b for b in correlate.findChildren(QPushButton) if b.text() == "Correlate")
    demo.wait_until(start.isEnabled)
    start.click()
    bar = correlate.findChild(QProgressBar, "progress")
    demo.wait_until(lambda: 2 * bar.value() > bar.maximum() > 0)
    picture = folder / "correlate-live.png"
    viewer.screenshot(str(picture), canvas_only=False, flash=False)
    next(b for b in correlate.findChildren(QPushButton) if b.text() == "Cancel").click()
    demo.wait_until(lambda: start.text() == "Correlate")
    viewer.close()
    return [picture]


def simulate_runs(folder: Path) -> list[Path]:
    """Write result files of repeats, each with a little less intensity than the one before."""
    xp, bins, results = get_backend(), folder / "bins.hdf", []
    folder.mkdir()
    for number in range(RUNS):
        frames = folder / f"silica_r{number + 1:05d}.h5"
        counts = 2.0 * (1.0 - LOST_PER_RUN * number)
        run_ = Simulation(frames=400, rows=96, cols=144, mean_counts=counts, seed=number)
        run(simulate_file(frames, run_, xp=xp))
        if not number:
            spec = PartitionSpec(dq=9, sq=45, dp=1, sp=1)
            partition_file(bins, frames=frames, values={}, spec=spec, xp=xp)
        results.append(frames.with_name(f"{frames.stem}_results.hdf"))
        run(
            correlate_file(
                frames,
                bins,
                results[-1],
                selection=FrameSelection(),
                normalization="symmetric",
                xp=xp,
            )
        )
    return results


if __name__ == "__main__":
    main(Path(sys.argv[1]))
