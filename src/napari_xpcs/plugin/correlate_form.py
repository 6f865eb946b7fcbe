"""What is correlated: frames, bins, kind, range and options, as one request."""

from napari.components.viewer_model import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_choice import BinChoice
from napari_xpcs.plugin.controls import NarrowComboBox, NumberEdit, WrappedLabel
from napari_xpcs.plugin.correlate_options import CorrelateOptions
from napari_xpcs.plugin.correlation import KINDS, Request, estimate
from napari_xpcs.plugin.dock import LayerComboBox
from napari_xpcs.plugin.frame_range import FrameRange
from napari_xpcs.plugin.frame_sum import FrameSum
from napari_xpcs.plugin.layer_row import LayerRow

KIND_NAMES = ("g2 (multi-tau)", "two-time maps", "g2 and two-time")
LAY_BINS = "Lay bins over the frames with XPCS: Geometry & partition, or open a Q-map file."


class CorrelateForm(QWidget):
    """The controls above the button of XPCS: Correlate, and what they ask for."""

    changed = Signal()
    """The user changed any of them."""
    frames_changed = Signal()
    """Other frames are chosen, or none."""

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._frames = LayerComboBox("no frames", _is_frames, objectName="frames")
        self._frames.setToolTip("The frames that are correlated.")
        self._partition = LayerComboBox("no bins", _is_partition, objectName="partition")
        self._partition.setToolTip("The bins; those of other detectors are not offered.")
        self._frame_time = NumberEdit(objectName="frame_time_s")
        self._frame_time.setToolTip("Time from the start of one raw frame to the next, s.")
        self._kind = NarrowComboBox(6, objectName="kind")
        self._kind.setToolTip("g2 averaged over the run, C2 of all pairs of frames, or both.")
        for name, kind in zip(KIND_NAMES, KINDS, strict=True):
            self._kind.addItem(name, kind)
        self._bins = BinChoice(self._viewer)
        self._frame_sum = FrameSum(self._viewer)
        self._range = FrameRange()
        self._options = CorrelateOptions()
        self._estimate = WrappedLabel(objectName="estimate")
        self._rows = [
            LayerRow(self._frames, self._viewer, "frames"),
            LayerRow(self._partition, self._viewer, "bins"),
        ]
        self._build_column()
        self._connect()

    def _build_column(self) -> None:
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, row in zip(("Frames", "Bins"), self._rows, strict=True):
            self._form.addRow(name, row)
        self._form.addRow("Frame time (s)", self._frame_time)
        self._form.addRow("Compute", self._kind)
        self._form.addRow("Two-time bins", self._bins)
        for box in (self._frames, self._partition):
            box.setMinimumContentsLength(6)
        sums = QFormLayout()
        sums.addRow("Show sums of", self._frame_sum)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._form)
        column.addWidget(self._range)
        column.addLayout(sums)
        column.addWidget(self._options)
        column.addWidget(self._estimate)

    def _connect(self) -> None:
        self._frames.currentIndexChanged.connect(self._on_frames_changed)
        for signal in (
            self._partition.currentIndexChanged,
            self._frame_time.value_changed,
            self._kind.currentIndexChanged,
            self._bins.changed,
            self._options.changed,
            self._range.changed,
        ):
            signal.connect(self.changed)

    def frames(self) -> Layer | None:
        """Return the layer of the chosen frames."""
        return self._frames.layer()

    def partition(self) -> Layer | None:
        """Return the layer of the chosen bins."""
        return self._partition.layer()

    def show_layers(self) -> None:
        """Offer the layers of now: frames, and bins of the same detector."""
        self._frames.show_layers(list(self._viewer.layers))
        frames = self._frames.layer()
        same = [
            layer
            for layer in self._viewer.layers
            if _is_partition(layer)
            and (frames is None or tuple(layer.data.shape[-2:]) == tuple(frames.data.shape[-2:]))
        ]
        self._partition.show_layers(same)
        self._bins.follow(self._partition.layer())
        self._form.setRowVisible(self._bins, self._kind.currentData() != "multitau")

    def stop(self) -> None:
        """Let go of threads and of the mouse."""
        for row in self._rows:
            row.stop()
        self._frame_sum.stop()
        self._bins.stop()

    def why_not(self, pixels_per_s: float | None) -> str:
        """Return why there is nothing to start, and show what the job would take.

        ``pixels_per_s`` is how fast the last run was, see
        :func:`~napari_xpcs.plugin.correlation.estimate`.
        """
        self._estimate.clear()
        if self._frames.layer() is None:
            return "Open a frames file, or a simulated run (File > Open Sample > XPCS)."
        if self._partition.layer() is None:
            return self._other_bins() + LAY_BINS
        if not self._frame_time.value():
            return "The file does not tell the frame time: type it, in s."
        try:
            request = self.request()
            if request is not None:
                self._estimate.setText(estimate(request, pixels_per_s))
        except XpcsError as fault:
            return str(fault)
        return ""

    def _other_bins(self) -> str:
        """Return what is wrong with the bins that are open, empty where there are none."""
        others = xpcs_layers.layers_with_role(self._viewer.layers, "partition")
        frames = self._frames.layer()
        if not others or frames is None:
            return ""
        (rows, cols), (high, wide) = others[0].data.shape[-2:], frames.data.shape[-2:]
        return (
            f"The bins '{others[0].name}' are for {rows} x {cols} pixels, these frames have "
            f"{high} x {wide}. "
        )

    def _on_frames_changed(self) -> None:
        layer = self._frames.layer()
        self._frame_sum.follow(layer)
        known = {} if layer is None else xpcs_layers.layer_known(layer)
        sourced = known.get("frame_time_s")
        self._frame_time.set_value(None if sourced is None else sourced.value)
        if sourced is not None:
            self._frame_time.setToolTip(
                f"Time from one raw frame to the next, s.\nFrom: {sourced.origin}"
            )
        self.frames_changed.emit()
        self.changed.emit()

    def request(self) -> Request | None:
        """Return what the controls ask for, ``None`` while something is missing.

        Raises
        ------
        XpcsError
            Something is typed that cannot be.
        """
        frames, bins = self._frames.layer(), self._partition.layer()
        frame_time = self._frame_time.value()
        if frames is None or bins is None or not frame_time:
            return None
        kind = self._kind.currentData()
        return Request(
            frames=xpcs_layers.layer_frames(frames),
            partition=xpcs_layers.layer_partition(bins),
            known=xpcs_layers.layer_known(frames),
            source=xpcs_layers.layer_source(frames) or frames.name,
            frame_time_s=frame_time,
            kind=kind,
            bins=self._bins.labels() if kind != "multitau" else None,
            selection=self._range.selection(),
            multitau=self._options.multitau(),
            twotime=self._options.twotime(),
        )


def _is_frames(layer: Layer) -> bool:
    return xpcs_layers.layer_role(layer) == "frames"


def _is_partition(layer: Layer) -> bool:
    return xpcs_layers.layer_role(layer) == "partition"
