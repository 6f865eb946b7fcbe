"""The bins as a table, linked both ways with the layer that shows them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components.viewer_model import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QCheckBox, QTableView, QVBoxLayout, QWidget

from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_layers import lit_colormap
from napari_xpcs.plugin.bins_form import AXIS_WORDS

if TYPE_CHECKING:
    from napari.utils.colormaps import DirectLabelColormap

OUTLINE_PX = 1
MOST_ROWS_MEASURED = 100
"""Columns become as wide as these rows need: measuring thousands takes long."""


class BinModel(QAbstractTableModel):
    """Rows of labels: axes with edges, pixels, mean counts."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._headers: list[str] = []
        self._columns: list[np.ndarray] = []
        self._counts: np.ndarray | None = None

    def show(self, partition: Partition | None) -> None:
        """Show the dynamic bins of ``partition``; mean counts are unknown until they are told."""
        self.beginResetModel()
        self._counts = None
        self._headers, self._columns = bin_columns(partition) if partition else ([], [])
        self.endResetModel()

    def show_counts(self, counts: np.ndarray) -> None:
        """Fill in the mean counts per pixel and frame of each label."""
        if self._columns and len(counts) == len(self._columns[0]):
            self.beginResetModel()
            self._counts = counts
            self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - the name is Qt's
        """Return the number of bins."""
        return len(self._columns[0]) if self._columns else 0

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of columns."""
        return len(self._columns) + 1 if self._columns else 0

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the titles of the columns."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return [*self._headers, "counts"][section]

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell as text."""
        if role != Qt.ItemDataRole.DisplayRole or not index.isValid():
            return None
        if index.column() < len(self._columns):
            return str(self._columns[index.column()][index.row()])
        if self._counts is None:
            return ""
        counts = self._counts[index.row()]
        return f"{counts:.4g}" if np.isfinite(counts) else "not counted"


def bin_columns(partition: Partition) -> tuple[list[str], list[np.ndarray]]:
    """Return titles and texts of the columns of a table of bins."""
    bins = partition.dynamic
    headers, columns = ["bin"], [np.arange(1, len(bins) + 1).astype(str)]
    for axis, (name, unit) in enumerate(zip(partition.names, partition.units, strict=True)):
        if axis and bins.grid[axis] == 1 and bins.label_centers is None:
            continue
        title = f"{AXIS_WORDS.get(name, name)} ({unit.replace('Å⁻¹', '1/Å')})"
        headers.append(title)
        columns.append(_texts(bins.center_of_bins(axis)))
        edges = _edges_of_labels(bins, axis)
        if edges is not None:
            headers.append(f"{AXIS_WORDS.get(name, name)} edges")
            low, high = _texts(edges[:, 0]), _texts(edges[:, 1])
            columns.append(np.array([f"{a} … {b}" for a, b in zip(low, high, strict=True)]))
    headers.append("pixels")
    columns.append(bins.pixels.astype(str))
    return headers, columns


def _texts(values: np.ndarray) -> np.ndarray:
    return np.array([f"{value:.4g}" if np.isfinite(value) else "" for value in values], dtype=str)


def _edges_of_labels(bins: Bins, axis: int) -> np.ndarray | None:
    """Return (low, high) of every label along an axis, ``None`` where a file did not tell."""
    if bins.edges is None:
        return None
    edges = bins.edges[axis]
    pairs = edges if edges.ndim == 2 else np.stack([edges[:-1], edges[1:]], axis=1)
    position = bins.index // bins.grid[1] if axis == 0 else bins.index % bins.grid[1]
    return pairs[position] if position.max(initial=0) < len(pairs) else None


class BinTable(QWidget):
    """A row selected here lights its bin up; a bin picked on the image selects its row."""

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._layer: Labels | None = None
        self._partition: Partition | None = None
        self._plain: DirectLabelColormap | None = None
        self._lit = 0
        self.model = BinModel(self)
        self.view = QTableView(objectName="bin_table")
        self.view.setModel(self.model)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.verticalHeader().setVisible(False)
        self.view.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 4)
        self.view.setMinimumHeight(9 * self.fontMetrics().height())
        self.outlines = QCheckBox("Outlines only", objectName="outlines")
        self.outlines.setToolTip("Draw bins as outlines, so that the speckle stays visible.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.outlines)
        column.addWidget(self.view)
        self.view.selectionModel().selectionChanged.connect(self._on_row_selected)
        self.outlines.toggled.connect(self._on_outlines_toggled)
        napari_viewer.mouse_drag_callbacks.append(self._on_image_pressed)

    def teardown(self) -> None:
        """Let go of the layer and the viewer."""
        self.follow(None)
        if self._on_image_pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_image_pressed)

    def follow(self, layer: Labels | None) -> None:
        """Show the bins of ``layer`` from now on."""
        if layer is not self._layer:
            if self._layer is not None:
                self._layer.events.selected_label.disconnect(self._on_label_selected)
                self._unlight()
            self._layer, self._partition, self._lit = layer, None, 0
            if layer is not None:
                layer.events.selected_label.connect(self._on_label_selected)
                self._on_outlines_toggled(self.outlines.isChecked())
        partition = None if layer is None else xpcs_layers.layer_partition(layer)
        if partition is not self._partition or partition is None:
            self._partition, self._lit = partition, 0
            self._plain = None if layer is None else layer.colormap
            self.model.show(partition)
            rows = min(self.model.rowCount(), MOST_ROWS_MEASURED)
            self.view.horizontalHeader().setResizeContentsPrecision(rows)
            self.view.resizeColumnsToContents()

    def _on_outlines_toggled(self, only: bool) -> None:
        if self._layer is not None:
            self._layer.contour = OUTLINE_PX if only else 0

    def _on_row_selected(self) -> None:
        rows = self.view.selectionModel().selectedRows()
        if self._layer is not None and rows:
            self._layer.selected_label = rows[0].row() + 1
            self._light(rows[0].row() + 1)

    def _on_label_selected(self) -> None:
        if self._layer is None:
            return
        label = int(self._layer.selected_label)
        if 0 < label <= self.model.rowCount():
            index = self.model.index(label - 1, 0)
            mode = QItemSelectionModel.SelectionFlag
            self.view.selectionModel().select(index, mode.ClearAndSelect | mode.Rows)
            self.view.scrollTo(index)
            self._light(label)

    def _light(self, label: int) -> None:
        if self._layer is not None and self._plain is not None and label != self._lit:
            self._lit = label
            self._layer.colormap = lit_colormap(self._plain, label)

    def _unlight(self) -> None:
        if self._layer is not None and self._plain is not None and self._lit:
            self._layer.colormap = self._plain
            self._lit = 0

    def _on_image_pressed(self, viewer: Any, event: Any) -> Any:
        """Select the bin under a click; a drag moves the picture as ever."""
        yield
        active = viewer.layers.selection.active
        browsing = active is None or active.mode == "pan_zoom"
        if event.type == "mouse_move" or self._layer is None or not browsing:
            return
        label = xpcs_layers.label_at(self._layer, event)
        if label:
            self._layer.selected_label = label
            self._on_label_selected()
