"""Two-time maps beside plain NumPy, and beside other programs where these are installed.

    python benchmarks/bench_twotime.py
    XPCS_CORRELATION_PEERS=/path/to/python python benchmarks/bench_twotime.py

CPU time for each pair of frames and pixel on one core, from frames in memory to the maps with
their diagonals, medians over rounds in which programs take turns.  The limit is that of the matrix
product, which the line "NumPy X X^T" shows.  scikit-beam correlates 32 of the frames;
xpcs-correlator runs its reference for dense frames.  As it and boost_corr do, ours makes one map
after another and lets it go; in "maps kept" it keeps them in memory.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from correlation_case import cpu_s, pin_to_one_core, poisson_counts, rings
from correlation_peers import find_peers, store_case

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate.twotime_maps import MapSink
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.progress import run

PEERS = ("boost_corr two-time", "scikit-beam two-time", "xpcs-correlator two-time")
BASE = "ours, static bins"


class MapsLetGo:
    """Takes maps as a file does, and keeps none."""

    def start(self, maps: int, frames: int, tile: int) -> None:
        """Need no room."""

    def room(self, position: int, shape: tuple[int, int]) -> None:
        """Leave open where a tile is made."""

    def put(self, position: int, row: int, col: int, tile: np.ndarray) -> None:
        """Let a tile go."""


def own_work(counts: np.ndarray, partition: Partition) -> dict[str, Callable[[], None]]:
    """Return what runs in this process."""
    labels = partition.dynamic.labels
    matrices = [counts[:, labels == k].astype(np.float32) for k in range(1, labels.max() + 1)]

    def plain() -> None:
        for matrix in matrices:
            matrix @ matrix.T

    def ours(smoothing: str, sink: MapSink | None) -> None:
        options = {"frame_time_s": 1.0, "xp": NumPyBackend(), "smoothing": smoothing}
        run(correlate_twotime(counts, partition, sink=sink, **options))

    return {
        "NumPy X X^T": plain,
        "ours, maps kept": lambda: ours("static", None),
        "ours, no smoothing": lambda: ours("none", MapsLetGo()),
        BASE: lambda: ours("static", MapsLetGo()),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--frames", type=int, default=1024)
    options.add_argument("--side", type=int, default=256)
    options.add_argument("--bins", type=int, default=18)
    options.add_argument("--rounds", type=int, default=4)
    chosen = options.parse_args()
    pin_to_one_core()
    counts = poisson_counts(chosen.frames, chosen.side)
    partition = rings(chosen.side, chosen.bins)
    work = own_work(counts, partition)
    for one in work.values():
        one()
    ns: dict[str, list[float]] = {name: [] for name in work}
    scale = 1e9 / partition.mask.sum()
    with tempfile.TemporaryDirectory() as folder:
        store_case(Path(folder), counts, partition.dynamic.labels, partition.static.labels)
        peers = find_peers(PEERS, Path(folder))
        ns |= {peer.name: [] for peer in peers}
        for number in range(chosen.rounds):
            # What runs first pays for memory that others gave back: each way round in turn.
            for name, one in list(work.items())[:: -1 if number % 2 else 1]:
                ns[name].append(scale * cpu_s(one) / chosen.frames**2)
            for peer in peers:
                seconds, frames = peer.cpu_s()
                ns[peer.name].append(scale * seconds / frames**2)
        for peer in peers:
            peer.close()
    size = f"{chosen.frames} frames of {chosen.side} x {chosen.side}, {chosen.bins} bins"
    print(f"{size}, {partition.mask.sum()} used pixels")
    for name, found in ns.items():
        ratios = [a / b for a, b in zip(found, ns[BASE], strict=True)]
        print(
            f"{name:26}{median(found):10.4f} ns per pair and pixel{median(ratios):10.2f} x ours"
            f" ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print("Targets: boost_corr 2 x, scikit-beam 300 x")


if __name__ == "__main__":
    main()
