"""Opens runs of a list: results and frames as layers, curves in the fit dock."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.components.viewer_model import ViewerModel
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import FramesFile, ResultFile
from napari_xpcs.io.open import open_path
from napari_xpcs.io.run_frames import frames_of_result
from napari_xpcs.pipeline.curves import curves_of
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.curve_sources import OpenedCurves
from napari_xpcs.plugin.dock_placing import dock_of
from napari_xpcs.plugin.file_layers import frames_file_to_layers, result_file_to_layers
from napari_xpcs.plugin.fit_widget import FitWidget
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.layer_adding import LayerAdder
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs.plugin.layers import LayerData

FIT_DOCK = "XPCS: Fit g2"


class RunOpener(QWidget):
    """Three buttons: results, frames, fit.  Files are read in a thread."""

    def __init__(
        self,
        napari_viewer: ViewerModel,
        selected: Callable[[], Sequence[Path]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._selected = selected
        self._loading, self._fitting = Runner(self), Runner(self)
        self._said, self._fits = "", False
        self._adder = LayerAdder(napari_viewer, self)
        self._message = WrappedLabel(objectName="opening")
        self._message.hide()
        row = QHBoxLayout()
        self._buttons = []
        for text, name, tip, action in (
            (
                "Open",
                "open_results",
                "Show mean image, mask and bins of the one selected run in napari; its g2 is then "
                "in XPCS: Fit g2. A double click does the same.",
                self._on_open_clicked,
            ),
            (
                "Open frames",
                "open_frames",
                "Show the frames that the one selected result was made of.",
                self._on_frames_clicked,
            ),
            (
                "Fit g2",
                "fit_runs",
                "Put g2 of every selected run into XPCS: Fit g2.",
                self._on_fit_clicked,
            ),
        ):
            button = QPushButton(text, objectName=name)
            button.setToolTip(tip)
            button.clicked.connect(action)
            row.addWidget(button)
            self._buttons.append(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self._message)
        self._loading.finished.connect(self._on_loaded)
        self._adder.done.connect(self._on_layers_added)
        self._fitting.finished.connect(self._on_curves_read)
        for runner in (self._loading, self._fitting):
            runner.progressed.connect(self._on_told)
            runner.failed.connect(self._say)

    def allow(self, paths: Sequence[Path]) -> None:
        """Enable what can be done with the selected files."""
        single, several = len(paths) == 1, len(paths) > 0
        for button, on in zip(self._buttons, (single, single, several), strict=True):
            button.setEnabled(on)
        self._say("")

    def stop(self) -> None:
        """Let go of the threads."""
        self._loading.cancel()
        self._fitting.cancel()
        self._adder.stop()

    def open_results(self, path: Path) -> None:
        """Add the layers of a result, and show the fit dock, which takes its g2."""
        self._loading.start(partial(_result_steps, path))

    def fit(self, paths: Sequence[Path]) -> None:
        """Put g2 of files into the fit dock."""
        self._fitting.start(partial(_curves_steps, tuple(paths)))

    def open_frames(self, result: Path) -> None:
        """Add the layers of the frames that a result was made of."""
        self._loading.start(partial(_frames_steps, result))

    def _on_open_clicked(self) -> None:
        self.open_results(self._selected()[0])

    def _on_frames_clicked(self) -> None:
        self.open_frames(self._selected()[0])

    def _on_fit_clicked(self) -> None:
        self.fit(self._selected())

    def _say(self, text: str) -> None:
        self._message.setText(text)
        self._message.setVisible(bool(text))

    def _on_told(self, progress: Progress) -> None:
        self._say(f"Reading {progress.what} ...")

    def _on_loaded(self, loaded: "tuple[list[LayerData], str, bool]") -> None:
        found, said, fits = loaded
        self._said, self._fits = said, fits
        self._adder.add(found)

    def _on_layers_added(self) -> None:
        self._viewer.reset_view()
        self._say(self._said)
        if self._fits:
            self._fit_dock()

    def _on_curves_read(self, opened: list[OpenedCurves]) -> None:
        dock = self._fit_dock()
        if dock is None:
            self._say("There is no window to open XPCS: Fit g2 in.")
            return
        for one in opened:
            dock.show_opened(one)
        self._say("")

    def _fit_dock(self) -> FitWidget | None:
        """Bring the fit dock to the front; ``None`` without a window."""
        dock = dock_of(self._viewer, FIT_DOCK, FitWidget)
        assert dock is None or isinstance(dock, FitWidget)
        return dock


def _result_steps(path: Path) -> "Steps[tuple[list[LayerData], str, bool]]":
    """Read a result as layers; runs in the thread."""
    yield Progress(0, 1, path.name)
    opened = open_path(path)
    if not isinstance(opened, ResultFile):
        msg = f"{path.name} holds no results any more; press Refresh."
        raise FileFormatError(msg)
    found = result_file_to_layers(opened)
    if not found:
        msg = f"{path.name} holds no image, mask or bins to show; 'Fit g2' opens its curves."
        raise FileFormatError(msg)
    return found, " ".join(opened.problems), opened.curves is not None


def _frames_steps(result: Path) -> "Steps[tuple[list[LayerData], str, bool]]":
    """Open the frames of a result; runs in the thread."""
    yield Progress(0, 1, "frames")
    path = frames_of_result(result)
    opened = open_path(path)
    if not isinstance(opened, FramesFile):
        msg = f"{path.name}, which {result.name} names as its frames, holds none."
        raise FileFormatError(msg)
    return frames_file_to_layers(opened), " ".join(opened.problems), False


def _curves_steps(paths: Sequence[Path]) -> Steps[list[OpenedCurves]]:
    """Read curves; runs in the thread."""
    opened = []
    for number, path in enumerate(paths):
        yield Progress(number, len(paths), path.name)
        opened.append(OpenedCurves(path.name, curves_of(path)))
    return opened
