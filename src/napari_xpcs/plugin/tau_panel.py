"""Page tau(q): the law of the relaxation times, D or the exponent, the hydrodynamic radius."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.fitting.dispersion import Dispersion, fit_dispersion
from napari_xpcs.fitting.laws import LAWS, Solvent
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.plugin.controls import NumberEdit, WrappedLabel

if TYPE_CHECKING:
    from napari_xpcs.plugin.plots import TauPlot

NOT_FITTED = "Fit the bins to see how the relaxation time depends on q."


class TauPanel(QWidget):
    """Shows tau(q) of a fit with the law that is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot: TauPlot | None = None
        self.dispersion: Dispersion | None = None
        self._fit: G2Fit | None = None
        self._law = QComboBox(objectName="tau_law")
        for law in LAWS.values():
            self._law.addItem(law.formula, law.name)
        self._law.setToolTip("The line through the relaxation times of the bins.")
        self._temperature = NumberEdit(objectName="temperature_k")
        self._viscosity = NumberEdit(objectName="viscosity_pa_s")
        for field, hint, tip in (
            (self._temperature, "T (K)", "Temperature, K: for the hydrodynamic radius."),
            (self._viscosity, "η (Pa s)", "Viscosity, Pa s; water at 20 °C has 1.0e-3."),
        ):
            field.setPlaceholderText(hint)
            field.setToolTip(tip)
            field.value_changed.connect(self._refresh)
        self._text = WrappedLabel(objectName="dispersion")
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._loading = QLabel("Loading plots ...")
        line = QHBoxLayout()
        for widget in (self._law, self._temperature, self._viscosity):
            line.addWidget(widget)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self._loading)
        self._column.addLayout(line)
        self._column.addWidget(self._text)
        self._law.currentIndexChanged.connect(self._refresh)

    def take_plot(self, plot: "TauPlot") -> None:
        """Show the plot, now that it is loaded."""
        self.plot = plot
        self._column.replaceWidget(self._loading, plot)
        self._column.setStretchFactor(plot, 1)
        self._loading.deleteLater()
        self._refresh()

    def show_fit(self, fit: G2Fit | None) -> None:
        """Show another fit; where its bins follow a law, that is the one."""
        self._fit = fit
        together = None if fit is None or fit.record is None else fit.record.law
        if together is not None:
            self._law.blockSignals(True)
            self._law.setCurrentIndex(self._law.findData(together))
            self._law.blockSignals(False)
        self._law.setEnabled(together is None)
        self._refresh()

    def _refresh(self) -> None:
        if self._fit is None:
            self.dispersion = None
            self._text.setText("")
            if self.plot is not None:
                self.plot.show_hint(NOT_FITTED)
            return
        self.dispersion = fit_dispersion(self._fit, self._law.currentData())
        try:
            solvent = self._solvent()
        except XpcsError as error:
            self._text.setText(str(error))
            return
        self._text.setText(self.dispersion.text(solvent).replace("; ", "\n"))
        if self.plot is not None:
            self.plot.show_dispersion(self._fit, self.dispersion)

    def _solvent(self) -> Solvent | None:
        temperature, viscosity = self._temperature.value(), self._viscosity.value()
        if temperature is None or viscosity is None:
            return None
        return Solvent(temperature_k=temperature, viscosity_pa_s=viscosity)
