"""``napari-xpcs simulate``: a run with a known answer."""

from pathlib import Path
from typing import Annotated

import typer

from napari_xpcs.cli._console import out, print_json, with_progress
from napari_xpcs.cli._options import Force, Json


def simulate(
    output: Annotated[
        Path, typer.Argument(help="Frames file to write, *.h5; *_metadata.hdf goes beside it.")
    ],
    frames: Annotated[int, typer.Option(help="Number of frames.", min=2)] = 1000,
    rows: Annotated[int, typer.Option(help="Detector rows.", min=8)] = 128,
    cols: Annotated[int, typer.Option(help="Detector columns.", min=8)] = 128,
    diffusion: Annotated[float, typer.Option(help="Diffusion coefficient, m^2/s.")] = 5e-14,
    contrast: Annotated[float, typer.Option(help="Speckle contrast, 0 to 1.")] = 0.25,
    counts: Annotated[float, typer.Option(help="Mean counts per pixel and frame.")] = 2.0,
    frame_time: Annotated[float, typer.Option(help="Time between frames, s.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a simulated Brownian run in the raw layout of the APS, the truth in /simulation."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.kernels.simulate import Simulation
    from napari_xpcs.pipeline import simulate_file

    simulation = Simulation(
        frames=frames,
        rows=rows,
        cols=cols,
        diffusion_m2_per_s=diffusion,
        contrast=contrast,
        mean_counts=counts,
        frame_time_s=frame_time,
        seed=seed,
    )
    with_progress(simulate_file(output, simulation, xp=get_backend(), force=force))
    if as_json:
        print_json({"file": str(output), "truth": simulation.truth()})
    else:
        out.print(f"wrote {output}", highlight=False, soft_wrap=True)
