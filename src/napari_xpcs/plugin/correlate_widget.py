"""Dock: from frames and bins to g2 and two-time maps, with a preview, progress and Cancel."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Labels, Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QPushButton,
)

from napari_xpcs.errors import XpcsError
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.cluster_panel import ClusterPanel
from napari_xpcs.plugin.controls import SaveButton, WrappedLabel
from napari_xpcs.plugin.correlate_form import CorrelateForm
from napari_xpcs.plugin.correlation import (
    Correlated,
    Request,
    bins_text,
    correlation_steps,
    saving_steps,
)
from napari_xpcs.plugin.curve_family import columns_to_show, draw_family
from napari_xpcs.plugin.dock import Dock
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.job_button import JobButton
from napari_xpcs.plugin.parts_panel import PartsPanel
from napari_xpcs.plugin.plot_area import PlotArea
from napari_xpcs.plugin.result_layers import show_curves, show_images
from napari_xpcs.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator


class CorrelateWidget(Dock):
    """Correlate the frames of a layer in the bins of another, in a thread.

    While frames stream in, g2 of those so far belongs to the bins on the image, so that the
    fit dock shows it, too.
    """

    def _build(self) -> None:
        self._asked: tuple[Layer, Labels, Request] | None = None
        self._before: tuple[G2Curves | None, Correlated | None] = (None, None)
        self._shown: tuple[G2Curves, str] | None = None
        self._carrier: Labels | None = None
        self._kept: Progress | None = None
        self._result: Correlated | None = None
        self._frames_per_s = 0.0
        self._pixels_per_s: float | None = None
        self._images: Iterator[None] = iter(())
        self._next_image = QTimer(self, singleShot=True, interval=0)
        self._form = CorrelateForm(self._viewer)
        self._job = JobButton("Correlate")
        self._plot = PlotArea(self._viewer)
        self._summary = WrappedLabel(objectName="summary")
        self._forget = QPushButton("Forget it", objectName="forget")
        self._forget.setToolTip("Take g2 of these frames away, and show what was there before.")
        self._saver = Runner(self)
        self._save = SaveButton(
            "Save result file ...", self._suggested, "HDF5 (*.hdf)", objectName="save"
        )
        self._save.setToolTip(
            "The last run that was done, or what was kept of one that was cancelled, as HDF5 in "
            "the layout of APS 8-ID, with how it was made."
        )
        self._cluster = ClusterPanel()
        self._parts = PartsPanel(self._viewer)
        for widget in (
            self._form,
            self._job,
            self._plot,
            self._summary,
            self._forget,
            self._save,
            self._cluster,
            self._parts,
        ):
            self.column.addWidget(widget)
        self._plot.setVisible(False)
        self._forget.setVisible(False)
        self.column.addStretch()

    def _connect(self) -> None:
        self._form.frames_changed.connect(self._leave_result)
        self._form.changed.connect(self._refresh)
        self._job.clicked.connect(self._on_job_clicked)
        self._job.runner.progressed.connect(self._on_job_progressed)
        self._job.finished.connect(self._on_job_finished)
        self._job.cancelled.connect(self._on_job_cancelled)
        self._job.runner.kept.connect(self._on_job_kept)
        self._job.runner.failed.connect(self._on_job_failed)
        self._next_image.timeout.connect(self._on_next_image)
        self._forget.clicked.connect(self._on_forget_clicked)
        self._save.chosen.connect(self.save)
        self._saver.finished.connect(self._on_saved)
        self._saver.failed.connect(self._summary.setText)
        self._parts.overlaid.connect(self._on_parts_overlaid)
        self._cluster.wanted.connect(self._on_command_wanted)
        self._cluster.recipe_wanted.connect(self.save_recipe)

    def _refresh(self, event: object = None) -> None:
        self._form.show_layers()
        self._parts.follow(self._form.partition())
        self._save.setEnabled(self._result is not None)
        if not self._job.runner.running:
            self._leave_removed_bins()
            self._job.allow(self._form.why_not(self._pixels_per_s))

    def _teardown(self) -> None:
        self._job.cancel()
        self._form.stop()
        self._next_image.stop()
        self._plot.stop()

    def _leave_result(self) -> None:
        """Take the curves of other frames out of sight; that run can still be saved."""
        frames = self._form.frames()
        if self._job.runner.running or self._asked is None or self._asked[0] is frames:
            return
        self._put_out_of_sight()
        if self._result is not None:
            name = Path(self._result.request.source).name
            self._summary.setText(f"The last result is of {name}; it can still be saved.")

    def _leave_removed_bins(self) -> None:
        """Take curves out of sight whose bins are gone, and which the fit dock has no more."""
        if self._carrier is None or self._carrier in self._viewer.layers:
            return
        self._put_out_of_sight()
        if self._result is not None:
            self._summary.setText(
                "The bins of the last result are no longer open; it can still be saved."
            )

    def _put_out_of_sight(self) -> None:
        self._shown = self._carrier = None
        self._plot.setVisible(False)
        self._forget.setVisible(False)
        self._summary.clear()

    # -- a run

    def _on_job_clicked(self) -> None:
        frames, bins = self._form.frames(), self._form.partition()
        try:
            request = self._form.request()
        except XpcsError as fault:
            self._job.allow(str(fault))
            return
        if frames is None or bins is None or request is None:
            return
        self._asked = (frames, bins, request)
        self._frames_per_s = 0.0
        self._before = (xpcs_layers.layer_curves(bins), self._result)
        self._shown = self._carrier = self._kept = None
        self._summary.clear()
        self._forget.setVisible(False)
        self._plot.setVisible(request.wants_multitau)
        if request.wants_multitau:
            self._plot.show_hint("g2 of the frames so far comes here as the run goes on ...")
        bins.events.selected_label.connect(self._draw)
        self._job.start(partial(correlation_steps, request))

    def _on_job_progressed(self, progress: Progress) -> None:
        if self._asked is None or not isinstance(progress.partial, G2Curves):
            return
        _, bins, request = self._asked
        so_far = f"first {progress.done} of {progress.total} frames"
        self._kept = progress
        self._frames_per_s = self._job.rate
        curves = replace(progress.partial, source=f"{so_far} of {request.source}")
        self._shown = (curves, so_far)
        if self._is_unchanged(bins, request):
            self._carrier = bins
            xpcs_layers.attach_curves(bins, curves)
        self._draw()

    def _is_unchanged(self, bins: Labels, request: Request) -> bool:
        """Return whether the bins on the image are still those that are correlated."""
        shown = bins in self._viewer.layers
        return shown and xpcs_layers.layer_partition(bins) is request.partition

    def _draw(self) -> None:
        """Show the curve of the selected bin and of some others."""
        if self._shown is None or self._asked is None:
            return
        curves, title = self._shown
        columns = columns_to_show(curves, int(self._asked[1].selected_label))
        if not columns:
            self._plot.show_hint(f"Nothing was counted in any bin in the {title}.")
            return
        names = [_bin_name(curves, column) for column in columns]
        self._plot.ask(
            partial(
                draw_family,
                curves=curves,
                columns=columns,
                names=names,
                title=title,
                legend="bin: q (1/Å)",
            )
        )

    def _on_job_cancelled(self) -> None:
        self._keep_shown("A file can be saved in a moment.")

    def _on_job_failed(self) -> None:
        self._keep_shown("To save it, set 'to' to this frame and correlate again.")

    def _keep_shown(self, advice: str) -> None:
        """Keep g2 of the frames so far, and say so."""
        if self._kept is None:
            self._plot.setVisible(False)
        elif self._asked is not None and self._is_unchanged(*self._asked[1:]):
            self._summary.setText(
                f"Kept g2 of the first {self._kept.done} of {self._kept.total} frames in the fit "
                f"dock; it is not in a file. {advice}"
            )
            self._forget.setVisible(True)
        self._refresh()

    def _on_job_kept(self, result: Correlated) -> None:
        """Take what a cancelled run worked out last in place of its last preview."""
        if self._kept is None or self._asked is None or result.multitau is None:
            return
        _, bins, request = self._asked
        self._result = result
        frames = result.multitau.selection.count()
        asked = result.multitau.asked_frames
        so_far = f"first {frames} of {asked} frames" if asked else f"all {frames} frames"
        curves = result.multitau.curves(request.partition, f"{so_far} of {request.source}")
        self._shown, self._carrier, where = (curves, so_far), bins, ""
        if self._is_unchanged(bins, request):
            where = " in the fit dock"
            xpcs_layers.attach_curves(bins, curves)
        self._draw()
        self._summary.setText(
            f"Kept g2 of {'the ' if asked else ''}{so_far}{where}. 'Save result file ...' writes "
            "it, and how many frames it rests on."
        )
        self._forget.setVisible(True)
        self._refresh()

    def _on_forget_clicked(self) -> None:
        curves, self._result = self._before
        if self._asked is not None and self._is_unchanged(*self._asked[1:]):
            xpcs_layers.attach_curves(self._asked[1], curves)
        self._kept = None
        self._put_out_of_sight()
        self._refresh()

    def _on_job_finished(self, result: Correlated) -> None:
        if self._asked is None:
            return
        frames, bins, request = self._asked
        self._result = result
        self._parts.follow(None)  # what the file of these bins holds is of another run now
        self._carrier = None
        g2 = show_curves(self._viewer, result, frames, bins)
        for _ in self._images:
            pass  # what is left of the last result
        self._images = show_images(self._viewer, result, frames, bins)
        self._next_image.start()
        said = []
        if result.multitau is not None and g2 is not None:
            curves, self._carrier = g2
            self._shown = (curves, f"all {result.multitau.selection.count()} frames")
            self._draw()
            said.append(
                f"g2 of {bins_text(len(curves.bins))} at {len(curves.delay_s)} delays, "
                f"{curves.delay_s[0]:.3g} to {curves.delay_s[-1]:.3g} s. Fit them with XPCS: Fit "
                "g2."
            )
            said += result.multitau.remarks()
            said.append("Engine {engine} on {device}.".format_map(result.multitau.engine))
            if request.kind == "multitau":
                self._frames_per_s = self._job.rate  # which compiling is no part of
            seconds = max(float(result.multitau.engine["seconds"]), 1e-3)
            pixels = int(request.partition.dynamic.pixels.sum())
            self._pixels_per_s = pixels * (self._frames_per_s or request.used_frames() / seconds)
        if result.twotime is not None:
            number = bins_text(len(result.twotime.processed_bins))
            said.append(f"Two-time maps of {number}: see XPCS: Two-time.")
            said += [remark for remark in result.twotime.remarks() if remark not in said]
        if result.ages is not None:
            number = bins_text(len(result.ages.ages.processed_bins))
            said.append(
                f"Two-time ages of {number}, which a long run has in place of maps: see XPCS: "
                "Two-time."
            )
            said += [remark for remark in result.ages.remarks() if remark not in said]
        self._summary.setText(" ".join(said))
        self._refresh()

    def _on_next_image(self) -> None:
        """Add one layer of the result, and the next one when the window had its turn."""
        for _ in self._images:
            self._next_image.start()
            return

    def _on_parts_overlaid(self, overlaid: tuple[G2Curves, list[str], str]) -> None:
        curves, names, title = overlaid
        self._plot.setVisible(True)
        self._plot.ask(
            partial(
                draw_family,
                curves=curves,
                columns=list(range(len(names))),
                names=names,
                title=title,
                front=False,
            )
        )

    # -- saving, and the same elsewhere

    def _suggested(self) -> Path | None:
        if self._result is None:
            return None
        source, g2 = Path(self._result.request.source), self._result.multitau
        part = ""
        if g2 is not None and g2.asked_frames is not None:
            part = f"_first_{g2.selection.count()}"
        return source.with_name(f"{source.stem}{part}_results.hdf")

    def save(self, path: Path) -> None:
        """Write the last result to ``path``; the file dialogue asked before overwriting."""
        if self._result is not None:
            self._saver.start(partial(saving_steps, path, self._result), "Save result file")

    def _on_saved(self, path: Path) -> None:
        self._summary.setText(f"Saved {path}")

    def save_recipe(self, path: Path) -> None:
        """Write what the controls ask for as a recipe; the dialogue asked before overwriting."""
        request = self._request_or_reason()
        if request is not None:
            self._cluster.save_recipe(path, request)

    def _on_command_wanted(self) -> None:
        bins, request = self._form.partition(), self._request_or_reason()
        if request is not None and bins is not None:
            self._cluster.show_command(request, xpcs_layers.layer_source(bins))

    def _request_or_reason(self) -> Request | None:
        """Return what the controls ask for, or say under the command why there is none."""
        try:
            request = self._form.request()
        except XpcsError as fault:
            self._cluster.say(str(fault))
            return None
        if request is None:
            self._cluster.say(self._form.why_not(self._pixels_per_s))
        return request


def _bin_name(curves: G2Curves, column: int) -> str:
    q = curves.bins.q[column]
    return f"{curves.bins.label[column]}" + (f": {q:.3g}" if q == q else "")
