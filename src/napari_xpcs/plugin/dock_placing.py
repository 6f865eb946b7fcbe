"""Docks in the napari window: one of each kind, found again by the name that the menu uses."""

from typing import Any

from napari.components.viewer_model import ViewerModel
from qtpy.QtWidgets import QDockWidget, QWidget

DISPLAY_NAME = "XPCS"
DOCK_WIDTH_PX = 420


def add_dock(window: Any, name: str, widget: QWidget, *, tabify: bool = True) -> None:
    """Add a dock on the right, behind the others there or beside them."""
    # The menu of napari looks for this very name, and shows the dock instead of a second one.
    dock = window.add_dock_widget(
        widget,
        name=f"{name} ({DISPLAY_NAME})",
        area="right",
        tabify=tabify,
        add_vertical_stretch=False,
    )
    dock.setMinimumWidth(DOCK_WIDTH_PX)
    # Tabs side by side have no room for more; a tab underlines what follows one &.
    dock.setWindowTitle(name.removeprefix(f"{DISPLAY_NAME}: ").replace("&", "&&"))


def dock_of(viewer: ViewerModel, name: str, kind: type[QWidget]) -> QWidget | None:
    """Bring the dock of a name to the front, made where there is none; return its widget.

    ``None`` for a viewer without a window.
    """
    window: Any = getattr(viewer, "window", None)
    if window is None:
        return None
    widget = window.dock_widgets.get(f"{name} ({DISPLAY_NAME})")
    if not isinstance(widget, kind):
        widget = kind(viewer)
        add_dock(window, name, widget)
    bring_to_front(widget)
    return widget


def bring_to_front(widget: QWidget) -> None:
    """Show the tab of a dock."""
    dock = widget.parent()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    if dock is not None:
        dock.show()
        dock.raise_()
