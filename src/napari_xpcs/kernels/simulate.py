r"""A simulated run: Brownian particles whose speckle decays exactly as theory says.

The field of every pixel and mode is a circular complex Gaussian process that follows

.. math:: E(t + \Delta t) = g_1 E(t) + \sqrt{1 - g_1^2}\,\xi, \qquad g_1 = e^{-D q^2 \Delta t}

with q of the very pixel, so that :math:`\langle E(0) E^*(t)\rangle = e^{-D q^2 t}` holds
at every delay and not just for a fine time step.  The intensity adds up modes that do not
interfere, with weights whose squares sum to the contrast :math:`\beta`; by the Siegert relation

.. math:: g_2(t) = 1 + \beta e^{-2 D q^2 t}.

Where pixels are independent, nothing but the intensity of each is needed, and for equal modes
that is a Markov process of its own, the square-root diffusion [1]_.  The sum S of the squares of
:math:`n = 2 / \beta` components of variance 1 becomes

.. math:: S(t + \Delta t) = (g_1 \sqrt{S(t)} + \sqrt{1 - g_1^2}\,\xi)^2 + (1 - g_1^2) \chi^2_{n - 1}

because only the component along the field feels the field: two random numbers for a pixel
however many modes there are, and n need not be whole.

Counts are Poisson distributed about the intensity.  Random numbers come from NumPy, whatever
the backend, and are what takes the time.

.. [1] J. C. Cox, J. E. Ingersoll, S. A. Ross, *Econometrica* 53 (1985) 385.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from math import ceil, hypot, isfinite, log, sqrt
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float32, UInt16

from napari_xpcs._typing import Array, Mask
from napari_xpcs.backends import BackendProtocol, NumPyBackend, ensure_numpy
from napari_xpcs.errors import SimulationError
from napari_xpcs.kernels.counting import poisson_counts
from napari_xpcs.kernels.geometry import POSSIBLE, Geometry
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.units import ANGSTROM_M, HC_KEV_ANGSTROM

NO_VALUE = np.iinfo(np.uint16).max
"""What masked pixels hold, as in the files of photon-counting detectors."""

Frames: TypeAlias = UInt16[np.ndarray, "frame row col"]

_BLOCK_PIXELS = 2**21
_STRIP_PIXELS = 2**13
_MOST_COUNTS = 1000.0
_FASTEST_DECAY = 0.35


@dataclass(frozen=True, kw_only=True)
class Simulation:
    r"""A small-angle run with a known answer.

    The beam hits the detector left of the middle, behind a round beam stop.  The intensity
    falls along q by a factor of ten.

    Parameters
    ----------
    frames, rows, cols
        Shape of the run.
    diffusion_m2_per_s
        D, m²/s.
    contrast
        :math:`\beta`, above 0 and up to 1.
    mean_counts
        Mean counts per frame of the pixels inside the mask.
    frame_time_s
        Time between frames, s; exposures are taken to be short.
    seed
        Same seed, same counts.
    speckle_size_px
        Full width at half maximum of the correlation of the field between pixels; 0 leaves
        pixels independent.
    energy_kev, pixel_m
        Photon energy, keV; pitch of the pixels, m.
    distance_m
        Sample to detector, m.  By default the one at which g2 in the far corner decays
        within three frames, so that the decays of all q fill the range of delays.

    Raises
    ------
    SimulationError
        A value out of its range.
    """

    frames: int = 1000
    rows: int = 128
    cols: int = 128
    diffusion_m2_per_s: float = 5e-14
    contrast: float = 0.25
    mean_counts: float = 2.0
    frame_time_s: float = 1e-3
    seed: int = 0
    speckle_size_px: float = 0.0
    energy_kev: float = 10.0
    pixel_m: float = 75e-6
    distance_m: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("frames", 2), ("rows", 8), ("cols", 8), ("seed", 0)):
            if getattr(self, name) < least:
                msg = f"{name} must be {least} or more, got {getattr(self, name)}."
                raise SimulationError(msg)
        for field in fields(self):
            value = getattr(self, field.name)
            positive = field.type in (float, float | None) and field.name != "speckle_size_px"
            if positive and value is not None and not (isfinite(value) and value > 0.0):
                msg = f"{field.name} must be a positive number, got {value}."
                raise SimulationError(msg)
        if self.contrast > 1.0:
            msg = f"The contrast must be 1 or less, got {self.contrast}."
            raise SimulationError(msg)
        if self.mean_counts > _MOST_COUNTS:
            msg = f"Mean counts must be {_MOST_COUNTS:g} or less, got {self.mean_counts}."
            raise SimulationError(msg)
        if not (isfinite(self.speckle_size_px) and self.speckle_size_px >= 0.0):
            msg = f"speckle_size_px must be 0 or more, got {self.speckle_size_px}."
            raise SimulationError(msg)

    @cached_property
    def geometry(self) -> Geometry:
        """Detector and beam."""
        center_row, center_col = 0.5 * (self.rows - 1) + 0.2, 0.3 * (self.cols - 1) + 0.3
        corner_m = self.pixel_m * hypot(
            max(center_row, self.rows - 1 - center_row), self.cols - 1 - center_col
        )
        distance = self.distance_m
        if distance is None:
            q_corner = sqrt(_FASTEST_DECAY / (2.0 * self._diffusion * self.frame_time_s))
            distance = 2.0 * np.pi * self.energy_kev / HC_KEV_ANGSTROM * corner_m / q_corner
            nearest, farthest = POSSIBLE["distance_m"]
            if not nearest <= distance <= farthest:
                msg = (
                    "To see this diffusion at this time between frames the detector would have "
                    f"to stand {distance:.3g} m away; give the distance, or change one of them."
                )
                raise SimulationError(msg)
        return Geometry(
            shape=(self.rows, self.cols),
            energy_kev=self.energy_kev,
            distance_m=distance,
            pixel_row_m=self.pixel_m,
            pixel_col_m=self.pixel_m,
            center_row_px=center_row,
            center_col_px=center_col,
        )

    @property
    def beam_stop_radius_px(self) -> float:
        """Radius of the beam stop, in pixels."""
        return max(2.0, 0.06 * min(self.rows, self.cols))

    @cached_property
    def mask(self) -> Mask:
        """False behind the beam stop."""
        row, col = np.ogrid[: self.rows, : self.cols]
        geometry = self.geometry
        radius = np.hypot(row - geometry.center_row_px, col - geometry.center_col_px)
        return np.asarray(radius > self.beam_stop_radius_px)

    @cached_property
    def q(self) -> Float[np.ndarray, "row col"]:
        """Magnitude of the momentum transfer of every pixel, 1/angstrom."""
        return np.asarray(ensure_numpy(q_maps(self.geometry, xp=NumPyBackend()).q))

    @cached_property
    def intensity(self) -> Float[np.ndarray, "row col"]:
        """Expected counts per frame, 0 behind the beam stop."""
        envelope = np.where(self.mask, 1.0 / (1.0 + (3.0 * self.q / self.q.max()) ** 2), 0.0)
        return np.asarray(envelope * (self.mean_counts / envelope[self.mask].mean()))

    @cached_property
    def decay_rate_per_s(self) -> Float[np.ndarray, "row col"]:
        """D q² of every pixel, 1/s."""
        return np.asarray(self._diffusion * np.square(self.q))

    def g2(
        self, q: Float[np.ndarray, "..."], delay_s: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """Return the expected g2 at ``q``, 1/angstrom, and ``delay_s``, s."""
        decay = np.exp(-2.0 * self._diffusion * np.square(q) * delay_s)
        return np.asarray(1.0 + self.contrast * decay)

    def truth(self) -> dict[str, float | int | str]:
        """Return what the run was made from, by name."""
        return {
            "model": "g2 = 1 + contrast * exp(-2 D q^2 t)",
            "diffusion_m2_per_s": self.diffusion_m2_per_s,
            "contrast": self.contrast,
            "mean_counts": self.mean_counts,
            "frame_time_s": self.frame_time_s,
            "frames": self.frames,
            "seed": self.seed,
            "speckle_size_px": self.speckle_size_px,
            "beam_stop_radius_px": self.beam_stop_radius_px,
        }

    @property
    def _diffusion(self) -> float:
        """D in angstrom²/s."""
        return self.diffusion_m2_per_s / ANGSTROM_M**2


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
        self._power: Array = self._chi_squared(self._components, self._mean.shape)
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
        self._field: Array = self._noise()
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
    spectrum = _speckle_spectrum(s)
    if spectrum is not None:
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


def evolve_power(
    power: Float[Array, "row col"],
    along: Float[Array, "frame row col"],
    across: Float[Array, "frame row col"],
    decay: Float[Array, "row col"],
    renewal: Float[Array, "row col"],
    *,
    xp: BackendProtocol,
) -> tuple[Float[Array, "row col"], Float[Array, "frame row col"]]:
    r"""Return the sum of squares of the field after some frames, and that of each of them.

    Parameters
    ----------
    power
        Sum of the squares of n components of variance 1, before the first of the frames.
    along, across
        What renews it after each frame: a Gaussian number of variance 1, and a
        :math:`\chi^2_{n - 1}` number.
    decay, renewal
        :math:`g_1` over one frame time, and :math:`\sqrt{1 - g_1^2}`.
    """
    renewal_squared = renewal * renewal

    def step(now: Float[Array, "row col"], fresh: Float[Array, "2 row col"]) -> tuple[Array, Array]:
        kept = decay * xp.sqrt(now) + renewal * fresh[0]
        return kept * kept + renewal_squared * fresh[1], now

    final, powers = xp.scan(step, power, xp.stack([along, across], axis=1))
    return final, powers


def evolve(
    field: Float[Array, "component row col"],
    noise: Float[Array, "frame component row col"],
    decay: Float[Array, "row col"],
    renewal: Float[Array, "row col"],
    weights: Float[Array, " component"],
    *,
    xp: BackendProtocol,
) -> tuple[Float[Array, "component row col"], Float[Array, "frame row col"]]:
    r"""Return the field after some frames, and the speckle of each of them.

    Parameters
    ----------
    field
        Real and imaginary parts of all modes, before the first of the frames.
    noise
        What renews the field after each frame: independent, of variance 1.
    decay, renewal
        :math:`g_1` over one frame time, and :math:`\sqrt{1 - g_1^2}`.
    weights
        Share of each component in the intensity; they sum to 1/2 over the real parts.
    """

    def step(
        now: Float[Array, "component row col"], fresh: Float[Array, "component row col"]
    ) -> tuple[Array, Array]:
        speckle = xp.einsum("c,crs->rs", weights, now * now)
        return decay * now + renewal * fresh, speckle

    final, speckles = xp.scan(step, field, noise)
    return final, speckles


def mode_weights(contrast: float) -> Float[np.ndarray, " mode"]:
    r"""Return weights :math:`w` of the fewest modes with :math:`\sum w = 1, \sum w^2 = \beta`.

    All but the last are equal and not smaller than that one.
    """
    # The margin keeps 1 / (1 / n) at n modes where rounding puts it just above.
    modes = ceil(1.0 / contrast - 1e-9)
    if modes == 1:
        return np.ones(1)
    excess = max(1.0 - (1.0 - contrast) * modes / (modes - 1), 0.0)
    equal = (1.0 + sqrt(excess)) / modes
    last = max(1.0 - (modes - 1) * equal, 0.0)
    return np.array([*[equal] * (modes - 1), last])


def _speckle_spectrum(simulation: Simulation) -> Float32[np.ndarray, "row half"] | None:
    """Return the filter that gives white noise the wanted correlation and variance 1."""
    if simulation.speckle_size_px == 0.0:
        return None
    shape = (simulation.rows, simulation.cols)
    row, col = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    # The correlation exp(-4 ln 2 r²/w²) has the root of its Fourier transform as filter.
    width = simulation.speckle_size_px / (4.0 * sqrt(log(2.0)))
    amplitude = np.exp(-0.5 * (2.0 * np.pi * width) ** 2 * (row**2 + col**2))
    impulse = np.fft.irfft2(amplitude, shape)
    return np.asarray(amplitude / np.sqrt(np.sum(impulse**2)), np.float32)
