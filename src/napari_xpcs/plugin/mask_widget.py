"""Dock: which pixels are used, as a list of steps that can be switched, changed and undone."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QToolButton,
)

from napari_xpcs._typing import Mask
from napari_xpcs.errors import XpcsError
from napari_xpcs.kernels.geometry import (
    Geometry,
    complete_geometry,
    missing_values,
)
from napari_xpcs.kernels.mask_of_steps import (
    MaskResult,
    needs_geometry,
)
from napari_xpcs.kernels.mask_steps import (
    STEP_KINDS,
    MaskStep,
    PaintedStep,
    ThresholdStep,
    paint,
    painted_difference,
    saturated,
)
from napari_xpcs.kernels.regions import Region
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.dock import Dock, LayerComboBox
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.mask_jobs import MaskSource, mask_job, save_job
from napari_xpcs.plugin.step_form import StepForm
from napari_xpcs.plugin.step_list import StepList
from napari_xpcs.plugin.step_text import BY_HAND, thousands
from napari_xpcs.progress import Progress

SETTLE_MS = 60
"""A brush rests this long before its stroke goes into the list."""
MOST_UNDONE = 100
BRUSH_PX = 10
EMPTY = (
    "Open a frames or result file (File > Open), or a simulated run (File > Open Sample > XPCS)."
)
NO_STEPS = "Every pixel is used. Add a step, or paint on the image: Add a step > Paint by hand."


class MaskWidget(Dock):
    """Make the mask of an image step by step, beside the brush of napari.

    The steps are done in a thread by :func:`napari_xpcs.kernels.mask_of_steps.do_steps`; this
    class keeps the list, takes brush strokes into it, and shows what came out in the layer
    'mask', which XPCS: Geometry & partition leaves out of the bins.
    """

    def _build(self) -> None:
        self._steps: tuple[MaskStep, ...] = ()
        self._undone: list[tuple[MaskStep, ...]] = []
        self._done: list[tuple[MaskStep, ...]] = []
        self._source: MaskSource | None = None
        self._result_of: tuple[MaskSource, MaskResult] | None = None
        self._target: Labels | None = None
        self._attached: tuple[MaskStep, ...] = ()
        self._made: Mask | None = None
        self._edited: int | None = None
        self._runner = Runner(self)
        self._saver = Runner(self)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._image = LayerComboBox("no image: open frames first", _is_image, objectName="image")
        self._image.setToolTip("The image whose pixels are masked; steps look at its counts.")
        top = QFormLayout()
        top.addRow("Image", self._image)
        self.column.addLayout(top)
        self.column.addLayout(self._build_buttons())
        self._list = StepList()
        self.column.addWidget(self._list)
        self._form = StepForm(self._layers_now)
        self._form.setVisible(False)
        self.column.addWidget(self._form)
        self._total = QLabel(objectName="total")
        self._total.setWordWrap(True)
        self._state = QLabel(objectName="state")
        self._state.setWordWrap(True)
        self._bar = QProgressBar(objectName="progress")
        self._cancel = QPushButton("Cancel", objectName="cancel")
        self._cancel.setToolTip("Stop, and go back to the steps that are done.")
        waiting = QHBoxLayout()
        waiting.addWidget(self._bar, stretch=1)
        waiting.addWidget(self._cancel)
        self._save = QPushButton("Save mask ...", objectName="save")
        self._save.setToolTip(
            "tif, npy, edf or HDF5. The steps are saved with the bins, in the Q-map file."
        )
        self.column.addWidget(self._total)
        self.column.addLayout(waiting)
        self.column.addWidget(self._state)
        self.column.addWidget(self._save)
        self.column.addStretch()
        self._show_waiting(False)

    def _build_buttons(self) -> QHBoxLayout:
        self._add = QPushButton("Add a step", objectName="add")
        self._add.setToolTip("Add a step at the end of the list, or paint by hand.")
        menu = QMenu(self._add)
        self._kinds: dict[str, Any] = {}
        for name, kind in STEP_KINDS.items():
            if kind is PaintedStep:
                continue
            action = menu.addAction(f"{kind.title} ...")
            action.setData(name)
            self._kinds[name] = action
        menu.addSeparator()
        self._by_hand = menu.addAction("Paint by hand")
        self._draw = menu.addAction("Draw shapes")
        self._add.setMenu(menu)
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(self._add)
        row.addStretch()
        self._up, self._down, self._remove, self._undo, self._redo = (
            QToolButton(text=text, objectName=name)
            for text, name in (
                ("▲", "up"),
                ("▼", "down"),
                ("✕", "remove"),
                ("↶", "undo"),
                ("↷", "redo"),
            )
        )
        for button, tip in (
            (self._up, "Do the chosen step earlier: growing and copying depend on the order."),
            (self._down, "Do the chosen step later."),
            (self._remove, "Take the chosen step out of the list."),
            (self._undo, "Undo the last change of the list; a stroke of the brush is one, too."),
            (self._redo, "Redo what was undone."),
        ):
            button.setToolTip(tip)
            row.addWidget(button)
        return row

    def _connect(self) -> None:
        self._image.currentIndexChanged.connect(self._on_image_changed)
        self._add.menu().triggered.connect(self._on_kind_chosen)
        self._list.ticked.connect(self._on_step_ticked)
        self._list.currentRowChanged.connect(self._on_row_chosen)
        self._form.accepted.connect(self._on_form_accepted)
        self._form.closed.connect(self._close_form)
        self._form.shapes_wanted.connect(self._on_shapes_wanted)
        self._up.clicked.connect(self._on_up_clicked)
        self._down.clicked.connect(self._on_down_clicked)
        self._remove.clicked.connect(self._on_remove_clicked)
        self._undo.clicked.connect(self.undo)
        self._redo.clicked.connect(self.redo)
        self._settle.timeout.connect(self._take_strokes)
        self._runner.progressed.connect(self._on_progressed)
        self._runner.finished.connect(self._on_finished)
        self._runner.failed.connect(self._on_failed)
        self._cancel.clicked.connect(self._on_cancel_clicked)
        self._save.clicked.connect(self._on_save_clicked)
        self._saver.finished.connect(self._on_saved)
        self._saver.failed.connect(self._say)

    def _refresh(self, event: object = None) -> None:
        layers = self._layers_now()
        if self._target is not None and self._target not in layers:
            self._follow(None)
        self._image.show_layers(layers)
        self._form.refresh()
        source = self._find_source()
        if source is None:
            self._source = None
            self._show_list()
            self._say(EMPTY)
            return
        before, self._source = self._source, source
        if before is None or before.layer is not source.layer or before.shape != source.shape:
            self._adopt()
            return
        if self._target is None and self._find_mask() is not None:
            self._adopt()
        elif before.geometry != source.geometry and any(
            step.enabled and needs_geometry(step) for step in self._steps
        ):
            self._compute()

    def _teardown(self) -> None:
        self._settle.stop()
        self._runner.cancel()
        self._follow(None)

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
        self._done, self._undone = [], []
        self._close_form()
        mask = self._find_mask()
        self._follow(mask)
        self._steps = self._attached = ()
        self._made = None
        if mask is not None:
            shown = xpcs_layers.layer_mask(mask)
            self._steps = xpcs_layers.layer_steps(mask)
            if not self._steps and not shown.all():
                origin = Path(xpcs_layers.layer_source(mask)).name
                source = f"in {origin}" if origin else f"on {mask.name}"
                self._steps = (painted_difference(np.ones_like(shown), shown, source=source),)
            self._attach(shown)
        self._show_list()
        self._say("" if self._steps else NO_STEPS)

    def _follow(self, mask: Labels | None) -> None:
        """Listen to strokes on ``mask`` from now on."""
        if self._target is not None:
            self._target.events.paint.disconnect(self._on_painted)
            self._target.events.set_data.disconnect(self._on_painted)
        self._target = mask
        if mask is not None:
            mask.events.paint.connect(self._on_painted)
            mask.events.set_data.connect(self._on_painted)

    # -- changes of the list

    def change(self, steps: Sequence[MaskStep]) -> None:
        """Make ``steps`` the list, as one change that can be undone, and do them."""
        self._take_strokes()
        if tuple(steps) == self._steps:
            return
        self._remember()
        self._steps = tuple(steps)
        self._show_list()
        self._compute()

    def _remember(self) -> None:
        self._done = [*self._done, self._steps][-MOST_UNDONE:]
        self._undone = []

    def undo(self) -> None:
        """Go back to the list before the last change."""
        self._take_strokes()
        self._step_through(self._done, self._undone)

    def redo(self) -> None:
        """Do again what was undone."""
        self._take_strokes()
        self._step_through(self._undone, self._done)

    def _step_through(
        self, back: list[tuple[MaskStep, ...]], forth: list[tuple[MaskStep, ...]]
    ) -> None:
        if not back:
            return
        forth.append(self._steps)
        self._steps = back.pop()
        self._close_form()
        self._show_list()
        self._compute()

    def _on_painted(self, event: object = None) -> None:
        self._settle.start()

    def _take_strokes(self) -> None:
        """Put what was painted since the last time into the list."""
        self._settle.stop()
        if self._target is None or self._made is None or self._took_given_steps():
            return
        shown = xpcs_layers.layer_mask(self._target)
        if shown.shape != self._made.shape or np.array_equal(shown, self._made):
            return
        self._remember()
        last = self._steps[-1] if self._steps else None
        result = self._result
        if (
            isinstance(last, PaintedStep)
            and last.enabled
            and last.source == BY_HAND
            and last.shape == shown.shape
            and result is not None
        ):
            painted = paint(
                last,
                shown != self._made,
                ~shown,
                before=result.before(len(self._steps) - 1),
                shape=last.shape,
            )
            self._steps = (*self._steps[:-1], painted)
        else:
            self._steps = (*self._steps, painted_difference(self._made, shown, source=BY_HAND))
        self._attach(shown)
        # napari says nothing of an undone stroke, and bins shall follow that, too.
        self._target.events.data(value=self._target.data)
        self._show_list()
        self._compute()

    def _attach(self, made: Mask) -> None:
        """Tell the layer what the steps of the list made."""
        self._made = made
        self._attached = self._steps
        if self._target is not None:
            xpcs_layers.attach_steps(self._target, self._steps, made)

    def _took_given_steps(self) -> bool:
        """Take over steps that somebody else, a recipe say, has given to the layer."""
        found = () if self._target is None else xpcs_layers.layer_steps(self._target)
        ours = self._attached
        if self._target is None or not found or (ours and found[: len(ours)] == ours):
            return False
        self._remember()
        self._steps = found
        self._attach(xpcs_layers.layer_mask(self._target))
        self._close_form()
        self._show_list()
        self._compute()
        return True

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
        self._say(text)

    def _on_cancel_clicked(self) -> None:
        self._runner.cancel()
        self._show_waiting(False)
        if self._result_of is not None and self._result is None:
            self._remember()
            self._steps = self._result_of[1].steps
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
        if self._target is None:
            path = (
                xpcs_layers.layer_source(source.layer)
                if xpcs_layers.layer_role(source.layer)
                else ""
            )
            data, arguments, _ = xpcs_layers.mask_layer(mask, source=path)
            target = Labels(data, **arguments)
            target.brush_size = BRUSH_PX
            self._follow(target)
            self._attach(mask)
            self._viewer.add_layer(target)
            return
        self._attach(mask)
        if not np.array_equal(xpcs_layers.layer_mask(self._target), mask):
            self._target.data = (~mask).astype(self._target.data.dtype)

    # -- what the user does

    def _on_image_changed(self) -> None:
        self._source = None
        self._refresh()

    def _on_kind_chosen(self, action: Any) -> None:
        if action is self._by_hand:
            self.paint_by_hand()
        elif action is self._draw:
            self._draw_shapes()
        else:
            self.open_form(str(action.data()))

    def open_form(self, kind: str) -> None:
        """Show the form for a new step of ``kind``, a key of STEP_KINDS."""
        self._edited = None
        self._list.blockSignals(True)
        self._list.setCurrentRow(-1)
        self._list.blockSignals(False)
        self._form.show_kind(STEP_KINDS[kind])
        frames = self._frames()
        top = None if frames is None else saturated(frames.dtype)
        if kind == ThresholdStep.kind and top is not None:
            self._form.fill(top)
        self._enable()

    def paint_by_hand(self) -> None:
        """Give the brush of napari to the user, on the layer 'mask'."""
        if self._source is None:
            return
        if self._target is None:
            self._show_mask(np.ones(self._source.shape, dtype=bool))
        mask = self._target
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
        return self._viewer.add_layer(
            Layer.create(*xpcs_layers.mask_shapes_layer(regions, geometry))
        )

    def _close_form(self) -> None:
        self._edited = None
        self._form.setVisible(False)

    def _on_row_chosen(self, row: int) -> None:
        self._edited = row if 0 <= row < len(self._steps) else None
        if self._edited is None:
            self._form.setVisible(False)
        else:
            self._form.show_kind(type(self._steps[row]), self._steps[row])
        self._enable()

    def _on_form_accepted(self) -> None:
        edited, steps = self._edited, self.steps()
        try:
            if edited is None:
                steps = (*steps, self._form.step())
            else:
                step = self._form.step(enabled=steps[edited].enabled)
                steps = (*steps[:edited], step, *steps[edited + 1 :])
        except XpcsError as error:
            self._say(str(error))
            return
        self.change(steps)
        if edited is None:
            self._close_form()

    def _on_step_ticked(self, row: int, on: bool) -> None:
        steps = list(self.steps())
        if row < len(steps) and on != steps[row].enabled:
            steps[row] = replace(steps[row], enabled=on)
            self.change(steps)

    def _on_up_clicked(self) -> None:
        self._move(-1)

    def _on_down_clicked(self) -> None:
        self._move(1)

    def _move(self, by: int) -> None:
        steps = list(self.steps())
        row = self._list.currentRow()
        other = row + by
        if row < 0 or not 0 <= other < len(steps):
            return
        steps[row], steps[other] = steps[other], steps[row]
        self.change(steps)
        self._list.setCurrentRow(other)

    def _on_remove_clicked(self) -> None:
        steps, row = self.steps(), self._list.currentRow()
        if row >= 0:
            self._close_form()
            self.change((*steps[:row], *steps[row + 1 :]))

    def _on_save_clicked(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save mask", "mask.tif", "Masks (*.tif *.tiff *.npy *.edf *.hdf *.h5)"
        )
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the mask to ``path``; the file dialogue asked before overwriting."""
        if self._target is not None:
            source = xpcs_layers.layer_source(self._target)
            shown = xpcs_layers.layer_mask(self._target)
            self._saver.start(partial(save_job, path, shown, source))

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
        self._list.show_steps(self._steps, outcomes)
        self._list.setVisible(bool(self._steps))
        if self._made is None:
            self._total.setText("")
        else:
            bad, size = int(np.count_nonzero(~self._made)), self._made.size
            self._total.setText(
                f"{thousands(bad)} of {thousands(size)} pixels are masked ({bad / size:.2%})."
            )
        self._enable()

    def _enable(self) -> None:
        there = self._source is not None
        row = self._list.currentRow()
        self._add.setEnabled(there)
        self._save.setEnabled(self._target is not None)
        self._remove.setEnabled(row >= 0)
        self._up.setEnabled(row > 0)
        self._down.setEnabled(0 <= row < len(self._steps) - 1)
        self._undo.setEnabled(bool(self._done))
        self._redo.setEnabled(bool(self._undone))

    def _show_waiting(self, waiting: bool) -> None:
        self._bar.setVisible(waiting)
        self._cancel.setVisible(waiting)

    def _say(self, text: str) -> None:
        self._state.setText(text)
        self._state.setVisible(bool(text))


def _is_image(layer: Layer) -> bool:
    maps = xpcs_layers.layer_role(layer) in ("map", "twotime")
    return isinstance(layer, Image) and layer.ndim in (2, 3) and not layer.rgb and not maps
