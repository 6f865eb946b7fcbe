r"""Rings about one centre, and what they say of another: the equations of the beam search.

Each ring of one pixel has a level, a slope and, where the pattern asks for them, even harmonics;
they are eliminated ring by ring, and what is left is two equations for the centre.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import ceil, hypot, radians

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import Array, Mask, ScalarLike
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.padding import padded_length
from napari_xpcs.kernels.qmap import map_arrays
from napari_xpcs.kernels.robust import MAD_TO_SIGMA

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
        first = xp.jit(_ring_equations, static_argnames=("shape", "rings", "harmonics", "xp"))
        sums = first(
            values, self.level, self.weight, shape=shape, rings=rings, harmonics=harmonics, xp=xp
        )
        normal, right, square = (ensure_numpy(one) for one in sums)
        solver, parameters = _pseudo_inverse(normal)
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
        second = xp.jit(_center_sums, static_argnames=("shape", "rings", "harmonics", "xp"))
        slope = _smooth_slope(profile[:, 0], normal[:, 0, 0])
        sums = second(
            values, self.weight, xp.asarray(slope), shape=shape, rings=rings,
            harmonics=harmonics, xp=xp,
        )  # fmt: skip
        eliminated = np.einsum("kij,akj->aki", solver, ensure_numpy(sums))
        third = xp.jit(_block_sums, static_argnames=("shape", "rings", "harmonics", "blocks", "xp"))
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
        step, error = _step_and_error(scores, curvature)
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


def _rings_of_pixels(
    values: Mapping[str, ScalarLike], *, shape: tuple[int, int], rings: int, xp: BackendProtocol
) -> tuple[Array, Array, Array]:
    """Return radius (pixels), number and azimuth (rad) of the ring that each pixel lies on."""
    maps = map_arrays(values, shape=shape, convention="exact", xp=xp)
    pitch = xp.minimum(values["pixel_row_m"], values["pixel_col_m"])
    radius = xp.deg2rad(maps["two_theta_deg"]) * (values["distance_m"] / pitch)
    number = xp.astype(xp.clip(xp.floor(radius), 0, rings - 1), xp.int32)
    return radius, number, xp.deg2rad(maps["phi_deg"])


def _ring_functions(
    values: Mapping[str, ScalarLike],
    *,
    shape: tuple[int, int],
    rings: int,
    harmonics: int,
    xp: BackendProtocol,
) -> tuple[Array, Array, list[Array]]:
    """Return radius and ring of each pixel, and there the functions of its ring.

    These are level, slope and even harmonics.
    """
    radius, number, phi = _rings_of_pixels(values, shape=shape, rings=rings, xp=xp)
    basis = [xp.ones_like(radius), radius - number - 0.5]
    for harmonic in range(2, 2 * harmonics + 1, 2):
        basis += [xp.cos(harmonic * phi), xp.sin(harmonic * phi)]
    return radius, number, basis


def _ring_equations(
    values: Mapping[str, ScalarLike],
    level: Float[Array, "row col"],
    weight: Float[Array, "row col"],
    *,
    shape: tuple[int, int],
    rings: int,
    harmonics: int,
    xp: BackendProtocol,
) -> tuple[Array, Array, Array]:
    """Return normal matrix and right side of every ring, and the sum of squares."""
    _, number, basis = _ring_functions(values, shape=shape, rings=rings, harmonics=harmonics, xp=xp)
    flat = xp.ravel(number)

    def total(pixels: Array) -> Array:
        return xp.bincount(flat, weights=xp.ravel(pixels), length=rings)

    upper = {
        (i, j): total(weight * basis[i] * basis[j])
        for i in range(len(basis))
        for j in range(i, len(basis))
    }
    rows = [
        xp.stack([upper[min(i, j), max(i, j)] for j in range(len(basis))], axis=1)
        for i in range(len(basis))
    ]
    right = xp.stack([total(weight * level * one) for one in basis], axis=1)
    return xp.stack(rows, axis=1), right, xp.sum(weight * level * level)


def _gradient(
    values: Mapping[str, ScalarLike],
    slope: Float[Array, " ring"],
    radius: Array,
    number: Array,
    *,
    shape: tuple[int, int],
    rings: int,
    xp: BackendProtocol,
) -> list[Array]:
    """Return the change of the profile at each pixel with the row and the column of the beam."""
    tiny = 1e-3
    at_pixel = xp.take(slope, number)
    changes = []
    for name in ("center_row_px", "center_col_px"):
        moved = {**values, name: values[name] + tiny}
        farther, _, _ = _rings_of_pixels(moved, shape=shape, rings=rings, xp=xp)
        changes.append(at_pixel * (farther - radius) / tiny)
    return changes


def _center_sums(
    values: Mapping[str, ScalarLike],
    weight: Float[Array, "row col"],
    slope: Float[Array, " ring"],
    *,
    shape: tuple[int, int],
    rings: int,
    harmonics: int,
    xp: BackendProtocol,
) -> Array:
    """Return how much of the two gradients the functions of each ring can take up."""
    radius, number, basis = _ring_functions(
        values, shape=shape, rings=rings, harmonics=harmonics, xp=xp
    )
    flat = xp.ravel(number)
    return xp.stack(
        [
            xp.stack(
                [
                    xp.bincount(flat, weights=xp.ravel(weight * one * change), length=rings)
                    for one in basis
                ],
                axis=1,
            )
            for change in _gradient(values, slope, radius, number, shape=shape, rings=rings, xp=xp)
        ]
    )


def _block_sums(
    values: Mapping[str, ScalarLike],
    level: Float[Array, "row col"],
    weight: Float[Array, "row col"],
    slope: Float[Array, " ring"],
    profile: Float[Array, "ring function"],
    eliminated: Float[Array, "2 ring function"],
    block: Int[Array, " pixel"],
    *,
    shape: tuple[int, int],
    rings: int,
    harmonics: int,
    blocks: int,
    xp: BackendProtocol,
) -> tuple[Array, Array, Array, Array]:
    """Return per block: scores (2,), curvature (3,) of the centre, mean residual, pixels."""
    radius, number, basis = _ring_functions(
        values, shape=shape, rings=rings, harmonics=harmonics, xp=xp
    )

    def explained(table: Array) -> Array:
        return sum(one * xp.take(table[:, i], number) for i, one in enumerate(basis))

    def total(pixels: Array) -> Array:
        return xp.bincount(block, weights=xp.ravel(weight * pixels), length=blocks)

    residual = level - explained(profile)
    free = [
        change - explained(eliminated[axis])
        for axis, change in enumerate(
            _gradient(values, slope, radius, number, shape=shape, rings=rings, xp=xp)
        )
    ]
    scores = xp.stack([total(residual * one) for one in free])
    curvature = xp.stack(
        [total(free[0] * free[0]), total(free[0] * free[1]), total(free[1] * free[1])]
    )
    count = total(xp.ones_like(residual))
    return scores, curvature, total(residual) / xp.maximum(count, 1.0), count


def _pseudo_inverse(normal: Float[np.ndarray, "ring i j"]) -> tuple[np.ndarray, int]:
    """Return the inverse of each ring's matrix without what its few pixels leave open."""
    values, vectors = np.linalg.eigh(normal)
    firm = values > 1e-6 * np.maximum(normal[:, :1, 0], 1.0)
    inverse = np.where(firm, 1.0 / np.where(firm, values, 1.0), 0.0)
    return (vectors * inverse[:, None, :]) @ vectors.transpose(0, 2, 1), int(firm.sum())


