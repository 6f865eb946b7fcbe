"""``napari-xpcs simulate``: a run with a known answer."""

from pathlib import Path
from typing import Annotated

import typer

from napari_xpcs.cli._console import out, print_json, with_progress
from napari_xpcs.cli._options import Force, Json


def simulate(
    output: Annotated[
        Path,
        typer.Argument(
            help="File to write: frames *.h5, events *.cmp; *_metadata.hdf goes beside it."
        ),
    ],
    frames: Annotated[int, typer.Option(help="Number of frames.", min=2)] = 1000,
    rows: Annotated[int, typer.Option(help="Detector rows.", min=8)] = 128,
    cols: Annotated[int, typer.Option(help="Detector columns.", min=8)] = 128,
    diffusion: Annotated[float, typer.Option(help="Diffusion coefficient, m^2/s.")] = 5e-14,
    contrast: Annotated[float, typer.Option(help="Speckle contrast, 0 to 1.")] = 0.25,
    counts: Annotated[float, typer.Option(help="Mean counts per pixel and frame.")] = 2.0,
    frame_time: Annotated[float, typer.Option(help="Time between frames, s.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    speckle_size: Annotated[
        float,
        typer.Option(help="Width of a speckle at half height, pixels; 0: pixels are independent."),
    ] = 0.0,
    energy_kev: Annotated[float, typer.Option(help="Photon energy, keV.")] = 10.0,
    pixel_m: Annotated[float, typer.Option(help="Pitch of the pixels, m.")] = 75e-6,
    distance_m: Annotated[
        float | None,
        typer.Option(
            help="Sample to detector, m; default: g2 in the far corner decays in 3 frames."
        ),
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="List what was counted, as *.cmp of NSLS-II CHX does.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a simulated Brownian run: frames in the raw layout of the APS, or events.

    What it was made from stands in /simulation.  Memory does not grow with the frames.
    """
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.simulation import Simulation
    from napari_xpcs.pipeline.simulate import simulate_file

    simulation = Simulation(
        frames=frames,
        rows=rows,
        cols=cols,
        diffusion_m2_per_s=diffusion,
        contrast=contrast,
        mean_counts=counts,
        frame_time_s=frame_time,
        seed=seed,
        speckle_size_px=speckle_size,
        energy_kev=energy_kev,
        pixel_m=pixel_m,
        distance_m=distance_m,
    )
    events = events or output.suffix.lower() == ".cmp"
    with_progress(simulate_file(output, simulation, xp=get_backend(), events=events, force=force))
    if as_json:
        print_json({"file": str(output), "truth": simulation.truth()})
    else:
        out.print(f"wrote {output}", highlight=False, soft_wrap=True)
