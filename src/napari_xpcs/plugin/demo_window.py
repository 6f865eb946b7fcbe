"""The demonstration in the napari window: to look at, or as pictures."""

import time
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.plugin.correlate_widget import CorrelateWidget
from napari_xpcs.plugin.dock_placing import bring_to_front
from napari_xpcs.plugin.fit_widget import FitWidget
from napari_xpcs.plugin.partition_widget import PartitionWidget
from napari_xpcs.plugin.window import new_window

PATIENCE_S = 120.0


def open_demo(frames: Path, results: Path) -> None:
    """Show the run in a window, with its g2 fitted, and stay until it is closed."""
    viewer, docks = new_window()
    _load(viewer, docks, frames, results)
    napari.run()


def take_pictures(frames: Path, results: Path, folder: Path) -> list[Path]:
    """Write PNG pictures of the window at each step of the main job; needs a (virtual) screen."""
    viewer, docks = new_window()
    viewer.window.resize(1500, 950)
    fit = _load(viewer, docks, frames, results)
    pictures = []

    def picture(name: str, dock: QWidget) -> None:
        bring_to_front(dock)
        _let_pass(0.5)
        path = folder / f"{name}.png"
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        pictures.append(path)

    for name, kind in (("bins", PartitionWidget), ("correlate", CorrelateWidget)):
        picture(f"demo-{name}", docks[kind])
    bring_to_front(fit)
    for page in ("curve", "table", "tau"):
        fit.show_page(page)
        _let_pass(0.1)  # a page that comes to the front takes its size and asks for its plot
        wait_until(fit.is_drawn)
        picture(f"demo-fit-{page}", fit)
    viewer.close()
    _let_pass(0.1)  # the window ends here, while there is a screen
    return pictures


def _load(
    viewer: napari.Viewer, docks: dict[type[QWidget], QWidget], frames: Path, results: Path
) -> FitWidget:
    viewer.open([str(frames)], plugin="napari-xpcs")
    scattering, mask, partition = viewer.open([str(results)], plugin="napari-xpcs")
    scattering.visible = mask.visible = False
    fit = docks[FitWidget]
    assert isinstance(fit, FitWidget)
    wait_until(lambda: fit.ready)
    fit.fit_all()
    wait_until(lambda: fit.fitted is not None)
    partition.selected_label = len(partition.features) // 3
    return fit


def wait_until(done: Callable[[], bool]) -> None:
    """Keep the window alive until ``done()``.

    Raises
    ------
    XpcsError
        It took longer than two minutes.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            msg = f"The window was not ready after {PATIENCE_S:.0f} s, so there are no pictures."
            raise XpcsError(msg)
        _let_pass(0.02)


def _let_pass(seconds: float) -> None:
    # Not processEvents: what is to be deleted later, as each bar of napari's activity is, would
    # stay until the process ends, and then fall upon a window that is gone.
    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()
