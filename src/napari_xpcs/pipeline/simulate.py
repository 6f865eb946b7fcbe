"""A simulated run, written to a file."""

from contextlib import closing
from pathlib import Path

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.io.raw_file import write_raw, write_simulated_events
from napari_xpcs.kernels.simulate import simulate_frames
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.progress import Steps


def simulate_file(
    path: Path,
    simulation: Simulation,
    *,
    xp: BackendProtocol,
    events: bool = False,
    force: bool = False,
) -> Steps[Path]:
    """Write a simulated run to ``path``, block by block: memory does not grow with the frames.

    Frames are written in the raw layout of the APS; ``events`` as the ``.cmp`` of NSLS-II CHX,
    which lists what was counted.  What it was made from stands in ``/simulation`` of the
    frames, or of the ``*_metadata.hdf`` beside the events.
    """
    blocks = simulate_frames(simulation, xp=xp)
    write = write_simulated_events if events else write_raw
    with closing(blocks):
        return (
            yield from write(
                path,
                blocks,
                frames=simulation.frames,
                geometry=simulation.geometry,
                frame_time_s=simulation.frame_time_s,
                truth=simulation.truth(),
                force=force,
            )
        )
