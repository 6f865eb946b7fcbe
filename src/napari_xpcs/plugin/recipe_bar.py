"""Save what was clicked as a recipe, and treat another run by one."""

from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_xpcs._typing import Image, Mask
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.io.masks import read_mask_step
from napari_xpcs.io.recipe import Recipe, read_recipe, write_recipe
from napari_xpcs.kernels.geometry import Geometry, beam_on_detector
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.progress import Progress, Steps

FILTER = "Recipe (*.yaml *.yml *.json)"


class RecipeBar(QWidget):
    """Two buttons; each asks for a file."""

    saving = Signal(object)
    """The user chose the path to save to."""
    loading = Signal(object)
    """The user chose the path to load from."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._save = QPushButton("Save recipe ...", objectName="save_recipe")
        self._save.setToolTip("Geometry, mask, bins and regions for napari-xpcs qmap --recipe.")
        self._load = QPushButton("Load recipe ...", objectName="load_recipe")
        self._load.setToolTip("Treat this image as the recipe says.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._save)
        row.addWidget(self._load)
        self._save.clicked.connect(self._on_save_clicked)
        self._load.clicked.connect(self._on_load_clicked)

    def _on_save_clicked(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save recipe", "recipe.yaml", FILTER)
        if path:
            self.saving.emit(Path(path))

    def _on_load_clicked(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load recipe", "", FILTER)
        if path:
            self.loading.emit(Path(path))


def save_recipe_steps(path: Path, recipe: Recipe) -> Steps[Path]:
    """Write a recipe; the file dialogue asked before overwriting.  Runs in the thread."""
    yield Progress(0, 1, "recipe")
    write_recipe(path, recipe, force=True)
    return path


def load_recipe_steps(path: Path) -> Steps[tuple[Path, Recipe]]:
    """Read a recipe; runs in the thread."""
    yield Progress(0, 1, "recipe")
    return path, read_recipe(path)


def recipe_mask_steps(
    shape: tuple[int, int],
    geometry: Geometry | None,
    steps: tuple[MaskStep, ...],
    frames: Frames | None,
    image: Image | None,
) -> Steps[tuple[Mask, tuple[MaskStep, ...]]]:
    """Make the mask of the steps of a recipe; runs in the thread."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.mask_of_steps import MaskInputs, mask_of_steps
    from napari_xpcs.kernels.qmap import q_maps

    xp = get_backend()
    yield Progress(0, 1, "mask")
    inputs = MaskInputs(
        shape=shape,
        frames=frames,
        image=image,
        maps=None if geometry is None else q_maps(geometry, xp=xp),
        center_px=None if geometry is None else beam_on_detector(geometry),
        read_file=partial(read_mask_step, shape=shape),
    )
    return mask_of_steps(steps, inputs, xp=xp).mask, steps
