"""Recipes come back as they were written, and a mistake in one is told with its key."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.correlate_choices import CorrelateChoices
from napari_xpcs.io.recipe import (
    Recipe,
    read_recipe,
    recipe_from_plain,
    recipe_to_plain,
    write_recipe,
)
from napari_xpcs.kernels.geometry import FIELD_UNITS
from napari_xpcs.kernels.mask_steps import ThresholdStep
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.regions import Region

THRESHOLD = ThresholdStep(low=0.0, high=1e6)
numbers = st.floats(-1e9, 1e9)
ascending = st.tuples(st.floats(1e-6, 1), st.floats(1.5, 9))
specs = st.fixed_dictionaries(
    {
        "dq": st.integers(1, 99),
        "sp": st.integers(1, 99),
        "mode": st.sampled_from(["q-phi", "x-y", "eq-ephi"]),
        "spacing": st.sampled_from(["linear", "log"]),
        "q_range": st.none() | ascending,
        "phi_offset_deg": st.none() | st.floats(-400, 400),
        "min_pixels": st.integers(1, 50),
        "ellipse": st.none() | st.just((1.0, 2.0, 3.0, 4.0, 5.0)),
        "edges_phi": st.none()
        | st.just((-20.0, 20.0, 60.0))
        | st.just(((-20.0, 20.0), (60.0, 70.0))),
    }
)
polygons = st.fixed_dictionaries(
    {
        "kind": st.just("polygon"),
        "vertices": st.lists(st.tuples(numbers, numbers), min_size=3, max_size=5).map(tuple),
        "name": st.text(max_size=9),
    }
)
sectors = st.fixed_dictionaries(
    {"kind": st.just("sector"), "q_range": ascending, "name": st.just("Ω")}
)
correlations = st.fixed_dictionaries(
    {
        "stride": st.integers(1, 9),
        "bins": st.none() | st.just((1, 4)),
        "frame_time_s": st.none() | st.floats(1e-9, 10),
    }
)


@settings(max_examples=40, deadline=None)
@example(
    geometry={},
    mask=(),
    bins=None,
    regions=[{"kind": "polygon", "vertices": ((0.0, 0.0),) * 3, "name": "\x85\u2028\u2029"}],
    correlate=None,
    suffix=".yaml",
)
@given(
    geometry=st.dictionaries(st.sampled_from(sorted(FIELD_UNITS)), numbers | st.none()),
    mask=st.sampled_from([(), (THRESHOLD,)]),
    bins=st.none() | specs,
    regions=st.lists(polygons | sectors, max_size=2),
    correlate=st.none() | correlations,
    suffix=st.sampled_from([".yaml", ".json"]),
)
def test_round_trip(geometry, mask, bins, regions, correlate, suffix, tmp_path_factory):
    recipe = Recipe(
        geometry=geometry,
        mask=mask,
        bins=None if bins is None else PartitionSpec(**bins),
        regions=tuple(Region(**region) for region in regions),
        correlate=None if correlate is None else CorrelateChoices(**correlate),
    )
    path = tmp_path_factory.mktemp("recipe") / f"R{suffix}"
    write_recipe(path, recipe)
    assert read_recipe(path) == recipe
    assert recipe_from_plain(recipe_to_plain(recipe), "R") == recipe


def test_what_a_person_types(tmp_path):
    path = tmp_path / "R.yaml"
    path.write_text(
        """
napari_xpcs_recipe: 1
geometry: {distance_m: 5, energy_kev: 1.0e1, incident_angle_deg: null}
mask:
  - {kind: threshold, low: 0, high: 1e6}
bins: {dq: 12, spacing: log, q_range: [1e-3, 2e-2], edges_phi: [[-20, 20], [160, 200]]}
regions:
  bins: clip
  shapes:
    - {kind: rectangle, vertices: [[0, 0], [0, 9], [9, 9], [9, 0]]}
    - {kind: sector, phi_range_deg: [150, -150], name: west}
correlate: {type: both, bins: [1, 4], normalization: pixel-weighted}
"""
    )
    recipe = read_recipe(path)
    assert recipe.geometry == {"distance_m": 5.0, "energy_kev": 10.0, "incident_angle_deg": None}
    assert recipe.mask == (THRESHOLD,)
    assert recipe.bins == PartitionSpec(
        dq=12, spacing="log", q_range=(1e-3, 2e-2), edges_phi=((-20.0, 20.0), (160.0, 200.0))
    )
    assert [region.title for region in recipe.regions] == ["rectangle", "west"]
    assert recipe.region_bins == "clip"
    assert recipe.correlate.bins == (1, 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "'napari_xpcs_recipe' with its version is missing"),
        ([1], "is no recipe"),
        ({"napari_xpcs_recipe": 2}, "'napari_xpcs_recipe' is 2, and this program reads version 1"),
        ({"bin": {}}, "unknown key 'bin', did you mean 'bins'"),
        ({"geometry": {"energy_ev": 10000}}, "unknown key 'energy_ev', did you mean 'energy_kev'"),
        (
            {"geometry": {"distance_m": "5000 mm"}},
            "'distance_m', in m, must be a number or null, got '5000 mm'",
        ),
        (
            {"geometry": {"distance_m": 10**400}},
            "'distance_m', in m, must be a number or null, got 1000",
        ),
        ({"bins": {"q_range": [0, 10**400]}}, "'q_range' must be a list of 2"),
        ({"bins": {"dq": 3.5}}, "bins: 'dq' must be a whole number, got 3.5"),
        ({"bins": {"dq": True}}, "'dq' must be a whole number"),
        ({"bins": {"dq": 0}}, "bins: dq must be 1 or more"),
        ({"bins": {"q_range": [1]}}, "'q_range' must be a list of 2"),
        ({"bins": {"spacing": "cubic"}}, "'spacing' must be 'linear' or 'log', got 'cubic'"),
        ({"bins": {"hexagons": 3}}, "unknown key 'hexagons'; known are dq"),
        ({"mask": [{"kind": "magic"}]}, r"mask: steps\[0\].kind"),
        ({"regions": {"shapes": [{"kind": "star"}]}}, "regions, shape 1: 'kind' must be"),
        ({"regions": {"shapes": [{}]}}, "regions, shape 1: 'kind' is missing"),
        ({"regions": {"shapes": [{"kind": "sector"}]}}, "shape 1: A sector needs q_range"),
        ({"correlate": {"normalization": "none"}}, "'normalization' must be 'symmetric'"),
    ],
)
def test_mistakes_are_told_with_their_key(content, words, tmp_path):
    path = tmp_path / "R.json"
    if isinstance(content, dict) and content and "napari_xpcs_recipe" not in content:
        content = {"napari_xpcs_recipe": 1} | content
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=words) as fault:
        read_recipe(path)
    assert "R.json" in str(fault.value)


def test_files_that_are_no_recipe(tmp_path):
    broken = tmp_path / "R.yaml"
    broken.write_text("bins: [1, 2")
    with pytest.raises(FileFormatError, match="cannot be read as a recipe"):
        read_recipe(broken)
    with pytest.raises(FileFormatError, match="cannot be read as a recipe"):
        read_recipe(tmp_path / "absent.yaml")
    with pytest.raises(FileFormatError, match="exists already"):
        write_recipe(broken, Recipe())
    with pytest.raises(FileFormatError, match=r"\.yaml or \.yml or \.json"):
        write_recipe(tmp_path / "R.txt", Recipe())
