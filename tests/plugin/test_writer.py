"""Layers are saved through the menus of napari as the files that other programs take."""

from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.open import open_path
from napari_xpcs.plugin._writer import write_labels_layer, write_mask_layer
from napari_xpcs.plugin.bin_layers import partition_layer
from napari_xpcs.plugin.mask_layers import mask_layer

QMAP = "synthetic/synthetic_qmap.hdf"


def test_a_mask_layer_becomes_a_mask_of_each_format(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((8, 9)) > 0.3
    data, arguments, _ = mask_layer(mask)
    data = np.where(data > 0, 3, 0)  # painted with another label
    for name in ("mask.npy", "mask.tif", "mask.edf"):
        path = str(tmp_path / name)
        assert write_mask_layer(path, data, arguments) == [path]
    np.testing.assert_array_equal(np.load(tmp_path / "mask.npy") == 1, mask)
    path = str(tmp_path / "mask.hdf")
    assert write_labels_layer(path, data, arguments) == [path]


def test_a_partition_layer_becomes_a_qmap_and_no_mask(tmp_path: Path, shared_data: Path) -> None:
    file = open_path(shared_data / QMAP)
    data, arguments, _ = partition_layer(file.partition, known=file.known)
    path = str(tmp_path / "bins.hdf")
    assert write_labels_layer(path, data, arguments) == [path]
    labels = open_path(Path(path)).partition.dynamic.labels
    np.testing.assert_array_equal(labels, file.partition.dynamic.labels)
    with pytest.raises(FileFormatError, match="'partition' is no mask"):
        write_mask_layer(str(tmp_path / "mask.npy"), data, arguments)


def test_other_layers_are_refused(tmp_path: Path) -> None:
    arguments = {"name": "cells", "metadata": {}}
    with pytest.raises(FileFormatError, match="'cells' holds no q/phi bins"):
        write_labels_layer(str(tmp_path / "bins.hdf"), np.zeros((3, 3)), arguments)
    with pytest.raises(FileFormatError, match="'cells' is no mask"):
        write_mask_layer(str(tmp_path / "mask.npy"), np.zeros((2, 3, 3)), arguments)
    assert list(tmp_path.iterdir()) == []
