"""Save what was clicked as a recipe, and treat another run by one."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_xpcs._typing import Image, Mask
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.errors import XpcsError
from napari_xpcs.io.masks import read_mask_step
from napari_xpcs.io.recipe import Recipe, read_recipe, write_recipe
from napari_xpcs.kernels.geometry import Geometry, beam_on_detector
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.controls import OpenButton, SaveButton
from napari_xpcs.plugin.job import Runner
from napari_xpcs.progress import Progress, Steps

FILTER = "Recipe (*.yaml *.yml *.json)"


class RecipeBar(QWidget):
    """Two buttons, to save ``recipe()`` and to load another."""

    read = Signal(object)
    """Emitted with the path and the :class:`~napari_xpcs.io.recipe.Recipe` of a file."""
    masked = Signal(object)
    """Emitted with the mask that :meth:`make_mask` was asked for, and its steps."""
    said = Signal(str)
    """Emitted with what was done, or why it was not."""

    def __init__(self, recipe: Callable[[], Recipe], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._recipe = recipe
        self._saver, self._loader, self._masker = Runner(self), Runner(self), Runner(self)
        self._save = SaveButton("Save recipe ...", "recipe.yaml", FILTER, objectName="save_recipe")
        self._save.setToolTip("Geometry, mask, bins and regions for napari-xpcs qmap --recipe.")
        self._load = OpenButton("Load recipe ...", "Load recipe", FILTER, objectName="load_recipe")
        self._load.setToolTip("Treat this image as the recipe says.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._save)
        row.addWidget(self._load)
        self._save.chosen.connect(self.save)
        self._load.chosen.connect(self.load)
        self._saver.finished.connect(self._on_saved)
        self._loader.finished.connect(self.read)
        self._masker.finished.connect(self.masked)
        for runner in (self._saver, self._loader, self._masker):
            runner.failed.connect(self.said)

    def save(self, path: Path) -> None:
        """Write the recipe to ``path``; the file dialogue asked before overwriting."""
        try:
            recipe = self._recipe()
        except XpcsError as error:
            self.said.emit(str(error))
            return
        self._saver.start(partial(_save_steps, path, recipe))

    def load(self, path: Path) -> None:
        """Read the recipe in ``path``."""
        self._loader.start(partial(_load_steps, path))

    def make_mask(
        self,
        steps: tuple[MaskStep, ...],
        image: Layer,
        shape: tuple[int, int],
        geometry: Geometry | None,
    ) -> None:
        """Do the steps of a recipe on an image of the detector (row, col)."""
        raw = xpcs_layers.layer_role(image) == "frames"
        frames = xpcs_layers.layer_frames(image) if raw else None
        single = image.data if image.ndim == 2 else None
        self._masker.start(partial(_mask_steps, shape, geometry, steps, frames, single))

    def stop(self) -> None:
        """Let go of a mask that is being made."""
        self._masker.cancel()

    def _on_saved(self, path: Path) -> None:
        self.said.emit(f"Saved {path}")


def _save_steps(path: Path, recipe: Recipe) -> Steps[Path]:
    """Write a recipe; the file dialogue asked before overwriting.  Runs in the thread."""
    yield Progress(0, 1, "recipe")
    write_recipe(path, recipe, force=True)
    return path


def _load_steps(path: Path) -> Steps[tuple[Path, Recipe]]:
    """Read a recipe; runs in the thread."""
    yield Progress(0, 1, "recipe")
    return path, read_recipe(path)


def _mask_steps(
    shape: tuple[int, int],
    geometry: Geometry | None,
    steps: tuple[MaskStep, ...],
    frames: Frames | None,
    image: Image | None,
) -> Steps[tuple[Mask, tuple[MaskStep, ...]]]:
    """Make the mask of the steps of a recipe; runs in the thread."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.mask_inputs import MaskInputs
    from napari_xpcs.kernels.mask_of_steps import mask_of_steps
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
