r"""Where the direct beam hits, from the pattern itself: its rings close about the beam.

The transmitted pattern is point-symmetric about the beam: along a ring of one scattering angle
it holds even harmonics of the azimuth only.  A wrong centre adds the odd ones, first of all
:math:`-P'(\rho)\,\partial\rho/\partial c`.  So the centre is where a profile of rings (and even
harmonics) explains most, found by least squares with the profile eliminated.  Nothing is
mirrored and nothing interpolated: masks, gaps and beams beyond the edge need no case of their
own, and a swung detector only changes :math:`\rho`.
"""

from dataclasses import dataclass
from math import ceil, hypot, isfinite

import numpy as np
from jaxtyping import Shaped

from napari_xpcs._typing import Mask
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import GeometryError
from napari_xpcs.kernels.beam_rings import BLOCK, AveragedImage, RingFit
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask import check_mask_shape
from napari_xpcs.progress import Progress, Steps

COARSE_SIDE = 96
"""Rows and columns of the image that whole neighbourhoods of centres are tried on."""
FINE_PIXELS = 2**19
"""Larger images are averaged over blocks: their number of pixels is more than enough."""
LEAST_GAIN = 1.5
"""Rings must explain this much more than as many free numbers explain of mere noise."""
WORST_ERROR_PX = 2.0
"""An answer that is less certain than this is none."""
EVEN_HARMONICS = 2
STEPS = 15
SETTLED_PX = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamCentre:
    """The direct beam at zero swing in pixel index, with one standard deviation, and how found."""

    row_px: float
    col_px: float
    row_err_px: float
    col_err_px: float
    how: str = ""

    def __str__(self) -> str:
        return (
            f"Beam at row {self.row_px:.2f} ± {self.row_err_px:.2f}, column {self.col_px:.2f} "
            f"± {self.col_err_px:.2f} px ({self.how})."
        )


