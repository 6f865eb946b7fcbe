"""JAX against NumPy on the main kernels, and what the compilation cache saves.

    python benchmarks/bench_backends.py                      # 512 1024 2048
    python benchmarks/bench_backends.py --sizes 512 --repeats 5

Every case runs in a fresh process, on data with a fixed seed.  "first" holds tracing and
compilation: without a cache, and with the cache that the run before has filled.  "then" is
the median of the repeats, waited for.  Importing and making data is in no column.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from napari_xpcs.backends import BackendProtocol, get_backend
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.qmap import q_maps
from napari_xpcs.progress import run

FRAMES = 64
CURVES = {512: 9, 1024: 36, 2048: 144}


def geometry(size: int) -> Geometry:
    return Geometry(
        shape=(size, size),
        energy_kev=10.0,
        distance_m=5.0,
        pixel_row_m=7.5e-5,
        pixel_col_m=7.5e-5,
        center_row_px=size / 2,
        center_col_px=size / 2,
    )


def prepare_q_map(size: int, xp: BackendProtocol) -> Callable[[], object]:
    detector = geometry(size)
    return lambda: xp.block_until_ready(q_maps(detector, xp=xp).q)


def prepare_partition(size: int, xp: BackendProtocol) -> Callable[[], object]:
    detector, mask = geometry(size), np.ones((size, size), bool)
    return lambda: make_partition(detector, mask, PartitionSpec(), xp=xp)


def prepare_multitau(size: int, xp: BackendProtocol) -> Callable[[], object]:
    from napari_xpcs.correlate.multitau_run import correlate_multitau

    partition = make_partition(geometry(size), np.ones((size, size), bool), PartitionSpec(), xp=xp)
    frames = np.random.default_rng(7).poisson(0.2, (FRAMES, size, size)).astype(np.uint16)
    options = {"frame_time_s": 1e-3, "xp": xp, "engine": "array", "block": FRAMES}
    return lambda: run(correlate_multitau(frames, partition, **options))


def prepare_fit(size: int, xp: BackendProtocol) -> Callable[[], object]:
    from napari_xpcs.fitting.least_squares import fit_g2

    count = CURVES.get(size, 36)
    delay_s, q = np.geomspace(1e-4, 10, 60), np.linspace(0.002, 0.02, count)
    true = 1 + 0.2 * np.exp(-2 * delay_s[:, None] * 1e4 * q**2)
    noise = np.random.default_rng(7).normal(0, 2e-3, true.shape)
    curves = G2Curves(
        delay_s=delay_s,
        g2=true + noise,
        error=np.full(true.shape, 2e-3),
        bins=BinTable(
            label=np.arange(1, count + 1),
            q=q,
            phi_deg=np.full(count, np.nan),
            pixels=np.full(count, 100),
        ),
    )
    return lambda: run(fit_g2(curves, xp=xp))


CASES = {
    "q map": prepare_q_map,
    "partition": prepare_partition,
    f"multitau, {FRAMES} frames": prepare_multitau,
    "fit": prepare_fit,
}


def measure(case: str, size: int, repeats: int) -> None:
    """Print s of the first call and the median s of the others."""
    job = CASES[case](size, get_backend())
    seconds = []
    for _ in range(repeats + 1):
        start = perf_counter()
        job()
        seconds.append(perf_counter() - start)
    print(seconds[0], median(seconds[1:]))


def measured(case: str, size: int, repeats: int, **variables: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--case", case, "--sizes", str(size), "--repeats", str(repeats)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    first, then = done.stdout.split()[-2:]
    return float(first), float(then)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        measure(given.case, given.sizes[0], given.repeats)
        return
    print("seconds                     JAX first    JAX first   JAX then  NumPy then  NumPy / JAX")
    print("case                   size  no cache   from cache")
    for case in CASES:
        for size in given.sizes:
            with tempfile.TemporaryDirectory() as folder:
                cached = {"XPCS_USE_JAX": "true", "JAX_COMPILATION_CACHE_DIR": str(Path(folder))}
                thresholds = {
                    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
                }
                cold, _ = measured(case, size, 1, **cached, **thresholds)
                warm, jax = measured(case, size, given.repeats, **cached, **thresholds)
            _, numpy = measured(case, size, given.repeats, XPCS_USE_JAX="false")
            print(
                f"{case:<22} {size:>4} {cold:>9.3f} {warm:>12.3f} {jax:>10.4f} {numpy:>11.4f} "
                f"{numpy / jax:>12.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
