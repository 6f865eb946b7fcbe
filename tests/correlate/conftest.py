"""Partitions, and the case that other programs have computed too."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.kernels.partition import Partition


@pytest.fixture
def peer_case(shared_data: Path) -> Mapping[str, np.ndarray]:
    """Frames of a known decay with what other programs and a float64 reference make of them."""
    with np.load(shared_data / "correlation" / "peer_g2_case.npz") as case:
        return dict(case)


@pytest.fixture
def peer_partition(
    peer_case: Mapping[str, np.ndarray], make_labels_partition: Callable[..., Partition]
) -> Partition:
    return make_labels_partition(peer_case["mask"], peer_case["dqmap"], peer_case["sqmap"])


@pytest.fixture
def many_pixels(make_labels_partition: Callable[..., Partition]) -> Partition:
    """31 x 40 pixels, some 900 in 3 dynamic bins, with holes: several tiles of compiled loops."""
    static = np.random.default_rng(8).integers(1, 7, (31, 40))
    static[np.random.default_rng(9).random((31, 40)) < 0.25] = 0
    return make_labels_partition(static > 0, (static + 1) // 2, static)


@pytest.fixture
def rings(make_labels_partition: Callable[..., Partition]) -> Partition:
    """12 x 20 pixels, 3 dynamic bins of 2 static ones each, a masked column on the left."""
    static = np.broadcast_to(np.repeat(np.arange(1, 7), 2)[:, None], (12, 20)).copy()
    static[:, 0] = 0
    dynamic = (static + 1) // 2
    return make_labels_partition(static > 0, dynamic, static)


@pytest.fixture
def whole_detector(make_labels_partition: Callable[..., Partition]) -> Partition:
    """190 x 200 pixels in one bin: more than compiled programs go through in one call."""
    static = np.ones((190, 200), int)
    return make_labels_partition(static > 0, static, static)
