"""Recipes: what was chosen in one session, in a file, so that other runs are treated alike.

YAML or JSON by the ending of the name.  A key carries its unit where the value has one, as
everywhere in this program::

    napari_xpcs_recipe: 1
    geometry: {distance_m: 5.0, center_row_px: 511.5}
    mask:
      - {kind: threshold, low: 0, high: 1e6}
    bins: {dq: 36, sq: 360, spacing: log, q_range: [0.001, 0.02]}
    regions:
      bins: clip
      shapes:
        - {kind: sector, phi_range_deg: [150, -150]}
    correlate: {type: both, stride: 2, smoothing: dynamic, skip_frames: [3, 17]}
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from napari_xpcs.errors import FileFormatError, MaskError, XpcsError
from napari_xpcs.io.atomic import atomic_path, refuse_to_overwrite
from napari_xpcs.io.correlate_choices import CorrelateChoices
from napari_xpcs.io.regions_text import regions_from_plain, regions_to_plain
from napari_xpcs.io.typed_values import check_keys, converted, plain, typed
from napari_xpcs.kernels.geometry import FIELD_UNITS
from napari_xpcs.kernels.mask_step_dicts import read_steps, steps_to_dicts
from napari_xpcs.kernels.mask_steps import MaskStep
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.regions import Region, RegionBins

VERSION_KEY = "napari_xpcs_recipe"
VERSION = 1
SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What was chosen.

    Parameters
    ----------
    geometry
        Values that win over those of a file, by the names of
        :data:`~napari_xpcs.kernels.geometry.FIELD_UNITS`; ``None`` makes one unknown.
    mask
        Steps of the mask in order; in the file as
        :func:`napari_xpcs.kernels.mask_step_dicts.steps_to_dicts` writes them.
    bins
        Bins that are wanted; ``None`` where the recipe does not say.
    regions, region_bins
        As in :func:`napari_xpcs.kernels.label_bins.regions_partition`.
    correlate
        How to correlate; ``None`` where the recipe does not say.
    """

    geometry: Mapping[str, float | None] = field(default_factory=dict)
    mask: tuple[MaskStep, ...] = ()
    bins: PartitionSpec | None = None
    regions: tuple[Region, ...] = ()
    region_bins: RegionBins = "each"
    correlate: CorrelateChoices | None = None


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes line breaks that YAML knows beside the newline so that they come back."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Return ``text`` within double quotes, where breaks are escaped, if it has one."""
        style = '"' if {"\x85", "\u2028", "\u2029"} & set(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML in which 1e-3 is a number: the version that the library reads wants 1.0e-3."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+\.?[0-9]*[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_recipe(path: str | Path) -> Recipe:
    """Return the recipe in a YAML or JSON file.

    Raises
    ------
    FileFormatError
        The file cannot be read, has another version, or a key that is unknown or has a value
        of another type; the message names the file and the key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.load(text, _Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as fault:
        reason = " ".join(str(fault).split())
        msg = f"{path} cannot be read as a recipe: {reason}."
        raise FileFormatError(msg) from fault
    return recipe_from_plain(content, path.name)


def recipe_from_plain(content: Any, where: str) -> Recipe:
    """Return the recipe in plain ``content``; ``where`` names it in messages."""
    known = (VERSION_KEY, "geometry", "mask", "bins", "regions", "correlate")
    if not isinstance(content, Mapping) or VERSION_KEY not in content:
        msg = f"{where} is no recipe: the key {VERSION_KEY!r} with its version is missing."
        raise FileFormatError(msg)
    if content[VERSION_KEY] != VERSION:
        msg = (
            f"{where}: {VERSION_KEY!r} is {content[VERSION_KEY]!r}, and this program reads "
            f"version {VERSION}."
        )
        raise FileFormatError(msg)
    check_keys(content, dict.fromkeys(known), where)
    sections = {name: value for name, value in content.items() if value is not None}
    regions = regions_from_plain(sections.get("regions", {}), f"{where}, regions")
    bins, correlate = sections.get("bins"), sections.get("correlate")
    return Recipe(
        geometry=_geometry(sections.get("geometry", {}), f"{where}, geometry"),
        mask=_mask(sections.get("mask", ()), where),
        bins=None if bins is None else _checked(PartitionSpec, bins, f"{where}, bins"),
        regions=regions.shapes,
        region_bins=regions.bins,
        correlate=None
        if correlate is None
        else _checked(CorrelateChoices, correlate, f"{where}, correlate"),
    )


def _checked(kind: Any, values: Any, where: str) -> Any:
    try:
        return typed(kind, values, where)
    except FileFormatError:
        raise
    except XpcsError as fault:
        msg = f"{where}: {fault}"
        raise FileFormatError(msg) from fault


def _geometry(values: Any, where: str) -> dict[str, float | None]:
    check_keys(values, FIELD_UNITS, where)
    made = {}
    for name, value in values.items():
        made[name] = converted(value, float | None, f"{where}: {name!r}, in {FIELD_UNITS[name]},")
    return made


def _mask(steps: Any, where: str) -> tuple[MaskStep, ...]:
    try:
        return read_steps(steps)
    except MaskError as fault:
        msg = f"{where}, mask: {fault}"
        raise FileFormatError(msg) from fault


def recipe_to_plain(recipe: Recipe) -> dict[str, Any]:
    """Return ``recipe`` as values for JSON or YAML; parts that say nothing are left out."""
    content: dict[str, Any] = {VERSION_KEY: VERSION}
    if recipe.geometry:
        content["geometry"] = dict(recipe.geometry)
    if recipe.mask:
        content["mask"] = steps_to_dicts(recipe.mask)
    if recipe.bins is not None:
        content["bins"] = plain(recipe.bins)
    if recipe.regions:
        content["regions"] = regions_to_plain(recipe.regions, recipe.region_bins)
    if recipe.correlate is not None:
        content["correlate"] = plain(recipe.correlate)
    return content


def refuse_to_write_recipe(path: Path, force: bool) -> None:
    """Raise where no recipe can be written to ``path``.

    Raises
    ------
    FileFormatError
        Another ending, or a file that is there without ``force``.
    """
    if path.suffix.lower() not in SUFFIXES:
        msg = f"A recipe is {' or '.join(SUFFIXES)}, got {path.name}."
        raise FileFormatError(msg)
    refuse_to_overwrite(path, force)


def write_recipe(path: str | Path, recipe: Recipe, *, force: bool = False) -> None:
    """Write ``recipe`` as YAML, or as JSON where the name ends in .json.

    Raises
    ------
    FileFormatError
        Another ending, a file that is there without ``force``, or a folder that is not.
    """
    path = Path(path)
    refuse_to_write_recipe(path, force)
    content = recipe_to_plain(recipe)
    text = (
        json.dumps(content, indent=2, ensure_ascii=False)
        if path.suffix.lower() == ".json"
        else yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    )
    with atomic_path(path, force) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
