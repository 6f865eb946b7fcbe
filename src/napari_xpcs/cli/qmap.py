"""``napari-xpcs qmap``: bins from a geometry."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_xpcs.cli._console import out, print_json
from napari_xpcs.cli._options import Force, Json, read_typed_edges


class Spacing(StrEnum):
    """Spacing of bin edges."""

    linear = "linear"
    log = "log"


class QConvention(StrEnum):
    """Formula of q; the second reproduces maps stored by older tools."""

    exact = "exact"
    sin2theta = "sin2theta"


class Polarity(StrEnum):
    """What pixels that are not 0 mean in a mask file."""

    good = "good"
    bad = "bad"


def qmap(
    output: Annotated[Path, typer.Option("--output", "-o", help="Q-map file to write, *.hdf.")],
    frames: Annotated[Path | None, typer.Argument(help="File to take the geometry from.")] = None,
    shape: Annotated[
        tuple[int, int] | None, typer.Option(help="ROWS COLS of the detector.")
    ] = None,
    energy_kev: Annotated[float | None, typer.Option(help="Photon energy, keV.")] = None,
    distance_m: Annotated[float | None, typer.Option(help="Sample to detector, m.")] = None,
    pixel_m: Annotated[float | None, typer.Option(help="Pitch of square pixels, m.")] = None,
    pixel_row_m: Annotated[float | None, typer.Option(help="Pitch from row to row, m.")] = None,
    pixel_col_m: Annotated[
        float | None, typer.Option(help="Pitch from column to column, m.")
    ] = None,
    center_row_px: Annotated[float | None, typer.Option(help="Direct beam, row index, px.")] = None,
    center_col_px: Annotated[
        float | None, typer.Option(help="Direct beam, column index, px.")
    ] = None,
    swing_horizontal_deg: Annotated[float | None, typer.Option(help="Detector swing, deg.")] = None,
    swing_vertical_deg: Annotated[float | None, typer.Option(help="Detector swing, deg.")] = None,
    incident_angle_deg: Annotated[
        float | None, typer.Option(help="Grazing incidence, deg.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Mask: npy, tif, edf, msk, mask, or HDF5 with /qmap/mask.")
    ] = None,
    threshold: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Mask all but LOW <= mean counts per frame < HIGH."),
    ] = None,
    mask_ones: Annotated[
        Polarity | None,
        typer.Option(help="What 1 means in the mask; default: what its format says, or a guess."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="HDF5 path of the frames where it is unusual.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML or JSON recipe; options given beside it win.")
    ] = None,
    save_recipe: Annotated[
        Path | None, typer.Option(help="Write what was chosen here as a recipe.")
    ] = None,
    dq: Annotated[
        int | None, typer.Option(help="Dynamic bins along q. [default: 36]", min=1)
    ] = None,
    sq: Annotated[
        int | None, typer.Option(help="Static bins along q. [default: 360]", min=1)
    ] = None,
    dp: Annotated[
        int | None, typer.Option(help="Dynamic bins along phi. [default: 1]", min=1)
    ] = None,
    sp: Annotated[
        int | None, typer.Option(help="Static bins along phi. [default: 1]", min=1)
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="The two axes: q-phi, x-y, eq-ephi (along an ellipse), or any two of "
            "q phi x y qx qy tth eq ephi, qz qr in grazing incidence. [default: q-phi]"
        ),
    ] = None,
    spacing: Annotated[
        Spacing | None, typer.Option(help="Edges along q. [default: linear]")
    ] = None,
    spacing_phi: Annotated[
        Spacing | None, typer.Option(help="Edges along the second axis. [default: linear]")
    ] = None,
    q_range: Annotated[
        tuple[float, float] | None, typer.Option(help="FROM TO, 1/angstrom.")
    ] = None,
    phi_range: Annotated[
        tuple[float, float] | None, typer.Option(help="FROM TO, deg; may wrap at 180.")
    ] = None,
    phi_offset_deg: Annotated[
        float | None, typer.Option(help="Added to phi before binning, deg.")
    ] = None,
    phi_fold: Annotated[
        int | None, typer.Option(help="Symmetry fold of phi. [default: 1]", min=1)
    ] = None,
    edges: Annotated[
        str | None,
        typer.Option(help="data, equal-count, or a JSON file with edges. [default: data]"),
    ] = None,
    edges_q: Annotated[
        str | None,
        typer.Option(
            help="Edges along q, 1/angstrom: 0.001,0.002,0.004 or 0.001:0.002,0.003:0.004"
        ),
    ] = None,
    edges_phi: Annotated[
        str | None, typer.Option(help="Edges along phi, deg; LOW:HIGH pairs leave gaps.")
    ] = None,
    min_pixels: Annotated[
        int | None,
        typer.Option(help="Leave out static bins of fewer pixels.", min=1),
    ] = None,
    ellipse: Annotated[
        tuple[float, float, float, float, float] | None,
        typer.Option(
            help="ROW COL HALF_AXIS HALF_AXIS (px) ANGLE (deg) for eq, ephi; default: of the mask."
        ),
    ] = None,
    q_convention: Annotated[
        QConvention | None, typer.Option(help="Formula of q. [default: exact]")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make q/phi bins from the geometry of a file, or from options alone, and save them."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.io.edges_file import read_edges
    from napari_xpcs.io.recipe import Recipe, read_recipe, refuse_to_write_recipe, write_recipe
    from napari_xpcs.kernels.mask_steps import FileStep, ThresholdStep
    from napari_xpcs.kernels.partition_spec import PartitionSpec
    from napari_xpcs.pipeline.bins import partition_file

    chosen = Recipe() if recipe is None else read_recipe(recipe)
    values = {
        "energy_kev": energy_kev,
        "distance_m": distance_m,
        "pixel_row_m": pixel_m if pixel_row_m is None else pixel_row_m,
        "pixel_col_m": pixel_m if pixel_col_m is None else pixel_col_m,
        "center_row_px": center_row_px,
        "center_col_px": center_col_px,
        "swing_horizontal_deg": swing_horizontal_deg,
        "swing_vertical_deg": swing_vertical_deg,
        "incident_angle_deg": incident_angle_deg,
    }
    made = {None, "data", "equal-count"}
    explicit = {} if edges in made or edges is None else read_edges(Path(edges))
    typed_edges = {"q": edges_q, "phi": edges_phi}
    explicit |= {
        axis: read_typed_edges(text, f"--edges-{axis}")
        for axis, text in typed_edges.items()
        if text is not None
    }
    options = {
        "dq": dq,
        "sq": sq,
        "dp": dp,
        "sp": sp,
        "mode": mode,
        "spacing": spacing,
        "spacing_phi": spacing_phi,
        "edges": edges if edges in made else None,
        "edges_q": explicit.get("q"),
        "edges_phi": explicit.get("phi"),
        "q_range": q_range,
        "phi_range_deg": phi_range,
        "phi_offset_deg": phi_offset_deg,
        "phi_fold": phi_fold,
        "min_pixels": min_pixels,
        "ellipse": ellipse,
        "q_convention": q_convention,
    }
    # What is said of an axis in one way wins over what a recipe says of it in the other.
    unsaid: dict[str, None] = {}
    for edges_name, *other_names in (
        ("edges_q", "dq", "q_range"),
        ("edges_phi", "dp", "phi_range_deg"),
    ):
        if options[edges_name] is not None:
            unsaid[other_names[1]] = None
        elif any(options[name] is not None for name in other_names):
            unsaid[edges_name] = None
    chosen = replace(
        chosen,
        geometry={**chosen.geometry, **_given(values)},
        bins=replace(chosen.bins or PartitionSpec(), **(unsaid | _given(options))),
    )
    if threshold is not None:
        step = ThresholdStep(low=threshold[0], high=threshold[1])
        chosen = replace(chosen, mask=(*chosen.mask, step))
    if save_recipe is not None:
        refuse_to_write_recipe(save_recipe, force)
    partition = partition_file(
        output,
        frames=frames,
        dataset=dataset,
        shape=shape,
        values=chosen.geometry,
        mask=mask,
        mask_ones=None if mask_ones is None else mask_ones.value,
        mask_steps=chosen.mask,
        spec=chosen.bins or PartitionSpec(),
        regions=chosen.regions,
        region_bins=chosen.region_bins,
        xp=get_backend(),
        force=force,
    )
    if save_recipe is not None:
        if mask is not None:
            ones = "auto" if mask_ones is None else mask_ones.value
            masked = FileStep(path=str(mask.resolve()), ones=ones)
            chosen = replace(chosen, mask=(masked, *chosen.mask))
        write_recipe(save_recipe, chosen, force=force)
    facts = {
        "file": str(output),
        "shape": list(partition.shape),
        "dynamic_bins": len(partition.dynamic),
        "static_bins": len(partition.static),
        "pixels": int(partition.dynamic.pixels.sum()),
        "notes": list(partition.notes),
    }
    if as_json:
        print_json(facts)
    else:
        out.print(
            f"wrote {output}: {facts['dynamic_bins']} dynamic and {facts['static_bins']} static "
            f"bins, {facts['pixels']} pixels",
            highlight=False,
            soft_wrap=True,
        )
        for note in partition.notes:
            out.print(f"note: {note}", highlight=False, soft_wrap=True)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were typed, choices as plain words."""
    return {
        name: value.value if isinstance(value, StrEnum) else value
        for name, value in options.items()
        if value is not None
    }
