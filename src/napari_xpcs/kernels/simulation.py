"""What a simulated run is made from: :class:`Simulation`, and the answer that it holds."""

from dataclasses import dataclass, fields
from functools import cached_property
from math import hypot, isfinite, sqrt

import numpy as np
from jaxtyping import Float

from napari_xpcs._typing import Mask
from napari_xpcs.backends import NumPyBackend, ensure_numpy
from napari_xpcs.errors import SimulationError
from napari_xpcs.kernels.geometry import POSSIBLE, Geometry
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.units import ANGSTROM_M, HC_KEV_ANGSTROM

_MOST_COUNTS = 1000.0
_FASTEST_DECAY = 0.35
"""Decay rate of g2 in the far corner times the time between frames, for the default distance."""


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
