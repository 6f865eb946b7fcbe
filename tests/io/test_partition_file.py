"""Q-map files: what other tools wrote, what we write, and what is broken."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.label_bins import regions_partition
from napari_xpcs.kernels.mask_steps import (
    PaintedStep,
    ThresholdStep,
)
from napari_xpcs.kernels.packed_pixels import (
    pack_pixels,
)
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.regions import Region

GEOMETRY = Geometry(
    shape=(48, 64),
    energy_kev=10.0,
    distance_m=8.0,
    pixel_row_m=50e-6,
    pixel_col_m=75e-6,
    center_row_px=23.7,
    center_col_px=30.3,
    swing_horizontal_deg=0.01,
    swing_vertical_deg=-0.005,
    incident_angle_deg=0.2,
)
SPEC = PartitionSpec(
    dq=5,
    sq=52,
    dp=2,
    sp=4,
    phi_range_deg=(150.0, -150.0),
    edges_q=((1e-4, 3e-4), (5e-4, 6e-4)),
    phi_offset_deg=12.0,
)


@pytest.fixture
def partition(xp):
    mask = np.random.default_rng(1).random(GEOMETRY.shape) > 0.1
    return make_partition(GEOMETRY, mask, SPEC, xp=xp)


def assert_same(found: Partition, expected: Partition) -> None:
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert found.names == expected.names
    assert found.units == expected.units
    assert found.geometry == expected.geometry
    assert found.spec == expected.spec
    for ours, theirs in ((found.dynamic, expected.dynamic), (found.static, expected.static)):
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.index, theirs.index)
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)
        assert ours.grid == theirs.grid
        for axis in (0, 1):
            np.testing.assert_array_equal(ours.centers[axis], theirs.centers[axis])
            np.testing.assert_array_equal(ours.edges[axis], theirs.edges[axis])


def test_round_trip_keeps_everything(partition, tmp_path):
    path = tmp_path / "qmap.hdf"
    write_partition(path, partition, source="run.h5")
    read = read_partition(path)
    assert_same(read, partition)
    np.testing.assert_array_equal(read.blemish, partition.blemish)


def test_steps_of_the_mask_are_kept_beside_it(partition, tmp_path):
    path = tmp_path / "qmap.hdf"
    steps = (
        ThresholdStep(high=4095.0),
        PaintedStep(shape=GEOMETRY.shape, masked=pack_pixels(np.eye(48, 64, dtype=bool))),
    )
    write_partition(path, replace(partition, mask_steps=steps))
    read = read_partition(path)
    assert read.mask_steps == steps
    assert_same(read, partition)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"version": 2, "steps": []}', "expected version 1, got 2"),
        ('{"version": 1, "steps": [{"kind": "magic"}]}', "steps[0].kind"),
        ("[", "left out"),
        ("[]", "expected version 1"),
    ],
)
def test_steps_that_cannot_be_read_leave_the_mask_alone(partition, tmp_path, text, told):
    path = tmp_path / "qmap.hdf"
    write_partition(path, replace(partition, mask_steps=(ThresholdStep(high=4095.0),)))
    with h5py.File(path, "r+") as file:
        file["/qmap/napari_xpcs/mask_steps"][()] = text
    read = read_partition(path)
    assert read.mask_steps == ()
    assert_same(read, partition)
    assert told in read.notes[0]


def test_hash_tells_content_not_source(partition, tmp_path):
    first, second, third = (tmp_path / name for name in ("a.hdf", "b.hdf", "c.hdf"))
    write_partition(first, partition, source="here.h5")
    write_partition(second, read_partition(first), source="there.h5")
    moved = replace(partition, geometry=replace(GEOMETRY, swing_horizontal_deg=0.02))
    write_partition(third, moved, source="here.h5")
    hashes = []
    for path in (first, second, third):
        with h5py.File(path) as file:
            hashes.append(file["/qmap"].attrs["hash"])
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_names_types_and_attributes_are_those_of_the_field(xp, shared_data, tmp_path):
    """The simulated run's map, made by us, looks like the file that pySimpleMask wrote."""
    geometry = Geometry(
        shape=(128, 192),
        energy_kev=10.0,
        distance_m=8.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=63.7,
        center_col_px=40.3,
    )
    path = tmp_path / "qmap.hdf"
    with h5py.File(shared_data / "synthetic" / "synthetic_qmap.hdf") as theirs:
        spec = PartitionSpec(dq=9, dp=4, sq=45, sp=8)
        mask = theirs["/qmap/mask"][()]
        source = theirs["/qmap/source_file"].asstr()[()]
        write_partition(path, make_partition(geometry, mask, spec, xp=xp), source=source)
        with h5py.File(path) as ours:
            assert set(theirs["/qmap"]) == set(ours["/qmap"]) - {"napari_xpcs"}
            assert set(theirs["/qmap"].attrs) == set(ours["/qmap"].attrs)
            for name, expected in theirs["/qmap"].items():
                found = ours["/qmap"][name]
                assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
                assert found.compression == expected.compression, name
                assert dict(found.attrs) == dict(expected.attrs), name
                if name == "blemish":
                    continue  # we tell the pixels that were good, the other file has no list
                if expected.dtype.kind == "f":
                    np.testing.assert_allclose(found[()], expected[()], rtol=1e-8)
                else:
                    np.testing.assert_array_equal(found[()], expected[()])


