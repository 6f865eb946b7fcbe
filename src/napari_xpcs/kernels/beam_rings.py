"""An image averaged over blocks of pixels, and the rings about one centre fitted to it."""

from dataclasses import dataclass, fields, replace
from math import ceil, hypot, radians

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import Array, Mask
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.padding import padded_length
from napari_xpcs.kernels.ring_equations import (
    block_sums,
    center_sums,
    pseudo_inverse,
    ring_equations,
    smooth_slope,
    step_and_error,
)
from napari_xpcs.kernels.robust import robust_spread

BLOCK = 12
"""Pixels on a side of the blocks whose residuals are taken as independent: larger than speckle."""
ODD_BLOCK = 6.0
"""Blocks this many deviations off their rings are no part of the pattern (shadows, flares)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RingFit:
    """Rings about one centre: what they leave unexplained, and the step that explains more."""

    center: tuple[float, float]
    harmonics: int
    rss: float
    explained: float
    pixels: float
    parameters: int
    step: Float[np.ndarray, " 2"]
    error_px: tuple[float, float]
    odd: Float[np.ndarray, " block"]

    @property
    def cost(self) -> float:
        """Mean square residual per degree of freedom."""
        return self.rss / max(self.pixels - self.parameters, 1.0)

    @property
    def gain(self) -> float:
        """Variance that each number of the profile explains, in units of what is left; 1: noise."""
        return self.explained / max(self.parameters, 1) / max(self.cost, 1e-300)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AveragedImage:
    """The image averaged over blocks of ``factor`` pixels on a side."""

    level: Array
    weight: Array
    block: Int[np.ndarray, " pixel"]
    geometry: Geometry
    factor: int
    xp: BackendProtocol

    @classmethod
    def of(
        cls,
        counts: Float[np.ndarray, "row col"],
        used: Mask,
        geometry: Geometry,
        factor: int,
        xp: BackendProtocol,
    ) -> "AveragedImage":
        """Return the square roots of ``counts`` averaged over blocks, about their mean.

        A block counts where at least half of it is ``used``, one of few pixels where all of it is.
        """
        shape = (-(-counts.shape[0] // factor), -(-counts.shape[1] // factor))
        blocks = (shape[0], factor, shape[1], factor)
        pad = [(0, shape[axis] * factor - counts.shape[axis]) for axis in (0, 1)]
        pixels = np.pad(used.astype(np.float64), pad).reshape(blocks).sum(axis=(1, 3))
        total = np.pad(counts, pad).reshape(blocks).sum(axis=(1, 3))
        full = pixels == factor**2 if factor < 3 else 2 * pixels >= factor**2
        level = np.sqrt(total / np.maximum(pixels, 1) + 0.375 / factor**2)
        level -= level[full].mean() if full.any() else 0.0
        row, col = np.arange(shape[0]) // BLOCK, np.arange(shape[1]) // BLOCK
        return cls(
            level=xp.asarray(np.where(full, level, 0.0)),
            weight=xp.asarray(full.astype(np.float64)),
            block=(row[:, None] * (col[-1] + 1) + col[None, :]).ravel().astype(np.int32),
            geometry=geometry,
            factor=factor,
            xp=xp,
        )

    def without_odd_blocks(self, fit: RingFit) -> "AveragedImage":
        """Return the level without the blocks that no ring explains."""
        odd = np.abs(fit.odd) > ODD_BLOCK
        if not odd.any() or odd.mean() > 0.25:
            return self
        kept = ~odd[self.block].reshape(self.weight.shape)
        return replace(self, weight=self.xp.asarray(ensure_numpy(self.weight) * kept))

    def _values(self, center: tuple[float, float]) -> dict[str, float]:
        """Return the geometry of the averaged image; its rings are those of transmission."""
        values = {
            field.name: float(getattr(self.geometry, field.name))
            for field in fields(self.geometry)
            if field.name not in ("shape", "incident_angle_deg")
        }
        for name in ("row", "col"):
            values[f"pixel_{name}_m"] *= self.factor
        values["center_row_px"] = (center[0] + 0.5) / self.factor - 0.5
        values["center_col_px"] = (center[1] + 0.5) / self.factor - 0.5
        return values

    def fit(self, center: tuple[float, float], *, harmonics: int, gradient: bool = True) -> RingFit:
        """Return the rings about ``center``."""
        xp, shape = self.xp, tuple(self.level.shape)
        values = self._values(center)
        rings = self._rings(center)
        first = xp.jit(ring_equations, static_argnames=("shape", "rings", "harmonics", "xp"))
        sums = first(
            values, self.level, self.weight, shape=shape, rings=rings, harmonics=harmonics, xp=xp
        )
        normal, right, square = (ensure_numpy(one) for one in sums)
        solver, parameters = pseudo_inverse(normal)
        profile = np.einsum("kij,kj->ki", solver, right)
        rss = float(square - np.sum(profile * right))
        pixels = float(normal[:, 0, 0].sum())
        explained = float(square - right[:, 0].sum() ** 2 / max(pixels, 1.0)) - rss
        if not gradient:
            nothing = np.zeros(2)
            return RingFit(
                center=center,
                harmonics=harmonics,
                rss=rss,
                explained=explained,
                pixels=pixels,
                parameters=parameters,
                step=nothing,
                error_px=(np.inf, np.inf),
                odd=nothing,
            )
        second = xp.jit(center_sums, static_argnames=("shape", "rings", "harmonics", "xp"))
        slope = smooth_slope(profile[:, 0], normal[:, 0, 0])
        sums = second(
            values, self.weight, xp.asarray(slope), shape=shape, rings=rings,
            harmonics=harmonics, xp=xp,
        )  # fmt: skip
        eliminated = np.einsum("kij,akj->aki", solver, ensure_numpy(sums))
        third = xp.jit(block_sums, static_argnames=("shape", "rings", "harmonics", "blocks", "xp"))
        scores, curvature, mean, count = (
            ensure_numpy(one)
            for one in third(
                values,
                self.level,
                self.weight,
                xp.asarray(slope),
                xp.asarray(profile),
                xp.asarray(eliminated),
                xp.asarray(self.block),
                shape=shape,
                rings=rings,
                harmonics=harmonics,
                blocks=int(self.block[-1]) + 1,
                xp=xp,
            )
        )
        step, error = step_and_error(scores, curvature)
        return RingFit(
            center=center,
            harmonics=harmonics,
            rss=rss,
            explained=explained,
            pixels=pixels,
            parameters=parameters + 2,
            step=step * self.factor,
            error_px=(error[0] * self.factor, error[1] * self.factor),
            odd=_oddness(mean, count),
        )

    def _rings(self, center: tuple[float, float]) -> int:
        """Return a number of rings that no pixel lies beyond."""
        rows, cols = self.geometry.shape
        far = hypot(
            max(abs(center[0]), abs(rows - center[0])), max(abs(center[1]), abs(cols - center[1]))
        )
        swing = max(abs(self.geometry.swing_horizontal_deg), abs(self.geometry.swing_vertical_deg))
        pitch = (self.geometry.pixel_row_m, self.geometry.pixel_col_m)
        far *= max(pitch) / min(pitch)
        far += radians(swing) * self.geometry.distance_m / min(pitch) * 2
        return padded_length(ceil(far / self.factor) + 2)


def _oddness(
    mean: Float[np.ndarray, " block"], count: Float[np.ndarray, " block"]
) -> Float[np.ndarray, " block"]:
    """Return the mean residual of each block in robust standard deviations of a block."""
    scaled = mean * np.sqrt(count)
    whole = count > BLOCK
    if whole.sum() < 10:
        return np.zeros_like(scaled)
    spread = robust_spread(scaled[whole])
    return (scaled - np.median(scaled[whole])) / spread if spread > 0 else np.zeros_like(scaled)
