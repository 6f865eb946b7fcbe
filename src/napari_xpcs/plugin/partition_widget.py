"""Dock: the geometry of the detector and the q/phi bins over the image, live."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_xpcs._typing import Mask
from napari_xpcs.errors import PartitionError, XpcsError
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.partition_file import write_partition
from napari_xpcs.kernels.geometry import (
    Geometry,
    KnownGeometry,
    complete_geometry,
    missing_values,
    override,
)
from napari_xpcs.kernels.partition import Partition, PartitionSpec
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.dock import Dock, LayerComboBox, NumberEdit
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

GEOMETRY_FORM = (
    ("energy_kev", "Energy (keV)", 1.0, "Energy of the incident photons."),
    ("distance_m", "Distance (m)", 1.0, "From the sample to the detector along the direct beam."),
    ("pixel_row_m", "Pixel height (µm)", 1e-6, "Pitch from row to row."),
    ("pixel_col_m", "Pixel width (µm)", 1e-6, "Pitch from column to column."),
    (
        "center_row_px",
        "Beam row (px)",
        1.0,
        "Direct beam in pixel index: 0 is the centre of the first row.",
    ),
    (
        "center_col_px",
        "Beam column (px)",
        1.0,
        "Direct beam in pixel index: 0 is the centre of the first column.",
    ),
    (
        "swing_horizontal_deg",
        "Swing, horiz. (deg)",
        1.0,
        "Horizontal rotation of the detector about the sample.",
    ),
    (
        "swing_vertical_deg",
        "Swing, vert. (deg)",
        1.0,
        "Vertical rotation of the detector about the sample.",
    ),
    (
        "roll_deg",
        "Roll (deg)",
        1.0,
        "Rotation of the detector about the direct beam: turns phi, not q.",
    ),
    (
        "incident_angle_deg",
        "Grazing angle (deg)",
        1.0,
        "Angle of incidence; leave empty for transmission.",
    ),
)
"""Name, label, size of the shown unit in the unit of the name, explanation."""

IF_EMPTY = {
    "swing_horizontal_deg": "0 if empty",
    "swing_vertical_deg": "0 if empty",
    "roll_deg": "0 if empty",
    "incident_angle_deg": "transmission",
}
TYPED = "typed by hand"
NARROW_PX = 64
"""Least width of a field, so that a row fits into a dock of 300 px."""
SETTLE_MS = 150
"""Typing pauses this long before the bins are computed."""


class PartitionWidget(Dock):
    """Fill in the geometry, choose bins, see them on the image while typing, save them.

    The numbers are made in :mod:`napari_xpcs.kernels`; this class reads the controls,
    runs the computation in a thread and shows what comes back.
    """

    def _build(self) -> None:
        self._known: KnownGeometry = {}
        self._maps: tuple[tuple[Geometry, str], Any] | None = None
        self._target: Labels | None = None
        self._watched: Labels | None = None
        self._opened: Partition | None = None
        self._runner = Runner(self)
        self._saver = Runner(self)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._image = LayerComboBox("no image: open frames first", _is_image, objectName="image")
        self._mask = LayerComboBox("no mask", _is_mask, optional=True, objectName="mask")
        self._mask.setToolTip("Pixels that this layer paints are left out of every bin.")
        self._invert = QPushButton("Invert", objectName="invert")
        self._invert.setToolTip("Swap masked and used pixels: files differ in what 1 means.")
        masking = QHBoxLayout()
        masking.addWidget(self._mask, stretch=1)
        masking.addWidget(self._invert)
        top = QFormLayout()
        top.addRow("Image", self._image)
        top.addRow("Mask", masking)
        self.column.addLayout(top)
        self.column.addWidget(self._build_geometry())
        self.column.addWidget(self._build_bins())
        self._state = QLabel(objectName="state")
        self._state.setWordWrap(True)
        self._lay = QPushButton("Lay bins over the image", objectName="lay")
        self._lay.setToolTip("From then on the bins follow every number that you change above.")
        self._save = QPushButton("Save Q-map file ...", objectName="save")
        self._save.setToolTip(
            "HDF5 with the group /qmap, as boost_corr, pySimpleMask and pyXpcsViewer read it."
        )
        for widget in (self._lay, self._state, self._save):
            self.column.addWidget(widget)
        self.column.addStretch()

    def _build_geometry(self) -> QWidget:
        box = QGroupBox("Geometry")
        form = QFormLayout(box)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._fields: dict[str, NumberEdit] = {}
        for name, label, _, _ in GEOMETRY_FORM:
            field = NumberEdit(objectName=name)
            field.setPlaceholderText(IF_EMPTY.get(name, "unknown"))
            self._fields[name] = field
            form.addRow(label, field)
        self._origin = QLabel(objectName="origin")
        self._origin.setWordWrap(True)
        form.addRow(self._origin)
        return box

    def _build_bins(self) -> QWidget:
        box = QGroupBox("Bins")
        grid = QGridLayout(box)
        grid.setHorizontalSpacing(4)
        grid.addWidget(QLabel("dynamic"), 0, 1)
        grid.addWidget(QLabel("static"), 0, 2)
        defaults = PartitionSpec()
        self._numbers: dict[str, QSpinBox] = {}
        for row, (label, names) in enumerate((("q", ("dq", "sq")), ("phi", ("dp", "sp"))), start=1):
            grid.addWidget(QLabel(f"In {label}"), row, 0)
            for column, name in enumerate(names, start=1):
                box_ = QSpinBox(objectName=name)
                box_.setRange(1, 100_000)
                box_.setValue(getattr(defaults, name))
                box_.setMinimumWidth(NARROW_PX)
                box_.setKeyboardTracking(True)
                box_.setToolTip(
                    "g2 is computed for each dynamic bin."
                    if name.startswith("d")
                    else "The intensity is normalised in each static bin; "
                    "raised to a multiple of the dynamic number."
                )
                self._numbers[name] = box_
                grid.addWidget(box_, row, column)
        self._q_min, self._q_max = NumberEdit(objectName="q_min"), NumberEdit(objectName="q_max")
        for field, hint in ((self._q_min, "from"), (self._q_max, "to")):
            field.setPlaceholderText(hint)
            field.setMinimumWidth(NARROW_PX)
            field.setToolTip("Limits of q in 1/Å; empty: all of the unmasked detector.")
        grid.addWidget(QLabel("q (1/Å)"), 3, 0)
        grid.addWidget(self._q_min, 3, 1)
        grid.addWidget(self._q_max, 3, 2)
        self._spacing = QComboBox(objectName="spacing")
        self._spacing.addItems(["linear", "log"])
        self._spacing.setToolTip("How the edges along q are spaced.")
        grid.addWidget(QLabel("Spacing"), 4, 0)
        grid.addWidget(self._spacing, 4, 1, 1, 2)
        return box

    def _connect(self) -> None:
        self._image.currentIndexChanged.connect(self._on_image_changed)
        self._mask.currentIndexChanged.connect(self._on_mask_changed)
        self._lay.clicked.connect(self._on_bins_edited)
        self._invert.clicked.connect(self._on_invert_clicked)
        for field in self._fields.values():
            field.value_changed.connect(self._on_geometry_edited)
        for number in self._numbers.values():
            number.valueChanged.connect(self._on_bins_edited)
        for field in (self._q_min, self._q_max):
            field.value_changed.connect(self._on_bins_edited)
        self._spacing.currentIndexChanged.connect(self._on_bins_edited)
        self._settle.timeout.connect(self._compute)
        self._runner.finished.connect(self._on_runner_finished)
        self._runner.failed.connect(self._say)
        self._save.clicked.connect(self._on_save_clicked)
        self._saver.finished.connect(self._on_saved)
        self._saver.failed.connect(self._say)

    def _refresh(self, event: object = None) -> None:
        if self._target is not None and self._target not in self._viewer.layers:
            self._target = None
        self._image.show_layers(list(self._viewer.layers))
        shape = self._shape()
        self._mask.show_layers(
            [
                layer
                for layer in self._viewer.layers
                if _is_mask(layer) and layer.data.shape == shape
            ]
        )
        self._save.setEnabled(self._target is not None)
        self._lay.setEnabled(self._image.layer() is not None)
        if self._image.layer() is None:
            self._say(
                "Open a frames or result file (File > Open), or a simulated run "
                "(File > Open Sample > XPCS)."
            )
        self._show_opened()

    def _teardown(self) -> None:
        self._settle.stop()
        self._runner.cancel()

    # -- what the controls say

    def _shape(self) -> tuple[int, int] | None:
        layer = self._image.layer()
        return None if layer is None else (int(layer.data.shape[-2]), int(layer.data.shape[-1]))

    def known(self) -> KnownGeometry:
        """Return the values of the form, each with the place it comes from."""
        typed = {}
        for name, _, unit, _ in GEOMETRY_FORM:
            if self._fields[name].isModified():
                value = self._fields[name].value()
                typed[name] = None if value is None else value * unit
        return override(self._known, typed, TYPED)

    def spec(self) -> PartitionSpec:
        """Return the bins that the controls ask for."""
        low, high = self._q_min.value(), self._q_max.value()
        if (low is None) != (high is None):
            msg = "A range of q has two ends: type both, or none for all of the detector."
            raise PartitionError(msg)
        numbers = {name: box.value() for name, box in self._numbers.items()}
        return PartitionSpec(
            **numbers,
            spacing="log" if self._spacing.currentText() == "log" else "linear",
            q_range=None if low is None or high is None else (low, high),
        )

    def _chosen_mask(self, shape: tuple[int, int]) -> Mask | None:
        layer = self._mask.layer()
        return None if layer is None else xpcs_layers.layer_mask(layer)

    # -- what happens

    def _on_image_changed(self) -> None:
        layer = self._image.layer()
        known = (
            {}
            if layer is None or not xpcs_layers.layer_role(layer)
            else xpcs_layers.layer_known(layer)
        )
        self._known = known
        for name, _, unit, _ in GEOMETRY_FORM:
            value = known[name].value if name in known else None
            self._fields[name].set_value(None if value is None else value / unit)
            self._fields[name].setModified(False)
        self._show_origin()
        self._refresh()
        if layer is None:
            return
        self._settle.stop()
        self._runner.cancel()
        self._target = None
        self._opened = None
        self._say("Press the button, or change a number, and the bins appear.")
        self._show_opened()

    def _show_opened(self) -> None:
        """Show the numbers of bins that were opened for this image, once."""
        shape = self._shape()
        opened = [
            xpcs_layers.layer_partition(bins)
            for bins in xpcs_layers.layers_with_role(self._viewer.layers, "partition")
            if bins.data.shape == shape
        ]
        newest = opened[0] if opened else None
        if newest is not self._opened and newest is not None and self._target is None:
            self._show_numbers(newest)
            self._say("There are bins for this image. Change a number to lay new ones over it.")
        self._opened = newest

    def _on_geometry_edited(self) -> None:
        self._show_origin()
        self._settle.start()

    def _on_bins_edited(self) -> None:
        self._settle.start()

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

    def _compute(self) -> None:
        shape = self._shape()
        if shape is None:
            return
        known, mask = self.known(), self._chosen_mask(shape)
        try:
            geometry, spec = complete_geometry(known, shape), self.spec()
        except XpcsError as error:
            self._runner.cancel()
            self._say(str(error))
            return
        key = (geometry, spec.q_convention)
        maps = self._maps[1] if self._maps is not None and self._maps[0] == key else None
        self._say("Computing bins ...")
        self._runner.start(lambda: _partition_steps(geometry, mask, spec, maps))

    def _on_runner_finished(self, result: tuple[Any, Partition]) -> None:
        maps, partition = result
        mask = self._mask.layer()
        if mask is not None:
            partition = replace(partition, mask_steps=xpcs_layers.layer_steps(mask))
        layer = self._image.layer()
        if layer is None or partition.shape != self._shape() or partition.geometry is None:
            return
        spec = partition.spec or self.spec()
        self._maps = ((partition.geometry, spec.q_convention), maps)
        source = xpcs_layers.layer_source(layer) if xpcs_layers.layer_role(layer) else ""
        if self._target is not None and self._target.data.shape == partition.shape:
            xpcs_layers.show_partition(self._target, partition, self.known(), source)
        else:
            data, arguments, _ = xpcs_layers.partition_layer(
                partition, known=self.known(), source=source
            )
            self._target = self._viewer.add_labels(data, **arguments)
        self._save.setEnabled(True)
        self._say(partition_summary(partition))

    def _show_numbers(self, partition: Partition) -> None:
        """Show the numbers of bins that were opened, without laying new ones."""
        grids = (("d", partition.dynamic.grid), ("s", partition.static.grid))
        for kind, grid in grids:
            for axis, number in zip("qp", grid, strict=True):
                box = self._numbers[kind + axis]
                box.blockSignals(True)
                box.setValue(number)
                box.blockSignals(False)

    def _on_save_clicked(self) -> None:
        if self._target is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self, "Save Q-map file", "qmap.hdf", "HDF5 (*.hdf *.h5 *.hdf5)"
        )
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the bins on the screen to ``path``; the file dialogue asked before overwriting."""
        if self._target is not None:
            partition = xpcs_layers.layer_partition(self._target)
            source = xpcs_layers.layer_source(self._target)
            self._saver.start(partial(_save_steps, path, partition, source))

    def _on_saved(self, path: Path) -> None:
        self._say(f"Saved {path}")

    def _show_origin(self) -> None:
        known = self.known()
        missing = missing_values(known)
        labels = {name: label for name, label, _, _ in GEOMETRY_FORM}
        lines = []
        for name, _, unit, explanation in GEOMETRY_FORM:
            sourced = known.get(name)
            origin = "unknown" if sourced is None or sourced.value is None else sourced.origin
            others = (
                ""
                if sourced is None
                else "".join(
                    f"\n{value / unit:.6g} according to {place}" for value, place in sourced.others
                )
            )
            self._fields[name].setToolTip(f"{explanation}\nFrom: {origin}{others}")
            if others:
                lines.append(f"{labels[name]}:{others.replace(chr(10), ' ')}.")
        if missing:
            lines.insert(
                0, "Unknown, please type: " + ", ".join(labels[name] for name in missing) + "."
            )
        self._origin.setText("\n".join(lines))
        self._origin.setVisible(bool(lines))

    def _say(self, text: str) -> None:
        self._state.setText(text)


