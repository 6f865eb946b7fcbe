"""``napari-xpcs open``: napari with files and docks."""

from pathlib import Path
from typing import Annotated

import typer

from napari_xpcs.errors import XpcsError


def open_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Frames, result or Q-map files. A folder, or several result files, to compare "
            "their runs."
        ),
    ],
) -> None:
    """Open napari with the files and the docks of this plugin."""
    from napari_xpcs.plugin.screen import has_screen

    if not has_screen():
        raise XpcsError("There is no screen to open napari on (DISPLAY is not set).")
    from napari_xpcs.plugin.window import open_window

    open_window(files)
