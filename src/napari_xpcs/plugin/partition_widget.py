"""Dock: the geometry of the detector and the bins over the image, live."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QFormLayout,
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
    partition_summary,
    save_steps,
)
from napari_xpcs.plugin.bin_layers import partition_layer, show_partition
from napari_xpcs.plugin.bin_preview import BinPreview
from napari_xpcs.plugin.bin_table import BinTable
from napari_xpcs.plugin.bins_form import NARROW_PX, BinsForm
from napari_xpcs.plugin.controls import SaveButton, WrappedLabel
from napari_xpcs.plugin.dock import OPEN_FIRST, Dock, LayerComboBox
from napari_xpcs.plugin.geometry_form import GeometryForm
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.mask_choice import MaskChoice
from napari_xpcs.plugin.painted_bins import PaintedBins
from napari_xpcs.plugin.q_ruler import QRuler, Readout
from napari_xpcs.plugin.recipe_bar import RecipeBar
from napari_xpcs.plugin.region_panel import RegionPanel
from napari_xpcs.plugin.section import Section

if TYPE_CHECKING:
    from napari_xpcs.kernels.qmap import QMaps

SETTLE_MS = 150
"""Typing pauses this long before the bins are computed."""
LAY = "Press the button, or change a number, and the bins appear."
NOTHING_KNOWN: KnownGeometry = {}
"""Of an image of another program; always the same, so that it is not taken for news."""


class PartitionWidget(Dock):
    """Fill in the geometry, choose bins, see them on the image, save them.

    The numbers are made in :mod:`napari_xpcs.kernels`; this class joins the panels, runs
    the computation in a thread and shows what comes back.
    """

    def _build(self) -> None:
        self._maps: tuple[tuple[Geometry, str], QMaps] | None = None
        self._shown_known: tuple[Layer, KnownGeometry] | None = None
        self._target: Labels | None = None
        self._opened: Partition | None = None
        self._runner, self._saver = Runner(self), Runner(self)
        self._preview = BinPreview(self.request, self)
        self._painted = PaintedBins(self.request, self._is_changing, self)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._image = LayerComboBox("no image: open frames first", _is_image, objectName="image")
        self._image.setToolTip("The image that bins are laid over; its file tells the geometry.")
        self._mask = MaskChoice(self._viewer)
        for box in (self._image, self._mask.choice):
            box.setMinimumWidth(NARROW_PX)
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        top.addRow("Image", self._image)
        top.addRow("Mask", self._mask)
        self.column.addLayout(top)
        self._readout = Readout(self._viewer, self.geometry, self._under_cursor)
        self._form = GeometryForm()
        self._beam = BeamPanel(self._viewer, self._beam_request)
        self._ruler = QRuler(self._viewer, self.geometry)
        self._bins = BinsForm()
        self._regions = RegionPanel(self._viewer, self.geometry)
        self._table = BinTable(self._viewer)
        self._state = WrappedLabel(objectName="state")
        self._lay = QPushButton("Lay bins over the image", objectName="lay")
        self._lay.setToolTip("From then on the bins follow every number that you change above.")
        self._save = SaveButton(
            "Save Q-map file ...", "qmap.hdf", "HDF5 (*.hdf *.h5 *.hdf5)", objectName="save"
        )
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
        self._recipe = RecipeBar(self.recipe)
        for part in (geometry, ruler, bins, regions, table, self._save, self._recipe):
            self.column.addWidget(part)
        self.column.addStretch()
        self.layout().addWidget(self._readout)  # below what scrolls: always in sight

    def _connect(self) -> None:
        self._image.currentIndexChanged.connect(self._on_image_changed)
        self._mask.changed.connect(self._on_mask_changed)
        self._mask.said.connect(self._say)
        self._form.edited.connect(self._on_geometry_edited)
        self._beam.moving.connect(self._on_beam_moving)
        self._beam.moved.connect(self._on_beam_moved)
        self._bins.edited.connect(self._settle.start)
        self._regions.edited.connect(self._on_regions_edited)
        self._regions.editing.connect(self._preview.ask)
        self._lay.clicked.connect(self._settle.start)
        self._settle.timeout.connect(self._compute)
        self._runner.finished.connect(self._on_runner_finished)
        self._runner.failed.connect(self._say)
        self._preview.failed.connect(self._say)
        self._painted.made.connect(self._on_painted)
        self._painted.failed.connect(self._say)
        self._save.chosen.connect(self.save)
        self._recipe.read.connect(self._on_recipe_read)
        self._recipe.masked.connect(self._on_recipe_masked)
        self._recipe.said.connect(self._say)
        self._saver.finished.connect(self._on_saved)
        self._saver.failed.connect(self._say)

    def _refresh(self, event: object = None) -> None:
        if self._target is not None and self._target not in self._viewer.layers:
            self._follow(None)
            self._say(LAY)
        self._image.show_layers(list(self._viewer.layers))
        self._mask.offer(list(self._viewer.layers), self._shape())
        self._beam.refresh()
        self._regions.refresh()
        self._show_known_if_new()
        self._show_opened()
        self._save.setEnabled(self._shown_bins() is not None)
        self._lay.setEnabled(self._image.layer() is not None)
        if self._image.layer() is None:
            self._say(OPEN_FIRST)

    def _teardown(self) -> None:
        self._settle.stop()
        self._runner.cancel()
        self._preview.cancel()
        for panel in (self._beam, self._regions, self._table):
            panel.teardown()
        for part in (self._readout, self._painted, self._recipe):
            part.stop()

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

    def request(self) -> BinRequest | None:
        """Return what the controls ask for, ``None`` without an image.

        Raises
        ------
        XpcsError
            A value is unknown or impossible.
        """
        shape = self._shape()
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
            mask=self._mask.mask(),
            spec=spec,
            regions=regions,
            rule=rule,
            mask_steps=self._mask.steps(),
            maps=self._maps[1] if self._maps is not None and self._maps[0] == key else None,
        )

    def _beam_request(self) -> BeamRequest | None:
        image, shape = self._image.layer(), self._shape()
        if image is None or shape is None:
            return None
        return BeamRequest(image=image, mask=self._mask.mask(), known=self.known(), shape=shape)

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
        self._show_known_if_new()
        self._refresh()
        if layer is None:
            return
        self._settle.stop()
        for running in (self._runner, self._preview, self._painted):
            running.cancel()
        self._follow(None)
        self._opened = None
        self._say(LAY)
        self._show_opened()

    def _show_known_if_new(self) -> None:
        """Show the geometry of the image when the image, or what is known of it, is another."""
        layer = self._image.layer()
        ours = layer is not None and bool(xpcs_layers.layer_role(layer))
        known = xpcs_layers.layer_known(layer) if ours else NOTHING_KNOWN
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
        self._preview.ask()

    def _on_beam_moved(self, row: float, col: float, origin: str) -> None:
        self._put_beam(row, col, origin)
        self._ruler.redraw()
        self._regions.redraw()
        if self._target is not None or self._shown_bins() is None:
            self._settle.start()

    # -- the mask

    def _on_mask_changed(self) -> None:
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
            unknown = self._form.unknown_text() if isinstance(error, GeometryError) else ""
            self._say(unknown or str(error))
            return
        if request is not None:
            self._preview.cancel()
            self._painted.cancel()
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
        self._preview.is_shown = False
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
        self._painted.follow(layer)
        self._preview.follow(layer)

    # -- bins painted by hand

    def _is_changing(self) -> bool:
        """Return whether the bins on the image are a preview, or others are being made."""
        return self._preview.is_shown or self._runner.running

    def _on_painted(self, result: BinResult) -> None:
        self._show(result.partition)
        self._say(
            f"Painted by hand: {partition_summary(result.partition)} "
            "A change of a number above lays new bins."
        )

    # -- the table

    def _follow_table(self, layer: Labels | None) -> None:
        self._table.follow(layer, self._image.layer())

    # -- saving

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
        return Recipe(
            geometry={
                name: sourced.value
                for name, sourced in self.known().items()
                if sourced.value is not None and name in POSSIBLE
            },
            mask=self._mask.steps(),
            bins=self._bins.spec(),
            regions=regions,
            region_bins=rule,
        )

    def save_recipe(self, path: Path) -> None:
        """Write the recipe to ``path``; the file dialogue asked before overwriting."""
        self._recipe.save(path)

    def load_recipe(self, path: Path) -> None:
        """Take geometry, mask, bins and regions from ``path``."""
        self._recipe.load(path)

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
            self._recipe.make_mask(recipe.mask, layer, shape, self.geometry())
        self._settle.start()

    def _on_recipe_masked(self, found: tuple[Mask, tuple[MaskStep, ...]]) -> None:
        mask, steps = found
        if mask.shape == self._shape():
            self._mask.put(mask, steps)
            self._settle.start()

    def _on_saved(self, path: Path) -> None:
        self._say(f"Saved {path}")

    def _say(self, text: str) -> None:
        self._state.setText(text)


def _is_image(layer: Layer) -> bool:
    maps = xpcs_layers.layer_role(layer) in ("map", "twotime")
    return isinstance(layer, Image) and layer.ndim >= 2 and not layer.rgb and not maps