def _is_image(layer: Layer) -> bool:
    return isinstance(layer, Image) and layer.ndim >= 2 and not layer.rgb


def _is_mask(layer: Layer) -> bool:
    return xpcs_layers.layer_role(layer) == "mask"


def _partition_steps(
    geometry: Geometry, mask: Mask | None, spec: PartitionSpec, maps: Any
) -> Steps[tuple[Any, Partition]]:
    """Compute Q-map (unless ``maps`` is that of the geometry) and bins; runs in the thread."""
    import numpy as np

    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.partition import partition_from_maps
    from napari_xpcs.kernels.qmap import q_maps

    xp = get_backend()
    if maps is None:
        yield Progress(0, 2, "Q-map")
        maps = q_maps(geometry, xp=xp, convention=spec.q_convention)
    yield Progress(1, 2, "bins")
    used = np.ones(geometry.shape, dtype=bool) if mask is None else mask
    return maps, partition_from_maps(maps, used, spec, geometry, xp=xp)


def _save_steps(path: Path, partition: Partition, source: str) -> Steps[Path]:
    """Write a Q-map file; runs in the thread."""
    yield Progress(0, 1, "files")
    refuse_input_as_output(path, Path(source))
    write_partition(path, partition, source=source, force=True)
    return path


def partition_summary(partition: Partition) -> str:
    """Return in one line how many bins there are and what they cover."""
    table = partition.table()
    text = (
        f"{len(partition.dynamic)} dynamic and {len(partition.static)} static bins, "
        f"{int(table.pixels.sum())} pixels"
    )
    if partition.names[0] == "q":
        text += f", q {table.q.min():.4g} to {table.q.max():.4g} 1/Å"
    return " ".join([text + ".", *partition.notes])
