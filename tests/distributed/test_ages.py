"""Ages of a long run from parts of it: those of one computer, bit for bit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend, get_backend
from napari_xpcs.correlate.age_parts import join_ages, part_of_ages
from napari_xpcs.correlate.multitau_twotime_run import (
    ages_of_run,
    correlate_multitau_twotime,
    plan_ages,
)
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.distributed.ages import correlate_ages_on
from napari_xpcs.distributed.cluster import Cluster
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.progress import run


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smoothing": "none", "delays_per_level": 8, "bins": [3, 1]},
        {"skipped": (0, 1023, 1024, 2047, 4999), "selection": FrameSelection(end=4100)},
    ],
    ids=["defaults", "8 delays", "frames left out"],
)
def test_any_division_gives_the_same(
    rings: Partition,
    frames_path: Path,
    assert_same: Callable[..., None],
    options: dict[str, object],
) -> None:
    frames, xp = open_path(frames_path).frames[:], NumPyBackend()
    pixels = used_pixels(rings, rings.shape)
    whole = run(correlate_multitau_twotime(frames, rings, frame_time_s=1e-3, xp=xp, **options))
    planned = plan_ages(frames, pixels, **options)
    total = planned.plan.frames
    for length in (1024, 2048):
        ages = planned.in_parts(length)
        first, *others = (
            run(
                part_of_ages(
                    ages,
                    frames,
                    pixels,
                    begin,
                    min(begin + length, total),
                    skip_corrupt=False,
                    xp=xp,
                )
            )
            for begin in range(0, total, length)
        )
        # From the right: joining is associative.
        last = others.pop()
        while others:
            last = join_ages(ages, others.pop(), last, xp=xp)
        joined = ages_of_run(ages, join_ages(ages, first, last, xp=xp), pixels, 1e-3, xp=xp)
        assert_same(joined, whole)
        assert np.isfinite(whole.ages.levels[3].c2).any()


def test_on_workers(
    cluster: Cluster, rings: Partition, frames_path: Path, assert_same: Callable[..., None]
) -> None:
    frames = open_path(frames_path).frames
    options = {"frame_time_s": 1e-3, "skipped": (7, 2000)}
    there = run(correlate_ages_on(cluster, frames_path, frames, rings, **options))
    here = run(correlate_multitau_twotime(frames, rings, xp=get_backend(), **options))
    assert_same(there, here)
