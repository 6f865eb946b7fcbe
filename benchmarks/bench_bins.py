"""Time and memory of a Q-map with dynamic and static bins and their table, on an Eiger 4M.

``python benchmarks/bench_bins.py`` prints CPU and wall time and the peak of memory on both
backends, each in a process of its own, and what changing a number of bins costs when the maps
are there.  Where ``XPCS_PYSIMPLEMASK`` names a Python with pySimpleMask 0.4.5 it does the same
work in the same run, and the ratios are printed; they should be 10 or more.  "whole" is all that
its function for a partition does: the maps, the bins, and a loop that looks whether static bins
nest in dynamic ones, which they do here by construction; "bins" is without that loop.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

SHAPE = (2162, 2068)
CENTER = (1081.3, 1030.7)
FRAME_BYTES = SHAPE[0] * SHAPE[1] * 8
CASES = {"36 x 360 q": (36, 360, 1, 1), "18 x 90 q, 8 x 16 phi": (18, 90, 8, 16)}

PEER = """
import json, resource, sys, time
import numpy as np
from pysimplemask.core.partition import check_consistency, combine_partitions, generate_partition
from pysimplemask.core.qmap import compute_transmission_qmap
shape, center, cases, turns = json.loads(sys.argv[1])
mask = np.random.default_rng(0).random(shape) > 0.05
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = {}
for name, (dq, sq, dp, sp) in cases.items():
    best = [1e9, 1e9, 1e9]
    for turn in range(turns):
        compute_transmission_qmap.cache_clear()
        start, cpu = time.perf_counter(), time.process_time()
        maps, _ = compute_transmission_qmap(10.0, tuple(center), tuple(shape), 75e-6, 5.0, 0.0)
        packs = {}
        for kind, nq, nphi in (("dynamic", dq, dp), ("static", sq, sp)):
            q = generate_partition("q", mask, maps["q"], nq)
            phi = generate_partition("phi", mask, maps["phi"], nphi)
            packs |= combine_partitions(q, phi, prefix=kind)
            np.bincount(packs[f"{kind}_roi_map"].ravel())
        found = [time.process_time() - cpu, time.perf_counter() - start]
        check_consistency(packs["dynamic_roi_map"], packs["static_roi_map"], mask)
        found.append(time.process_time() - cpu)
        best = [min(pair) for pair in zip(best, found)]
    result[name] = best
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"times": result, "memory": (peak - before) * 1024}))
"""


def best(work: Callable[[], object], turns: int) -> list[float]:
    """Return the least CPU and the least wall time, s, after one turn to warm up."""
    work()
    least = [float("inf"), float("inf")]
    for _ in range(turns):
        start, cpu = time.perf_counter(), time.process_time()
        work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - start
        least = [min(least[0], cpu), min(least[1], wall)]
    return least


def own(backend: str, turns: int) -> None:
    import numpy as np

    from napari_xpcs.backends import get_backend, set_backend
    from napari_xpcs.kernels.geometry import Geometry
    from napari_xpcs.kernels.grid_bins import make_partition, partition_from_maps
    from napari_xpcs.kernels.partition_spec import PartitionSpec
    from napari_xpcs.kernels.qmap import q_maps

    set_backend(backend)
    xp = get_backend()
    detector = {
        "energy_kev": 10.0,
        "distance_m": 5.0,
        "pixel_row_m": 75e-6,
        "pixel_col_m": 75e-6,
        "center_row_px": CENTER[0],
        "center_col_px": CENTER[1],
    }
    geometry = Geometry(shape=SHAPE, **detector)
    mask = np.random.default_rng(0).random(SHAPE) > 0.05
    specs = {
        name: PartitionSpec(dq=dq, sq=sq, dp=dp, sp=sp) for name, (dq, sq, dp, sp) in CASES.items()
    }
    small = Geometry(shape=(64, 64), **detector)
    make_partition(small, mask[:64, :64], PartitionSpec(dq=2, sq=2), xp=xp)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = {
        name: best(lambda: make_partition(geometry, mask, spec, xp=xp).table(), turns)  # noqa: B023
        for name, spec in specs.items()
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    maps = q_maps(geometry, xp=xp)
    numbers = iter(range(20, 20 + 2 * turns))
    changed = best(
        lambda: partition_from_maps(
            maps, mask, PartitionSpec(dq=next(numbers)), geometry, xp=xp
        ).table(),
        turns,
    )
    report = {"times": times, "memory": (peak - before) * 1024, "changed": changed}
    sys.stdout.write(json.dumps(report) + "\n")


def child(*command: str) -> dict[str, object]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--own", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own:
        own(options.own, options.turns)
        return
    turns = str(options.turns)
    python = os.environ.get("XPCS_PYSIMPLEMASK")
    reports = {
        name: child(sys.executable, __file__, "--own", name, "--turns", turns)
        for name in ("numpy", "jax")
    }
    if python is not None:
        request = json.dumps([SHAPE, CENTER, CASES, options.turns])
        reports["pySimpleMask"] = child(python, "-c", PEER, request)
    lines = [
        "| case | who | CPU s | wall s | pySimpleMask bins / this | whole / this |",
        "|---|---|---|---|---|---|",
    ]
    for case in CASES:
        for name, report in reports.items():
            cpu, wall = report["times"][case][:2]
            peer = reports["pySimpleMask"]["times"][case] if python is not None else None
            ratios = " | " if peer is None else f"{peer[0] / cpu:.1f} | {peer[2] / cpu:.1f}"
            lines.append(f"| {case} | {name} | {cpu:.3f} | {wall:.3f} | {ratios} |")
    lines.append("")
    for name, report in reports.items():
        lines.append(f"{name}: peak {report['memory'] / FRAME_BYTES:.1f} float64 frames")
        if "changed" in report:
            cpu, wall = report["changed"]
            lines.append(f"{name}: another number of bins, {cpu:.3f} s CPU, {wall:.3f} s wall")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
