"""A night of runs: what ``correlate_file`` does with one, with many, and a report of each."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_xpcs.backends import get_backend
from napari_xpcs.errors import FileFormatError, XpcsError
from napari_xpcs.io.open import sniff
from napari_xpcs.io.recipe import Recipe
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.pipeline.bins import partition_file, read_bins, same_bins
from napari_xpcs.pipeline.correlate import SameResultError, correlate_file
from napari_xpcs.progress import Progress, Steps

RESULTS, BINS = "_results.hdf", "_qmap.hdf"
"""What follows the name of the frames in those of the files that are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened to a file of frames.

    Parameters
    ----------
    said
        Notes on a result that was made; why a file was skipped or failed.
    """

    frames: Path
    result: Path
    status: Literal["done", "skipped", "failed"]
    said: tuple[str, ...]


def expand(names: Sequence[str]) -> list[Path]:
    """Return the files that ``names`` and patterns such as ``run*.h5`` stand for.

    What a pattern finds beside frames (results, bins, metadata) is left out; a name is taken as
    it is.

    Raises
    ------
    FileFormatError
        A pattern finds no frames.
    """
    found: list[Path] = []
    for name in names:
        pattern = Path(name)
        if not is_pattern(name):
            found.append(pattern)
            continue
        base = Path(pattern.anchor)
        names_found = sorted(base.glob(str(pattern.relative_to(base))))
        frames = [path for path in names_found if sniff(path) in ("frames", "events")]
        if not frames:
            msg = f"No file of frames is called {name}; look at the pattern and the folder."
            raise FileFormatError(msg)
        found += frames
    return list(dict.fromkeys(found))


def is_pattern(name: str) -> bool:
    """Return whether ``name`` stands for other files."""
    return not Path(name).exists() and any(sign in name for sign in "*?[")


def correlate_files(
    frames: Sequence[Path],
    folder: Path,
    *,
    qmap: Path | None = None,
    recipe: Recipe | None = None,
    force: bool = False,
    **options: Any,
) -> Steps[list[Outcome]]:
    """Correlate every file into a result file of its own; one that fails does not stop the rest.

    Results that were made from the same files with the same options are kept.

    Parameters
    ----------
    frames
        Files of frames.
    folder
        Gets ``NAME_results.hdf`` for each ``NAME.*``, and is made if it is not there.
    qmap
        Bins for all of them.
    recipe
        Without ``qmap``: bins are made of the geometry of each file, the steps of the mask and
        the bins in here, and written to ``NAME_qmap.hdf``.
    options
        Those of :func:`~napari_xpcs.pipeline.correlate.correlate_file`.

    Raises
    ------
    FileFormatError
        Two files would have the same result, or the folder cannot be made.
    """
    results = [folder / f"{path.stem}{RESULTS}" for path in frames]
    for number, result in enumerate(results):
        if result in results[:number]:
            other = frames[results.index(result)]
            msg = (
                f"{other} and {frames[number]} would both be written to {result.name}; correlate "
                "them into different folders."
            )
            raise FileFormatError(msg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        msg = f"The folder {folder} cannot be made: {fault.strerror}."
        raise FileFormatError(msg) from fault
    outcomes: list[Outcome] = []
    for number, (path, result) in enumerate(zip(frames, results, strict=True), start=1):
        steps = _correlate_one(path, result, qmap, recipe, force, options)
        outcomes.append((yield from _named(steps, f"{number} of {len(frames)}, {path.name}")))
    return outcomes


def _named(steps: Steps[Outcome], name: str) -> Steps[Outcome]:
    """Return the outcome of ``steps``, with the name of the file in their progress."""
    progress = Progress(0, 1)
    try:
        while True:
            progress = next(steps)
            yield replace(progress, what=f"{name}: {progress.what}")
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    finally:
        steps.close()


def _correlate_one(
    path: Path,
    result: Path,
    qmap: Path | None,
    recipe: Recipe | None,
    force: bool,
    options: Mapping[str, Any],
) -> Steps[Outcome]:
    yield Progress(0, 1, "opening")
    try:
        if qmap is None:
            qmap = result.with_name(f"{path.stem}{BINS}")
            bins_of_recipe(path, qmap, recipe or Recipe(), options.get("dataset"), force=force)
        notes = yield from correlate_file(path, qmap, result, force=force, **options)
    except SameResultError:
        said = "made before from the same files with the same options"
        return Outcome(frames=path, result=result, status="skipped", said=(said,))
    except (XpcsError, OSError, MemoryError) as fault:
        told = str(fault) or "there is not enough memory"
        return Outcome(frames=path, result=result, status="failed", said=(told,))
    return Outcome(frames=path, result=result, status="done", said=notes)


def bins_of_recipe(
    frames: Path, qmap: Path, recipe: Recipe, dataset: str | None = None, *, force: bool = False
) -> None:
    """Write the bins of ``recipe`` for a file of frames to ``qmap``; the same bins are kept.

    Raises
    ------
    FileFormatError
        Other bins are there, without ``force``.
    """
    xp = get_backend()

    def make(output: Path) -> None:
        partition_file(
            output,
            frames=frames,
            dataset=dataset,
            values=recipe.geometry,
            mask_steps=recipe.mask,
            spec=recipe.bins or PartitionSpec(),
            regions=recipe.regions,
            region_bins=recipe.region_bins,
            xp=xp,
            force=force,
        )

    if force or not qmap.exists():
        make(qmap)
        return
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / qmap.name
        make(made)
        if not same_bins(read_bins(made), read_bins(qmap)):
            msg = (
                f"{qmap} holds other bins than those of the recipe; choose another folder or allow "
                "overwriting (force)."
            )
            raise FileFormatError(msg)
