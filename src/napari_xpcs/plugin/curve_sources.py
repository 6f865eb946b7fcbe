"""Where curves come from: layers that carry g2, and files that have no detector to show."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from napari.layers import Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.controls import OpenButton, WrappedLabel
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

FILTER = "Curves (*.csv *.hdf *.h5 *.hdf5 *.nxs)"


@dataclass(frozen=True, slots=True, eq=False)
class OpenedCurves:
    """Curves of a file that was opened in the dock."""

    name: str
    curves: G2Curves


CurveSource: TypeAlias = Layer | OpenedCurves


def curves_of_source(source: CurveSource | None) -> G2Curves | None:
    """Return the curves of a layer or an opened file, if it has any."""
    if source is None:
        return None
    if isinstance(source, OpenedCurves):
        return source.curves
    return xpcs_layers.layer_curves(source)


def has_curves(source: CurveSource) -> bool:
    """Return whether there is something to fit."""
    return curves_of_source(source) is not None


def read_steps(path: Path) -> Steps[OpenedCurves]:
    """Read the curves of a result file or a CSV; runs in the thread."""
    from napari_xpcs.pipeline.curves import curves_of

    yield Progress(0, 1, "files")
    return OpenedCurves(path.name, curves_of(path))


class FileButton(OpenButton):
    """A button that asks for a file of curves and reads it in a thread."""

    opened = Signal(object)
    """Emitted with the :class:`OpenedCurves`."""
    failed = Signal(str)
    """Emitted with the reason in a sentence."""

    def __init__(self, text: str, **properties: Any) -> None:
        super().__init__(text, "Open curves", FILTER, **properties)
        self._reading = Runner(self)
        self._reading.finished.connect(self.opened)
        self._reading.failed.connect(self.failed)
        self.chosen.connect(self.open)

    def open(self, path: Path) -> None:
        """Read ``path``."""
        self._reading.start(partial(read_steps, path))


class OtherRuns(QWidget):
    """The further runs that are laid over the shown one, and fitted together with it."""

    changed = Signal()
    """Another choice of runs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._list = QListWidget(objectName="other_runs")
        self._list.setMaximumHeight(90)
        hint = WrappedLabel(
            "Tick runs to draw them over the curve; a fit of all bins together takes them in."
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(hint)
        column.addWidget(self._list)
        self._list.itemChanged.connect(self.changed)

    def show_sources(self, sources: Sequence[CurveSource]) -> None:
        """Offer ``sources``; what is ticked stays so."""
        before = self.chosen()
        self._list.blockSignals(True)
        self._list.clear()
        for source in sources:
            item = QListWidgetItem(source.name)
            item.setData(Qt.ItemDataRole.UserRole, source)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            on = any(source is one for one in before)
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            self._list.addItem(item)
        self._list.blockSignals(False)
        if len(before) != len(self.chosen()):
            self.changed.emit()

    def chosen(self) -> list[CurveSource]:
        """Return the runs that are ticked."""
        items = [self._list.item(row) for row in range(self._list.count())]
        return [
            item.data(Qt.ItemDataRole.UserRole)
            for item in items
            if item.checkState() == Qt.CheckState.Checked
        ]

    def curves(self) -> list[G2Curves]:
        """Return the curves of the runs that are ticked."""
        found = [curves_of_source(source) for source in self.chosen()]
        return [curves for curves in found if curves is not None]
