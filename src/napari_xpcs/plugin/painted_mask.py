"""The layer 'mask': what the steps made of it, and what the brush of napari changed since."""

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_xpcs._typing import Mask
from napari_xpcs.kernels.mask_of_steps import MaskResult
from napari_xpcs.kernels.mask_painting import paint, painted_difference
from napari_xpcs.kernels.mask_steps import MaskStep, PaintedStep
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.step_text import BY_HAND

SETTLE_MS = 60
"""A brush rests this long before its stroke counts as ended."""


class PaintedMask(QObject):
    """Follows the strokes on one layer; there may be none yet."""

    painted = Signal()
    """A stroke has ended."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer: Labels | None = None
        self.made: Mask | None = None
        self._attached: tuple[MaskStep, ...] = ()
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self.painted)

    def follow(self, layer: Labels | None) -> None:
        """Listen to strokes on ``layer`` from now on, which no steps have made yet."""
        self._settle.stop()
        if self.layer is not None:
            self.layer.events.paint.disconnect(self._on_painted)
            self.layer.events.set_data.disconnect(self._on_painted)
        self.layer, self.made, self._attached = layer, None, ()
        if layer is not None:
            layer.events.paint.connect(self._on_painted)
            layer.events.set_data.connect(self._on_painted)

    def _on_painted(self, event: object = None) -> None:
        self._settle.start()

    def shown(self) -> Mask:
        """Return the mask (True = used) that the layer shows; there must be one."""
        return xpcs_layers.layer_mask(self.layer)

    def attach(self, steps: tuple[MaskStep, ...], made: Mask) -> None:
        """Tell the layer what ``steps`` made."""
        self.made, self._attached = made, steps
        if self.layer is not None:
            xpcs_layers.attach_steps(self.layer, steps, made)

    def show(self, mask: Mask) -> None:
        """Show ``mask`` on the layer."""
        if self.layer is not None and not np.array_equal(self.shown(), mask):
            self.layer.data = (~mask).astype(self.layer.data.dtype)

    def given_steps(self) -> tuple[MaskStep, ...] | None:
        """Return steps that somebody else, a recipe say, has given to the layer since."""
        if self.layer is None:
            return None
        found = xpcs_layers.attached_steps(self.layer)
        return None if not found or found == self._attached else found

    def strokes(self) -> Mask | None:
        """Return what the layer shows where that is not what the steps made."""
        self._settle.stop()
        if self.layer is None or self.made is None:
            return None
        shown = self.shown()
        same = shown.shape != self.made.shape or np.array_equal(shown, self.made)
        return None if same else shown

    def take_strokes(
        self, steps: tuple[MaskStep, ...], result: MaskResult | None, shown: Mask
    ) -> tuple[MaskStep, ...]:
        """Return ``steps`` with the strokes that made ``shown``, which the layer is told.

        Strokes go into the last step where that holds strokes, so that drawing a line does not
        make a step of each of its ends; ``result`` is what ``steps`` made, if they are done.
        """
        last = steps[-1] if steps else None
        if (
            isinstance(last, PaintedStep)
            and last.enabled
            and last.source == BY_HAND
            and last.shape == shown.shape
            and result is not None
        ):
            before = result.before(len(steps) - 1)
            changed = shown != self.made
            painted = paint(last, changed, ~shown, before=before, shape=last.shape)
            steps = (*steps[:-1], painted)
        elif self.made is not None:
            steps = (*steps, painted_difference(self.made, shown, source=BY_HAND))
        self.attach(steps, shown)
        if self.layer is not None:
            # napari says nothing of an undone stroke, and bins shall follow that, too.
            self.layer.events.data(value=self.layer.data)
        return steps
