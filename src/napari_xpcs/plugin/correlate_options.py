"""What of a correlation is rarely changed: folded away under "More"."""

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLineEdit, QSpinBox

from napari_xpcs.correlate.engines import ENGINES
from napari_xpcs.correlate.multitau_twotime_run import MAPS
from napari_xpcs.io.number_lists import frame_numbers
from napari_xpcs.kernels.multitau import G2_ERRORS, NORMALIZATIONS
from napari_xpcs.kernels.twotime import SMOOTHINGS
from napari_xpcs.plugin.section import Section

TIPS = {
    "normalization": "symmetric: intensities are averaged in each static bin, then g2 over the "
    "static bins of a dynamic bin (boost_corr and the APS viewer). Written to the file.",
    "errors": "pixel: from the spread over the pixels of a bin. segments: between spans of the "
    "run, which also feels what all pixels see together, such as a beam that drifts.",
    "delays_per_level": "4 as at APS 8-ID; 8 gives twice the delays in twice the time.",
    "engine": "auto: events for files of few photons, array where XPCS_USE_GPU asks for a GPU, "
    "else numba. All give the same numbers.",
    "smoothing": "Two-time: counts are divided, frame by frame, by the mean of their static or "
    "dynamic bin, or not at all.",
    "maps": "Two-time: full, maps of all pairs of frames; ages, C2 of every time on the delays of "
    "multi-tau; auto takes ages above 20 000 frames.",
}


class CorrelateOptions(Section):
    """Normalisation, errors, frames to leave out, engine, and what else goes into the file."""

    changed = Signal()
    """The user changed any of them."""

    def __init__(self) -> None:
        super().__init__("More", name="more")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        self._choices: dict[str, QComboBox] = {}
        for name, label, offered in (
            ("normalization", "Normalisation", NORMALIZATIONS),
            ("errors", "Errors from", G2_ERRORS),
            ("delays_per_level", "Delays per level", ("4", "8")),
            ("engine", "Engine", ENGINES),
            ("smoothing", "Two-time smoothing", SMOOTHINGS),
            ("maps", "Two-time keeps", MAPS),
        ):
            box = QComboBox(objectName=name)
            box.addItems(list(offered))
            box.setToolTip(TIPS[name])
            box.currentIndexChanged.connect(self.changed)
            self._choices[name] = box
            form.addRow(label, box)
        self._choices["smoothing"].setCurrentText("static")
        self._skipped = QLineEdit(objectName="skipped")
        self._skipped.setPlaceholderText("none; 3,10-20 or a file")
        self._skipped.setToolTip(
            "Raw frames to leave out, or a text file that lists them. They enter no pair and no "
            "average, and time goes on; in two-time maps their rows and columns are empty."
        )
        self._skipped.editingFinished.connect(self.changed)
        form.insertRow(2, "Bad frames", self._skipped)
        self._partials = QSpinBox(objectName="partials")
        self._partials.setRange(0, 64)
        self._partials.setSpecialValueText("none")
        self._partials.setToolTip("Also give g2 of the first part of the run, at so many times.")
        self._partials.valueChanged.connect(self.changed)
        form.insertRow(3, "g2 of parts", self._partials)
        self._flags: dict[str, QCheckBox] = {}
        for name, text, tip in (
            ("skip_corrupt", "Leave damaged frames out", "Go on without what cannot be read."),
            (
                "normalize_frame",
                "Divide each frame by its mean",
                "Takes changes of the beam out; empty frames are left out and counted.",
            ),
            (
                "pixel_averages",
                "Keep g2 of every pixel",
                "For maps of g2 over the detector; the file grows by 12 bytes for each pixel and "
                "delay.",
            ),
        ):
            box = QCheckBox(text, objectName=name)
            box.setToolTip(tip)
            box.toggled.connect(self.changed)
            self._flags[name] = box
            form.addRow(box)
        self.column.addLayout(form)

    def multitau(self) -> dict[str, Any]:
        """Return the options of g2.

        Raises
        ------
        FileFormatError
            The list of frames to leave out is none.
        """
        chosen = {name: box.currentText() for name, box in self._choices.items()}
        return {
            **{name: chosen[name] for name in ("normalization", "errors", "engine")},
            "delays_per_level": int(chosen["delays_per_level"]),
            "skipped": tuple(frame_numbers(self._skipped.text())),
            "partials": self._partials.value(),
            **{name: box.isChecked() for name, box in self._flags.items()},
        }

    def twotime(self) -> dict[str, str]:
        """Return the options of two-time correlation."""
        return {name: self._choices[name].currentText() for name in ("smoothing", "maps")}
