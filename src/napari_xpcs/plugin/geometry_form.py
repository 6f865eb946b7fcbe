"""The form of the geometry: every value with the place it comes from."""

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_xpcs.kernels.geometry import KnownGeometry, missing_values, override
from napari_xpcs.plugin.controls import NumberEdit, WrappedLabel
from napari_xpcs.plugin.section import Section

GEOMETRY_FORM = (
    ("energy_kev", "Energy (keV)", 1.0, "Energy of the incident photons."),
    ("distance_m", "Distance (m)", 1.0, "From the sample to the detector along the direct beam."),
    ("pixel_row_m", "Pixel height (µm)", 1e-6, "Pitch from row to row."),
    ("pixel_col_m", "Pixel width (µm)", 1e-6, "Pitch from column to column."),
    (
        "center_row_px",
        "Beam row (px)",
        1.0,
        "Direct beam in pixel index: 0 is the centre of the first row.",
    ),
    (
        "center_col_px",
        "Beam column (px)",
        1.0,
        "Direct beam in pixel index: 0 is the centre of the first column.",
    ),
    (
        "swing_horizontal_deg",
        "Swing, horiz. (deg)",
        1.0,
        "Horizontal rotation of the detector about the sample.",
    ),
    (
        "swing_vertical_deg",
        "Swing, vert. (deg)",
        1.0,
        "Vertical rotation of the detector about the sample.",
    ),
    (
        "roll_deg",
        "Roll (deg)",
        1.0,
        "Rotation of the detector about the direct beam: turns phi, not q.",
    ),
    (
        "incident_angle_deg",
        "Grazing angle (deg)",
        1.0,
        "Angle of incidence; leave empty for transmission.",
    ),
)
"""Name, label, size of the shown unit in the unit of the name, explanation."""

IF_EMPTY = {
    "swing_horizontal_deg": "0 if empty",
    "swing_vertical_deg": "0 if empty",
    "roll_deg": "0 if empty",
    "incident_angle_deg": "transmission",
}
TYPED = "typed by hand"


class GeometryForm(QWidget):
    """One field a value; what is unknown stays empty and is asked for by name."""

    edited = Signal()
    """The user typed a value or took one away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: KnownGeometry = {}
        self._origins: dict[str, str] = {}
        self._fields: dict[str, NumberEdit] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        tilt = Section("Tilt and grazing incidence", name="tilt")
        forms = [QFormLayout(), QFormLayout()]
        for form in forms:
            form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, label, _, explanation in GEOMETRY_FORM:
            field = NumberEdit(objectName=name)
            field.setToolTip(explanation)
            field.setPlaceholderText(IF_EMPTY.get(name, "unknown"))
            field.value_changed.connect(self._on_edited)
            self._fields[name] = field
            forms[name in IF_EMPTY].addRow(label, field)
        self._tilt = tilt
        tilt.column.addLayout(forms[1])
        self._origin = WrappedLabel(objectName="origin")
        column.addLayout(forms[0])
        column.addWidget(tilt)
        column.addWidget(self._origin)

    def show_known(self, known: KnownGeometry) -> None:
        """Show what a file tells; what was typed before is forgotten."""
        self._known = known
        self._origins = {}
        for name, _, unit, _ in GEOMETRY_FORM:
            value = known[name].value if name in known else None
            self._fields[name].set_value(None if value is None else value / unit)
            self._fields[name].setModified(False)
        if any(self._fields[name].value() for name in IF_EMPTY):
            self._tilt.header.setChecked(True)
        self._show_origin()

    def put(self, values: Mapping[str, float | None], origin: str) -> None:
        """Fill in values that were found in another way than by typing, in units of the names."""
        for name, _, unit, _ in GEOMETRY_FORM:
            if name in values:
                value = values[name]
                self._fields[name].set_value(None if value is None else value / unit)
                self._fields[name].setModified(True)
                self._origins[name] = origin
        self._show_origin()

    def known(self) -> KnownGeometry:
        """Return the values of the form, each with the place it comes from."""
        known = dict(self._known)
        for name, _, unit, _ in GEOMETRY_FORM:
            if self._fields[name].isModified():
                value = self._fields[name].value()
                origin = self._origins.get(name, TYPED)
                known = override(known, {name: None if value is None else value * unit}, origin)
        return known

    def unknown_text(self) -> str:
        """Return which values have to be typed before there are bins, empty where none."""
        labels = {name: label for name, label, _, _ in GEOMETRY_FORM}
        missing = [labels[name] for name in missing_values(self.known())]
        return f"Unknown, please type: {', '.join(missing)}." if missing else ""

    def _on_edited(self) -> None:
        name = self.sender().objectName()
        self._origins.pop(name, None)
        self._show_origin()
        self.edited.emit()

    def _show_origin(self) -> None:
        known = self.known()
        unknown = self.unknown_text()
        lines = [unknown] if unknown else []
        for name, label, unit, explanation in GEOMETRY_FORM:
            sourced = known.get(name)
            origin = "unknown" if sourced is None or sourced.value is None else sourced.origin
            others = (
                ""
                if sourced is None
                else "".join(
                    f"\n{value / unit:.6g} according to {breakable(place)}"
                    for value, place in sourced.others
                )
            )
            self._fields[name].setToolTip(f"{explanation}\nFrom: {origin}{others}")
            if others:
                lines.append(f"{label}:{others.replace(chr(10), ' ')}.")
        self._origin.setText("\n".join(lines))
        self._origin.setVisible(bool(lines))


def breakable(place: str) -> str:
    """Return a path that a narrow label may break at its separators."""
    for mark in "/_:":
        place = place.replace(mark, f"{mark}\u200b")
    return place
