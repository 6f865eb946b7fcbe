"""``napari-xpcs qmap``: recipes, regions, typed edges and unusual places, as a script uses them."""

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.io.recipe import Recipe, read_recipe, write_recipe
from napari_xpcs.kernels.mask_inputs import MaskInputs
from napari_xpcs.kernels.mask_of_steps import mask_of_steps
from napari_xpcs.kernels.mask_steps import MorphologyStep, ThresholdStep
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.regions import Region

DETECTOR = (
    *("--shape", 48, 64, "--energy-kev", 10, "--distance-m", 8, "--pixel-m", 75e-6),
    *("--center-row-px", 23.7, "--center-col-px", 30.3),
)


@pytest.fixture
def qmap(xpcs):
    """Run the command; return exit status, facts (or None), and what was said on stderr."""

    def call(*arguments):
        done = xpcs("qmap", "--json", *arguments)
        return done.status, done.json() if done.status == 0 else None, done.err

    return call


def test_a_saved_recipe_makes_the_same_bins(qmap, tmp_path):
    first, second = tmp_path / "1.hdf", tmp_path / "2.hdf"
    recipe = tmp_path / "R.yaml"
    mask = np.ones((48, 64), dtype=np.uint8)
    mask[:, :20] = 0
    np.save(tmp_path / "mask.npy", mask)
    options = ["--dq", 5, "--sq", 20, "--dp", 4, "--spacing", "log", "--q-range", 1e-4, 1e-3]
    masked = ["--mask", tmp_path / "mask.npy", "--mask-ones", "good"]
    said = qmap(*DETECTOR, *options, *masked, "--save-recipe", recipe, "-o", first)
    assert said[0] == 0, said[2]
    assert qmap("--shape", 48, 64, "--recipe", recipe, "-o", second)[0] == 0
    ours, again = read_partition(first), read_partition(second)
    np.testing.assert_array_equal(ours.static.labels, again.static.labels)
    assert ours.spec == again.spec
    assert not ours.mask[:, :20].any()
    assert read_recipe(recipe).bins.dp == 4
    assert qmap(*DETECTOR, "--save-recipe", recipe, "-o", tmp_path / "3.hdf")[0] == 1
    assert not (tmp_path / "3.hdf").exists()


def test_options_win_over_a_recipe(qmap, tmp_path):
    recipe = tmp_path / "R.json"
    write_recipe(
        recipe, Recipe(geometry={"energy_kev": 5.0}, bins=PartitionSpec(dq=3, sq=9, dp=2, sp=2))
    )
    status, _, said = qmap(*DETECTOR, "--recipe", recipe, "--dq", 4, "-o", tmp_path / "b.hdf")
    assert status == 0, said
    partition = read_partition(tmp_path / "b.hdf")
    assert partition.spec.dq == 4
    assert partition.spec.dp == 2
    assert partition.geometry.energy_kev == 10.0


def test_numbers_and_ranges_win_over_the_edges_of_a_recipe_and_edges_over_its_range(qmap, tmp_path):
    edged, ranged, out = tmp_path / "E.json", tmp_path / "R.json", tmp_path / "b.hdf"
    bins = PartitionSpec(edges_q=(1e-4, 2e-4, 4e-4), edges_phi=(-90.0, 90.0), sq=2)
    write_recipe(edged, Recipe(bins=bins))
    write_recipe(ranged, Recipe(bins=PartitionSpec(q_range=(1e-4, 2e-4))))
    assert qmap(*DETECTOR, "--recipe", edged, "--dq", 7, "-o", out)[0] == 0
    spec = read_partition(out).spec
    assert spec.dq == 7
    assert spec.edges_q is None
    assert spec.edges_phi == (-90.0, 90.0)
    ranges = ["--q-range", 1e-4, 3e-4, "--phi-range", 0, 90, "--force"]
    status, _, said = qmap(*DETECTOR, "--recipe", edged, *ranges, "-o", out)
    assert status == 0, said
    assert read_partition(out).spec.phi_range_deg == (0.0, 90.0)
    edges = ["--edges-q", "1e-4,3e-4", "--force"]
    status, _, said = qmap(*DETECTOR, "--recipe", ranged, *edges, "-o", out)
    assert status == 0, said
    assert read_partition(out).spec.q_range is None


def test_a_recipe_that_cannot_be_saved_is_told_before_bins_are_made(qmap, tmp_path):
    recipe = tmp_path / "R.txt"
    assert qmap(*DETECTOR, "--save-recipe", recipe, "-o", tmp_path / "b.hdf")[0] == 1
    assert not (tmp_path / "b.hdf").exists()


