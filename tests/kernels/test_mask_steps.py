"""Steps as dicts come back as they were, and what is no step is told by its key."""

import json

import numpy as np
import pytest

from napari_xpcs.errors import MaskError
from napari_xpcs.kernels.mask_parameters import (
    Condition,
)
from napari_xpcs.kernels.mask_step_dicts import read_steps, steps_to_dicts
from napari_xpcs.kernels.mask_steps import (
    STEP_KINDS,
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
    unpack_pixels,
)
from napari_xpcs.kernels.regions import Region

EVERY_KIND = (
    FileStep(path="bad.tif", ones="bad"),
    ThresholdStep(low=0.0, high=4095.0),
    ShapesStep(
        keep=True,
        shapes=(
            Region(kind="polygon", vertices=((0.0, 1.5), (3.0, 4.0), (7.0, 2.0))),
            Region(kind="line", vertices=((0.0, 0.0), (9.0, 9.0)), width_px=3.0),
        ),
    ),
    ConstraintStep(
        conditions=(
            Condition(axis="q", low=0.01),
            Condition(axis="phi", low=150.0, high=-150.0, negate=True, join="or"),
        )
    ),
    DefectsStep(hot=False, frames=0),
    OutliersStep(within="tile", rule="percentile", cutoff=3.0),
    MorphologyStep(operation="remove specks", pixels=4),
    GapsStep(margin_px=1),
    SymmetryStep(center_row_px=3.0, center_col_px=4.5),
    BeamStopStep(enabled=False, radius_px=7.5),
    PaintedStep(shape=(3, 5), masked=pack_pixels(np.eye(3, 5, dtype=bool)), source="by hand"),
)


def test_every_kind_comes_back_from_json():
    assert {type(step) for step in EVERY_KIND} == set(STEP_KINDS.values())
    text = json.dumps(steps_to_dicts(EVERY_KIND))
    assert read_steps(json.loads(text)) == EVERY_KIND


def test_what_is_left_out_has_its_default():
    assert read_steps([{"kind": "outliers"}]) == (OutliersStep(),)
    assert read_steps([{"kind": "threshold", "low": 1}]) == (ThresholdStep(low=1.0),)


def flat_box(numbers):
    return {"kind": "rectangle", "vertices": [[1] * numbers] * 4}


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"kind": "gaps"}, "list of mask steps, got dict"),
        (["gaps"], r"steps\[0\]: expected keys and values"),
        ([{"kind": "gaps"}, {"kind": "magic"}], r"steps\[1\].kind: expected one of file, "),
        ([{"kind": "gaps", "margin": 3}], r"steps\[0\].margin: a gaps step has enabled, value"),
        ([{"kind": "gaps", "margin_px": 1.5}], r"steps\[0\].margin_px: expected a whole number"),
        ([{"kind": "gaps", "margin_px": -1}], r"steps\[0\].margin_px: .* 0 or more, got -1"),
        ([{"kind": "gaps", "enabled": 1}], r"steps\[0\].enabled: expected true or false, got 1"),
        ([{"kind": "outliers", "rule": "magic"}], r"steps\[0\].rule: expected one of mad, perc"),
        ([{"kind": "threshold"}], r"steps\[0\]: threshold: give low, high, or both"),
        ([{"kind": "threshold", "low": 5, "high": 5}], "low must be below high, got 5 and 5"),
        ([{"kind": "threshold", "low": float("nan")}], r"low: expected a finite number, got nan"),
        ([{"kind": "threshold", "low": "1"}], r"low: expected a number, got '1'"),
        ([{"kind": "file"}], "name the file"),
        ([{"kind": "constraint"}], "at least one condition"),
        ([{"kind": "constraint", "conditions": "q"}], r"conditions: expected a list, got 'q'"),
        (
            [{"kind": "constraint", "conditions": [{"axis": "q", "from": 1}]}],
            "entry 0: expected the keys axis, high, join, low, negate",
        ),
        ([{"kind": "constraint", "conditions": [{"axis": "z", "low": 1}]}], "one of q, phi, x"),
        ([{"kind": "constraint", "conditions": [{"axis": "q"}]}], "q needs low, high, or both"),
        (
            [{"kind": "constraint", "conditions": [{"axis": "q", "low": 2, "high": 1}]}],
            "q from 2 to 1 is empty; only phi wraps",
        ),
        ([{"kind": "shapes", "shapes": []}], "at least one shape"),
        ([{"kind": "shapes", "shapes": [{"kind": "star"}]}], "shapes: expected one of rectangle"),
        ([{"kind": "shapes", "shapes": [{"kind": "line"}]}], "this is no shape"),
        ([{"kind": "painted", "shape": [3]}], "shape: expected rows and columns"),
        ([{"kind": "threshold", "low": 10**400}], "low: expected a finite number"),
        ([{"kind": "beam-stop", "radius_px": 1e300}], "radius_px: expected a finite number"),
        ([{"kind": "shapes", "shapes": [flat_box(3)]}], "no shape"),
        ([{"kind": "shapes", "shapes": [{**flat_box(2), "width_px": 1e300}]}], "must be finite"),
        ([{"kind": "shapes", "shapes": [{**flat_box(2), "width_px": 10**400}]}], "no shape"),
        ([{"kind": "shapes", "shapes": [{"kind": "sector", "q_range": [1]}]}], "no shape"),
        ([{"kind": "shapes", "shapes": [{"kind": "sector", "q_range": [0, 1, 2]}]}], "no shape"),
    ],
)
def test_faults_name_the_key(entries, told):
    with pytest.raises(MaskError, match=told):
        read_steps(entries)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16), (31, 7)])
def test_pixels_come_back_from_text(shape):
    pixels = np.random.default_rng(0).random(shape) < 0.3
    np.testing.assert_array_equal(unpack_pixels(pack_pixels(pixels), shape), pixels)
    assert pack_pixels(np.zeros(shape, dtype=bool)) == ""


def test_damaged_pixels_are_told():
    text = pack_pixels(np.ones((40, 40), dtype=bool))
    with pytest.raises(MaskError, match="do not belong to 4 x 4"):
        unpack_pixels(text, (4, 4))
    with pytest.raises(MaskError, match="do not belong to 400 x 400"):
        unpack_pixels(text, (400, 400))
    with pytest.raises(MaskError, match="damaged"):
        unpack_pixels("!" + text, (40, 40))
    with pytest.raises(MaskError, match="damaged"):
        unpack_pixels("é" + text, (40, 40))
    with pytest.raises(MaskError, match="damaged"):
        unpack_pixels("AAAA" + text, (40, 40))


def test_steps_are_dicts_of_lists_and_no_tuples():
    dicts = steps_to_dicts(EVERY_KIND)
    assert json.loads(json.dumps(dicts)) == dicts
