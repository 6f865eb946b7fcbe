"""Bins that the brush of napari has changed: their tables are made anew."""

from collections.abc import Callable
from functools import partial

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_xpcs.errors import XpcsError
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_jobs import BinRequest, BinResult, painted_steps
from napari_xpcs.plugin.job import Runner

SETTLE_MS = 300
"""A brush rests this long before the bins are counted."""
PAINTING = ("paint", "fill", "erase", "polygon")


class PaintedBins(QObject):
    """Follows the strokes on one layer of bins.

    Parameters
    ----------
    request
        What the panel asks for, for geometry and mask of the painted bins.
    is_busy
        Whether the layer shows what is about to be replaced, so that strokes do not count.
    """

    made = Signal(object)
    """Emitted with the :class:`~napari_xpcs.plugin.bin_jobs.BinResult` of painted bins."""
    failed = Signal(str)
    """Emitted with the reason in a sentence."""

    def __init__(
        self,
        request: Callable[[], BinRequest | None],
        is_busy: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._request = request
        self._is_busy = is_busy
        self._layer: Labels | None = None
        self._runner = Runner(self)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self._on_settled)
        self._runner.finished.connect(self._on_made)
        self._runner.failed.connect(self.failed)

    def follow(self, layer: Labels | None) -> None:
        """Listen to strokes on ``layer`` from now on."""
        if self._layer is layer:
            return
        for one, act in ((self._layer, "disconnect"), (layer, "connect")):
            if one is not None:
                for event in ("paint", "set_data"):
                    getattr(getattr(one.events, event), act)(self._on_drawn)
        self._layer = layer

    def cancel(self) -> None:
        """Drop what is being made: other bins come."""
        self._runner.cancel()

    def stop(self) -> None:
        """Let go of the layer."""
        self._settle.stop()
        self.follow(None)

    def _on_drawn(self, event: object = None) -> None:
        if self._layer is not None and self._layer.mode in PAINTING and not self._is_busy():
            self._settle.start()

    def _on_settled(self) -> None:
        """Make the tables anew once the labels differ from the bins that they show."""
        layer = self._layer
        if layer is None or self._is_busy():
            return
        before = xpcs_layers.layer_partition(layer)
        if np.array_equal(layer.data, before.dynamic.labels):
            return
        try:
            request = self._request()
        except XpcsError as error:
            self.failed.emit(str(error))
            return
        if request is not None:
            labels = np.array(layer.data, dtype=np.int32)
            self._runner.start(partial(painted_steps, request, labels, before))

    def _on_made(self, result: BinResult) -> None:
        layer = self._layer
        if layer is None or layer.data.shape != result.partition.shape:
            return
        if not np.array_equal(layer.data, result.partition.dynamic.labels):
            # Painted on meanwhile, or a bin is gone and the others were renumbered.
            self._settle.start()
        self.made.emit(result)
