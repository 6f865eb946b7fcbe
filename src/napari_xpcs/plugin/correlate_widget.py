"""Dock: from frames and bins to g2, with progress and Cancel."""

from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Labels, Layer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QSpinBox,
)

from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.errors import XpcsError
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.result_file import write_result
from napari_xpcs.kernels.multitau import NORMALIZATIONS, MultiTauResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.dock import Dock, LayerComboBox, NumberEdit
from napari_xpcs.plugin.frame_sum import FrameSum
from napari_xpcs.plugin.job import JobButton, Runner
from napari_xpcs.progress import Progress, Steps


class CorrelateWidget(Dock):
    """Correlate the frames of a layer in the bins of another; multi-tau, in a thread."""

    def _build(self) -> None:
        self._asked: tuple[Layer, Labels, Partition] | None = None
        self._result: tuple[MultiTauResult, Partition, Layer] | None = None
        self._frames = LayerComboBox(
            "no frames: open a frames file", _is_frames, objectName="frames"
        )
        self._partition = LayerComboBox(
            "no bins: see Geometry & partition", _is_partition, objectName="partition"
        )
        self._frame_time = NumberEdit(objectName="frame_time_s")
        self._frame_time.setToolTip("Time from the start of one raw frame to the next, s.")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Frames", self._frames)
        form.addRow("Bins", self._partition)
        form.addRow("Frame time (s)", self._frame_time)
        self.column.addLayout(form)
        self.column.addWidget(self._build_selection())
        self._job = JobButton("Correlate")
        self._saver = Runner(self)
        self._save = QPushButton("Save result file ...", objectName="save")
        self._save.setToolTip("HDF5 in the layout of APS 8-ID, with how it was made.")
        self._summary = QLabel(objectName="summary")
        self._summary.setWordWrap(True)
        for widget in (self._job, self._summary, self._save):
            self.column.addWidget(widget)
        self.column.addStretch()

    def _build_selection(self) -> QGroupBox:
        box = QGroupBox("Frames to use")
        form = QFormLayout(box)
        self._begin, self._end = QSpinBox(objectName="begin"), QSpinBox(objectName="end")
        self._stride, self._average = QSpinBox(objectName="stride"), QSpinBox(objectName="average")
        for spin, low, tip in (
            (self._begin, 0, "First frame, counted from 0."),
            (self._end, 0, "The frame behind the last one; 'all' goes to the end of the run."),
            (self._stride, 1, "Use every n-th frame."),
            (self._average, 1, "Average n frames before they are correlated."),
        ):
            spin.setRange(low, 2_000_000_000)
            spin.setToolTip(tip)
        self._end.setSpecialValueText("all")
        form.addRow("From frame", self._begin)
        form.addRow("To frame", self._end)
        form.addRow("Every", self._stride)
        form.addRow("Average of", self._average)
        self._normalization = QComboBox(objectName="normalization")
        self._normalization.addItems(list(NORMALIZATIONS))
        self._normalization.setToolTip(
            "symmetric: intensities are averaged in each static bin, then g2 over the static bins "
            "of a dynamic bin (boost_corr and the APS viewer). The choice is written to the file."
        )
        form.addRow("Normalisation", self._normalization)
        self._frame_sum = FrameSum(self._viewer)
        form.addRow("Show sums of", self._frame_sum)
        return box

    def _connect(self) -> None:
        self._frames.currentIndexChanged.connect(self._on_frames_changed)
        self._partition.currentIndexChanged.connect(self._refresh)
        self._frame_time.value_changed.connect(self._refresh)
        for spin in (self._begin, self._end, self._stride, self._average):
            spin.valueChanged.connect(self._refresh)
        self._job.clicked.connect(self._on_job_clicked)
        self._job.finished.connect(self._on_job_finished)
        self._save.clicked.connect(self._on_save_clicked)
        self._saver.finished.connect(self._on_saved)
        self._saver.failed.connect(self._summary.setText)

    def _refresh(self, event: object = None) -> None:
        self._frames.show_layers(list(self._viewer.layers))
        frames = self._frames.layer()
        same = [
            layer
            for layer in self._viewer.layers
            if _is_partition(layer)
            and (frames is None or tuple(layer.data.shape[-2:]) == tuple(frames.data.shape[-2:]))
        ]
        self._partition.show_layers(same)
        self._save.setEnabled(self._result is not None)
        self._job.allow(self._why_not())

    def _why_not(self) -> str:
        if self._frames.layer() is None:
            return "Open a frames file, or a simulated run (File > Open Sample > XPCS)."
        if self._partition.layer() is None:
            return "Lay bins over the frames with XPCS: Geometry & partition, or open a Q-map file."
        if not self._frame_time.value():
            return "The file does not tell the frame time: type it, in s."
        return ""

    def _teardown(self) -> None:
        self._job.cancel()
        self._frame_sum.stop()

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
        self._refresh()

    def selection(self) -> FrameSelection:
        """Return the frames that the controls ask for."""
        return FrameSelection(
            begin=self._begin.value(),
            end=self._end.value() or None,
            stride=self._stride.value(),
            average=self._average.value(),
        )

    def _on_job_clicked(self) -> None:
        frames, bins = self._frames.layer(), self._partition.layer()
        frame_time = self._frame_time.value()
        if frames is None or bins is None or not frame_time:
            return
        try:
            selection = self.selection()
        except XpcsError as error:
            self._job.allow(str(error))
            return
        partition = xpcs_layers.layer_partition(bins)
        self._asked = (frames, bins, partition)
        source, normalization = xpcs_layers.layer_frames(frames), self._normalization.currentText()
        self._job.start(
            lambda: _correlate_steps(source, partition, frame_time, selection, normalization)
        )

    def _on_job_finished(self, result: MultiTauResult) -> None:
        if self._asked is None:
            return
        frames, bins, partition = self._asked
        source = xpcs_layers.layer_source(frames) or frames.name
        self._result = (result, partition, frames)
        self._save.setEnabled(True)
        curves = result.curves(partition, source)
        known = xpcs_layers.layer_known(frames)
        if bins in self._viewer.layers and xpcs_layers.layer_partition(bins) is partition:
            xpcs_layers.attach_curves(bins, curves)
        else:  # the bins were changed or closed meanwhile: the curves keep their own
            data, arguments, _ = xpcs_layers.partition_layer(
                partition, known=known, curves=curves, source=source
            )
            bins = self._viewer.add_labels(data, **arguments)
        self._show_scattering(result, partition, known, source)
        self._viewer.layers.selection.active = bins
        summary = (
            f"g2 of {len(curves.bins)} bins at {len(curves.delay_s)} delays, "
            f"{curves.delay_s[0]:.3g} to {curves.delay_s[-1]:.3g} s. Fit them with XPCS: Fit g2."
        )
        self._summary.setText(" ".join([summary, *result.remarks()]))

    def _show_scattering(
        self, result: MultiTauResult, partition: Partition, known: Any, source: str
    ) -> None:
        data, arguments, _ = xpcs_layers.scattering_layer(
            result.mean_frame, known=known, mask=partition.mask, source=source
        )
        for layer in xpcs_layers.layers_with_role(self._viewer.layers, "scattering"):
            if xpcs_layers.layer_source(layer) == source and layer.data.shape == data.shape:
                layer.data = data
                return
        image = self._viewer.add_image(data, **arguments)
        lowest_labels = min(
            (i for i, layer in enumerate(self._viewer.layers) if isinstance(layer, Labels)),
            default=len(self._viewer.layers),
        )
        self._viewer.layers.move(self._viewer.layers.index(image), lowest_labels)
        image.visible = False

    def _on_save_clicked(self) -> None:
        if self._result is None:
            return
        source = Path(xpcs_layers.layer_source(self._result[2]) or self._result[2].name)
        suggested = source.with_name(f"{source.stem}_results.hdf")
        path, _ = QFileDialog.getSaveFileName(
            self, "Save result file", str(suggested), "HDF5 (*.hdf)"
        )
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the last result to ``path``; the file dialogue asked before overwriting."""
        if self._result is not None:
            result, partition, frames = self._result
            self._saver.start(partial(_save_steps, path, result, partition, frames))

    def _on_saved(self, path: Path) -> None:
        self._summary.setText(f"Saved {path}")


def _is_frames(layer: Layer) -> bool:
    return xpcs_layers.layer_role(layer) == "frames"


def _is_partition(layer: Layer) -> bool:
    return xpcs_layers.layer_role(layer) == "partition"


def _correlate_steps(
    frames: Frames,
    partition: Partition,
    frame_time_s: float,
    selection: FrameSelection,
    normalization: str,
) -> Steps[MultiTauResult]:
    """Correlate; runs in the thread, so that the backend starts there."""
    from napari_xpcs.backends import get_backend

    return (
        yield from correlate_multitau(
            frames,
            partition,
            frame_time_s=frame_time_s,
            xp=get_backend(),
            selection=selection,
            normalization=normalization,
        )
    )


def _save_steps(
    path: Path, result: MultiTauResult, partition: Partition, frames: Layer
) -> Steps[Path]:
    """Write a result file; runs in the thread."""
    yield Progress(0, 1, "files")
    source = xpcs_layers.layer_source(frames) or frames.name
    refuse_input_as_output(path, Path(source))
    write_result(
        path,
        source=source,
        multitau=result,
        partition=partition,
        known=xpcs_layers.layer_known(frames),
        force=True,
    )
    return path
