"""Which frames of a run are correlated."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QSpinBox, QWidget

from napari_xpcs.kernels.selection import FrameSelection


class FrameRange(QWidget):
    """First and last frame, every n-th, sums of n."""

    changed = Signal()
    """The user changed any of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._begin, self._end = QSpinBox(objectName="begin"), QSpinBox(objectName="end")
        self._stride, self._average = QSpinBox(objectName="stride"), QSpinBox(objectName="average")
        self._end.setSpecialValueText("all")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        for place, (spin, low, name, tip) in enumerate(
            (
                (self._begin, 0, "Frames", "First frame, counted from 0."),
                (self._end, 0, "to", "The frame behind the last one; 'all': to the end."),
                (self._stride, 1, "Every", "Use every n-th frame."),
                (self._average, 1, "add up", "Add n frames up before they are correlated."),
            )
        ):
            spin.setRange(low, 2_000_000_000)
            spin.setToolTip(tip)
            # Two abreast in 300 px: digits take the place of the arrows; keys and wheel stay.
            spin.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
            spin.setStyleSheet("QSpinBox { min-width: 40px; padding: 1px 4px; }")
            spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            spin.valueChanged.connect(self.changed)
            row, side = divmod(place, 2)
            grid.addWidget(QLabel(name), row, 2 * side)
            grid.addWidget(spin, row, 2 * side + 1)
        for side in (1, 3):
            grid.setColumnStretch(side, 1)

    def selection(self) -> FrameSelection:
        """Return the frames that are asked for."""
        return FrameSelection(
            begin=self._begin.value(),
            end=self._end.value() or None,
            stride=self._stride.value(),
            average=self._average.value(),
        )