def test_swing_moves_the_centre_that_other_tools_see(partition, tmp_path):
    path = tmp_path / "qmap.hdf"
    write_partition(path, partition)
    across = 8.0 * np.tan(np.radians(0.01)) / 75e-6
    down = 8.0 * np.tan(np.radians(-0.005)) / 50e-6
    with h5py.File(path) as file:
        assert file["/qmap/beam_center_x"][()] == pytest.approx(30.3 + across, rel=1e-12)
        assert file["/qmap/beam_center_y"][()] == pytest.approx(23.7 + down, rel=1e-12)


def test_an_older_file_is_kept_unless_forced(partition, tmp_path):
    path = tmp_path / "qmap.hdf"
    path.write_text("mine")
    with pytest.raises(FileFormatError, match="exists already"):
        write_partition(path, partition)
    assert path.read_text() == "mine"
    write_partition(path, partition, force=True)
    assert len(read_partition(path).dynamic) == len(partition.dynamic)


def test_partition_of_pysimplemask(shared_data):
    partition = read_partition(shared_data / "synthetic" / "pysimplemask_qmap_516x1556.hdf")
    assert len(partition.dynamic) == 47
    assert len(partition.static) == 1054
    assert partition.geometry == Geometry(
        shape=(516, 1556),
        energy_kev=10.9,
        distance_m=3.85,
        pixel_row_m=5.5e-05,
        pixel_col_m=5.5e-05,
        center_row_px=240.62,
        center_col_px=312.37,
    )
    assert partition.notes == ()
    assert partition.table().phi_deg[0] == pytest.approx(-157.14370527)
    assert partition.spec is None
    assert partition.dynamic.edges is None


def test_bins_inside_a_result_file(shared_data):
    for path in sorted((shared_data / "aps_8idi").glob("*_results.hdf")):
        partition = read_partition(path, group="/xpcs/qmap")
        assert partition.blemish is None
        assert partition.notes == ()
        assert len(partition.dynamic) == len(np.unique(partition.dynamic.labels)) - 1
        assert np.all(np.diff(partition.table().q) > 0)


def minimal_file(path, **datasets):
    with h5py.File(path, "w") as file:
        group = file.create_group("qmap")
        for name, value in datasets.items():
            group[name] = value
    return path


LABELS = np.array([[0, 1, 1], [2, 2, 3]])


def test_labels_alone_are_a_partition(tmp_path):
    partition = read_partition(minimal_file(tmp_path / "q.hdf", dynamic_roi_map=LABELS))
    np.testing.assert_array_equal(partition.mask, LABELS > 0)
    assert partition.dynamic.pixels.tolist() == [2, 2, 1]
    assert np.isnan(partition.table().q).all()
    assert partition.geometry is None
    assert "no static bins" in partition.notes[0]


