"""The demonstration: simulate a run, lay bins, correlate, fit, and compare with the truth."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FileFormatError
from napari_xpcs.fitting.dispersion import Dispersion, fit_dispersion
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.pipeline.bins import partition_file
from napari_xpcs.pipeline.correlate import correlate_file
from napari_xpcs.pipeline.curves import curves_of
from napari_xpcs.pipeline.simulate import simulate_file
from napari_xpcs.progress import Steps

DEMO_BINS = PartitionSpec(dq=18, sq=90, dp=1, sp=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemoReport:
    """What the demonstration made and found."""

    frames: Path
    results: Path
    fit: G2Fit
    dispersion: Dispersion
    true_diffusion_m2_per_s: float
    seconds: Mapping[str, float] = field(default_factory=dict)

    def verdict(self) -> str:
        """Return how the fitted D compares with the true one, in a sentence."""
        law, truth = self.dispersion, self.true_diffusion_m2_per_s
        if law.status != "ok":
            return f"D could not be determined: {law.status}"
        off = law.D_m2_per_s / truth - 1.0
        sigmas = abs(law.D_m2_per_s - truth) / law.D_m2_per_s_err
        return (
            f"True D = {truth:.4g} m²/s: the fit is off by {off:+.2%}, "
            f"{sigmas:.1f} of its standard errors."
        )


def run_demo(folder: Path, *, xp: BackendProtocol) -> Steps[DemoReport]:
    """Simulate a run, lay bins, correlate and fit; the files are left in ``folder``.

    Raises
    ------
    FileFormatError
        ``folder`` cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        msg = f"The folder {folder} cannot be made: {fault.strerror}. Choose another."
        raise FileFormatError(msg) from fault
    frames, qmap, results = (
        folder / "demo.h5",
        folder / "demo_qmap.hdf",
        folder / "demo_results.hdf",
    )
    simulation = Simulation()
    seconds: dict[str, float] = {}
    start = time.perf_counter()

    def lap(step: str) -> None:
        nonlocal start
        seconds[step], start = time.perf_counter() - start, time.perf_counter()

    yield from simulate_file(frames, simulation, xp=xp, force=True)
    lap("simulate")
    partition_file(qmap, frames=frames, values={}, spec=DEMO_BINS, xp=xp, force=True)
    lap("qmap")
    yield from correlate_file(
        frames,
        qmap,
        results,
        selection=FrameSelection(),
        normalization="symmetric",
        xp=xp,
        force=True,
    )
    lap("correlate")
    fit = yield from fit_g2(curves_of(results), "single", xp=xp)
    dispersion = fit_dispersion(fit)
    lap("fit")
    return DemoReport(
        frames=frames,
        results=results,
        fit=fit,
        dispersion=dispersion,
        true_diffusion_m2_per_s=simulation.diffusion_m2_per_s,
        seconds=seconds,
    )
