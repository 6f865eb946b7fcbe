"""Multi-tau engines against each other, and against boost_corr and scikit-beam where these are.

    python benchmarks/bench_multitau.py                      # kernels and end to end, 512 x 512
    BOOST_CORR_PYTHON=/path/python SKBEAM_PYTHON=/path/python python benchmarks/bench_multitau.py

Peers run in environments of their own, whose Python the two variables name; a peer that is
absent is told of.  Engines take turns in every round on the same frames, one thread each; figures
are CPU time, medians over the rounds, and ratios are taken within a round.  Compiling is in none.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from napari_xpcs.backends import NumPyBackend, set_backend
from napari_xpcs.backends import get_backend as backend
from napari_xpcs.correlate.array_engine import ArrayEngine
from napari_xpcs.correlate.engines import NumbaEngine
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.multitau_state import empty_state
from napari_xpcs.kernels.partition import PartitionSpec
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.simulate import Simulation
from napari_xpcs.pipeline import correlate_file, partition_file, simulate_file
from napari_xpcs.progress import run

BLOCK = 256
PEERS = {"boost_corr": "BOOST_CORR_PYTHON", "scikit-beam": "SKBEAM_PYTHON"}

BOOST_CORR = """
import json, sys, time
import numpy as np, torch
from boost_corr import MultitauCorrelator
torch.set_num_threads(1)
counts = np.load(sys.argv[1])
frames = torch.from_numpy(counts.astype(np.float32)).reshape(len(counts), -1)
seconds = []
for _ in range(int(sys.argv[2])):
    correlator = MultitauCorrelator(
        det_size=(1, frames.shape[1]), frame_num=len(frames), queue_size=64, auto_queue=False,
        device="cpu", mask_crop=None,
    )
    start = time.process_time()
    for at in range(0, len(frames), 64):
        correlator.process(frames[at : at + 64])
    correlator.post_process()
    seconds.append(time.process_time() - start)
print(json.dumps(seconds))
"""

SCIKIT_BEAM = """
import json, sys, time
import numpy as np
from skbeam.core.correlation import multi_tau_auto_corr
counts = np.load(sys.argv[1]).astype(float)[: 64]
labels = np.load(sys.argv[2])
seconds = []
for _ in range(int(sys.argv[3])):
    start = time.process_time()
    multi_tau_auto_corr(4, 8, labels, counts)
    seconds.append((time.process_time() - start) * (int(sys.argv[4]) / len(counts)))
print(json.dumps(seconds))
"""


def own_engines(counts: np.ndarray, pixels: object) -> dict[str, Callable[[], float]]:
    """Return for each engine a function that adds all frames and tells its CPU seconds."""
    frames, number = len(counts), int(pixels.mask.sum())

    def timed(make: Callable[[], object]) -> Callable[[], float]:
        def measure() -> float:
            engine = make()
            engine.prepare(counts.dtype, weighted=False)
            start = time.process_time()
            for at in range(0, frames, BLOCK):
                engine.add(counts[at : at + BLOCK], None)
            engine.state()
            seconds = time.process_time() - start
            engine.close()
            return seconds

        return measure

    def state() -> object:
        return empty_state(number, frames=frames, largest_count=65535.0)

    set_backend("jax")
    jax = backend()
    return {
        "numba": timed(lambda: NumbaEngine(state(), pixels, threads=1)),
        "array, JAX": timed(lambda: ArrayEngine(state(), pixels, BLOCK, xp=jax)),
        "array, NumPy": timed(lambda: ArrayEngine(state(), pixels, BLOCK, xp=NumPyBackend())),
    }


def peer_seconds(name: str, script: str, *arguments: object) -> list[float] | None:
    """Return the CPU seconds of a peer, or ``None`` and a message."""
    python = os.environ.get(PEERS[name])
    if not python:
        print(f"{name}: skipped, {PEERS[name]} names no Python that has it")
        return None
    done = subprocess.run(
        [python, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{name}: skipped, {done.stderr.strip().splitlines()[-1]}")
        return None
    return list(json.loads(done.stdout.splitlines()[-1]))


def kernels(folder: Path, size: int, frames: int, rounds: int) -> None:
    """Print ns per pixel and frame of every engine."""
    simulated = folder / "kernel.h5"
    pixels, counts = frames_and_pixels(simulated, folder, size, frames)
    engines = own_engines(counts, pixels)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for measure in engines.values():
        measure()  # compiles what prepare() does not know of
    for _ in range(rounds):
        for name, measure in engines.items():
            seconds[name].append(measure())
    stored, labels = folder / "counts.npy", folder / "labels.npy"
    used = pixels.take(counts)[:, None]
    np.save(stored, used)
    np.save(labels, pixels.dynamic[None] + 1)
    peers = {
        "boost_corr": peer_seconds("boost_corr", BOOST_CORR, stored, rounds),
        "scikit-beam": peer_seconds("scikit-beam", SCIKIT_BEAM, stored, labels, rounds, frames),
    }
    seconds |= {name: spent for name, spent in peers.items() if spent is not None}
    number = len(pixels.index) * frames
    print(f"\n{frames} frames, {len(pixels.index)} pixels, one thread")
    print(f"{'engine':<14} {'ns/px-frame':>12} {'x numba':>9}")
    for name, spent in seconds.items():
        ratio = median(a / b for a, b in zip(spent, seconds["numba"], strict=True))
        print(f"{name:<14} {median(spent) / number * 1e9:>12.2f} {ratio:>9.2f}")


def frames_and_pixels(
    path: Path, folder: Path, size: int, frames: int
) -> tuple[object, np.ndarray]:
    """Simulate a run, lay bins, and return the used pixels and the frames."""
    simulation = Simulation(rows=size, cols=size, frames=frames)
    run(simulate_file(path, simulation, xp=NumPyBackend(), force=True))
    partition = partition_file(
        folder / "bins.hdf", frames=path, values={}, xp=NumPyBackend(), force=True,
        spec=PartitionSpec(dq=18, sq=180, dp=1, sp=1),
    )  # fmt: skip
    opened = open_path(path)
    counts = np.asarray(opened.frames[0:frames])
    return used_pixels(partition, counts.shape[1:]), counts


def end_to_end(folder: Path, rounds: int) -> None:
    """Print frames/s from the compressed file to the result file, on all cores."""
    source = folder / "kernel.h5"
    wall, cpu = [], []
    for _ in range(rounds):
        start = time.perf_counter(), time.process_time()
        run(
            correlate_file(
                source, folder / "bins.hdf", folder / "results.hdf", selection=FrameSelection(),
                normalization="symmetric", xp=NumPyBackend(), force=True,
            )
        )  # fmt: skip
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    frames = open_path(source).frames.shape
    number = float(np.prod(frames))
    print(
        f"\nend to end, {frames[0]} frames of {frames[1]} x {frames[2]}: {median(wall):.2f} s, "
        f"{frames[0] / median(wall):.0f} frames/s, {median(cpu) / number * 1e9:.2f} ns CPU per "
        "pixel and frame. Limit: decompression, about 2 of these"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kernels(Path(folder), given.size, given.frames, given.rounds)
        end_to_end(Path(folder), given.rounds)


if __name__ == "__main__":
    main()
