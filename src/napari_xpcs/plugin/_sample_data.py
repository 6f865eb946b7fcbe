"""npe2 sample data: a simulated Brownian run whose diffusion coefficient is known."""

import numpy as np

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.io.known_geometry import geometry_as_known
from napari_xpcs.kernels.geometry import KnownGeometry, override
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.simulate import simulate_frames
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.plugin.bin_layers import partition_layer
from napari_xpcs.plugin.image_layers import frames_layer, scattering_layer
from napari_xpcs.plugin.job import wait_for
from napari_xpcs.plugin.layers import LayerData, values_of
from napari_xpcs.plugin.mask_layers import mask_layer
from napari_xpcs.progress import Progress, Steps

ORIGIN = "simulation"
SAMPLE_BINS = PartitionSpec(dq=18, sq=90)


def brownian_frames() -> list[LayerData]:
    """Return the frames and the mask of a simulated run; the truth is in the layer metadata."""
    found: list[LayerData] = wait_for(_frame_layers)
    return found


def brownian_results() -> list[LayerData]:
    """Return the same run with bins and the g2 curves in them."""
    found: list[LayerData] = wait_for(_result_layers)
    return found


def _simulated(simulation: Simulation) -> Steps[np.ndarray]:
    shape = (simulation.frames, simulation.rows, simulation.cols)
    frames, done = np.empty(shape, np.uint16), 0
    for block in simulate_frames(simulation, xp=get_backend()):
        frames[done : done + len(block)] = block
        done += len(block)
        yield Progress(done, simulation.frames, "frames")
    return frames


def _known(simulation: Simulation) -> KnownGeometry:
    known = geometry_as_known(simulation.geometry, ORIGIN)
    return override(known, {"frame_time_s": simulation.frame_time_s}, ORIGIN)


def _frame_layers() -> Steps[list[LayerData]]:
    simulation = Simulation()
    frames = yield from _simulated(simulation)
    return [
        frames_layer(
            frames,
            known=_known(simulation),
            mask=simulation.mask,
            truth=simulation.truth(),
            source=ORIGIN,
        ),
        mask_layer(simulation.mask, source=ORIGIN),
    ]


def _result_layers() -> Steps[list[LayerData]]:
    simulation, xp = Simulation(), get_backend()
    run, mask = yield from _frame_layers()
    partition = make_partition(simulation.geometry, simulation.mask, SAMPLE_BINS, xp=xp)
    frames = values_of(run[1])["frames"]
    result = yield from correlate_multitau(
        frames, partition, frame_time_s=simulation.frame_time_s, xp=xp
    )
    known = _known(simulation)
    bins = partition_layer(
        partition, known=known, curves=result.curves(partition, ORIGIN), source=ORIGIN
    )
    mask[1]["visible"] = False
    scattering = scattering_layer(result.mean_frame, known=known, mask=partition.mask)
    scattering[1]["visible"] = False
    return [scattering, run, mask, bins]
