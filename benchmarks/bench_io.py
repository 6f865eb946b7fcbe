"""Time to open a long run and to read from it, each beside bare h5py in the same run.

The rate of a block is given for one core and for all of them: HDF5 itself unpacks on one only,
the product on as many as there are (1.6 to 2.6 ns a pixel and core are what unpacking costs).

``python benchmarks/bench_io.py`` writes a run of 100 000 frames of 1 Mpixel (bitshuffle+LZ4;
most frames are one stored chunk again and again, some hold Poisson counts) into a temporary
folder, about 1.3 GB, and prints medians.  Start-up (imports) is not counted.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from napari_xpcs.io.open import open_path

SIDE = 1024
FRAMES = 100_000
BLOCK = 256
LIMITS_S = {"open to first picture": 0.3, "slider step, 1 Mpixel": 0.03}


def write_run(path: Path, frames: int) -> None:
    counts = np.random.default_rng(0).poisson(0.5, (BLOCK + 8, SIDE, SIDE)).astype(np.uint16)
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset(
            "entry/data/data",
            (frames, SIDE, SIDE),
            np.uint16,
            chunks=(1, SIDE, SIDE),
            **hdf5plugin.Bitshuffle(),
        )
        middle = frames // 2
        data[middle : middle + len(counts)] = counts
        data[0] = np.zeros((SIDE, SIDE), np.uint16)
        _, empty = data.id.read_direct_chunk((0, 0, 0))
        for frame in range(1, frames):
            if not middle <= frame < middle + len(counts):
                data.id.write_direct_chunk((frame, 0, 0), empty)


def median_s(work: Callable[[int], object], repeats: int) -> float:
    times = []
    for turn in range(repeats + 1):
        start = time.perf_counter()
        work(turn)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first one warms up


def bare(path: Path, begin: int, end: int) -> np.ndarray:
    with h5py.File(path, "r") as file:
        return np.asarray(file["entry/data/data"][begin:end])


def compare(path: Path, frames: int) -> dict[str, dict[str, float]]:
    run = open_path(path).frames
    middle = frames // 2
    cases: dict[str, tuple[Callable[[int], object], Callable[[int], object], int]] = {
        "open to first picture": (
            lambda _: open_path(path).frames[0],
            lambda _: bare(path, 0, 1),
            7,
        ),
        "slider step, 1 Mpixel": (
            lambda turn: run[middle + turn],
            lambda turn: bare(path, middle + turn, middle + turn + 1),
            60,
        ),
        "block of 256 frames": (
            lambda _: run[middle : middle + BLOCK],
            lambda _: bare(path, middle, middle + BLOCK),
            3,
        ),
    }
    table = {}
    for name, (ours, theirs, repeats) in cases.items():
        own, reference = median_s(ours, repeats), median_s(theirs, repeats)
        table[name] = {"s": own, "h5py_s": reference, "ratio": own / reference}
    return table


def rates(path: Path, frames: int) -> list[str]:
    """Return lines: ns a pixel to read a block, by cores; the best of four turns."""
    run = open_path(path).frames
    middle, pixels = frames // 2, BLOCK * SIDE**2
    cores = sorted(os.sched_getaffinity(0))
    lines = []
    for number in sorted({1, 2, len(cores)} & set(range(1, len(cores) + 1))):
        os.sched_setaffinity(0, cores[:number])
        pairs = [
            [
                median_s(work, 1) / pixels * 1e9
                for work in (
                    lambda _: run[middle : middle + BLOCK],
                    lambda _: bare(path, middle, middle + BLOCK),
                )
            ]
            for _ in range(4)
        ]
        own, reference = (min(column) for column in zip(*pairs, strict=True))
        lines.append(f"{number:2d} cores: {own:.2f} ns/pixel, h5py {reference:.2f} ns/pixel")
    os.sched_setaffinity(0, cores)
    return lines


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, default=FRAMES)
    options.add_argument("--json", action="store_true", help="for machines")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        write_run(path, chosen.frames)
        table = compare(path, chosen.frames)
        by_cores = [] if chosen.json else rates(path, chosen.frames)
    if chosen.json:
        print(json.dumps(table, indent=1))
        return
    print(f"{chosen.frames} frames of {SIDE} x {SIDE} uint16, bitshuffle+LZ4")
    for name, row in table.items():
        limit = f", limit {LIMITS_S[name] * 1e3:.0f} ms" if name in LIMITS_S else ""
        print(
            f"{name:24s} {row['s'] * 1e3:8.1f} ms   h5py {row['h5py_s'] * 1e3:8.1f} ms   "
            f"ratio {row['ratio']:.2f}{limit}"
        )
    print(*by_cores, sep="\n")


if __name__ == "__main__":
    main()
