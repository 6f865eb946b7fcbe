"""The napari window with the docks of this plugin laid out."""

from collections.abc import Sequence
from pathlib import Path

import napari
from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.plugin._reader import read_layers
from napari_xpcs.plugin.correlate_widget import CorrelateWidget
from napari_xpcs.plugin.fit_widget import FitWidget
from napari_xpcs.plugin.mask_widget import MaskWidget
from napari_xpcs.plugin.partition_widget import PartitionWidget
from napari_xpcs.plugin.twotime_widget import TwoTimeWidget

DISPLAY_NAME = "XPCS"
DOCKS = {
    "XPCS: Geometry & partition": PartitionWidget,
    "XPCS: Mask": MaskWidget,
    "XPCS: Correlate": CorrelateWidget,
    "XPCS: Two-time": TwoTimeWidget,
    "XPCS: Fit g2": FitWidget,
}
DOCK_WIDTH_PX = 420


def new_window(show: bool = True) -> tuple[napari.Viewer, dict[type[QWidget], QWidget]]:
    """Return a new viewer and its docks by class."""
    viewer = napari.Viewer(title="napari-xpcs", show=show)
    return viewer, add_docks(viewer)


def add_docks(viewer: napari.Viewer) -> dict[type[QWidget], QWidget]:
    """Lay out the docks of this plugin on the right, one behind the other; return them by class."""
    widgets: dict[type[QWidget], QWidget] = {}
    for position, (name, kind) in enumerate(DOCKS.items()):
        widgets[kind] = kind(viewer)
        # The menu of napari looks for this very name, and shows the dock instead of a second one.
        dock = viewer.window.add_dock_widget(
            widgets[kind],
            name=f"{name} ({DISPLAY_NAME})",
            area="right",
            tabify=position > 0,
            add_vertical_stretch=False,
        )
        dock.setMinimumWidth(DOCK_WIDTH_PX)
        # Five tabs side by side have no room for more; a tab underlines what follows one &.
        dock.setWindowTitle(name.removeprefix(f"{DISPLAY_NAME}: ").replace("&", "&&"))
    return widgets


def bring_to_front(widget: QWidget) -> None:
    """Show the tab of a dock."""
    dock = widget.parent()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    if dock is not None:
        dock.show()
        dock.raise_()


def open_window(files: Sequence[Path]) -> None:
    """Open ``files`` in a new window and stay until it is closed.

    A file that cannot be read is told in the window; the others are there all the same.
    """
    viewer, _ = new_window()
    for file in files:
        try:
            # Not viewer.open: it asks by the ending first, and then has nothing to say.
            for one in read_layers(str(file)):
                viewer.add_layer(Layer.create(*one))
        except XpcsError as error:
            show_error(str(error))
    viewer.reset_view()
    napari.run()
