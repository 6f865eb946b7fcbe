"""Dock: which pixels are used, as a list of steps that can be switched, changed and undone."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
)

from napari_xpcs._typing import Mask
from napari_xpcs.kernels.geometry import Geometry, complete_geometry, missing_values
from napari_xpcs.kernels.mask_of_steps import MaskResult, needs_geometry
from napari_xpcs.kernels.mask_painting import painted_difference
from napari_xpcs.kernels.mask_steps import MaskStep, ThresholdStep, saturated
from napari_xpcs.kernels.regions import Region
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.controls import SaveButton, WrappedLabel
from napari_xpcs.plugin.dock import OPEN_FIRST, Dock, LayerComboBox
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.mask_jobs import MaskSource, mask_job, save_job
from napari_xpcs.plugin.mask_layers import mask_layer, mask_shapes_layer
from napari_xpcs.plugin.painted_mask import PaintedMask
from napari_xpcs.plugin.step_buttons import BY_HAND, DRAW
from napari_xpcs.plugin.step_editor import StepEditor
from napari_xpcs.plugin.step_history import StepHistory
from napari_xpcs.plugin.step_text import thousands
from napari_xpcs.progress import Progress

BRUSH_PX = 10
NO_STEPS = "Every pixel is used. Add a step, or paint on the image: Add a step > Paint by hand."


class MaskWidget(Dock):
    """Make the mask of an image step by step, beside the brush of napari.

    The steps are done in a thread by :func:`napari_xpcs.kernels.mask_of_steps.do_steps`; this
    class keeps the list, takes brush strokes into it, and shows what came out in the layer
    'mask', which XPCS: Geometry & partition leaves out of the bins.
    """

    def _build(self) -> None:
        self._history = StepHistory()
        self._source: MaskSource | None = None
        self._result_of: tuple[MaskSource, MaskResult] | None = None
        self._mask = PaintedMask(self)
        self._runner = Runner(self)
        self._saver = Runner(self)
        self._image = LayerComboBox("no image: open frames first", _is_image, objectName="image")
        self._image.setToolTip("The image whose pixels are masked; steps look at its counts.")
        top = QFormLayout()
        top.addRow("Image", self._image)
        self.column.addLayout(top)
        self._editor = StepEditor(self.steps, self._layers_now)
        self.column.addWidget(self._editor)
        self._total = WrappedLabel(objectName="total")
        self._state = WrappedLabel(objectName="state")
        self._bar = QProgressBar(objectName="progress")
        self._cancel = QPushButton("Cancel", objectName="cancel")
        self._cancel.setToolTip("Stop, and go back to the steps that are done.")
        waiting = QHBoxLayout()
        waiting.addWidget(self._bar, stretch=1)
        waiting.addWidget(self._cancel)
        self._save = SaveButton(
            "Save mask ...",
            "mask.tif",
            "Masks (*.tif *.tiff *.npy *.edf *.hdf *.h5)",
            objectName="save",
        )
        self._save.setToolTip(
            "tif, npy, edf or HDF5. The steps are saved with the bins, in the Q-map file."
        )
        self.column.addWidget(self._total)
        self.column.addLayout(waiting)
        self.column.addWidget(self._state)
        self.column.addWidget(self._save)
        self.column.addStretch()
        self._show_waiting(False)

    def _connect(self) -> None:
        self._image.currentIndexChanged.connect(self._on_image_changed)
        self._editor.wanted.connect(self._on_wanted)
        self._editor.changed.connect(self.change)
        self._editor.shapes_wanted.connect(self._on_shapes_wanted)
        self._editor.refused.connect(self._say)
        self._editor.buttons.undo.clicked.connect(self.undo)
        self._editor.buttons.redo.clicked.connect(self.redo)
        self._mask.painted.connect(self._take_strokes)
        self._runner.progressed.connect(self._on_progressed)
        self._runner.finished.connect(self._on_finished)
        self._runner.failed.connect(self._on_failed)
        self._cancel.clicked.connect(self._on_cancel_clicked)
        self._save.chosen.connect(self.save)
        self._saver.finished.connect(self._on_saved)
        self._saver.failed.connect(self._say)

    def _refresh(self, event: object = None) -> None:
        layers = self._layers_now()
        if self._mask.layer is not None and self._mask.layer not in layers:
            self._mask.follow(None)
        self._image.show_layers(layers)
        self._editor.refresh()
        source = self._find_source()
        if source is None:
            self._source = None
            self._show_list()
            self._say(OPEN_FIRST)
            return
        before, self._source = self._source, source
        if before is None or before.layer is not source.layer or before.shape != source.shape:
            self._adopt()
            return
        if self._mask.layer is None and self._find_mask() is not None:
            self._adopt()
        elif before.geometry != source.geometry and any(
            step.enabled and needs_geometry(step) for step in self._steps
        ):
            self._compute()

    def _teardown(self) -> None:
        self._runner.cancel()
        self._mask.follow(None)

    @property
    def _steps(self) -> tuple[MaskStep, ...]:
        return self._history.steps

    # -- what is there

    def _layers_now(self) -> list[Layer]:
        return list(self._viewer.layers)

    def _find_source(self) -> MaskSource | None:
        layer = self._image.layer()
        if layer is None:
            return None
        shape = int(layer.data.shape[-2]), int(layer.data.shape[-1])
        return MaskSource(layer=layer, shape=shape, geometry=self._find_geometry(layer, shape))

    def _find_geometry(self, image: Layer, shape: tuple[int, int]) -> Geometry | None:
        """Return the geometry of the bins that lie over the image, else that of its file."""
        for bins in xpcs_layers.layers_with_role(self._viewer.layers, "partition"):
            geometry = xpcs_layers.layer_partition(bins).geometry
            if bins.data.shape == shape and geometry is not None:
                return geometry
        known = xpcs_layers.layer_known(image) if xpcs_layers.layer_role(image) else {}
        return None if missing_values(known) else complete_geometry(known, shape)

    def _find_mask(self) -> Labels | None:
        shape = None if self._source is None else self._source.shape
        for layer in xpcs_layers.layers_with_role(self._viewer.layers, "mask"):
            if layer.data.shape == shape:
                return layer
        return None

    def steps(self) -> tuple[MaskStep, ...]:
        """Return the steps of the list, strokes that just ended included."""
        self._take_strokes()
        return self._steps

    def _adopt(self) -> None:
        """Take over the mask that lies over a newly chosen image, as steps."""
        self._runner.cancel()
        self._show_waiting(False)
        self._result_of = None
        self._editor.close_form()
        mask = self._find_mask()
        self._mask.follow(mask)
        steps: tuple[MaskStep, ...] = ()
        if mask is not None:
            shown = xpcs_layers.layer_mask(mask)
            steps = xpcs_layers.layer_steps(mask)
            if not steps and not shown.all():
                origin = Path(xpcs_layers.layer_source(mask)).name
                source = f"in {origin}" if origin else f"on {mask.name}"
                steps = (painted_difference(np.ones_like(shown), shown, source=source),)
            self._mask.attach(steps, shown)
        self._history.begin(steps)
        self._show_list()
        self._say("" if steps else NO_STEPS)

    # -- changes of the list

    def change(self, steps: Sequence[MaskStep]) -> None:
        """Make ``steps`` the list, as one change that can be undone, and do them."""
        self._take_strokes()
        if tuple(steps) == self._steps:
            return
        self._history.change(steps)
        self._compute()
        self._show_list()

    def undo(self) -> None:
        """Go back to the list before the last change."""
        self._take_strokes()
        self._go(self._history.undo)

    def redo(self) -> None:
        """Do again what was undone."""
        self._take_strokes()
        self._go(self._history.redo)

    def _go(self, step: Callable[[], None]) -> None:
        before = self._steps
        step()
        if self._steps != before:
            self._editor.close_form()
            self._compute()
            self._show_list()

    def _take_strokes(self) -> None:
        """Put what was painted since the last time, or given by somebody else, into the list."""
        given, shown = self._mask.given_steps(), self._mask.strokes()
        if given is not None:
            self._mask.attach(given, self._mask.shown())
            self._editor.close_form()
            self._history.change(given)
        elif shown is not None:
            self._history.change(self._mask.take_strokes(self._steps, self._result, shown))
        else:
            return
        self._compute()
        self._show_list()

    # -- doing the steps

    def _compute(self) -> None:
        source, before = self._source, self._result_of
        if source is None:
            return
        same = before is not None and before[0].layer is source.layer
        same = same and before is not None and before[0].geometry == source.geometry
        previous = before[1] if same and before is not None else None
        self._say("Working ...")
        self._runner.start(partial(mask_job, source, self._steps, previous))

    @property
    def _result(self) -> MaskResult | None:
        """What the steps of the list made, ``None`` where they are not done yet."""
        result = None if self._result_of is None else self._result_of[1]
        return result if result is not None and result.steps == self._steps else None

    def _on_progressed(self, progress: Progress) -> None:
        self._show_waiting(True)
        self._bar.setRange(0, max(progress.total, 1))
        self._bar.setValue(progress.done)
        self._bar.setFormat(f"{progress.done} of {progress.total} {progress.what}")

    def _on_failed(self, text: str) -> None:
        self._show_waiting(False)
        self._show_list()
        self._say(text)

    def _on_cancel_clicked(self) -> None:
        self._runner.cancel()
        self._show_waiting(False)
        if self._result_of is not None and self._result is None:
            self._history.change(self._result_of[1].steps)
        self._show_list()
        self._say("Cancelled; the mask is as before.")

    def _on_finished(self, found: tuple[MaskSource, MaskResult]) -> None:
        source, result = found
        self._show_waiting(False)
        if self._source is None or source.layer is not self._source.layer:
            return
        self._result_of = found
        self._take_strokes()
        if result.steps == self._steps:
            self._show_mask(result.mask)
            self._show_list()
            faults = sum(bool(outcome.fault) for outcome in result.outcomes)
            self._say(f"{faults} of the steps could not be done." if faults else "")

    def _show_mask(self, mask: Mask) -> None:
        source = self._source
        if source is None:
            return
        if self._mask.layer is None:
            path = (
                xpcs_layers.layer_source(source.layer)
                if xpcs_layers.layer_role(source.layer)
                else ""
            )
            data, arguments, _ = mask_layer(mask, source=path)
            layer = Labels(data, **arguments)
            layer.brush_size = BRUSH_PX
            self._mask.follow(layer)
            self._mask.attach(self._steps, mask)
            self._viewer.add_layer(layer)
            return
        self._mask.attach(self._steps, mask)
        self._mask.show(mask)

    # -- what the user does

    def _on_image_changed(self) -> None:
        self._source = None
        self._refresh()

    def _on_wanted(self, name: str) -> None:
        if name == BY_HAND:
            self.paint_by_hand()
        elif name == DRAW:
            self._draw_shapes()
        else:
            self.open_form(name)

    def open_form(self, kind: str) -> None:
        """Show the form for a new step of ``kind``, a key of STEP_KINDS."""
        frames = self._frames()
        fills = kind == ThresholdStep.kind and frames is not None
        self._editor.open_form(kind, saturated(frames.dtype) if fills else None)

    def paint_by_hand(self) -> None:
        """Give the brush of napari to the user, on the layer 'mask'."""
        if self._source is None:
            return
        if self._mask.layer is None:
            self._show_mask(np.ones(self._source.shape, dtype=bool))
        mask = self._mask.layer
        if mask is not None:
            self._viewer.layers.selection.active = mask
            mask.visible = True
            mask.selected_label = 1
            mask.mode = "paint"
            self._say("Paint what shall be masked; label 0 or the eraser makes pixels used again.")

    def _draw_shapes(self) -> None:
        drawn = xpcs_layers.layers_with_role(self._viewer.layers, "mask shapes")
        layer = drawn[0] if drawn else self._add_shapes(())
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self.open_form("shapes")

    def _on_shapes_wanted(self, regions: tuple[Region, ...]) -> None:
        layer = self._add_shapes(regions)
        self._viewer.layers.selection.active = layer
        layer.mode = "direct"

    def _add_shapes(self, regions: tuple[Region, ...]) -> Layer:
        geometry = None if self._source is None else self._source.geometry
        return self._viewer.add_layer(Layer.create(*mask_shapes_layer(regions, geometry)))

    def save(self, path: Path) -> None:
        """Write the mask to ``path``; the file dialogue asked before overwriting."""
        if self._mask.layer is not None:
            source = xpcs_layers.layer_source(self._mask.layer)
            self._saver.start(partial(save_job, path, self._mask.shown(), source))

    def _on_saved(self, path: Path) -> None:
        self._say(f"Saved {path}")

    # -- what is shown

    def _frames(self) -> Any:
        """Return the raw frames of the image, ``None`` where it is a single image."""
        layer = None if self._source is None else self._source.layer
        if layer is None:
            return None
        if xpcs_layers.layer_role(layer) == "frames":
            return xpcs_layers.layer_frames(layer)
        return layer.data if len(layer.data.shape) == 3 else None

    def _show_list(self) -> None:
        result = self._result
        outcomes = [None] * len(self._steps) if result is None else list(result.outcomes)
        self._editor.show_steps(self._steps, outcomes, working=self._runner.running)
        made = self._mask.made
        if made is None:
            self._total.setText("")
        else:
            bad, size = made.size - int(np.count_nonzero(made)), made.size
            self._total.setText(
                f"{thousands(bad)} of {thousands(size)} pixels are masked ({bad / size:.2%})."
            )
        self._save.setEnabled(self._mask.layer is not None)
        buttons = self._editor.buttons
        buttons.add.setEnabled(self._source is not None)
        buttons.undo.setEnabled(self._history.can_undo)
        buttons.redo.setEnabled(self._history.can_redo)

    def _show_waiting(self, waiting: bool) -> None:
        self._bar.setVisible(waiting)
        self._cancel.setVisible(waiting)

    def _say(self, text: str) -> None:
        self._state.setText(text)
        self._state.setVisible(bool(text))


def _is_image(layer: Layer) -> bool:
    maps = xpcs_layers.layer_role(layer) in ("map", "twotime")
    return isinstance(layer, Image) and layer.ndim in (2, 3) and not layer.rgb and not maps
