"""A simulated run, block by block: counts about speckle that decays as theory says.

The formulas are in :mod:`napari_xpcs.kernels.speckle_field`.  Counts are Poisson distributed
about the intensity.  Random numbers come from NumPy, whatever the backend; they take most of
the time.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from jaxtyping import Float32, UInt16

from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.kernels.counting import poisson_counts
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.kernels.speckle_field import (
    evolve,
    evolve_power,
    mode_weights,
    speckle_spectrum,
)

NO_VALUE = np.iinfo(np.uint16).max
"""What masked pixels hold, as in the files of photon-counting detectors."""

Frames: TypeAlias = UInt16[np.ndarray, "frame row col"]

_BLOCK_PIXELS = 2**21
_STRIP_PIXELS = 2**13


def simulate_frames(
    simulation: Simulation, *, xp: BackendProtocol
) -> Generator[Frames, None, None]:
    """Yield the frames in blocks; only two blocks are in memory.

    Pixels outside the mask hold :data:`NO_VALUE`.  Threads on all cores work on the next block
    meanwhile; they have ended when this generator has.  The counts do not depend on the number
    of cores; backends round differently, so that some counts may differ between them.
    """
    s = simulation
    strips = _strips(s, xp)
    length = min(s.frames, max(1, _BLOCK_PIXELS // s.mask.size))
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="simulate") as pool:

        def begin(start: int) -> tuple[Frames, list[Future[None]]]:
            block = np.empty((min(length, s.frames - start), *s.mask.shape), np.uint16)
            return block, [pool.submit(strip.fill, block) for strip in strips]

        ahead = begin(0)
        for start in range(0, s.frames, length):
            block, jobs = ahead
            for job in jobs:
                job.result()
            if start + length < s.frames:
                ahead = begin(start + length)
            yield block


class _Strip(ABC):
    """Some rows of the detector, with random numbers of their own."""

    def __init__(self, simulation: Simulation, rows: slice, rng: np.random.Generator) -> None:
        decay = np.exp(-simulation.decay_rate_per_s[rows] * simulation.frame_time_s)
        self._decay = decay.astype(np.float32)
        # From the rounded decay: then the variance of the field stays exactly 1.
        self._renewal = np.sqrt(1.0 - self._decay.astype(np.float64) ** 2).astype(np.float32)
        self._mean = simulation.intensity[rows].astype(np.float32)
        self._mask = simulation.mask[rows]
        self._rows = rows
        self._rng = rng

    @abstractmethod
    def speckles(self, frames: int) -> Float32[np.ndarray, "frame row col"]:
        """Return the intensity of the next frames, of mean 1."""

    def fill(self, block: Frames) -> None:
        """Put the counts of the next frames into the rows of ``block``."""
        counts = poisson_counts(self._rng, self.speckles(len(block)) * self._mean)
        np.minimum(counts, NO_VALUE - 1, out=counts)
        block[:, self._rows] = np.where(self._mask, counts, np.uint16(NO_VALUE))


class _IndependentStrip(_Strip):
    """Pixels that know nothing of each other."""

    def __init__(
        self, simulation: Simulation, rows: slice, rng: np.random.Generator, xp: BackendProtocol
    ) -> None:
        super().__init__(simulation, rows, rng)
        self._components = 2.0 / simulation.contrast
        self._power = self._chi_squared(self._components, self._mean.shape)
        self._xp = xp
        self._evolve = xp.jit(evolve_power, static_argnames=("xp",))

    def speckles(self, frames: int) -> Float32[np.ndarray, "frame row col"]:
        shape = (frames, *self._mean.shape)
        along = self._rng.standard_normal(shape, dtype=np.float32)
        across = self._chi_squared(self._components - 1.0, shape)
        self._power, powers = self._evolve(
            self._power, along, across, self._decay, self._renewal, xp=self._xp
        )
        return np.asarray(ensure_numpy(powers)) * np.float32(1.0 / self._components)

    def _chi_squared(self, freedom: float, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
        return np.float32(2.0) * self._rng.standard_gamma(0.5 * freedom, shape, dtype=np.float32)


class _CorrelatedStrip(_Strip):
    """The whole detector, with speckles of some size."""

    def __init__(
        self,
        simulation: Simulation,
        rng: np.random.Generator,
        spectrum: Float32[np.ndarray, "row half"],
        xp: BackendProtocol,
    ) -> None:
        super().__init__(simulation, slice(0, simulation.rows), rng)
        weight = mode_weights(simulation.contrast)
        # Real and imaginary parts share the weight of their mode and have the variance 1.
        self._weights = np.concatenate([weight, weight]).astype(np.float32) / np.float32(2.0)
        self._spectrum = spectrum
        self._field = self._noise()
        self._xp = xp
        self._evolve = xp.jit(evolve, static_argnames=("xp",))

    def speckles(self, frames: int) -> Float32[np.ndarray, "frame row col"]:
        noise = np.stack([self._noise() for _ in range(frames)])
        self._field, speckles = self._evolve(
            self._field, noise, self._decay, self._renewal, self._weights, xp=self._xp
        )
        return np.asarray(ensure_numpy(speckles))

    def _noise(self) -> Float32[np.ndarray, "component row col"]:
        """Return Gaussian noise of variance 1 for the parts of all modes."""
        shape = self._mean.shape
        white = self._rng.standard_normal((len(self._weights), *shape), dtype=np.float32)
        smooth = np.fft.irfft2(np.fft.rfft2(white) * self._spectrum, shape)
        return smooth.astype(np.float32, copy=False)


def _strips(simulation: Simulation, xp: BackendProtocol) -> list[_Strip]:
    """Divide the detector; independent pixels are worked out in what the cache of a core holds."""
    s = simulation
    seed = np.random.SeedSequence(s.seed)
    if s.speckle_size_px > 0.0:
        spectrum = speckle_spectrum((s.rows, s.cols), s.speckle_size_px)
        return [_CorrelatedStrip(s, np.random.Generator(np.random.SFC64(seed)), spectrum, xp)]
    height = max(1, _STRIP_PIXELS // s.cols)
    starts = range(0, s.rows, height)
    return [
        _IndependentStrip(
            s,
            slice(start, min(start + height, s.rows)),
            np.random.Generator(np.random.SFC64(own)),
            xp,
        )
        for start, own in zip(starts, seed.spawn(len(starts)), strict=True)
    ]
