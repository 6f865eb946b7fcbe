"""Bins made of regions and of painted labels hold what was drawn, nested and told."""

import numpy as np
import pytest

from napari_xpcs.backends import ensure_numpy
from napari_xpcs.errors import PartitionError
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.label_bins import partition_from_labels, regions_partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.kernels.regions import Region

GEOMETRY = Geometry(
    shape=(48, 64),
    energy_kev=10.0,
    distance_m=8.0,
    pixel_row_m=75e-6,
    pixel_col_m=75e-6,
    center_row_px=23.7,
    center_col_px=30.3,
)
MASK = np.random.default_rng(4).random(GEOMETRY.shape) > 0.1
LEFT = Region(
    kind="rectangle", vertices=((5.0, 5.0), (5.0, 25.0), (40.0, 25.0), (40.0, 5.0)), name="left"
)
RIGHT = Region(kind="rectangle", vertices=((5.0, 20.0), (5.0, 50.0), (40.0, 50.0), (40.0, 20.0)))
AWAY = Region(kind="line", vertices=((90.0, 90.0), (99.0, 99.0)))
SPEC = PartitionSpec(dq=4, sq=12, dp=2, sp=4)


def inside(region):
    (low_row, low_col), (high_row, high_col) = region.vertices[0], region.vertices[2]
    rows, cols = np.indices(GEOMETRY.shape)
    within = (rows >= low_row) & (rows < high_row) & (cols >= low_col) & (cols < high_col)
    return within & MASK


def assert_consistent(partition):
    for bins in (partition.dynamic, partition.static):
        np.testing.assert_array_equal(bins.labels > 0, partition.mask)
        np.testing.assert_array_equal(np.bincount(bins.labels.ravel())[1:], bins.pixels)
        assert np.all(bins.pixels > 0)
    pairs = np.stack([partition.static.labels.ravel(), partition.dynamic.labels.ravel()])
    assert np.unique(pairs, axis=1).shape[1] == len(np.unique(pairs[0]))


def test_each_region_is_one_bin_and_the_last_lies_on_top(xp):
    partition = regions_partition([LEFT, RIGHT, AWAY], GEOMETRY, MASK, xp=xp)
    expected = np.where(inside(RIGHT), 2, np.where(inside(LEFT), 1, 0))
    np.testing.assert_array_equal(partition.dynamic.labels, expected)
    np.testing.assert_array_equal(partition.static.labels, expected)
    assert partition.region_of_bin.tolist() == [1, 2]
    assert partition.regions == (LEFT, RIGHT, AWAY)
    covered = (inside(LEFT) & inside(RIGHT)).sum()
    assert f"Region 2 (rectangle) covers {covered} pixels of region 1" in partition.notes[0]
    assert "Region 3 (line) holds no unmasked pixel" in partition.notes[1]
    assert_consistent(partition)


