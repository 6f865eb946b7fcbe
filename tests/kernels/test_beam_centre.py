"""Centres of simulated patterns are found within 0.05 px; unknown ones are not invented."""

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import GeometryError
from napari_xpcs.kernels.beam_centre import find_beam_centre
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.progress import run

NUMPY = NumPyBackend()
SHAPE = (160, 190)
CENTER = (75.3, 88.7)
TOLERANCE_PX = 0.05


def geometry(center, **values):
    given = {"energy_kev": 10.0, "distance_m": 5.0, "pixel_row_m": 75e-6, "pixel_col_m": 75e-6}
    return Geometry(
        shape=SHAPE, center_row_px=center[0], center_col_px=center[1], **(given | values)
    )


def pattern(geometry, *, level, rings=False, anisotropy=0.0, seed=0):
    """Poisson counts of a small-angle pattern or of powder rings, one azimuth brighter."""
    maps = q_maps(geometry, xp=NUMPY)
    radius = np.deg2rad(maps.two_theta_deg) * geometry.distance_m / 75e-6
    mean = level / (1 + (radius / 25) ** 2) ** 1.5
    if rings:
        at = (38, 69, 107, 164, 245, 330)
        mean = 0.2 * level + sum(level * np.exp(-0.5 * ((radius - r) / 2) ** 2) for r in at)
    mean = mean * (1 + anisotropy * np.cos(2 * np.deg2rad(maps.phi_deg - 30)))
    return np.random.default_rng(seed).poisson(mean).astype(float)


def stop_and_gaps(center):
    """A round beam stop on its holder, and gaps between modules: nothing of it symmetric."""
    rows, cols = np.indices(SHAPE)
    used = np.hypot(rows - center[0] - 2, cols - center[1] + 1) > 10
    used &= ~((cols > center[1]) & (np.abs(rows - center[0] - 5) < 4))
    used[SHAPE[0] // 3 : SHAPE[0] // 3 + 9] = False
    used[:, 126:130] = False
    return used


def found(image, mask, start, *, reach=16.0, xp=NUMPY):
    return run(find_beam_centre(image, mask, start, reach_px=reach, xp=xp))


def off(result, center):
    return max(abs(result.row_px - center[0]), abs(result.col_px - center[1]))


@pytest.mark.parametrize(
    ("center", "start", "options", "swing"),
    [
        (CENTER, (66.0, 101.0), {"level": 1e4}, {}),
        (CENTER, (81.0, 82.0), {"level": 2e4, "anisotropy": 0.5}, {}),
        (CENTER, (72.0, 94.0), {"level": 2e3, "rings": True}, {"pixel_row_m": 1e-4}),
        (
            CENTER,
            (69.0, 94.0),
            {"level": 2e3, "rings": True},
            {"distance_m": 0.1, "swing_horizontal_deg": 6.0, "swing_vertical_deg": -3.0},
        ),
        ((3.3, 88.7), (9.0, 94.0), {"level": 2e4}, {}),
        ((2.2, -6.4), (10.0, 4.0), {"level": 2e4, "rings": True}, {}),
        ((-25.35, 88.7), (-13.0, 98.0), {"level": 2e5}, {}),
        ((-44.3, -31.7), (-38.0, -38.0), {"level": 2e4, "rings": True}, {}),
    ],
    ids=["inside", "even", "oblong", "swung", "edge", "corner", "outside", "far outside"],
)
def test_true_centre_is_found_beside_a_beam_stop(center, start, options, swing):
    image = pattern(geometry(center, **swing), **options)
    mask = stop_and_gaps(center)
    result = found(np.where(mask, image, 0.0), mask, geometry(start, **swing))
    assert off(result, center) < TOLERANCE_PX
    assert max(result.row_err_px, result.col_err_px) < TOLERANCE_PX


def test_both_backends_find_the_same(xp):
    center = (60.2, 70.9)
    image = pattern(geometry(center), level=1e3)[::2, ::2]
    small = Geometry(
        shape=image.shape,
        energy_kev=10.0,
        distance_m=5.0,
        pixel_row_m=15e-5,
        pixel_col_m=15e-5,
        center_row_px=28.0,
        center_col_px=37.0,
    )
    results = [
        run(find_beam_centre(image, image >= 0, small, reach_px=8.0, xp=backend))
        for backend in (xp, NUMPY)
    ]
    assert off(results[0], (30.1, 35.45)) < 0.1
    assert results[0].row_px == pytest.approx(results[1].row_px, abs=1e-3)


def test_the_stated_error_is_that_of_repeated_measurements():
    center = CENTER
    mask = stop_and_gaps(center)
    pulls = []
    for seed in range(6):
        result = found(
            pattern(geometry(center), level=100.0, seed=seed), mask, geometry(center), reach=4.0
        )
        pulls.append((result.row_px - center[0]) / result.row_err_px)
        pulls.append((result.col_px - center[1]) / result.col_err_px)
    assert 0.6 < np.std(pulls) < 1.5


def test_shadow_that_nobody_masked_is_left_out():
    center = CENTER
    image = pattern(geometry(center), level=2e4, rings=True)
    rows, cols = np.indices(SHAPE)
    shadow = (cols > 94) & (np.abs(rows - 63) < 8)
    result = found(np.where(shadow, 0.0, image), np.ones(SHAPE, bool), geometry((72.0, 94.0)))
    assert off(result, center) < TOLERANCE_PX


@pytest.mark.parametrize("counts", [np.zeros(SHAPE), np.full(SHAPE, 7.0)])
def test_flat_image_tells_no_centre(counts):
    with pytest.raises(GeometryError, match="no pattern"):
        found(counts, np.ones(SHAPE, bool), geometry((63.0, 63.0)))


def test_noise_tells_no_centre():
    counts = np.random.default_rng(1).poisson(3.0, SHAPE).astype(float)
    with pytest.raises(GeometryError, match="no rings that stand out"):
        found(counts, np.ones(SHAPE, bool), geometry((63.0, 63.0)))


def test_masked_out_image_is_refused():
    with pytest.raises(GeometryError, match="Only 0 pixels"):
        found(np.ones(SHAPE), np.zeros(SHAPE, bool), geometry((63.0, 63.0)))