def test_regions_and_mask_steps_of_a_recipe(qmap, tmp_path):
    frames = np.random.default_rng(0).poisson(2.0, (30, 48, 64)).astype(np.uint16)
    frames[:, 7, 9] = 9000
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["odd/place"] = frames
    box = ((2.0, 2.0), (2.0, 30.0), (40.0, 30.0), (40.0, 2.0))
    chosen = Recipe(
        mask=(ThresholdStep(high=1000.0),),
        bins=PartitionSpec(dq=3, sq=6),
        regions=(Region(kind="rectangle", vertices=box, name="left"),),
        region_bins="clip",
    )
    write_recipe(tmp_path / "R.yaml", chosen)
    place = ["--dataset", "/odd/place"]
    geometry = DETECTOR[3:]
    out = tmp_path / "b.hdf"
    recipe = ["--recipe", tmp_path / "R.yaml"]
    status, facts, said = qmap(tmp_path / "run.h5", *place, *geometry, *recipe, "-o", out)
    assert status == 0, said
    partition = read_partition(out)
    assert partition.regions == chosen.regions
    assert partition.mask_steps == chosen.mask
    assert not partition.mask[7, 9]
    assert partition.mask[8, 9]
    assert not partition.mask[:, 30:].any()
    assert facts["dynamic_bins"] == 3
    status, _, said = qmap(tmp_path / "run.h5", "--dataset", "/nowhere", *geometry, "-o", out)
    assert status == 1
    assert "/nowhere" in said


def test_typed_edges_and_a_minimum(qmap, tmp_path):
    out = tmp_path / "b.hdf"
    status, facts, said = qmap(
        *DETECTOR, "--edges-q", "1e-4:2e-4,4e-4:8e-4", "--sq", 2, "--edges-phi", "-90,0,45",
        "--sp", 2, "--min-pixels", 20, "-o", out,
    )  # fmt: skip
    assert status == 0, said
    partition = read_partition(out)
    np.testing.assert_allclose(partition.dynamic.edges[0], [[1e-4, 2e-4], [4e-4, 8e-4]])
    np.testing.assert_allclose(partition.dynamic.edges[1], [-90, 0, 45])
    assert partition.static.pixels.min() >= 20
    assert facts["dynamic_bins"] == len(partition.dynamic)


def test_bins_along_an_ellipse(qmap, tmp_path):
    out = tmp_path / "b.hdf"
    ellipse = ["--mode", "eq-ephi", "--ellipse", 24, 30, 20, 8, 0, "--dq", 4, "--sq", 4]
    status, _, said = qmap(*DETECTOR, *ellipse, "--q-range", 0, 1, "-o", out)
    assert status == 0, said
    partition = read_partition(out)
    assert partition.names == ("eq", "ephi")
    assert partition.units == ("1", "deg")
    assert np.ptp(np.flatnonzero(partition.mask[:, 30])) == 16
    assert np.ptp(np.flatnonzero(partition.mask[24])) == 40


def test_threshold_and_growing_on_top_of_a_mask_file(qmap, tmp_path):
    counts = np.full((5, 48, 64), 3, np.uint16)
    counts[:, 30, 40] = 900
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["/entry/data/data"] = counts
    mask = np.ones((48, 64), dtype=np.uint8)
    mask[10, 10] = 0
    np.save(tmp_path / "mask.npy", mask)
    write_recipe(tmp_path / "R.yaml", Recipe(mask=(MorphologyStep(operation="grow", pixels=1),)))
    status, _, said = qmap(
        *(tmp_path / "run.h5", *DETECTOR[3:], "--recipe", tmp_path / "R.yaml"),
        *("--mask", tmp_path / "mask.npy", "--threshold", 1, 100, "-o", tmp_path / "q.hdf"),
    )
    assert status == 0, said
    made = read_partition(tmp_path / "q.hdf")
    bad = np.zeros((48, 64), dtype=bool)
    bad[9:12, 10] = bad[10, 9:12] = bad[30, 40] = True
    np.testing.assert_array_equal(~made.blemish, bad)
    # What is saved makes the mask again, without the files that it came from.
    kinds = [step.kind for step in made.mask_steps]
    assert kinds == ["painted", "morphology", "threshold"]
    inputs = MaskInputs(shape=(48, 64), frames=counts)
    again = mask_of_steps(made.mask_steps, inputs, xp=NumPyBackend()).mask
    np.testing.assert_array_equal(again, made.blemish)
    status, _, said = qmap(*DETECTOR, "--threshold", 1, 100, "-o", tmp_path / "none.hdf")
    assert status == 1
    assert "Mask step 1 (Threshold): This needs counts" in said


def test_pixels_marked_in_the_frames_are_left_out_of_bins(qmap, tmp_path):
    counts = np.ones((40, 48, 64), dtype=np.uint16)
    counts[1::2, 5, 7] = 65535  # dead pixels of some detectors alternate like this
    counts[0::2, 5, 7] = 0
    counts[3, 9, 9] = 65534
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["entry/data/data"] = counts
    status, facts, said = qmap(tmp_path / "run.h5", *DETECTOR[3:], "-o", tmp_path / "q.hdf")
    assert status == 0, said
    labels = read_partition(tmp_path / "q.hdf").dynamic.labels
    np.testing.assert_array_equal(np.argwhere(labels == 0), [[5, 7]])
    assert any(
        note.startswith("Pixels marked") and note.endswith(": 1.") for note in facts["notes"]
    )


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--mode", "q-z", "such as q-phi"), ("--edges-q", "1e-4;2e-4", "--edges-q wants EDGE")],
)
def test_a_word_that_is_no_choice_is_a_wrong_usage(qmap, tmp_path, option, value, words):
    status, _, said = qmap(*DETECTOR, "-o", tmp_path / "b.hdf", option, value)
    assert status == 2
    assert words in " ".join(said.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []
