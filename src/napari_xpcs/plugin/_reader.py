"""npe2 reader: frames, results and partitions become layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.hdf5 import HDF5_SUFFIXES
from napari_xpcs.io.hdf5_frames import SeveralFramesError
from napari_xpcs.io.open import open_path, open_series, sniff

if TYPE_CHECKING:
    from napari_xpcs.io.files import XpcsFile
    from napari_xpcs.plugin.layers import LayerData

Path_ = str | Sequence[str]


def get_reader(path: Path_) -> Callable[[Path_], list[LayerData]] | None:
    """Return the reader of ``path``, or ``None`` for what is clearly not ours.

    A file with an ending of HDF5 is taken even when nothing of XPCS is found in it:
    reading it then says what was looked for, where a refusal would say nothing.
    """
    paths = [path] if isinstance(path, str) else list(path)
    if paths and all(sniff(one) or Path(one).suffix.lower() in HDF5_SUFFIXES for one in paths):
        return read_layers
    return None


def read_layers(path: Path_) -> list[LayerData]:
    """Return the layers of a file, or of the parts of one run joined in the order of their names.

    Where a file holds several stacks of frames, the user is asked which one is meant.

    Raises
    ------
    FileFormatError
        The file cannot be read or holds nothing of XPCS; the message says what was looked for.
    """
    from napari_xpcs.io.files import GeometryFile

    paths = [Path(path)] if isinstance(path, str) else sorted(map(Path, path))
    try:
        file = open_path(paths[0]) if len(paths) == 1 else open_series(paths)
    except SeveralFramesError as choice:
        chosen = ask_which(paths[0].name, choice) if len(paths) == 1 else None
        if chosen is None:
            raise
        file = open_path(paths[0], chosen)
    if isinstance(file, GeometryFile):
        return _calibrate_open_layers(file.path)
    return layers_of(file)


def layers_of(file: XpcsFile) -> list[LayerData]:
    """Return the layers of a file that is no calibration, and tell what is wrong with it.

    It touches no layer that there is, so that a thread may call it.

    Raises
    ------
    FileFormatError
        The file holds nothing that could be shown.
    """
    from napari.utils.notifications import show_info, show_warning

    from napari_xpcs.io.files import FramesFile, MaskFile, PartitionFile, ResultFile
    from napari_xpcs.io.multitau_parts import parts_text, read_parts
    from napari_xpcs.plugin.file_layers import (
        frames_file_to_layers,
        partition_file_to_layers,
        result_file_to_layers,
    )
    from napari_xpcs.plugin.mask_layers import mask_layer

    found: list[LayerData] = []
    if isinstance(file, FramesFile):
        found = frames_file_to_layers(file)
    elif isinstance(file, PartitionFile):
        found = partition_file_to_layers(file)
    elif isinstance(file, MaskFile):
        found = [mask_layer(file.mask, source=str(file.path))]
        show_warning(f"{file.path.name}: {file}")
    elif isinstance(file, ResultFile):
        found = result_file_to_layers(file)
        parts = read_parts(file.path) if file.layout == "aps-results" else None
        if parts is not None:
            show_info(f"{file.path.name} also holds {parts_text(parts)}; see XPCS: Correlate.")
    if file.problems:
        show_warning(f"{file.path.name}: " + " ".join(file.problems))
    if not found:
        msg = f"{file.path} is an XPCS file, but holds no image, mask or bins that could be shown."
        raise FileFormatError(msg)
    return found


def _calibrate_open_layers(path: Path) -> list[LayerData]:
    """Make a calibration the geometry of the open images; return that there is no new layer.

    What the files of the images say is kept beside each value.
    """
    from napari import current_viewer
    from napari.utils.notifications import show_info

    from napari_xpcs.plugin.calibration import calibrate

    viewer = current_viewer()
    said = calibrate(path, [] if viewer is None else list(viewer.layers))
    show_info(said)
    return [(None,)]  # type: ignore[list-item]  # npe2: nothing to add, and nothing is wrong


def ask_which(name: str, choice: SeveralFramesError) -> str | None:
    """Let the user choose between stacks of frames; ``None`` without a window or a choice."""
    from qtpy.QtWidgets import QApplication, QInputDialog

    if QApplication.instance() is None:
        return None
    chosen, accepted = QInputDialog.getItem(
        QApplication.activeWindow(),
        "Which frames?",
        f"{name} holds several stacks of frames. Open",
        list(choice.candidates),
        0,
        False,
    )
    return chosen if accepted else None
