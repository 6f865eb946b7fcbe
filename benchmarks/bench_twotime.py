"""Two-time maps beside plain NumPy, and beside other programs where these are installed.

``python benchmarks/bench_twotime.py`` prints CPU ns for each pair of frames and pixel on one
thread, medians of interleaved rounds, from frames in memory to the map with its diagonals.  The
limit is that of the matrix product, which the line "NumPy X X^T" shows.  ``BENCH_PEERS`` may name
the Python of an environment with scikit-beam, which is timed there on the same counts (48 frames of
them), and is said to be absent otherwise.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.kernels.partition import Bins, Partition
from napari_xpcs.progress import run

PEERS = {
    "scikit-beam": """
from skbeam.core.correlation import two_time_corr
short = counts[:48]
start = time.process_time()
two_time_corr(dynamic, short, len(short), num_bufs=len(short), num_levels=1)
seconds = time.process_time() - start
pairs = len(short) ** 2
""",
}


def make_counts(frames: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).poisson(1.0, (frames, side, side)).astype(np.uint16)


def rings(side: int) -> Partition:
    row, col = np.mgrid[:side, :side]
    radius = np.hypot(row, col)
    edge = np.quantile(radius, 0.74)
    static = np.where(radius < edge, (radius / edge * 60).astype(np.int32) + 1, 0)
    return Partition(mask=static > 0, dynamic=_bins((static + 9) // 10), static=_bins(static))


def _bins(labels: np.ndarray) -> Bins:
    count = int(labels.max())
    return Bins(
        labels=labels.astype(np.int32),
        grid=(count, 1),
        index=np.arange(count),
        centers=(np.arange(count, dtype=float), np.zeros(1)),
        edges=None,
        pixels=np.bincount(labels.ravel(), minlength=count + 1)[1:],
    )


def cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def peer_ns(program: str, python: str, counts: np.ndarray, dynamic: np.ndarray) -> float | None:
    """Return the time of another program, ``None`` where it is not there or fails."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "case.npz"
        np.savez(place, counts=counts, dynamic=dynamic)
        code = (
            f"import time\nimport numpy as np\ncase = np.load({str(place)!r})\n"
            "counts, dynamic = case['counts'], case['dynamic']\n"
            f"{PEERS[program]}\nprint(1e9 * seconds / pairs / (dynamic > 0).sum())\n"
        )
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [python, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def compare(frames: int, side: int, rounds: int) -> dict[str, float]:
    counts, partition = make_counts(frames, side), rings(side)
    labels = partition.dynamic.labels
    matrices = [counts[:, labels == k].astype(np.float32) for k in range(1, labels.max() + 1)]

    def plain() -> None:
        for matrix in matrices:
            matrix @ matrix.T

    def ours(smoothing: str) -> None:
        run(
            correlate_twotime(
                counts, partition, frame_time_s=1.0, xp=NumPyBackend(), smoothing=smoothing
            )
        )

    work: dict[str, Callable[[], None]] = {
        "NumPy X X^T": plain,
        "ours, no smoothing": lambda: ours("none"),
        "ours, static bins": lambda: ours("static"),
    }
    for one in work.values():
        one()
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            times[name].append(cpu_s(one))
    scale = 1e9 / frames**2 / partition.mask.sum()
    return {name: scale * statistics.median(found) for name, found in times.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, default=1024)
    options.add_argument("--side", type=int, default=256)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", action="store_true", help="for machines")
    chosen = options.parse_args()
    table: dict[str, float | None] = dict(compare(chosen.frames, chosen.side, chosen.rounds))
    python = os.environ.get("BENCH_PEERS")
    for program in PEERS if python else ():
        counts, partition = make_counts(chosen.frames, chosen.side), rings(chosen.side)
        table[program] = peer_ns(program, python or "", counts, partition.dynamic.labels)
    if chosen.json:
        print(json.dumps(table, indent=1))
        return
    base = table["ours, static bins"]
    print(f"{chosen.frames} frames of {chosen.side} x {chosen.side}, 6 bins, 1 thread")
    for name, found in table.items():
        if found is None:
            print(f"{name:20s} not there, or failed")
        else:
            print(f"{name:20s} {found:8.4f} ns per pair and pixel   {found / base:8.2f} x ours")
    if not python:
        print("other programs: skipped, BENCH_PEERS names no Python that has them")


if __name__ == "__main__":
    main()
