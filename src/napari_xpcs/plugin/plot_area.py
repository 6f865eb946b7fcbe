"""A place for a plot in a dock; matplotlib, which takes seconds to load, comes in a thread."""

from typing import TYPE_CHECKING, Any

from napari.components.viewer_model import ViewerModel
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs.plugin.plots import Draw, Plot


class PlotArea(QWidget):
    """Shows the newest of what was asked for as soon as it can, in the colours of the viewer."""

    def __init__(
        self, napari_viewer: ViewerModel, height: int = 270, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._height = height
        self._waiting: Draw | str = ""
        self.plot: Plot | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addWidget(QLabel("Loading plots ..."))
        self.setMinimumHeight(height)
        if hasattr(napari_viewer.events, "theme"):
            napari_viewer.events.theme.connect(self._on_theme_changed)
        self._loading = Runner(self)
        self._loading.finished.connect(self._on_loaded)
        self._loading.start(_load_plots)

    def show_hint(self, text: str) -> None:
        """Show a sentence in place of curves."""
        self._show(text)

    def ask(self, draw: "Draw") -> None:
        """Show what ``draw(figure)`` draws; what was asked for before is dropped."""
        self._show(draw)

    def stop(self) -> None:
        """Let go of the thread."""
        self._loading.cancel()

    def _show(self, wanted: "Draw | str") -> None:
        self._waiting = wanted
        if self.plot is None:
            return
        if isinstance(wanted, str):
            self.plot.show_hint(wanted)
        else:
            self.plot.ask(wanted)

    def _on_loaded(self, plots: Any) -> None:
        self.plot = plots.Plot(str(self._viewer.theme), self._height)
        self._layout.takeAt(0).widget().deleteLater()
        self._layout.addWidget(self.plot)
        self._show(self._waiting)

    def _on_theme_changed(self) -> None:
        if self.plot is not None:
            self.plot.set_theme(str(self._viewer.theme))


def _load_plots() -> Steps[Any]:
    """Import matplotlib; runs in the thread."""
    yield Progress(0, 1, "plots")
    from napari_xpcs.plugin import plots

    return plots
