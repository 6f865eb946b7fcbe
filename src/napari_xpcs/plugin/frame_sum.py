"""The sum of some frames from the shown one on, for runs whose frames are nearly empty."""

from functools import partial

import numpy as np
from napari.components.viewer_model import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSpinBox, QWidget

from napari_xpcs.correlate.reading import Frames
from napari_xpcs.io.events import EventFrames
from napari_xpcs.kernels.mask import not_counted
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.controls import WrappedLabel
from napari_xpcs.plugin.image_layers import sum_layer
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

READ_AT_ONCE = 32
SETTLE_MS = 100


class FrameSum(QWidget):
    """One number: how many frames are summed; 1 takes the layer with the sum away.

    The layer follows the time slider.  Frames are read in a thread, and a sum that comes late
    for a slider that has moved on is dropped.
    """

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._source: Layer | None = None
        self._build()
        self._connect()

    def _build(self) -> None:
        self._count = QSpinBox(objectName="frame_sum")
        self._count.setRange(1, 1_000_000)
        self._count.setToolTip("Show the sum of so many frames, from the one of the slider on.")
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._runner = Runner(self)
        self._state = WrappedLabel(objectName="frame_sum_state")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._count)
        layout.addWidget(QLabel("frames"))
        layout.addWidget(self._state, stretch=1)

    def _connect(self) -> None:
        self._count.valueChanged.connect(self._settle.start)
        self._viewer.dims.events.current_step.connect(self._on_slider_moved)
        self._settle.timeout.connect(self._sum)
        self._runner.finished.connect(self._show)
        self._runner.failed.connect(self._state.setText)

    def follow(self, layer: Layer | None) -> None:
        """Sum the frames of ``layer`` from now on."""
        if layer is not self._source:
            self._source = layer
            self._settle.start()

    def stop(self) -> None:
        """Let go of timer and thread."""
        self._settle.stop()
        self._runner.cancel()

    def _on_slider_moved(self) -> None:
        if self._count.value() > 1:
            self._settle.start()

    def _shown(self) -> Layer | None:
        sums = xpcs_layers.layers_with_role(self._viewer.layers, "sum")
        return sums[0] if sums else None

    def _sum(self) -> None:
        source, count, shown = self._source, self._count.value(), self._shown()
        if source is None or count == 1:
            self._runner.cancel()
            self._state.setText("")
            if shown is not None:
                self._viewer.layers.remove(shown)
            return
        frames = xpcs_layers.layer_frames(source)
        begin = min(int(self._viewer.dims.current_step[0]), frames.shape[0] - 1)
        end = min(begin + count, frames.shape[0])
        self._state.setText(f"frames {begin} to {end - 1}")
        self._runner.start(partial(_sum_steps, frames, begin, end))

    def _show(self, total: np.ndarray) -> None:
        if self._source is None:
            return
        data, arguments, _ = sum_layer(total, source=xpcs_layers.layer_source(self._source))
        shown = self._shown()
        if shown is not None and shown.data.shape == data.shape:
            shown.data = data
        else:
            above = self._viewer.layers.index(self._source) + 1
            layer = self._viewer.add_image(data, **arguments)
            self._viewer.layers.move(self._viewer.layers.index(layer), above)


def _sum_steps(frames: Frames, begin: int, end: int) -> Steps[np.ndarray]:
    """Add up frames; NaN where no frame has a count.  Runs in the thread."""
    if isinstance(frames, EventFrames):
        return (yield from _sum_of_events(frames, begin, end))
    total = np.zeros(frames.shape[1:])
    counted = np.zeros(frames.shape[1:], dtype=bool)
    for start in range(begin, end, READ_AT_ONCE):
        yield Progress(start - begin, end - begin, "frames")
        block = np.asarray(frames[start : min(start + READ_AT_ONCE, end)])
        empty = not_counted(block)
        total += np.where(empty, 0, block).sum(axis=0, dtype=np.float64)
        counted |= ~empty.all(axis=0)
    return np.where(counted, total, np.nan).astype(np.float32)


def _sum_of_events(frames: EventFrames, begin: int, end: int) -> Steps[np.ndarray]:
    """Add up events without a dense frame on the way: some 10 ns per event."""
    total = np.zeros(frames.shape[1:])
    for first, last in frames.spans(begin, end):
        yield Progress(first - begin, end - begin, "frames")
        total += frames.sum_of(first, last)
    return total.astype(np.float32)
