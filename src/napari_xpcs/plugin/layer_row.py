"""A choice of layers with a button beside it that opens a file."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.components.viewer_model import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.io.files import GeometryFile
from napari_xpcs.io.hdf5_frames import SeveralFramesError
from napari_xpcs.io.open import open_path
from napari_xpcs.plugin._reader import ask_which, layers_of
from napari_xpcs.plugin.calibration import calibrate
from napari_xpcs.plugin.controls import OpenButton, WrappedLabel
from napari_xpcs.plugin.dock import LayerComboBox
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.layer_adding import LayerAdder
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs.plugin.layers import LayerData


class LayerRow(QWidget):
    """Shows ``choice``, and adds the layers of a file to the viewer when asked to.

    What the file holds of the kind that is offered is chosen then.  Below stands which file is
    read, or why it cannot be.
    """

    def __init__(
        self,
        choice: LayerComboBox,
        napari_viewer: ViewerModel,
        what: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._choice = choice
        title = f"Open a file with {what}"
        self._button = OpenButton("...", title, objectName=f"open_{choice.objectName()}")
        self._button.setToolTip(f"{title}.")
        self._button.chosen.connect(self.open)
        self._message = WrappedLabel(objectName=f"opening_{choice.objectName()}")
        self._message.hide()
        column, row = QVBoxLayout(self), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        row.addWidget(choice, stretch=1)
        row.addWidget(self._button)
        column.addLayout(row)
        column.addWidget(self._message)
        self._reading, self._adder = Runner(self), LayerAdder(napari_viewer, self)
        self._reading.finished.connect(self._on_read)
        self._reading.failed.connect(self._on_failed)
        self._adder.added.connect(self._on_added)
        self._adder.done.connect(self._on_done)

    def open(self, path: Path, dataset: str | None = None) -> None:
        """Read a file in a thread and add its layers."""
        self._button.setEnabled(False)
        self._say(f"Reading {path.name} ...")
        self._reading.start(partial(_layer_steps, path, dataset))

    def stop(self) -> None:
        """Add nothing any more."""
        self._reading.cancel()
        self._adder.stop()

    def _on_read(self, found: "list[LayerData] | GeometryFile | _Several") -> None:
        if isinstance(found, list):
            self._adder.add(found)
        elif isinstance(found, GeometryFile):
            self._calibrate(found.path)
        else:
            chosen = ask_which(found.path.name, found.choice)
            if chosen is None:
                self._on_failed(str(found.choice))
            else:
                self.open(found.path, chosen)

    def _calibrate(self, path: Path) -> None:
        try:
            show_info(calibrate(path, list(self._viewer.layers)))
        except XpcsError as fault:
            self._on_failed(str(fault))
        else:
            self._on_done()

    def _on_added(self, layer: Layer) -> None:
        place = self._choice.findData(layer)
        if place >= 0:
            self._choice.setCurrentIndex(place)

    def _on_done(self) -> None:
        self._button.setEnabled(True)
        self._say("")

    def _on_failed(self, reason: str) -> None:
        self._button.setEnabled(True)
        self._say(reason)

    def _say(self, text: str) -> None:
        self._message.setText(text)
        self._message.setVisible(bool(text))


class _Several:
    """A file with several stacks of frames: the user is asked, not the thread."""

    def __init__(self, path: Path, choice: SeveralFramesError) -> None:
        self.path = path
        self.choice = choice


def _layer_steps(
    path: Path, dataset: str | None
) -> Steps["list[LayerData] | GeometryFile | _Several"]:
    """Read a file as layers; runs in the thread."""
    yield Progress(0, 1, path.name)
    try:
        file = open_path(path, dataset)
    except SeveralFramesError as choice:
        return _Several(path, choice)
    return file if isinstance(file, GeometryFile) else layers_of(file)