def find_beam_centre(
    image: Shaped[np.ndarray, "row col"],
    mask: Mask,
    geometry: Geometry,
    *,
    reach_px: float,
    xp: BackendProtocol,
) -> Steps[BeamCentre]:
    r"""Find the centre about which ``image`` is made of rings, within ``reach_px`` of the start.

    Parameters
    ----------
    image
        Counts, best averaged over many frames.
    mask
        True = the pixel is used.  An unmasked shadow is left out where it stands out.
    geometry
        Its centre is where the search starts; it may lie off the detector.  Swings and pixel
        sizes shape the rings, the photon energy does not matter.
    reach_px
        Half the side of the square of centres that is searched.
    xp
        Backend to compute on.

    Raises
    ------
    GeometryError
        The pattern does not tell the centre, for lack of rings or of counts.

    Notes
    -----
    Counts enter as :math:`\sqrt{n + 3/8}`, whose scatter does not depend on :math:`n`
    (Anscombe, *Biometrika* 35, 246, 1948).  Each ring of one pixel has a level, a slope and, where
    the pattern asks for them, the harmonics 2 and 4; they are eliminated ring by ring, and what
    is left is two equations for the centre (variable projection; Golub and Pereyra, *SIAM J.
    Numer. Anal.* 10, 413, 1973).  The error is that of clustered residuals, so that speckle of
    several pixels counts once.
    """
    check_mask_shape(mask, geometry.shape)
    counts = np.where(mask, np.asarray(image, dtype=np.float64), 0.0)
    used = mask & np.isfinite(counts) & (counts >= 0)
    if int(used.sum()) < 10 * BLOCK:
        msg = f"Only {int(used.sum())} pixels are left to find the beam in: unmask the pattern."
        raise GeometryError(msg)
    if not np.ptp(counts[used]) > 0:
        msg = f"Every pixel holds {counts[used][0]:g}: there is no pattern to find the beam in."
        raise GeometryError(msg)
    counts = np.where(used, counts, 0.0)
    finest = ceil((counts.size / FINE_PIXELS) ** 0.5)
    factor = max(finest, ceil(max(counts.shape) / COARSE_SIDE))
    total = 3
    yield Progress(0, total, "coarse search")
    level = AveragedImage.of(counts, used, geometry, factor, xp)
    centers = yield from _coarse(level, geometry, reach_px)
    yield Progress(1, total, "refinement")
    tries = [_settle(level, center, harmonics=0) for center in centers]
    center = min(tries, key=lambda fit: fit.cost).center
    while factor > finest:
        factor = max(finest, factor // 2)
        level = AveragedImage.of(counts, used, geometry, factor, xp)
        center = _settle(level, center, harmonics=0).center
        yield Progress(1, total, "refinement")
    yield Progress(2, total, "last pixels")
    result = yield from _finish(level, center)
    if hypot(result.row_px - geometry.center_row_px, result.col_px - geometry.center_col_px) > (
        1.5 * reach_px + 2 * factor
    ):
        msg = (
            f"The pattern draws the centre out of reach, to row {result.row_px:.0f}, column "
            f"{result.col_px:.0f}. Place the cross nearer to the beam and try again."
        )
        raise GeometryError(msg)
    return result


def _finish(level: "AveragedImage", center: tuple[float, float]) -> Steps[BeamCentre]:
    """Leave out what is no part of the pattern, and choose between round and even rings."""
    round_ = _settle(level, center, harmonics=0)
    even = _settle(level, round_.center, harmonics=EVEN_HARMONICS)
    yield Progress(2, 3, "last pixels")
    chosen = even if _asks_for(round_, even) else round_
    trimmed = level.without_odd_blocks(chosen)
    if trimmed is not level:
        round_ = _settle(trimmed, chosen.center, harmonics=0)
        even = _settle(trimmed, chosen.center, harmonics=EVEN_HARMONICS)
        chosen = even if _asks_for(round_, even) else round_
    row_err, col_err = chosen.error_px
    if chosen.gain < LEAST_GAIN:
        msg = (
            "The image holds no rings that stand out of its noise, so it does not tell where the "
            "beam is. Average more frames, or fit a powder ring."
        )
        raise GeometryError(msg)
    if not (isfinite(row_err) and isfinite(col_err)) or max(row_err, col_err) > WORST_ERROR_PX:
        msg = (
            "The pattern does not tell where the beam is: its rings leave the centre uncertain "
            f"by {row_err:.2g} (row) and {col_err:.2g} (column) px. Average more frames, unmask "
            "more of the rings, or fit a powder ring."
        )
        raise GeometryError(msg)
    return BeamCentre(
        row_px=chosen.center[0],
        col_px=chosen.center[1],
        row_err_px=row_err,
        col_err_px=col_err,
        how="symmetry of the pattern" if chosen is even else "sharpness of its rings",
    )


def _asks_for(round_: "RingFit", even: "RingFit") -> bool:
    """Return whether even harmonics explain more, and the pattern tells the centre beside them."""
    more = even.parameters - round_.parameters
    if more <= 0 or not np.isfinite(even.error_px).all():
        return False
    gain = (round_.rss - even.rss) / more / even.cost
    return gain > 1.5 and max(even.error_px) < max(0.1, 3 * max(round_.error_px))


def _coarse(
    level: "AveragedImage", geometry: Geometry, reach_px: float
) -> Steps[list[tuple[float, float]]]:
    """Return the few best centres of a grid, whose points are about two coarse pixels apart."""
    count = min(max(ceil(reach_px / level.factor / 2), 2), 12)
    offsets = np.linspace(-reach_px, reach_px, 2 * count + 1)
    grid = [
        (geometry.center_row_px + down, geometry.center_col_px + across)
        for down in offsets
        for across in offsets
    ]
    costs = np.empty(len(grid))
    for position, center in enumerate(grid):
        costs[position] = level.fit(center, harmonics=0, gradient=False).cost
        if position % 25 == 0:
            yield Progress(0, 3, "coarse search")
    table = np.pad(costs.reshape(len(offsets), -1), 1, constant_values=np.inf)
    lowest = np.ones(costs.shape, dtype=bool).reshape(len(offsets), -1)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            rolled = np.roll(table, (down, across), (0, 1))[1:-1, 1:-1]
            lowest &= table[1:-1, 1:-1] <= rolled
    minima = np.flatnonzero(lowest)
    return [grid[index] for index in minima[np.argsort(costs[minima])][:4]]


def _settle(level: "AveragedImage", center: tuple[float, float], *, harmonics: int) -> "RingFit":
    """Return the fit at the nearest minimum, by damped Gauss-Newton steps."""
    best = level.fit(center, harmonics=harmonics)
    damping = 1.0
    for _ in range(STEPS):
        step = best.step * damping
        length = float(np.hypot(*step))
        if not isfinite(length):
            break
        step *= min(1.0, 3.0 * level.factor / max(length, 1e-9))
        tried = level.fit((best.center[0] + step[0], best.center[1] + step[1]), harmonics=harmonics)
        if tried.cost < best.cost:
            best, damping = tried, min(1.0, 2 * damping)
        else:
            damping /= 4
        if length * damping < SETTLED_PX * level.factor:
            break
    return best
