"""Every step by a closed form, and what must hold for any list of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xpcs.backends import NumPyBackend, ensure_numpy
from napari_xpcs.errors import MaskError
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.mask_inputs import MaskInputs
from napari_xpcs.kernels.mask_of_steps import do_steps, mask_of_steps, needs_geometry
from napari_xpcs.kernels.mask_outliers import outlier_pixels
from napari_xpcs.kernels.mask_painting import paint
from napari_xpcs.kernels.mask_parameters import (
    Condition,
)
from napari_xpcs.kernels.mask_steps import (
    BeamStopStep,
    ConstraintStep,
    DefectsStep,
    FileStep,
    GapsStep,
    MorphologyStep,
    OutliersStep,
    PaintedStep,
    ShapesStep,
    SymmetryStep,
    ThresholdStep,
)
from napari_xpcs.kernels.packed_pixels import (
    pack_pixels,
)
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.kernels.regions import Region
from napari_xpcs.progress import run

SHAPE = (24, 36)
ROWS, COLS = np.mgrid[: SHAPE[0], : SHAPE[1]]
NUMPY = NumPyBackend()
GEOMETRY = Geometry(
    shape=SHAPE,
    energy_kev=10.0,
    distance_m=5.0,
    pixel_row_m=75e-6,
    pixel_col_m=75e-6,
    center_row_px=11.0,
    center_col_px=14.5,
)
MAPS = q_maps(GEOMETRY, xp=NUMPY)


def made(*steps, xp=NUMPY, **inputs):
    return mask_of_steps(steps, MaskInputs(shape=SHAPE, **inputs), xp=xp)


def painted(pixels):
    return PaintedStep(shape=SHAPE, masked=pack_pixels(pixels))


def pixel(row, col):
    marked = np.zeros(SHAPE, dtype=bool)
    marked[row, col] = True
    return marked


def test_no_step_leaves_every_pixel():
    assert made().mask.all()
    assert made().mask.shape == SHAPE


def test_threshold_of_an_image_and_of_the_maximum_of_a_run(xp):
    frames = np.full((4, *SHAPE), 5, dtype=np.uint16)
    frames[2, 3, 4] = 65535
    frames[:, 7, 8] = 1
    result = made(
        ThresholdStep(low=2.0), ThresholdStep(high=65535.0, of="maximum"), frames=frames, xp=xp
    )
    assert [outcome.removed for outcome in result.outcomes] == [1, 1]
    assert sorted(zip(*np.nonzero(~result.mask), strict=True)) == [(3, 4), (7, 8)]
    # What stands for "no value" in one frame does not lift the mean.
    assert result.statistics[100].mean[3, 4] == 5.0


def test_beam_stop_lies_at_the_beam_unless_told_otherwise():
    inside = (ROWS - 11.0) ** 2 + (COLS - 14.5) ** 2 <= 9.0
    at_beam = made(BeamStopStep(radius_px=3.0), center_px=(11.0, 14.5))
    np.testing.assert_array_equal(at_beam.mask, ~inside)
    typed = made(BeamStopStep(radius_px=3.0, center_row_px=11.0, center_col_px=14.5))
    np.testing.assert_array_equal(typed.mask, ~inside)
    with pytest.raises(MaskError, match="beam centre"):
        made(BeamStopStep())


def test_shapes_are_left_out_or_alone_kept(xp):
    square = Region(kind="rectangle", vertices=((2.0, 3.0), (2.0, 8.0), (6.0, 8.0), (6.0, 3.0)))
    inside = (ROWS >= 2) & (ROWS < 6) & (COLS >= 3) & (COLS < 8)
    np.testing.assert_array_equal(made(ShapesStep(shapes=(square,)), xp=xp).mask, ~inside)
    np.testing.assert_array_equal(made(ShapesStep(shapes=(square,), keep=True), xp=xp).mask, inside)
    outside = Region(kind="line", vertices=((-9.0, -9.0), (-5.0, -9.0)), width_px=2.0)
    with pytest.raises(MaskError, match="hold no pixel"):
        made(ShapesStep(shapes=(outside,)))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([Condition(axis="x", low=4.0, high=9.0)], (COLS >= 4) & (COLS <= 9)),
        ([Condition(axis="y", low=4.0, negate=True)], ROWS < 4),
        (
            [Condition(axis="x", high=4.0), Condition(axis="x", low=30.0, join="or")],
            (COLS <= 4) | (COLS >= 30),
        ),
        (
            # From the first on: (x and y) or x.
            [
                Condition(axis="x", high=9.0),
                Condition(axis="y", high=3.0),
                Condition(axis="x", low=30.0, join="or"),
            ],
            ((COLS <= 9) & (ROWS <= 3)) | (COLS >= 30),
        ),
        ([Condition(axis="x", high=9.0, join="or")], COLS <= 9),
    ],
)
def test_conditions_are_joined_in_their_order(conditions, expected, xp):
    result = made(ConstraintStep(conditions=tuple(conditions)), xp=xp)
    np.testing.assert_array_equal(result.mask, expected)


def test_phi_wraps_at_180(xp):
    phi = ensure_numpy(MAPS.phi_deg)
    result = made(
        ConstraintStep(conditions=(Condition(axis="phi", low=150.0, high=-150.0),)),
        maps=MAPS,
        xp=xp,
    )
    np.testing.assert_array_equal(result.mask, np.abs(phi) >= 150)
    whole = made(
        ConstraintStep(conditions=(Condition(axis="phi", low=-180.0, high=180.0),)), maps=MAPS
    )
    assert whole.mask.all()


@settings(max_examples=25, deadline=None)
@given(
    axis=st.sampled_from(["q", "phi", "x", "y", "qx", "qy", "tth"]),
    parts=st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)),
)
def test_not_is_the_complement_within_the_detector(axis, parts):
    values = {"q": MAPS.q, "phi": MAPS.phi_deg, "x": COLS, "y": ROWS, "qx": MAPS.qx}
    values |= {"qy": MAPS.qy, "tth": MAPS.two_theta_deg}
    low, high = sorted(np.quantile(ensure_numpy(values[axis]), parts))
    plain, negated = (
        run(
            do_steps(
                [
                    ConstraintStep(
                        conditions=(
                            Condition(axis=axis, low=float(low), high=float(high), negate=no),
                        )
                    )
                ],
                MaskInputs(shape=SHAPE, maps=MAPS),
                xp=NUMPY,
            )
        )
        for no in (False, True)
    )
    if not any(result.outcomes[0].fault for result in (plain, negated)):
        np.testing.assert_array_equal(plain.mask, ~negated.mask)


def test_grow_counts_the_pixels_of_a_disc():
    dot = painted(pixel(10, 10))
    for distance, count in ((1, 5), (2, 13), (3, 29)):
        result = made(dot, MorphologyStep(operation="grow", pixels=distance))
        assert (~result.mask).sum() == count
        assert result.outcomes[1].removed == count - 1
    back = made(dot, MorphologyStep(pixels=3), MorphologyStep(operation="shrink", pixels=3))
    np.testing.assert_array_equal(~back.mask, pixel(10, 10))


def test_specks_islands_open_and_close():
    marked = np.zeros(SHAPE, dtype=bool)
    marked[2:8, 2:8] = True
    marked[4, 4] = False
    marked[15, 20:22] = True
    clean = made(painted(marked), MorphologyStep(operation="remove specks", pixels=3))
    assert clean.mask[15, 20:22].all()
    assert clean.outcomes[1].returned == 2
    filled = made(painted(marked), MorphologyStep(operation="remove islands", pixels=2))
    assert not filled.mask[4, 4]
    assert made(painted(marked), MorphologyStep(operation="open", pixels=1)).mask[15, 20]
    assert not made(painted(marked), MorphologyStep(operation="close", pixels=1)).mask[4, 4]


@settings(max_examples=25, deadline=None)
@given(
    dots=st.lists(st.tuples(st.integers(0, 23), st.integers(0, 35)), min_size=1, max_size=9),
    row=st.floats(-5, 30),
    col=st.floats(-5, 40),
)
def test_symmetric_copy_twice_is_once(dots, row, col):
    marked = np.zeros(SHAPE, dtype=bool)
    marked[tuple(np.transpose(dots))] = True
    step = SymmetryStep(center_row_px=row, center_col_px=col)
    once = made(painted(marked), step)
    np.testing.assert_array_equal(made(painted(marked), step, step).mask, once.mask)
    expected = marked.copy()
    for y, x in dots:
        opposite = round(2 * row) - y, round(2 * col) - x
        if 0 <= opposite[0] < SHAPE[0] and 0 <= opposite[1] < SHAPE[1]:
            expected[opposite] = True
    np.testing.assert_array_equal(~once.mask, expected)


STEPS = st.lists(
    st.sampled_from(
        [
            ThresholdStep(low=3.0, high=200.0),
            ConstraintStep(conditions=(Condition(axis="x", low=3.0, high=30.0),)),
            MorphologyStep(operation="grow", pixels=2),
            MorphologyStep(operation="shrink", pixels=1),
            SymmetryStep(),
            BeamStopStep(radius_px=4.0),
            painted(pixel(3, 4)),
        ]
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, off=st.integers(0, 5))
def test_a_step_off_and_on_again_restores_the_mask_exactly(steps, off):
    image = np.random.default_rng(1).poisson(20.0, SHAPE).astype(float)
    inputs = MaskInputs(shape=SHAPE, image=image, maps=MAPS, center_px=(11.0, 14.5))

    def done(steps, previous=None):
        return run(do_steps(tuple(steps), inputs, xp=NUMPY, previous=previous))

    first = done(steps)
    without = list(steps)
    if off < len(steps):
        step = steps[off]
        values = {name: getattr(step, name) for name in step.parameters()}
        without[off] = type(step)(enabled=False, **values)
    switched = done(without, first)
    left_out = done([step for step in without if step.enabled])
    np.testing.assert_array_equal(switched.mask, left_out.mask)
    again = done(steps, switched)
    np.testing.assert_array_equal(again.mask, first.mask)
    assert again.outcomes == first.outcomes


def test_gaps_are_the_lines_without_a_value():
    image = np.full(SHAPE, 7.0)
    image[10:12] = -1
    image[:, 20] = np.nan
    image[3, 4] = np.nan
    result = made(GapsStep(), image=image)
    expected = (ROWS == 10) | (ROWS == 11) | (COLS == 20)
    np.testing.assert_array_equal(~result.mask, expected)
    wide = made(GapsStep(margin_px=1), image=image)
    expected = (ROWS >= 9) & (ROWS <= 12) | (COLS >= 19) & (COLS <= 21)
    np.testing.assert_array_equal(~wide.mask, expected)
    with pytest.raises(MaskError, match="mask every pixel"):
        made(GapsStep(margin_px=10**10), image=image)
    image = np.full(SHAPE, 7.0)
    image[10] = 0.0
    assert (~made(GapsStep(value=0.0), image=image).mask).sum() == SHAPE[1]
    known = np.zeros(SHAPE, dtype=bool)
    known[:, 5] = True
    assert (~made(painted(known), GapsStep(margin_px=2)).mask).sum() == 5 * SHAPE[0]


def test_outliers_of_a_ring_by_hand():
    """Two rings: 1..9 has median 5 and deviation 2, so that 25 is 10 deviations away."""
    image = np.zeros((1, 20))
    image[0, :10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 25]
    image[0, 10:] = 3.0
    q = np.concatenate([np.zeros(10), np.ones(10)])[None, :]
    maps = q_maps(GEOMETRY, xp=NUMPY)
    maps = type(maps)(q=q, phi_deg=q, two_theta_deg=q, qx=q, qy=q)
    inputs = MaskInputs(shape=(1, 20), image=image, maps=maps)

    def found(**options):
        return np.flatnonzero(
            ~mask_of_steps([OutliersStep(rings=2, **options)], inputs, xp=NUMPY).mask
        ).tolist()

    # Median 5.5, deviations .5 .5 1.5 1.5 2.5 2.5 3.5 3.5 4.5 19.5: their median is 2.5.
    assert found(cutoff=7.8) == [9]
    assert found(cutoff=7.81) == []
    # Within the 5 and 95 % percentiles lie 2 to 9: mean 5.5, deviation sqrt(5.25).
    cutoff = 19.5 / 5.25**0.5
    assert found(rule="percentile", cutoff=cutoff - 1e-9) == [9]
    assert found(rule="percentile", cutoff=cutoff + 1e-9) == []


def test_two_pixels_of_a_ring_tell_no_outlier():
    image = np.array([[1.0, 50.0, 3.0, 4.0]])
    regions = np.array([[1, 1, 2, 2]])
    for rule in ("percentile", "mad"):
        steps = outlier_pixels(image, regions, np.ones((1, 4), dtype=bool), rule, 1.5)
        assert not run(steps).any()


def test_tiles_leave_the_remainder_and_what_counts_nothing():
    image = np.tile(np.arange(1.0, 37.0), (24, 1)) * 0 + 5.0 + (ROWS + COLS) % 2
    image[3, 3] = image[23, 35] = 1000.0
    image[4, 4] = 0.0
    result = made(
        OutliersStep(within="tile", tile_px=10, rule="percentile", cutoff=9.0), image=image
    )
    assert np.argwhere(~result.mask).tolist() == [[3, 3]]


@pytest.mark.parametrize("sample", [0, 40])
def test_dead_and_hot_pixels_and_no_others_are_found(sample):
    frames = np.random.default_rng(7).poisson(2.0, (120, *SHAPE)).astype(np.uint16)
    frames[:, 3, 3] = 0
    frames[:, 9, 20] = 40
    frames[::4, 15, 30] += 30
    frames[:, 20, 5] = 65535
    result = made(DefectsStep(frames=sample), frames=frames)
    assert np.argwhere(~result.mask).tolist() == [[3, 3], [9, 20], [15, 30], [20, 5]]
    assert result.outcomes[0].note == ""
    only_dead = made(DefectsStep(frames=sample, hot=False), frames=frames)
    assert np.argwhere(~only_dead.mask).tolist() == [[3, 3], [20, 5]]


def test_empty_surroundings_do_not_hide_a_hot_pixel_and_few_counts_are_told():
    frames = np.zeros((50, *SHAPE), np.uint16)
    frames[:, 9, 20] = 5
    result = made(DefectsStep(dead=False), frames=frames)
    assert np.argwhere(~result.mask).tolist() == [[9, 20]]
    result = made(DefectsStep(), frames=np.random.default_rng(0).poisson(0.05, (50, *SHAPE)))
    assert "look at more frames" in result.outcomes[0].note
    with pytest.raises(MaskError, match="More than half of the pixels counted nothing in 50"):
        made(DefectsStep(), frames=frames)


def test_what_cannot_be_done_is_told_and_left_out():
    steps = (
        ThresholdStep(low=1e9),
        OutliersStep(),
        DefectsStep(),
        PaintedStep(shape=(3, 4)),
        FileStep(path="mask.npy"),
        BeamStopStep(radius_px=2.0, center_row_px=5.0, center_col_px=5.0),
    )
    result = run(do_steps(steps, MaskInputs(shape=SHAPE, image=np.ones(SHAPE)), xp=NUMPY))
    faults = [outcome.fault for outcome in result.outcomes]
    assert "mask every pixel" in faults[0]
    assert "geometry is not known" in faults[1]
    assert "frames of a run" in faults[2]
    assert "painted on 3 x 4 pixels" in faults[3]
    assert "cannot be read" in faults[4]
    assert faults[5] == ""
    assert (~result.mask).sum() == 13
    with pytest.raises(MaskError, match=r"Mask step 1 \(Threshold\): This would mask"):
        made(*steps, image=np.ones(SHAPE))


def test_painting_and_erasing_on_top_of_other_steps():
    before = ~pixel(5, 5)
    step = PaintedStep(shape=SHAPE)
    changed = pixel(5, 5) | pixel(6, 6)
    step = paint(step, changed, pixel(6, 6), before=before, shape=SHAPE)
    result = made(painted(pixel(5, 5)), step)
    np.testing.assert_array_equal(~result.mask, pixel(6, 6))
    assert (result.outcomes[1].removed, result.outcomes[1].returned) == (1, 1)
    # Undone: what the steps before leave is there again, and nothing is kept.
    undone = paint(step, changed, pixel(5, 5), before=before, shape=SHAPE)
    assert (undone.masked, undone.used) == ("", "")


def test_what_the_first_steps_made_is_not_made_again():
    frames = np.ones((4, *SHAPE), np.uint16)
    frames[:, 2, 2] = 0
    inputs = MaskInputs(shape=SHAPE, frames=frames)
    steps = (DefectsStep(hot=False), MorphologyStep())
    first = run(do_steps(steps, inputs, xp=NUMPY))
    frames[:] = 0  # whoever read them again would mask everything
    second = run(do_steps((*steps, MorphologyStep()), inputs, xp=NUMPY, previous=first))
    assert second.after[0] is first.after[0]
    assert (~second.mask).sum() == 13


SECTOR = Region(kind="sector", q_range=(0.001, 0.01), phi_range_deg=(0.0, 90.0))
SQUARE = Region(kind="rectangle", vertices=((0.0, 0.0), (0.0, 5.0), (5.0, 5.0), (5.0, 0.0)))


@pytest.mark.parametrize(
    ("step", "needed"),
    [
        (ConstraintStep(conditions=(Condition(axis="x", low=1.0, high=2.0),)), False),
        (
            ConstraintStep(
                conditions=(
                    Condition(axis="y", low=1.0, high=2.0),
                    Condition(axis="phi", low=0.0, high=9.0),
                )
            ),
            True,
        ),
        (OutliersStep(within="ring"), True),
        (OutliersStep(within="tile"), False),
        (ShapesStep(shapes=(SQUARE,)), False),
        (ShapesStep(shapes=(SQUARE, SECTOR)), True),
        (SymmetryStep(), True),
        (SymmetryStep(center_row_px=3.0, center_col_px=4.0), False),
        (BeamStopStep(radius_px=3.0, center_row_px=3.0), True),
        (BeamStopStep(radius_px=3.0, center_row_px=3.0, center_col_px=4.0), False),
        (ThresholdStep(high=9.0), False),
    ],
)
def test_which_steps_a_new_geometry_changes(step, needed):
    assert needs_geometry(step) is needed
