"""Two-time maps of some bins on each worker: those of one computer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.backends import get_backend
from napari_xpcs.correlate.twotime_maps import MapsInMemory
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.distributed import twotime as twotime_module
from napari_xpcs.distributed.cluster import Cluster
from napari_xpcs.distributed.twotime import correlate_twotime_on
from napari_xpcs.errors import CorrelationError
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import run


@pytest.mark.parametrize("bins", [None, [3, 1]])
def test_maps(
    cluster: Cluster,
    rings: Partition,
    frames_path: Path,
    assert_same: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    bins: list[int] | None,
) -> None:
    frames, there = open_path(frames_path).frames, MapsInMemory()
    options = {
        "frame_time_s": 1e-3,
        "bins": bins,
        "selection": FrameSelection(end=300),
        "skipped": (17,),
    }
    of_cluster = run(
        correlate_twotime_on(cluster, frames_path, frames, rings, sink=there, **options)
    )
    here = run(correlate_twotime(frames, rings, xp=get_backend(), **options))
    np.testing.assert_array_equal(there.maps, here.maps)
    assert of_cluster.skipped_frames == (17,)
    assert_same(replace(of_cluster, maps=()), replace(here, maps=()))
    monkeypatch.setattr(twotime_module, "MAP_BYTES", 1000.0)
    with pytest.raises(CorrelationError, match="--scheduler none"):
        run(correlate_twotime_on(cluster, frames_path, frames, rings, sink=there, **options))
