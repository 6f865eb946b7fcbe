"""The bins as a table, linked both ways with the layer that shows them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components.viewer_model import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_counts import BinCounts
from napari_xpcs.plugin.bin_layers import lit_colormap
from napari_xpcs.plugin.bins_form import AXIS_WORDS
from napari_xpcs.plugin.rows_model import Column, RowsView

if TYPE_CHECKING:
    from napari.utils.colormaps import DirectLabelColormap

OUTLINE_PX = 1


def bin_columns(partition: Partition, counts: np.ndarray | None = None) -> list[Column]:
    """Return the columns of a table of bins: axes with edges, pixels, mean counts.

    ``counts`` are per pixel and frame of each label, ``None`` while they are unknown.
    """
    bins = partition.dynamic
    labels = np.arange(1, len(bins) + 1)
    columns = [Column("bin", [str(label) for label in labels], labels)]
    for axis, (name, unit) in enumerate(zip(partition.names, partition.units, strict=True)):
        if axis and bins.grid[axis] == 1 and bins.label_centers is None:
            continue
        word = AXIS_WORDS.get(name, name)
        centers = bins.center_of_bins(axis)
        columns.append(Column(f"{word} ({unit.replace('Å⁻¹', '1/Å')})", _texts(centers), centers))
        edges = _edges_of_labels(bins, axis)
        if edges is not None:
            low, high = _texts(edges[:, 0]), _texts(edges[:, 1])
            texts = [f"{a} … {b}" for a, b in zip(low, high, strict=True)]
            columns.append(Column(f"{word} edges", texts, edges[:, 0]))
    columns.append(Column("pixels", [str(pixels) for pixels in bins.pixels], bins.pixels))
    if counts is None:
        columns.append(Column("counts", [""] * len(bins), np.full(len(bins), np.nan)))
    else:
        texts = [f"{mean:.4g}" if np.isfinite(mean) else "not counted" for mean in counts]
        columns.append(Column("counts", texts, counts))
    return columns


def _texts(values: np.ndarray) -> list[str]:
    return [f"{value:.4g}" if np.isfinite(value) else "" for value in values]


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
        self._counts = BinCounts(self)
        self.view = RowsView(objectName="bin_table")
        self.view.setMinimumHeight(9 * self.fontMetrics().height())
        self.outlines = QCheckBox("Outlines only", objectName="outlines")
        self.outlines.setToolTip("Draw bins as outlines, so that the speckle stays visible.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.outlines)
        column.addWidget(self.view)
        self.view.selectionModel().selectionChanged.connect(self._on_row_selected)
        self._counts.counted.connect(self._on_counted)
        self.outlines.toggled.connect(self._on_outlines_toggled)
        napari_viewer.mouse_drag_callbacks.append(self._on_image_pressed)

    def teardown(self) -> None:
        """Let go of the layer and the viewer."""
        self.follow(None, None)
        if self._on_image_pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_image_pressed)

    def follow(self, layer: Labels | None, image: Layer | None) -> None:
        """Show the bins of ``layer`` from now on, with their counts in ``image``."""
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
            self._show_rows(None)
        self._counts.follow(image, partition)

    def _on_counted(self, counts: np.ndarray) -> None:
        self._show_rows(counts)

    def _show_rows(self, counts: np.ndarray | None) -> None:
        columns = [] if self._partition is None else bin_columns(self._partition, counts)
        rows = 0 if self._partition is None else len(self._partition.dynamic)
        self.view.show_rows(columns, np.zeros(rows, dtype=bool))

    def _on_outlines_toggled(self, only: bool) -> None:
        if self._layer is not None:
            self._layer.contour = OUTLINE_PX if only else 0

    def _on_row_selected(self) -> None:
        row = self.view.current_row()
        if self._layer is not None and row is not None:
            self._layer.selected_label = row + 1
            self._light(row + 1)

    def _on_label_selected(self) -> None:
        if self._layer is None or self._partition is None:
            return
        label = int(self._layer.selected_label)
        if 0 < label <= len(self._partition.dynamic):
            self.view.select_row(label - 1)
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