def _smooth_slope(
    profile: Float[np.ndarray, " ring"], pixels: Float[np.ndarray, " ring"]
) -> Float[np.ndarray, " ring"]:
    """Return dP/drho of the profile smoothed over a few rings."""
    offsets = np.arange(-4, 5)
    shape = np.exp(-0.5 * (offsets / 1.2) ** 2)
    weight = np.convolve(pixels, shape, "same")
    smooth = np.convolve(profile * pixels, shape, "same") / np.maximum(weight, 1e-12)
    known = weight > 0.5
    if not known.any():
        return np.zeros_like(profile)
    place = np.arange(len(profile))
    return np.gradient(np.interp(place, place[known], smooth[known]))


def _step_and_error(
    scores: Float[np.ndarray, "2 block"], curvature: Float[np.ndarray, "3 block"]
) -> tuple[Float[np.ndarray, " 2"], tuple[float, float]]:
    """Return the Gauss-Newton step and the error from the scatter of the blocks' scores."""
    a, b, c = curvature.sum(axis=1)
    if not np.isfinite([a, b, c]).all() or a * c - b * b <= 1e-12 * max(a, c) ** 2:
        return np.full(2, np.nan), (np.inf, np.inf)
    inverse = np.array([[c, -b], [-b, a]]) / (a * c - b * b)
    step = inverse @ scores.sum(axis=1)
    # What is left at the minimum is scatter; before it, the common part is the step itself.
    left = scores - np.stack(
        [
            curvature[0] * step[0] + curvature[1] * step[1],
            curvature[1] * step[0] + curvature[2] * step[1],
        ]
    )
    covariance = inverse @ (left @ left.T) @ inverse
    return step, (float(np.sqrt(covariance[0, 0])), float(np.sqrt(covariance[1, 1])))


def _oddness(
    mean: Float[np.ndarray, " block"], count: Float[np.ndarray, " block"]
) -> Float[np.ndarray, " block"]:
    """Return the mean residual of each block in robust standard deviations of a block."""
    scaled = mean * np.sqrt(count)
    whole = count > BLOCK
    if whole.sum() < 10:
        return np.zeros_like(scaled)
    middle = np.median(scaled[whole])
    spread = MAD_TO_SIGMA * np.median(np.abs(scaled[whole] - middle))
    return (scaled - middle) / spread if spread > 0 else np.zeros_like(scaled)