def test_regions_are_cut_into_the_bins_that_they_meet(xp):
    base = make_partition(GEOMETRY, MASK, SPEC, xp=xp)
    partition = regions_partition([LEFT, RIGHT], GEOMETRY, MASK, SPEC, bins="clip", xp=xp)
    assert_consistent(partition)
    region = np.where(inside(RIGHT), 2, np.where(inside(LEFT), 1, 0))
    pairs = region * 100 + base.dynamic.labels
    kept = np.unique(pairs[region > 0])
    expected = np.where(region > 0, np.searchsorted(kept, pairs) + 1, 0)
    np.testing.assert_array_equal(partition.dynamic.labels, expected)
    np.testing.assert_array_equal(partition.region_of_bin, kept // 100)
    assert partition.region_bins == "clip"
    for label in (1, len(partition.static)):
        assert len(np.unique(base.static.labels[partition.static.labels == label])) == 1


def test_static_bins_divide_whole_regions(xp):
    partition = regions_partition([LEFT], GEOMETRY, MASK, SPEC, xp=xp)
    base = make_partition(GEOMETRY, MASK, SPEC, xp=xp)
    assert len(partition.dynamic) == 1
    assert len(partition.static) == len(np.unique(base.static.labels[inside(LEFT)]))
    assert_consistent(partition)


def test_painted_bins_are_renumbered_and_their_q_and_phi_told(xp):
    maps = q_maps(GEOMETRY, xp=xp)
    q, phi = ensure_numpy(maps.q), ensure_numpy(maps.phi_deg)
    labels = np.zeros(GEOMETRY.shape, dtype=np.int32)
    labels[20:28, 2:10] = 7
    labels[2:10, 30:40] = 3
    partition = partition_from_labels(labels, GEOMETRY, mask=MASK, maps=maps, xp=xp)
    np.testing.assert_array_equal(
        partition.dynamic.labels, np.where(MASK, np.select([labels == 3, labels == 7], [1, 2]), 0)
    )
    table = partition.table()
    assert table.q[0] == pytest.approx(q[(labels == 3) & MASK].mean(), rel=1e-12)
    # The second patch lies about 180 degrees, where a plain mean of phi would be near 0.
    around = np.mod(phi[(labels == 7) & MASK], 360).mean()
    assert table.phi_deg[1] % 360 == pytest.approx(around, abs=0.5)
    assert table.pixels.tolist() == [((labels == n) & MASK).sum() for n in (3, 7)]
    assert partition.dynamic.edges[0][0].tolist() == [
        q[(labels == 3) & MASK].min(),
        q[(labels == 3) & MASK].max(),
    ]
    assert_consistent(partition)


def test_painting_over_bins_keeps_the_static_ones_nested(xp):
    base = make_partition(GEOMETRY, MASK, SPEC, xp=xp)
    painted = np.array(base.dynamic.labels)
    painted[10:20, 10:50] = 1
    partition = partition_from_labels(painted, GEOMETRY, static=base.static.labels, xp=xp)
    assert_consistent(partition)
    assert partition.mask[10:20, 10:50].all()
    untouched = partition_from_labels(
        base.dynamic.labels, GEOMETRY, static=base.static.labels, xp=xp
    )
    np.testing.assert_array_equal(untouched.static.labels, base.static.labels)
    np.testing.assert_array_equal(untouched.dynamic.pixels, base.dynamic.pixels)


def test_labels_without_a_geometry_have_no_q(xp):
    partition = partition_from_labels(np.array([[0, 5], [2, 2]]), None, xp=xp)
    assert np.isnan(partition.table().q).all()
    assert partition.dynamic.pixels.tolist() == [2, 1]


def test_small_painted_bins_are_left_out(xp):
    labels = np.array([[0, 5, 3], [2, 2, 2]])
    partition = partition_from_labels(labels, None, min_pixels=2, xp=xp)
    np.testing.assert_array_equal(partition.dynamic.labels, labels == 2)
    assert "2 static bins are left out, with 2 pixels" in partition.notes[0]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda xp: regions_partition([], GEOMETRY, MASK, xp=xp), "draw a shape"),
        (lambda xp: regions_partition([AWAY], GEOMETRY, MASK, xp=xp), "No region holds"),
        (lambda xp: regions_partition([LEFT], None, MASK, SPEC, xp=xp), "needs the geometry"),
        (
            lambda xp: regions_partition([LEFT], GEOMETRY, MASK, bins="clip", xp=xp),
            "no bins were asked",
        ),
        (lambda xp: partition_from_labels(np.array([[-1, 1]]), None, xp=xp), "start at 1"),
        (lambda xp: partition_from_labels(np.zeros((3, 3), int), None, xp=xp), "paint or draw"),
        (lambda xp: partition_from_labels(np.ones((3, 3), int), GEOMETRY, xp=xp), "the detector"),
        (
            lambda xp: partition_from_labels(np.ones((3, 3), int), None, min_pixels=99, xp=xp),
            "lower the minimum",
        ),
    ],
)
def test_impossible_requests_are_refused(act, words, xp):
    with pytest.raises(PartitionError, match=words):
        act(xp)
