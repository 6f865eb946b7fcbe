"""``napari-xpcs qmap``: bins from a geometry."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_xpcs.cli._console import out, print_json
from napari_xpcs.cli._options import Force, Json


class Spacing(StrEnum):
    """Spacing of bin edges along q."""

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
    mask_ones: Annotated[
        Polarity | None,
        typer.Option(help="What 1 means in the mask; default: what its format says, or a guess."),
    ] = None,
    dq: Annotated[int, typer.Option(help="Dynamic bins along q.", min=1)] = 36,
    sq: Annotated[int, typer.Option(help="Static bins along q.", min=1)] = 360,
    dp: Annotated[int, typer.Option(help="Dynamic bins along phi.", min=1)] = 1,
    sp: Annotated[int, typer.Option(help="Static bins along phi.", min=1)] = 1,
    mode: Annotated[
        str, typer.Option(help="The two axes: q-phi, x-y, or any two of q phi x y qx qy tth.")
    ] = "q-phi",
    spacing: Annotated[Spacing, typer.Option(help="Edges along q.")] = Spacing.linear,
    q_range: Annotated[
        tuple[float, float] | None, typer.Option(help="FROM TO, 1/angstrom.")
    ] = None,
    phi_range: Annotated[
        tuple[float, float] | None, typer.Option(help="FROM TO, deg; may wrap at 180.")
    ] = None,
    phi_offset_deg: Annotated[
        float | None, typer.Option(help="Added to phi before binning, deg.")
    ] = None,
    phi_fold: Annotated[int, typer.Option(help="Symmetry fold of phi.", min=1)] = 1,
    edges: Annotated[
        str, typer.Option(help="data, equal-count, or a JSON file with edges.")
    ] = "data",
    q_convention: Annotated[QConvention, typer.Option(help="Formula of q.")] = QConvention.exact,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make q/phi bins from the geometry of a file, or from options alone, and save them."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.io.edges_file import read_edges
    from napari_xpcs.kernels.partition import PartitionSpec
    from napari_xpcs.pipeline import partition_file

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
    made = {"data", "equal-count"}
    explicit = {} if edges in made else read_edges(Path(edges))
    spec = PartitionSpec(
        dq=dq,
        sq=sq,
        dp=dp,
        sp=sp,
        mode=mode,
        spacing=spacing.value,
        edges="equal-count" if edges == "equal-count" else "data",
        edges_q=explicit.get("q"),
        edges_phi=explicit.get("phi"),
        q_range=q_range,
        phi_range_deg=phi_range,
        phi_offset_deg=phi_offset_deg,
        phi_fold=phi_fold,
        q_convention=q_convention.value,
    )
    partition = partition_file(
        output,
        frames=frames,
        shape=shape,
        values={name: value for name, value in values.items() if value is not None},
        mask=mask,
        mask_ones=None if mask_ones is None else mask_ones.value,
        spec=spec,
        xp=get_backend(),
        force=force,
    )
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
