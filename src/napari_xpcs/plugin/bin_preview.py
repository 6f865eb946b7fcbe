"""Coarse bins on the image while the beam or a region is dragged."""

from collections.abc import Callable

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_xpcs.errors import XpcsError
from napari_xpcs.plugin.bin_jobs import BinRequest, preview_steps
from napari_xpcs.plugin.job import Runner


class BinPreview(QObject):
    """Shows the newest bins that were asked for; what it had no time for is dropped.

    Parameters
    ----------
    request
        What the panel asks for now.
    """

    failed = Signal(str)
    """Emitted with the reason in a sentence."""

    def __init__(
        self, request: Callable[[], BinRequest | None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.is_shown = False
        """Whether the layer shows a preview, until the panel puts whole bins there."""
        self._request = request
        self._layer: Labels | None = None
        self._again = False
        self._runner = Runner(self)
        self._runner.finished.connect(self._on_made)
        self._runner.failed.connect(self.failed)

    def follow(self, layer: Labels | None) -> None:
        """Draw on ``layer`` from now on."""
        self._layer = layer

    def ask(self) -> None:
        """Show the bins of now; while some are made, those of the end are made after them."""
        if self._layer is None:
            return
        if self._runner.running:
            self._again = True
            return
        try:
            request = self._request()
        except XpcsError as error:
            self.failed.emit(str(error))
            return
        self._again = False
        if request is not None:
            self._runner.start(lambda: preview_steps(request))

    def cancel(self) -> None:
        """Drop what is being made."""
        self._runner.cancel()

    def _on_made(self, labels: np.ndarray) -> None:
        layer = self._layer
        if layer is not None and labels.shape == layer.data.shape:
            self.is_shown = True
            layer.data = labels.astype(layer.data.dtype)
        if self._again:
            self.ask()
