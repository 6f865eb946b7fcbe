"""A recipe of what the dock for correlation would do."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from napari_xpcs.errors import XpcsError
from napari_xpcs.io.recipe import Recipe, write_recipe
from napari_xpcs.kernels.geometry import FIELD_UNITS
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.plugin.correlation import Request, choices_of
from napari_xpcs.progress import Progress, Steps


def recipe_steps(path: Path, request: Request) -> Steps[str]:
    """Write a recipe for ``napari-xpcs correlate``, and tell in words what is in it.

    Bins are in it if the recipe makes these very bins of the frames file.  Runs in the thread;
    the file dialogue asked before overwriting.
    """
    yield Progress(0, 1, "recipe")
    recipe = Recipe(correlate=choices_of(request))
    whole = _with_bins(recipe, request.partition)
    describes = whole is not None and _makes(whole, request)
    write_recipe(path, whole if whole is not None and describes else recipe, force=True)
    if describes:
        return f"Saved {path}: napari-xpcs correlate RUN --recipe {path.name} does the same."
    return (
        f"Saved {path} without the bins, which no recipe makes of this run: press 'Save bins ...' "
        f"and give that file, too: napari-xpcs correlate RUN --recipe {path.name} --qmap BINS."
    )


def _with_bins(recipe: Recipe, partition: Partition) -> Recipe | None:
    """Return ``recipe`` with what the bins were made of; ``None`` where that is not known."""
    if partition.geometry is None or (partition.spec is None and not partition.regions):
        return None
    geometry = asdict(partition.geometry)
    return replace(
        recipe,
        geometry={name: geometry[name] for name in FIELD_UNITS if name in geometry},
        mask=partition.mask_steps,
        bins=partition.spec,
        regions=partition.regions,
        region_bins=partition.region_bins or recipe.region_bins,
    )


def _makes(recipe: Recipe, request: Request) -> bool:
    """Return whether a recipe makes the bins of a request of its frames file."""
    # A fifth of a second that opening the dock need not take.
    from napari_xpcs.batch import bins_of_recipe
    from napari_xpcs.pipeline.bins import read_bins, same_bins

    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "bins.hdf"
        try:
            bins_of_recipe(Path(request.source), made, recipe)
            return same_bins(read_bins(made), request.partition)
        except XpcsError:
            return False