def test_scalars_and_names_in_odd_shapes(tmp_path):
    path = minimal_file(
        tmp_path / "q.hdf",
        dynamic_roi_map=LABELS,
        static_roi_map=LABELS,
        dynamic_num_pts=np.array([[3, 1]]),
        dynamic_v_list_dim0=np.array([[0.1, 0.2, 0.3]]),
        dynamic_v_list_dim1=np.array([[0.0]]),
        dynamic_index_mapping=np.array([[0, 1, 2]]),
        map_names=np.array([b"q", b"phi"]),
        energy=np.array([[10.0]]),
        detector_distance=np.array([5.0]),
        pixel_size=75e-6,
        beam_center_x=np.float32(1.5),
        beam_center_y=1,
    )
    partition = read_partition(path)
    assert partition.table().q.tolist() == [0.1, 0.2, 0.3]
    assert partition.geometry.center_col_px == 1.5
    assert partition.notes == ()


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ({"dynamic_index_mapping": np.array([0])}, "1 entries for 3 bins"),
        (
            {"dynamic_num_pts": [3, 1], "dynamic_index_mapping": np.array([0, 1, 7])},
            "outside the 3 x 1 bins",
        ),
        ({"dynamic_num_pts": [3, 1], "dynamic_v_list_dim0": np.zeros(5)}, "other lengths"),
        ({"static_roi_map": np.where(LABELS > 0, 1, 0)}, "several dynamic bins"),
        (
            {
                "energy": 10.0,
                "detector_distance": 0.0,
                "pixel_size": 1e-5,
                "beam_center_x": 1.0,
                "beam_center_y": 1.0,
            },
            "distance_m must lie between",
        ),
    ],
)
def test_contradictions_are_told_and_the_bins_kept(datasets, words, tmp_path):
    path = minimal_file(tmp_path / "q.hdf", dynamic_roi_map=LABELS, **datasets)
    partition = read_partition(path)
    np.testing.assert_array_equal(partition.dynamic.labels, LABELS)
    assert any(words in note for note in partition.notes), partition.notes


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ({"mask": np.ones((2, 3))}, r"q\.hdf holds no /qmap/dynamic_roi_map"),
        ({"dynamic_roi_map": np.ones(5, dtype=int)}, r"/qmap/dynamic_roi_map in q\.hdf is not"),
        ({"dynamic_roi_map": LABELS * 0.5}, "float64"),
        ({"dynamic_roi_map": LABELS - 1}, "-1 to 2"),
        ({"dynamic_roi_map": LABELS * 10**6}, "at most the number of pixels"),
        ({"dynamic_roi_map": LABELS, "mask": np.ones((3, 2))}, r"/qmap/mask in q\.hdf"),
        ({"dynamic_roi_map": LABELS, "static_roi_map": LABELS.T}, "/qmap/static_roi_map"),
    ],
)
def test_files_that_hold_no_partition(datasets, words, tmp_path):
    with pytest.raises(FileFormatError, match=words):
        read_partition(minimal_file(tmp_path / "q.hdf", **datasets))


def test_what_was_asked_for_in_another_version_is_left_out(partition, tmp_path):
    path = tmp_path / "q.hdf"
    write_partition(path, partition)
    with h5py.File(path, "r+") as file:
        del file["/qmap/napari_xpcs/spec"]
        file["/qmap/napari_xpcs/spec"] = '{"hexagons": 3}'
    assert read_partition(path).spec is None


def test_drawn_regions_can_be_edited_after_reading(xp, tmp_path):
    path = tmp_path / "q.hdf"
    mask = np.ones(GEOMETRY.shape, dtype=bool)
    regions = (
        Region(kind="ellipse", vertices=((5.0, 5.0), (5.0, 25.0), (30.0, 25.0), (30.0, 5.0))),
        Region(kind="sector", q_range=(1e-4, 3e-4), phi_range_deg=(150.0, -150.0), name="west"),
        Region(kind="path", vertices=((2.0, 2.0), (2.0, 9.0), (9.0, 9.0)), width_px=3.5),
    )
    spec = PartitionSpec(dq=4, sq=8)
    made = regions_partition(regions, GEOMETRY, mask, spec, bins="clip", xp=xp)
    write_partition(path, made)
    read = read_partition(path)
    assert_same(read, made)
    assert read.regions == regions
    assert read.region_bins == "clip"
    np.testing.assert_array_equal(read.region_of_bin, made.region_of_bin)
    np.testing.assert_array_equal(read.table().phi_deg, made.table().phi_deg)
    again = regions_partition(
        read.regions, read.geometry, read.blemish, read.spec, bins=read.region_bins, xp=xp
    )
    np.testing.assert_array_equal(again.static.labels, made.static.labels)
    with h5py.File(path, "r+") as file:
        del file["/qmap/napari_xpcs/regions"]
        file["/qmap/napari_xpcs/regions"] = '{"bins": "each", "shapes": [{"kind": "star"}]}'
    damaged = read_partition(path)
    assert damaged.regions == ()
    assert "left out, their bins are there" in damaged.notes[0]
    np.testing.assert_array_equal(damaged.dynamic.labels, made.dynamic.labels)
