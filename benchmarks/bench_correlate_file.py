"""From a bitshuffle-LZ4 file to a result file with g2: time and memory of whole programs.

    python benchmarks/bench_correlate_file.py
    XPCS_CORRELATION_PEERS=/path/to/python python benchmarks/bench_correlate_file.py

Each program is started anew in every round, as a user starts it: importing and writing the result
is in the figures.  boost_corr runs on the CPU as its command does, except for two loaders in the
place of 16 and ``--crop-ratio-threshold`` 1.01, without which it mixes up frames that are being
read.  Memory is the peak of the largest process.  ``--frames`` 20000 shows how memory grows.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import h5py
import hdf5plugin
from correlation_peers import VARIABLE

SIMULATED = 256
"""Frames that are simulated; a longer run repeats them."""

BOOST = """
import sys
from boost_corr.xpcs_aps_8idi.gpu_corr_multitau import solve_multitau
solve_multitau(
    qmap=sys.argv[2], raw=sys.argv[1], output=sys.argv[3], gpu_id=-1, num_loaders=2,
    crop_ratio_threshold=1.01, overwrite=True, max_memory=float(sys.argv[4]),
)
"""


class Spent(NamedTuple):
    """What a program took."""

    cpu_s: float
    wall_s: float
    peak_gb: float


def spent_by(command: list[str]) -> Spent:
    """Run a program; the CPU seconds hold those of its own processes."""
    with tempfile.TemporaryFile() as told:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode:
            told.seek(0)
            raise RuntimeError(told.read().decode()[-1000:])
    return Spent(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1e6)


def own(*arguments: object) -> list[str]:
    """Return our command; g2 on a CPU needs no JAX."""
    return [sys.executable, "-m", "napari_xpcs.cli", *map(str, arguments)]


def write_run(folder: Path, size: int, frames: int) -> tuple[Path, Path]:
    """Write a run and its bins."""
    part, whole = folder / "part.h5", folder / "run.h5"
    sizes = ("--rows", size, "--cols", size, "--frames", SIMULATED)
    spent_by(own("simulate", part, *sizes, "--counts", 1))
    with h5py.File(part) as few, h5py.File(whole, "w") as many:
        source = few["entry/data/data"]
        target = many.create_dataset(
            "entry/data/data", (frames, size, size), source.dtype, chunks=source.chunks,
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )  # fmt: skip
        for frame in range(frames):
            packed = source.id.read_direct_chunk((frame % SIMULATED, 0, 0))[1]
            target.id.write_direct_chunk((frame, 0, 0), packed)
    shutil.copy(folder / "part_metadata.hdf", folder / "run_metadata.hdf")
    bins = folder / "bins.hdf"
    spent_by(own("qmap", whole, "-o", bins, "--dq", 18, "--sq", 180, "--dp", 1, "--sp", 1))
    return whole, bins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--boost-memory-gb",
        type=float,
        default=36.0,
        help="what boost_corr may take, 36 as it does",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, bins = write_run(folder, given.size, given.frames)
        output = folder / "results.hdf"
        programs = {"napari-xpcs": own("correlate", run, "--qmap", bins, "-o", output, "--force")}
        python = os.environ.get(VARIABLE)
        if python:
            programs["boost_corr"] = [
                python, "-c", BOOST, *map(str, (run, bins, folder, given.boost_memory_gb)),
            ]  # fmt: skip
        else:
            print(f"boost_corr: skipped, {VARIABLE} names no Python that has it")
        found: dict[str, list[Spent]] = {program: [] for program in programs}
        for _ in range(given.rounds):
            for program, command in programs.items():
                found[program].append(spent_by(command))
    print(f"{given.frames} frames of {given.size} x {given.size}, whole programs")
    ours = found["napari-xpcs"]
    for program, rounds in found.items():
        line = f"{program:14}"
        for what, unit, place in (("CPU", "s", 0), ("wall", "s", 1), ("memory", "GB", 2)):
            values = [one[place] for one in rounds]
            ratio = median(a[place] / b[place] for a, b in zip(rounds, ours, strict=True))
            line += f"  {what} {median(values):6.2f} {unit} ({ratio:4.1f} x ours)"
        print(line)
    print("Targets: boost_corr 8 x in time and in memory. Limit: unpacking the frames.")


if __name__ == "__main__":
    main()
