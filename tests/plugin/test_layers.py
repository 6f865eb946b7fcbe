"""From files to layers and back."""

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer

from napari_xpcs.io.files import PartitionFile, ResultFile
from napari_xpcs.io.open import open_path
from napari_xpcs.io.raw_file import write_frames
from napari_xpcs.kernels.mask_painting import painted_difference
from napari_xpcs.kernels.mask_steps import ThresholdStep
from napari_xpcs.kernels.regions import Region
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_layers import partition_layer, show_partition
from napari_xpcs.plugin.file_layers import (
    frames_file_to_layers,
    partition_file_to_layers,
    result_file_to_layers,
)
from napari_xpcs.plugin.image_layers import frames_layer
from napari_xpcs.plugin.mask_layers import mask_layer
from napari_xpcs.progress import run


def add(viewer, layer_data):
    return viewer.add_layer(Layer.create(*layer_data))


def test_frames_keep_time_in_s_and_pixels_in_px(viewer, known):
    frames = np.zeros((5, 48, 64), np.uint16)
    layer = add(viewer, frames_layer(frames, known=known, truth={"D_m2_per_s": 5e-14}))
    assert layer.scale.tolist() == [1e-3, 1.0, 1.0]
    assert [str(unit) for unit in layer.units] == ["second", "pixel", "pixel"]
    assert xpcs_layers.layer_frames(layer) is frames
    assert xpcs_layers.layer_truth(layer) == {"D_m2_per_s": 5e-14}


def test_status_bar_tells_bin_q_and_pixels(viewer, partition, known):
    layer = add(viewer, partition_layer(partition, known=known))
    row, col = np.argwhere(partition.dynamic.labels == 3)[0]
    status = layer.get_status((row, col), view_direction=None, dims_displayed=[0, 1], world=True)
    q, pixels = partition.table().q[2], partition.table().pixels[2]
    assert f"q (Å⁻¹): {q:.6g}"[:14] in status["coordinates"]
    assert f"pixels: {pixels}" in status["coordinates"]


def test_partition_survives_the_layer(viewer, partition, known, curves):
    layer = add(viewer, partition_layer(partition, known=known, curves=curves))
    assert xpcs_layers.layer_partition(layer) is partition
    assert xpcs_layers.layer_curves(layer) is curves
    np.testing.assert_array_equal(layer.data, partition.dynamic.labels)


def test_new_bins_forget_the_curves_of_the_old_ones(viewer, partition, known, curves):
    layer = add(viewer, partition_layer(partition, known=known, curves=curves))
    told = []
    layer.events.metadata.connect(lambda event: told.append(event))
    show_partition(layer, partition, known, "")
    assert xpcs_layers.layer_curves(layer) is None
    assert told


def test_mask_is_the_painted_pixels(viewer, partition):
    layer = add(viewer, mask_layer(partition.mask))
    np.testing.assert_array_equal(xpcs_layers.layer_mask(layer), partition.mask)
    layer.data = np.where(np.arange(48)[:, None] < 10, 1, layer.data).astype(np.uint8)
    assert not xpcs_layers.layer_mask(layer)[:10].any()


@pytest.mark.parametrize(
    "name",
    ["E0173_H06-c6c5-4_a0009_f100000_r00001", "Average_B0147_S3_7_300C10p_att00_Rq0_00001_00200"],
)
def test_real_results_become_image_mask_and_bins_of_one_shape(viewer, shared_data, name):
    file = open_path(shared_data / "aps_8idi" / f"{name}_results.hdf")
    found = [add(viewer, one) for one in result_file_to_layers(file)]
    assert [xpcs_layers.layer_role(layer) for layer in found] == ["scattering", "mask", "partition"]
    scattering, mask, partition = found
    assert scattering.data.shape == mask.data.shape == partition.data.shape
    curves = xpcs_layers.layer_curves(partition)
    assert curves.g2.shape[1] == partition.data.max() == len(partition.features)
    np.testing.assert_array_equal(mask.data != 0, partition.data == 0)


def test_painting_a_mask_of_steps_is_a_step_of_its_own():
    used = np.ones((6, 8), dtype=bool)
    used[0] = False
    steps = (ThresholdStep(low=1.0),)
    layer = Layer.create(*mask_layer(used, steps=steps))
    assert xpcs_layers.layer_steps(layer) == steps
    layer.data[0, 0], layer.data[3, 4] = 0, 1
    painted = xpcs_layers.layer_steps(layer)
    assert painted[:-1] == steps
    now = used.copy()
    now[0, 0], now[3, 4] = True, False
    assert painted[-1] == painted_difference(used, now)
    xpcs_layers.attach_steps(layer, painted, now)
    assert xpcs_layers.layer_steps(layer) == painted
    unknown = Layer.create(*mask_layer(used))
    unknown.data[3, 4] = 1
    assert xpcs_layers.layer_steps(unknown) == ()


def test_a_q_map_with_steps_shows_the_mask_that_they_make(partition, tmp_path):
    good = partition.blemish.copy()
    narrow = replace(partition, mask=partition.mask & (np.arange(48)[:, None] < 30))
    step = painted_difference(np.ones_like(good), good)
    file = PartitionFile(path=tmp_path / "q.hdf", layout="", partition=narrow, known={})
    plain, _ = partition_file_to_layers(file)
    np.testing.assert_array_equal(plain[0] == 0, narrow.mask)
    with_steps = replace(file, partition=replace(narrow, mask_steps=(step,)))
    (data, arguments, kind), _ = partition_file_to_layers(with_steps)
    np.testing.assert_array_equal(data == 0, good)
    assert xpcs_layers.layer_steps(Layer.create(data, arguments, kind)) == (step,)


def test_pixels_without_a_value_are_masked_where_the_file_has_no_mask(viewer, tmp_path, known):
    counts = np.random.default_rng(0).poisson(3, (7, 48, 64)).astype(np.uint16)
    counts[:, 5, 6] = counts[:, 20, 30:34] = 65535
    path = run(write_frames(tmp_path / "run.h5", [counts], shape=counts.shape, known=known))
    frames, mask = (add(viewer, layer) for layer in frames_file_to_layers(open_path(path)))
    used = xpcs_layers.layer_mask(mask)
    np.testing.assert_array_equal(used, counts[0] != 65535)
    assert np.isnan(np.asarray(frames.data[3])[~used]).all()


def test_frames_of_counts_alone_have_no_mask(viewer, tmp_path, known):
    counts = np.zeros((7, 48, 64), np.uint8) + np.uint8(255)
    path = run(write_frames(tmp_path / "run.h5", [counts], shape=counts.shape, known=known))
    assert len(frames_file_to_layers(open_path(path))) == 1


def test_regions_come_back_from_results_too(viewer, partition, known, tmp_path):
    drawn = Region(kind="polygon", vertices=((1.0, 1.0), (1.0, 20.0), (30.0, 20.0)), name="left")
    bins = replace(partition, regions=(drawn,), region_bins="each")
    result = ResultFile(path=tmp_path / "a_results.hdf", layout="test", partition=bins, known=known)
    found = [add(viewer, layer) for layer in result_file_to_layers(result)]
    regions = xpcs_layers.layers_with_role(found, "regions")
    assert len(regions) == 1
    np.testing.assert_allclose(regions[0].data[0], drawn.vertices)
