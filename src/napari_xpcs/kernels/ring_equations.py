"""Rings about one centre, and what they say of another: the equations of the beam search.

Each ring of one pixel has a level, a slope and, where the pattern asks for them, even harmonics;
they are eliminated ring by ring, and what is left is two equations for the centre.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import Array, ScalarLike
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.kernels.qmap import map_arrays


def _rings_of_pixels(
    values: Mapping[str, ScalarLike], *, shape: tuple[int, int], rings: int, xp: BackendProtocol
) -> tuple[Array, Array, Array]:
    """Return radius (pixels), number and azimuth (rad) of the ring that each pixel lies on."""
    wanted = ("two_theta_deg", "phi_deg")
    maps = map_arrays(values, shape=shape, convention="exact", names=wanted, xp=xp)
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


def ring_equations(
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


def center_sums(
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


def block_sums(
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


def pseudo_inverse(normal: Float[np.ndarray, "ring i j"]) -> tuple[np.ndarray, int]:
    """Return the inverse of each ring's matrix without what its few pixels leave open."""
    values, vectors = np.linalg.eigh(normal)
    firm = values > 1e-6 * np.maximum(normal[:, :1, 0], 1.0)
    inverse = np.where(firm, 1.0 / np.where(firm, values, 1.0), 0.0)
    return (vectors * inverse[:, None, :]) @ vectors.transpose(0, 2, 1), int(firm.sum())


def smooth_slope(
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


def step_and_error(
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
