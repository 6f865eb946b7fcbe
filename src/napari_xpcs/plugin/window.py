"""The napari window with the docks of this plugin laid out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import napari
from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QWidget

from napari_xpcs.errors import XpcsError
from napari_xpcs.io.open import sniff
from napari_xpcs.plugin._reader import read_layers
from napari_xpcs.plugin.compare_widget import CompareWidget
from napari_xpcs.plugin.correlate_widget import CorrelateWidget
from napari_xpcs.plugin.dock_placing import add_dock, bring_to_front
from napari_xpcs.plugin.fit_widget import FitWidget
from napari_xpcs.plugin.mask_widget import MaskWidget
from napari_xpcs.plugin.partition_widget import PartitionWidget
from napari_xpcs.plugin.twotime_widget import TwoTimeWidget

DOCKS = {
    "XPCS: Geometry & partition": PartitionWidget,
    "XPCS: Mask": MaskWidget,
    "XPCS: Correlate": CorrelateWidget,
    "XPCS: Two-time": TwoTimeWidget,
    "XPCS: Fit g2": FitWidget,
}
COMPARING = {
    "XPCS: Compare runs": CompareWidget,
    "XPCS: Two-time": TwoTimeWidget,
    "XPCS: Fit g2": FitWidget,
}
"""Where there are runs to compare: more tabs side by side could not be read."""


def new_window(
    show: bool = True, docks: Mapping[str, type[QWidget]] = DOCKS
) -> tuple[napari.Viewer, dict[type[QWidget], QWidget]]:
    """Return a new viewer and its docks by class."""
    viewer = napari.Viewer(title="napari-xpcs", show=show)
    return viewer, add_docks(viewer, docks)


def add_docks(
    viewer: napari.Viewer, docks: Mapping[str, type[QWidget]] = DOCKS
) -> dict[type[QWidget], QWidget]:
    """Lay out docks of this plugin on the right, one behind the other; return them by class."""
    widgets: dict[type[QWidget], QWidget] = {}
    for position, (name, kind) in enumerate(docks.items()):
        widgets[kind] = kind(viewer)
        add_dock(viewer.window, name, widgets[kind], tabify=position > 0)
    return widgets


def open_window(files: Sequence[Path]) -> None:
    """Open ``files`` in a new window and stay until it is closed; see :func:`show_files`."""
    show_files(files)
    napari.run()


def show_files(files: Sequence[Path]) -> tuple[napari.Viewer, dict[type[QWidget], QWidget]]:
    """Return a new viewer that shows ``files``, and its docks by class.

    Folders, and results where there are several, go into the dock that compares runs, with docks
    for results beside it; all else becomes layers.  A file that cannot be read is told in the
    window; the others are there all the same.
    """
    results = [file for file in files if sniff(file) == "results"]
    compared = [file for file in files if file.is_dir()] + (results if len(results) > 1 else [])
    viewer, docks = new_window(docks=COMPARING if compared else DOCKS)
    for file in files:
        if file in compared:
            continue
        try:
            # Not viewer.open: it asks by the ending first, and then has nothing to say.
            for one in read_layers(str(file)):
                viewer.add_layer(Layer.create(*one))
        except XpcsError as error:
            show_error(str(error))
    viewer.reset_view()
    if compared:
        compare = docks[CompareWidget]
        assert isinstance(compare, CompareWidget)
        bring_to_front(compare)
        compare.look_at(compared)
    return viewer, docks
