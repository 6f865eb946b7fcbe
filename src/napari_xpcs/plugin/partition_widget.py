"""Dock: the geometry of the detector and the bins over the image, live."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
)

from napari_xpcs._typing import Mask
from napari_xpcs.errors import GeometryError, XpcsError
from napari_xpcs.io.recipe import Recipe
from napari_xpcs.kernels.geometry import (
    POSSIBLE,
    Geometry,
    KnownGeometry,
    complete_geometry,
)
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.beam_panel import BeamPanel, BeamRequest
from napari_xpcs.plugin.bin_jobs import (
    BinRequest,
    BinResult,
    bins_steps,
    counts_steps,
    painted_steps,
    partition_summary,
    preview_steps,
    save_steps,
)
from napari_xpcs.plugin.bin_layers import partition_layer, show_partition
from napari_xpcs.plugin.bin_table import BinTable
from napari_xpcs.plugin.bins_form import NARROW_PX, BinsForm
from napari_xpcs.plugin.dock import Dock, LayerComboBox
from napari_xpcs.plugin.geometry_form import GeometryForm
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.mask_layers import mask_layer
from napari_xpcs.plugin.mean_image import RunImage, run_image_steps
from napari_xpcs.plugin.q_ruler import QRuler, Readout
from napari_xpcs.plugin.recipe_bar import (
    RecipeBar,
    load_recipe_steps,
    recipe_mask_steps,
    save_recipe_steps,
)
from napari_xpcs.plugin.region_panel import RegionPanel
from napari_xpcs.plugin.section import Section
from napari_xpcs.progress import Steps

if TYPE_CHECKING:
    from napari_xpcs.kernels.qmap import QMaps

SETTLE_MS = 150
"""Typing pauses this long before the bins are computed."""
COUNTED_FRAMES = 20
"""Frames that the mean counts in the table are taken from."""
PAINTING = ("paint", "fill", "erase", "polygon")


class PartitionWidget(Dock):
    """Fill in the geometry, choose bins, see them on the image, save them.

    The numbers are made in :mod:`napari_xpcs.kernels`; this class joins the panels, runs
    the computation in a thread and shows what comes back.
    """

    def _build(self) -> None:
        self._maps: tuple[tuple[Geometry, str], QMaps] | None = None
        self._painted_layer: Labels | None = None
        self._counted_for: Partition | None = None
        self._shown_known: tuple[Layer, KnownGeometry] | None = None
        self._target: Labels | None = None
        self._watched: Labels | None = None
        self._opened: Partition | None = None
        self._previewed = self._again = False
        self._run: tuple[Layer, RunImage] | None = None
        self._runner, self._live = Runner(self), Runner(self)
        # Two savers: a recipe that is saved at once after the bins must not stop these.
        self._saver, self._recipe_saver = Runner(self), Runner(self)
        self._painter, self._counter = Runner(self), Runner(self)
        self._loader, self._masker = Runner(self), Runner(self)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._painted = QTimer(self, singleShot=True, interval=2 * SETTLE_MS)
        self._image = LayerComboBox("no image: open frames first", _is_image, objectName="image")
        self._mask = LayerComboBox("no mask", _is_mask, optional=True, objectName="mask")
        self._mask.setToolTip("Pixels that this layer paints are left out of every bin.")
        self._invert = QPushButton("Invert", objectName="invert")
        self._invert.setToolTip("Swap masked and used pixels: files differ in what 1 means.")
        masking = QHBoxLayout()
        masking.addWidget(self._mask, stretch=1)
        masking.addWidget(self._invert)
        for box in (self._image, self._mask):
            box.setMinimumWidth(NARROW_PX)
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        top.addRow("Image", self._image)
        top.addRow("Mask", masking)
        self.column.addLayout(top)
        self._readout = Readout(self._viewer, self.geometry, self._under_cursor)
        self._form = GeometryForm()
        self._beam = BeamPanel(self._viewer, self._beam_request)
        self._ruler = QRuler(self._viewer, self.geometry)
        self._bins = BinsForm()
        self._regions = RegionPanel(self._viewer, self.geometry)
        self._table = BinTable(self._viewer)
        self._state = QLabel(objectName="state")
        self._state.setWordWrap(True)
        self._lay = QPushButton("Lay bins over the image", objectName="lay")
        self._lay.setToolTip("From then on the bins follow every number that you change above.")
        self._save = QPushButton("Save Q-map file ...", objectName="save")
        self._save.setToolTip(
            "HDF5 with the group /qmap, as boost_corr, pySimpleMask and pyXpcsViewer read it."
        )
        geometry = Section("Geometry", opened=True)
        for panel in (self._form, self._beam):
            geometry.column.addWidget(panel)
        ruler = Section("q ruler", opened=True)
        ruler.column.addWidget(self._ruler)
        bins = Section("Bins", opened=True)
        for panel in (self._bins, self._lay, self._state):
            bins.column.addWidget(panel)
        regions = Section("Regions")
        regions.column.addWidget(self._regions)
        table = Section("Table of bins", opened=True)
        table.column.addWidget(self._table)
        self._recipe = RecipeBar()
        for part in (geometry, ruler, bins, regions, table, self._save, self._recipe):
            self.column.addWidget(part)
        self.column.addStretch()
        self.layout().addWidget(self._readout)  # below what scrolls: always in sight

    def _connect(self) -> None:
        self._image.currentIndexChanged.connect(self._on_image_changed)
        self._mask.currentIndexChanged.connect(self._on_mask_changed)
        self._invert.clicked.connect(self._on_invert_clicked)
        self._form.edited.connect(self._on_geometry_edited)
        self._beam.moving.connect(self._on_beam_moving)
        self._beam.moved.connect(self._on_beam_moved)
        self._bins.edited.connect(self._settle.start)
        self._regions.edited.connect(self._on_regions_edited)
        self._regions.editing.connect(self._preview)
        self._lay.clicked.connect(self._settle.start)
        self._settle.timeout.connect(self._compute)
        self._painted.timeout.connect(self._on_painted)
        self._runner.finished.connect(self._on_runner_finished)
        self._runner.failed.connect(self._say)
        self._live.finished.connect(self._on_preview_finished)
        self._live.failed.connect(self._on_preview_failed)
        self._painter.finished.connect(self._on_painter_finished)
        self._painter.failed.connect(self._say)
        self._counter.finished.connect(self._on_counted)
        self._save.clicked.connect(self._on_save_clicked)
        self._recipe.saving.connect(self.save_recipe)
        self._recipe.loading.connect(self.load_recipe)
        self._loader.finished.connect(self._on_recipe_read)
        self._loader.failed.connect(self._say)
        self._masker.finished.connect(self._on_recipe_masked)
        self._masker.failed.connect(self._say)
        for saver in (self._saver, self._recipe_saver):
            saver.finished.connect(self._on_saved)
            saver.failed.connect(self._say)

    def _refresh(self, event: object = None) -> None:
        if self._target is not None and self._target not in self._viewer.layers:
            self._follow(None)
        self._image.show_layers(list(self._viewer.layers))
        shape = self._shape()
        self._mask.show_layers(
            [
                layer
                for layer in self._viewer.layers
                if _is_mask(layer) and layer.data.shape == shape
            ]
        )
        self._beam.refresh()
        self._regions.refresh()
        self._show_known_if_new()
        self._show_opened()
        self._save.setEnabled(self._shown_bins() is not None)
        self._lay.setEnabled(self._image.layer() is not None)
        if self._image.layer() is None:
            self._say(
                "Open a frames or result file (File > Open), or a simulated run "
                "(File > Open Sample > XPCS)."
            )

    def _teardown(self) -> None:
        for timer in (self._settle, self._painted):
            timer.stop()
        for runner in (self._runner, self._live, self._painter, self._counter, self._masker):
            runner.cancel()
        for panel in (self._beam, self._regions, self._table):
            panel.teardown()
        self._readout.stop()
        self._watch_paint(None)

    # -- what the controls say

    def _shape(self) -> tuple[int, int] | None:
        layer = self._image.layer()
        return None if layer is None else (int(layer.data.shape[-2]), int(layer.data.shape[-1]))

    def known(self) -> KnownGeometry:
        """Return the values of the form, each with the place it comes from."""
        return self._form.known()

    def geometry(self) -> Geometry | None:
        """Return the geometry of the form, ``None`` while it is incomplete or impossible."""
        shape = self._shape()
        if shape is None:
            return None
        try:
            return complete_geometry(self.known(), shape)
        except GeometryError:
            return None

    def _chosen_mask(self) -> Mask | None:
        layer = self._mask.layer()
        return None if layer is None else xpcs_layers.layer_mask(layer)

    def request(self) -> BinRequest | None:
        """Return what the controls ask for, ``None`` without an image.

        Raises
        ------
        XpcsError
            A value is unknown or impossible.
        """
        shape, mask = self._shape(), self._mask.layer()
        if shape is None:
            return None
        regions, rule = self._regions.wanted()
        spec = self._bins.spec()
        in_pixels = regions and rule == "each" and all(one.kind != "sector" for one in regions)
        geometry = self.geometry() if in_pixels else complete_geometry(self.known(), shape)
        key = (geometry, spec.q_convention)
        return BinRequest(
            shape=shape,
            geometry=geometry,
            mask=self._chosen_mask(),
            spec=spec,
            regions=regions,
            rule=rule,
            mask_steps=() if mask is None else xpcs_layers.layer_steps(mask),
            maps=self._maps[1] if self._maps is not None and self._maps[0] == key else None,
        )

    def _beam_request(self) -> BeamRequest | None:
        image, shape = self._image.layer(), self._shape()
        if image is None or shape is None:
            return None
        return BeamRequest(image=image, mask=self._chosen_mask(), known=self.known(), shape=shape)

    def _shown_bins(self) -> Labels | None:
        """Return the bins on the image: those laid here, else those that were opened for it."""
        if self._target is not None:
            return self._target
        shape = self._shape()
        found = xpcs_layers.layers_with_role(self._viewer.layers, "partition")
        return next((layer for layer in found if layer.data.shape == shape), None)

    def _under_cursor(self) -> tuple[Layer | None, Labels | None]:
        return self._image.layer(), self._shown_bins()

    # -- the geometry

    def _on_image_changed(self) -> None:
        layer = self._image.layer()
        self._shown_known = None
        self._show_known_if_new()
        self._refresh()
        if layer is None:
            return
        self._settle.stop()
        for runner in (self._runner, self._live, self._painter, self._counter):
            runner.cancel()
        self._follow(None)
        self._opened = None
        self._say("Press the button, or change a number, and the bins appear.")
        self._show_opened()

    def _show_known_if_new(self) -> None:
        """Show the geometry of the image when the image, or what is known of it, is another."""
        layer = self._image.layer()
        ours = layer is not None and bool(xpcs_layers.layer_role(layer))
        known = xpcs_layers.layer_known(layer) if ours else {}
        before = self._shown_known
        if layer is None:
            self._shown_known = None
        elif before is None or before[0] is not layer or before[1] is not known:
            another = before is not None and before[0] is layer and ours
            self._shown_known = (layer, known)
            self._form.show_known(known)
            self._show_beam()
            if another:
                self._on_geometry_edited()
        if layer is None and before is not None:
            self._form.show_known({})

    def _show_beam(self) -> None:
        known = self.known()
        values = [
            known[name].value if name in known else None
            for name in ("center_row_px", "center_col_px")
        ]
        self._beam.show_at(*values)
        self._ruler.redraw()

    def _on_geometry_edited(self) -> None:
        self._show_beam()
        self._regions.redraw()
        self._settle.start()

    def _put_beam(self, row: float, col: float, origin: str) -> None:
        center = {"center_row_px": round(row, 3), "center_col_px": round(col, 3)}
        self._form.put(center, origin)

    def _on_beam_moving(self, row: float, col: float) -> None:
        self._put_beam(row, col, "dragged by hand")
        self._preview()

    def _on_beam_moved(self, row: float, col: float, origin: str) -> None:
        self._put_beam(row, col, origin)
        self._ruler.redraw()
        self._regions.redraw()
        if self._target is not None or self._shown_bins() is None:
            self._settle.start()

    # -- the mask

    def _on_mask_changed(self) -> None:
        mask = self._mask.layer()
        if mask is not self._watched:
            for layer, act in ((self._watched, "disconnect"), (mask, "connect")):
                for event in ("paint", "data"):
                    if layer is not None:
                        getattr(getattr(layer.events, event), act)(self._on_mask_painted)
            self._watched = mask
        self._on_mask_painted()

    def _on_invert_clicked(self) -> None:
        mask = self._mask.layer()
        if mask is not None:
            used = xpcs_layers.layer_mask(mask)
            mask.data = used.astype(mask.data.dtype)
            self._say(f"{int(used.sum())} of {used.size} pixels are masked now.")

    def _on_mask_painted(self) -> None:
        if self._target is not None:
            self._settle.start()

    # -- the bins

    def _show_opened(self) -> None:
        """Show the options of bins that were opened for this image, once."""
        shown = self._shown_bins()
        newest = None if shown is None else xpcs_layers.layer_partition(shown)
        if newest is not self._opened and newest is not None and self._target is None:
            self._bins.show_grid(newest)
            self._regions.show_rule(newest.region_bins)
            self._say("There are bins for this image. Change a number to lay new ones over it.")
        self._opened = newest
        self._follow_table(shown)

    def _on_regions_edited(self) -> None:
        if self._target is not None or self._regions.wanted()[0]:
            self._settle.start()

    def _compute(self) -> None:
        try:
            request = self.request()
        except XpcsError as error:
            self._runner.cancel()
            self._say(str(error))
            return
        if request is not None:
            self._live.cancel()
            self._painter.cancel()
            self._say("Computing bins ...")
            self._runner.start(lambda: bins_steps(request))

    def _on_runner_finished(self, result: BinResult) -> None:
        layer, partition = self._image.layer(), result.partition
        if layer is None or partition.shape != self._shape():
            return
        if result.maps is not None and result.request.geometry is not None:
            key = (result.request.geometry, result.request.spec.q_convention)
            self._maps = (key, result.maps)
        self._show(partition)
        self._say(partition_summary(partition))

    def _show(self, partition: Partition) -> None:
        layer = self._image.layer()
        ours = layer is not None and bool(xpcs_layers.layer_role(layer))
        source = xpcs_layers.layer_source(layer) if layer is not None and ours else ""
        self._previewed = False
        if self._target is not None and self._target.data.shape == partition.shape:
            show_partition(self._target, partition, self.known(), source)
        else:
            data, arguments, _ = partition_layer(partition, known=self.known(), source=source)
            active = self._viewer.layers.selection.active
            self._follow(self._viewer.add_labels(data, **arguments))
            if active is not None and xpcs_layers.layer_role(active) in ("beam", "regions"):
                self._viewer.layers.selection.active = active
        self._save.setEnabled(True)
        self._follow_table(self._target)

    def _follow(self, layer: Labels | None) -> None:
        self._target = layer
        self._watch_paint(layer)

    # -- while something is dragged

    def _preview(self) -> None:
        if self._target is None:
            return
        if self._live.running:
            self._again = True
            return
        try:
            request = self.request()
        except XpcsError as error:
            self._say(str(error))
            return
        self._again = False
        if request is not None:
            self._live.start(lambda: preview_steps(request))

    def _on_preview_finished(self, labels: np.ndarray) -> None:
        if self._target is not None and labels.shape == self._target.data.shape:
            self._previewed = True
            self._target.data = labels.astype(self._target.data.dtype)
        if self._again:
            self._preview()

    def _on_preview_failed(self, reason: str) -> None:
        self._say(reason)

    # -- bins painted by hand

    def _watch_paint(self, layer: Labels | None) -> None:
        if self._painted_layer is layer:
            return
        for one, act in ((self._painted_layer, "disconnect"), (layer, "connect")):
            if one is not None:
                for event in ("paint", "set_data"):
                    getattr(getattr(one.events, event), act)(self._on_labels_drawn)
        self._painted_layer = layer

    def _on_labels_drawn(self) -> None:
        layer = self._painted_layer
        if layer is not None and layer.mode in PAINTING and not self._previewed:
            self._painted.start()

    def _on_painted(self) -> None:
        """Make the tables anew once the labels differ from the bins that they show."""
        layer = self._painted_layer
        if layer is None or self._runner.running or self._previewed:
            return
        before = xpcs_layers.layer_partition(layer)
        if np.array_equal(layer.data, before.dynamic.labels):
            return
        try:
            request = self.request()
        except XpcsError as error:
            self._say(str(error))
            return
        if request is not None:
            labels = np.array(layer.data, dtype=np.int32)
            self._painter.start(lambda: painted_steps(request, labels, before))

    def _on_painter_finished(self, result: BinResult) -> None:
        layer = self._painted_layer
        if layer is None or layer.data.shape != result.partition.shape:
            return
        if not np.array_equal(layer.data, result.partition.dynamic.labels):
            # Painted on meanwhile, or a bin is gone and the others were renumbered.
            self._painted.start()
        self._show(result.partition)
        self._say(
            f"Painted by hand: {partition_summary(result.partition)} "
            "A change of a number above lays new bins."
        )

    # -- the table

    def _follow_table(self, layer: Labels | None) -> None:
        self._table.follow(layer)
        image = self._image.layer()
        if layer is None or image is None:
            return
        partition = xpcs_layers.layer_partition(layer)
        if partition is not self._counted_for:
            self._counted_for = partition
            run = self._run[1] if self._run is not None and self._run[0] is image else None
            self._counter.start(partial(_table_counts, image, run, partition))

    def _on_counted(self, found: tuple[Layer, RunImage, Partition, np.ndarray]) -> None:
        image, run, partition, counts = found
        if image is self._image.layer():
            self._run = (image, run)
        if partition is self._counted_for:
            self._table.model.show_counts(counts)

    # -- saving

    def _on_save_clicked(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save Q-map file", "qmap.hdf", "HDF5 (*.hdf *.h5 *.hdf5)"
        )
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the bins on the screen to ``path``; the file dialogue asked before overwriting."""
        layer = self._shown_bins()
        if layer is not None:
            partition = xpcs_layers.layer_partition(layer)
            source = xpcs_layers.layer_source(layer)
            self._saver.start(partial(save_steps, path, partition, source))

    # -- recipes

    def recipe(self) -> Recipe:
        """Return what the controls say, for ``napari-xpcs qmap --recipe`` and other images.

        Raises
        ------
        XpcsError
            A value is impossible.
        """
        regions, rule = self._regions.wanted()
        mask = self._mask.layer()
        return Recipe(
            geometry={
                name: sourced.value
                for name, sourced in self.known().items()
                if sourced.value is not None and name in POSSIBLE
            },
            mask=() if mask is None else xpcs_layers.layer_steps(mask),
            bins=self._bins.spec(),
            regions=regions,
            region_bins=rule,
        )

    def save_recipe(self, path: Path) -> None:
        """Write the recipe to ``path``; the file dialogue asked before overwriting."""
        try:
            recipe = self.recipe()
        except XpcsError as error:
            self._say(str(error))
            return
        self._recipe_saver.start(partial(save_recipe_steps, path, recipe))

    def load_recipe(self, path: Path) -> None:
        """Take geometry, mask, bins and regions from ``path``."""
        self._loader.start(partial(load_recipe_steps, path))

    def _on_recipe_read(self, found: tuple[Path, Recipe]) -> None:
        path, recipe = found
        self._form.put(recipe.geometry, f"recipe {path.name}")
        self._show_beam()
        if recipe.bins is not None:
            self._bins.show_spec(recipe.bins)
        if recipe.regions:
            self._regions.put(recipe.regions, recipe.region_bins)
        else:
            self._regions.choose(None)
        layer, shape = self._image.layer(), self._shape()
        if recipe.mask and layer is not None and shape is not None:
            raw = xpcs_layers.layer_role(layer) == "frames"
            frames = xpcs_layers.layer_frames(layer) if raw else None
            image = layer.data if layer.ndim == 2 else None
            geometry = self.geometry()
            job = partial(recipe_mask_steps, shape, geometry, recipe.mask, frames, image)
            self._masker.start(job)
        self._settle.start()

    def _on_recipe_masked(self, found: tuple[Mask, tuple[MaskStep, ...]]) -> None:
        mask, steps = found
        layer = self._mask.layer()
        if mask.shape != self._shape():
            return
        if layer is None:
            data, arguments, _ = mask_layer(mask, steps=steps)
            self._viewer.add_labels(data, **arguments)
        else:
            xpcs_layers.attach_steps(layer, steps, mask)
            layer.data = (~mask).astype(layer.data.dtype)
            layer.events.metadata()
        self._settle.start()

    def _on_saved(self, path: Path) -> None:
        self._say(f"Saved {path}")

    def _say(self, text: str) -> None:
        self._state.setText(text)


def _is_image(layer: Layer) -> bool:
    maps = xpcs_layers.layer_role(layer) in ("map", "twotime")
    return isinstance(layer, Image) and layer.ndim >= 2 and not layer.rgb and not maps


def _is_mask(layer: Layer) -> bool:
    return xpcs_layers.layer_role(layer) == "mask"


def _table_counts(
    image: Layer, run: RunImage | None, partition: Partition
) -> Steps[tuple[Any, RunImage, Partition, np.ndarray]]:
    """Add up some frames, unless that was done, and average them over the bins."""
    if run is None:
        run = yield from run_image_steps(image, COUNTED_FRAMES)
    counts = yield from counts_steps(run, partition)
    return image, run, partition, counts
