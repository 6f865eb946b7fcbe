"""Relaxation times of simulated runs lie about the truth as their errors say."""

import numpy as np

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.fitting.dispersion import fit_dispersion
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.simulate import simulate_frames
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.progress import run
from napari_xpcs.units import ANGSTROM_M

XP = NumPyBackend()


def test_pulls_of_relaxation_times_and_of_their_law() -> None:
    pulls, of_law = [], []
    for seed in range(12):
        simulation = Simulation(frames=600, rows=64, cols=64, seed=seed)
        partition = make_partition(
            simulation.geometry, simulation.mask, PartitionSpec(dq=12, sq=48), xp=XP
        )
        result = run(
            correlate_multitau(
                np.concatenate(list(simulate_frames(simulation, xp=XP))),
                partition,
                frame_time_s=simulation.frame_time_s,
                xp=XP,
            )
        )
        fit = run(fit_g2(result.curves(partition), xp=XP))
        tau = fit.names.index("tau_s")
        D = simulation.diffusion_m2_per_s
        truth = ANGSTROM_M**2 / (D * fit.bins.q**2)
        # At the lowest q a relaxation takes a third of the run, and q varies by half in the bin.
        good = fit.ok & (np.arange(len(truth)) > 1)
        assert good.sum() >= 9
        pulls.extend(
            np.log(fit.value / truth[:, None])[good, tau] / (fit.error / fit.value)[good, tau]
        )
        law = fit_dispersion(fit)
        of_law.append((law.D_m2_per_s - D) / law.D_m2_per_s_err)
    assert 0.8 < np.sqrt(np.mean(np.square(pulls))) < 1.25
    assert 0.7 < np.sqrt(np.mean(np.square(of_law))) < 1.4
