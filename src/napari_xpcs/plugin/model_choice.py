"""The model of g2: one of the table with its formula, or a formula of one's own."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLineEdit, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.fitting.g2_model import G2Model
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.user_models import model_of
from napari_xpcs.plugin.controls import WrappedLabel

OWN = "own formula ..."


class ModelChoice(QWidget):
    """Offers the models; the last entry opens two lines for one's own."""

    changed = Signal()
    """Another model, or another formula."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names = QComboBox(objectName="model")
        for name, model in G2_MODELS.items():
            self._names.addItem(name)
            self._names.setItemData(
                self._names.count() - 1, model.label, Qt.ItemDataRole.ToolTipRole
            )
        self._names.addItem(OWN)
        self._names.setToolTip("|g1|² of the decay; the formula stands below.")
        self._formula = WrappedLabel(objectName="formula")
        self._text = QLineEdit(objectName="own_formula")
        self._text.setPlaceholderText("exp(-2*k*t) * cos(w*t)**2")
        self._text.setToolTip(
            "|g1|² as a formula of t in s: numbers, t, pi, parameters, + - * / ** and"
            " exp log sqrt abs sin cos tan sinc where."
        )
        self._described = QLineEdit(objectName="own_parameters")
        self._described.setPlaceholderText("k,1/s; w,1/s")
        self._described.setToolTip(
            "Your own parameters: NAME,s is a time, NAME,1/s a rate, NAME,LOWER,UPPER a number;"
            " tau_s, exponent, fraction, gamma_per_s, ... are known."
        )
        self._own = QWidget()
        own = QFormLayout(self._own)
        own.setContentsMargins(0, 0, 0, 0)
        own.addRow("|g1|² =", self._text)
        own.addRow("with", self._described)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Model", self._names)
        form.addRow(self._own)
        form.addRow(self._formula)
        self._names.currentIndexChanged.connect(self._on_changed)
        for field in (self._text, self._described):
            field.editingFinished.connect(self._on_changed)
        self._model: G2Model | None = None
        self._fault = ""
        self._on_changed()

    def model(self) -> G2Model | None:
        """Return the model, None while one's own formula is not one."""
        return self._model

    def fault(self) -> str:
        """Return why there is no model, in a sentence."""
        return self._fault

    def _on_changed(self) -> None:
        name = self._names.currentText()
        self._own.setVisible(name == OWN)
        before, self._fault = self._model, ""
        if name != OWN:
            self._model = G2_MODELS[name]
        elif not self._text.text().strip():
            self._model, self._fault = None, "Write |g1|² as a formula of t."
        else:
            parameters = [text.strip() for text in self._described.text().split(";")]
            try:
                self._model = model_of(self._text.text(), [text for text in parameters if text])
            except XpcsError as error:
                self._model, self._fault = None, str(error)
        self._formula.setText(self._fault if self._model is None else self._model.formula)
        if self._model is None or before != self._model:
            self.changed.emit()
