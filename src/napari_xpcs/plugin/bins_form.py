"""The form of the bins: numbers and range in front, everything else folded away."""

from typing import Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_xpcs.errors import PartitionError
from napari_xpcs.io.edges_file import read_edges_text
from napari_xpcs.kernels.axis_request import AXIS_UNITS, Intervals, Spacing
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import MOST_BINS, PartitionSpec
from napari_xpcs.plugin.controls import NumberEdit
from napari_xpcs.plugin.section import Section

NARROW_PX = 64
"""Least width of a field, so that a row fits into a dock of 300 px."""

AXIS_WORDS = {
    "q": "q",
    "phi": "φ",
    "x": "column",
    "y": "row",
    "qx": "qx",
    "qy": "qy",
    "tth": "2θ",
    "qz": "qz",
    "qr": "qr",
    "eq": "ellipse radius",
    "ephi": "ellipse angle",
}
"""What the axes of bins are called on the screen."""

LAYOUTS = {"q only": "q-phi", "q and φ": "q-phi", "mesh (column, row)": "x-y", "ellipse": "eq-ephi"}
OTHER = "two other maps"


class BinsForm(QWidget):
    """What bins are wanted; :meth:`spec` is the options of ``napari-xpcs qmap``."""

    edited = Signal()
    """The user changed something."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._numbers: dict[str, QSpinBox] = {}
        self._limits: list[tuple[NumberEdit, NumberEdit]] = []
        self._edges: list[QLineEdit] = []
        self._spacings: list[QComboBox] = []
        self._names = [QLabel(), QLabel()]
        self._range_names = [QLabel(), QLabel()]
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._build_front(column)
        self._build_more(column)
        for box in self.findChildren(QComboBox):
            box.setMinimumWidth(NARROW_PX)
        self.show_spec(PartitionSpec())
        self._connect()

    def _build_front(self, column: QVBoxLayout) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(4)
        self._layout_ = QComboBox(objectName="bins_along")
        self._layout_.addItems([*LAYOUTS, OTHER])
        self._layout_.setToolTip("What the bins divide.")
        grid.addWidget(QLabel("Bins along"), 0, 0)
        grid.addWidget(self._layout_, 0, 1, 1, 2)
        self._axes = [QComboBox(objectName="axis_0"), QComboBox(objectName="axis_1")]
        for position, box in enumerate(self._axes):
            for name, word in AXIS_WORDS.items():
                box.addItem(f"{word} ({AXIS_UNITS[name]})", name)
            box.setToolTip("What is divided along this axis of the bins.")
            grid.addWidget(box, 1, 1 + position)
        grid.addWidget(QLabel("dynamic"), 2, 1)
        grid.addWidget(QLabel("static"), 2, 2)
        for axis, names in enumerate((("dq", "sq"), ("dp", "sp"))):
            grid.addWidget(self._names[axis], 3 + axis, 0)
            for place, name in enumerate(names, start=1):
                box_ = QSpinBox(objectName=name)
                box_.setRange(1, MOST_BINS)
                box_.setMinimumWidth(NARROW_PX)
                box_.setKeyboardTracking(True)
                box_.setToolTip(
                    "g2 is computed for each dynamic bin."
                    if name.startswith("d")
                    else "The intensity is normalised in each static bin; "
                    "raised to a multiple of the dynamic number."
                )
                self._numbers[name] = box_
                grid.addWidget(box_, 3 + axis, place)
        self._add_limits(grid, 5, 0, "q_min", "q_max")
        self._add_spacing(grid, 6, "Spacing", "spacing")
        column.addLayout(grid)

    def _build_more(self, column: QVBoxLayout) -> None:
        more = Section("More about bins", name="more_bins")
        grid = QGridLayout()
        grid.setHorizontalSpacing(4)
        self._add_limits(grid, 0, 1, "phi_min", "phi_max")
        self._limits[1][0].setToolTip("First angle in degrees; 150 to -150 runs through 180.")
        self._add_spacing(grid, 1, "Spacing, 2nd", "spacing_phi")
        self._rule = QComboBox(objectName="edges_rule")
        self._rule.addItem("equal steps", "data")
        self._rule.addItem("equal pixel counts", "equal-count")
        self._rule.setToolTip("How edges are placed between the limits.")
        grid.addWidget(QLabel("Edges"), 2, 0)
        grid.addWidget(self._rule, 2, 1, 1, 2)
        for axis, name in enumerate(("edges_q", "edges_phi")):
            field = QLineEdit(objectName=name)
            field.setPlaceholderText("0.001 0.002 0.004   or   0.001:0.002 0.003:0.004")
            field.setToolTip(
                "Edges in place of a number of bins: increasing numbers, or low:high pairs "
                "with gaps between them."
            )
            self._edges.append(field)
            grid.addWidget(QLabel(f"Typed, {('1st', '2nd')[axis]}"), 3 + axis, 0)
            grid.addWidget(field, 3 + axis, 1, 1, 2)
        more.column.addLayout(grid)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._offset = NumberEdit(objectName="phi_offset_deg")
        self._offset.setPlaceholderText("none")
        self._offset.setToolTip("Degrees added to φ before it is binned.")
        self._fold = QSpinBox(objectName="phi_fold")
        self._fold.setRange(1, 360)
        self._fold.setToolTip("n: φ and φ + 360/n fall into the same bin.")
        self._least = QSpinBox(objectName="min_pixels")
        self._least.setRange(1, 1_000_000)
        self._least.setToolTip("Bins of fewer pixels are left out.")
        self._ellipse = QLineEdit(objectName="ellipse")
        self._ellipse.setPlaceholderText("row col half half angle")
        self._ellipse.setToolTip(
            "Centre (px), half axes (px) and angle (deg) of the ellipse that bins follow; "
            "empty: that of the unmasked pixels."
        )
        self._sin = QCheckBox("q as in old files (sin 2θ)", objectName="q_convention")
        self._sin.setToolTip(
            "q = 2π/λ sin 2θ, as pySimpleMask stored it before 0.3, in place of 4π/λ sin θ."
        )
        form.addRow("φ offset (deg)", self._offset)
        form.addRow("φ symmetry", self._fold)
        form.addRow("Least pixels", self._least)
        form.addRow("Ellipse", self._ellipse)
        form.addRow(self._sin)
        more.column.addLayout(form)
        self._more = more
        column.addWidget(more)

    def _add_limits(self, grid: QGridLayout, row: int, axis: int, low: str, high: str) -> None:
        pair = NumberEdit(objectName=low), NumberEdit(objectName=high)
        for place, (field, hint) in enumerate(zip(pair, ("from", "to"), strict=True), start=1):
            field.setPlaceholderText(hint)
            field.setMinimumWidth(NARROW_PX)
            field.setToolTip("Limits; empty: all of the unmasked detector.")
            grid.addWidget(field, row, place)
        self._limits.append(pair)
        grid.addWidget(self._range_names[axis], row, 0)

    def _add_spacing(self, grid: QGridLayout, row: int, label: str, name: str) -> None:
        box = QComboBox(objectName=name)
        box.addItems(["linear", "log"])
        box.setToolTip("Equal steps or equal ratios from edge to edge.")
        self._spacings.append(box)
        grid.addWidget(QLabel(label), row, 0)
        grid.addWidget(box, row, 1, 1, 2)

    def _connect(self) -> None:
        self._layout_.currentIndexChanged.connect(self._on_layout_changed)
        for box in (*self._axes, *self._spacings, self._rule):
            box.currentIndexChanged.connect(self._on_edited)
        for number in (*self._numbers.values(), self._fold, self._least):
            number.valueChanged.connect(self._on_edited)
        for field in (*self._limits[0], *self._limits[1], self._offset):
            field.value_changed.connect(self._on_edited)
        for line in (*self._edges, self._ellipse):
            line.editingFinished.connect(self._on_edited)
        self._sin.toggled.connect(self._on_edited)

    def _on_layout_changed(self) -> None:
        self._show_layout()
        self.edited.emit()

    def _on_edited(self) -> None:
        self._show_layout()
        self.edited.emit()

    def _mode(self) -> str:
        layout = self._layout_.currentText()
        if layout == OTHER:
            return "-".join(str(box.currentData()) for box in self._axes)
        return LAYOUTS[layout]

    def _show_layout(self) -> None:
        """Show the rows that the chosen layout has, named after its axes."""
        other = self._layout_.currentText() == OTHER
        only_q = self._layout_.currentText() == "q only"
        for box in self._axes:
            box.setVisible(other)
        names = self._mode().split("-")
        for axis, name in enumerate(names):
            self._names[axis].setText(f"In {AXIS_WORDS[name]}")
            unit = AXIS_UNITS[name].replace("Å⁻¹", "1/Å")
            self._range_names[axis].setText(f"{AXIS_WORDS[name]} ({unit})")
        self._names[1].setVisible(not only_q)
        for name in ("dp", "sp"):
            self._numbers[name].setVisible(not only_q)
        self._ellipse.setEnabled(bool({"eq", "ephi"} & set(names)))
        for widget in (self._offset, self._fold):
            widget.setEnabled("phi" in names)

    def spec(self) -> PartitionSpec:
        """Return the bins that the controls ask for.

        Raises
        ------
        PartitionError
            A range with one end, or an entry that is impossible.
        """
        only_q = self._layout_.currentText() == "q only"
        numbers = {
            name: 1 if only_q and name in ("dp", "sp") else box.value()
            for name, box in self._numbers.items()
        }
        return PartitionSpec(
            **numbers,
            mode=self._mode(),
            spacing=_spacing(self._spacings[0]),
            spacing_phi=_spacing(self._spacings[1]),
            edges=_rule(self._rule),
            q_range=self._range(0),
            phi_range_deg=self._range(1),
            edges_q=typed_edges(self._edges[0].text()),
            edges_phi=typed_edges(self._edges[1].text()),
            phi_offset_deg=self._offset.value(),
            phi_fold=self._fold.value(),
            min_pixels=self._least.value(),
            ellipse=_ellipse(self._ellipse.text()),
            q_convention="sin2theta" if self._sin.isChecked() else "exact",
        )

    def _range(self, axis: int) -> tuple[float, float] | None:
        low, high = (field.value() for field in self._limits[axis])
        if (low is None) != (high is None):
            name = ("q", "φ")[axis] if self._mode() == "q-phi" else "an axis"
            msg = f"A range of {name} has two ends: type both, or none for all of the detector."
            raise PartitionError(msg)
        return None if low is None or high is None else (low, high)

    def show_spec(self, spec: PartitionSpec) -> None:
        """Show the bins of ``spec`` without asking for them."""
        before = self.blockSignals(True)
        for name, box in self._numbers.items():
            box.setValue(getattr(spec, name))
        modes = list(LAYOUTS.values())
        both = spec.dp > 1 or spec.sp > 1 or spec.edges_phi is not None
        index = int(both) if spec.mode == "q-phi" else len(modes)
        if spec.mode in modes[2:]:
            index = modes.index(spec.mode)
        self._layout_.setCurrentIndex(index)
        for box, name in zip(self._axes, spec.names, strict=True):
            box.setCurrentIndex(box.findData(name))
        for box, spacing in zip(self._spacings, (spec.spacing, spec.spacing_phi), strict=True):
            box.setCurrentText(spacing)
        self._rule.setCurrentIndex(self._rule.findData(spec.edges))
        for pair, limits in zip(self._limits, (spec.q_range, spec.phi_range_deg), strict=True):
            for field, value in zip(pair, limits or (None, None), strict=True):
                field.set_value(value)
        for line, edges in zip(self._edges, (spec.edges_q, spec.edges_phi), strict=True):
            line.setText(edges_text(edges))
        self._offset.set_value(spec.phi_offset_deg)
        self._fold.setValue(spec.phi_fold)
        self._least.setValue(spec.min_pixels)
        self._ellipse.setText(" ".join(f"{value!r}" for value in spec.ellipse or ()))
        self._sin.setChecked(spec.q_convention == "sin2theta")
        self._show_layout()
        self.blockSignals(before)

    def show_grid(self, partition: Partition) -> None:
        """Show the bins of a partition that was opened: its options, or at least its numbers."""
        (dq, dp), (sq, sp) = partition.dynamic.grid, partition.static.grid
        mode = "-".join(partition.names) if {*partition.names} <= {*AXIS_UNITS} else "q-phi"
        self.show_spec(partition.spec or PartitionSpec(dq=dq, dp=dp, sq=sq, sp=sp, mode=mode))


def _spacing(box: QComboBox) -> Spacing:
    return "log" if box.currentText() == "log" else "linear"


def _rule(box: QComboBox) -> Literal["data", "equal-count"]:
    return "equal-count" if box.currentData() == "equal-count" else "data"


def typed_edges(text: str) -> tuple[float, ...] | Intervals | None:
    """Return edges or (low, high) pairs from what was typed, ``None`` for an empty line.

    >>> typed_edges("-20:20 160:200")
    ((-20.0, 20.0), (160.0, 200.0))

    Raises
    ------
    FileFormatError
        Something else than numbers and pairs.
    """
    words = text.replace(",", " ").split()
    return read_edges_text(",".join(words), "The line of typed edges") if words else None


def edges_text(edges: tuple[float, ...] | Intervals | None) -> str:
    """Return what a person types for ``edges``."""
    return " ".join(
        f"{edge[0]!r}:{edge[1]!r}" if isinstance(edge, tuple) else f"{edge!r}"
        for edge in edges or ()
    )


def _ellipse(text: str) -> tuple[float, float, float, float, float] | None:
    words = text.replace(",", " ").split()
    if not words:
        return None
    try:
        row, col, first, second, angle = (float(word) for word in words)
    except ValueError as fault:
        msg = f"An ellipse is row, column, two half axes and an angle, got {text!r}."
        raise PartitionError(msg) from fault
    return row, col, first, second, angle
