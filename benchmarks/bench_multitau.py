"""Multi-tau engines against each other, and against boost_corr and scikit-beam where these are.

    python benchmarks/bench_multitau.py
    XPCS_CORRELATION_PEERS=/path/to/python python benchmarks/bench_multitau.py

Frames lie in memory; all run on one core and take turns in every round.  Figures are CPU time,
medians over the rounds; ratios are taken within a round.  Nothing holds compiling.  Our engines
pick the used pixels out of whole frames, boost_corr gets them picked out; both of its ways to
queue frames are tried.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from correlation_case import cpu_s, pin_to_one_core, poisson_counts, rings
from correlation_peers import find_peers, store_case

BLOCK = 256
PEERS = (
    "boost_corr multi-tau, its queues",
    "boost_corr multi-tau, queue 64",
    "scikit-beam multi-tau",
)
TARGETS = """Targets: Numba 10 x boost_corr and 40 x scikit-beam, JAX 7 x and 25 x.
Limit of the Numba kernel: 12 multiply-adds for each pixel and frame, and about 8 bytes to and from
memory (2 of a count, 5 of the state of blocks of 256 frames).  The program of JAX loads the rows
of every lag from the second-level cache: 0.06 ns a lag, 12 lags."""


def own_engines(counts: object, pixels: object) -> dict[str, Callable[[], float]]:
    """Return for each engine a function that adds all frames and tells its CPU seconds."""
    from napari_xpcs.backends import NumPyBackend, get_backend, set_backend
    from napari_xpcs.correlate.array_engine import ArrayEngine
    from napari_xpcs.correlate.engines import NumbaEngine
    from napari_xpcs.kernels.multitau_state import empty_state

    def timed(make: Callable[[object], object]) -> Callable[[], float]:
        def measure() -> float:
            engine = make(empty_state(len(pixels.index), frames=len(counts), largest_count=65535.0))
            engine.prepare(counts.dtype, weighted=False)

            def add_all() -> None:
                for at in range(0, len(counts), BLOCK):
                    engine.add(counts[at : at + BLOCK], None)
                engine.state()

            seconds = cpu_s(add_all)
            engine.close()
            return seconds

        return measure

    set_backend("jax")
    jax = get_backend()
    return {
        "Numba": timed(lambda state: NumbaEngine(state, pixels, threads=1)),
        "array, JAX": timed(lambda state: ArrayEngine(state, pixels, BLOCK, xp=jax)),
        "array, NumPy": timed(lambda state: ArrayEngine(state, pixels, BLOCK, xp=NumPyBackend())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    pin_to_one_core()
    from napari_xpcs.correlate.pixels import used_pixels

    partition = rings(given.size)
    counts = poisson_counts(given.frames, given.size)
    pixels = used_pixels(partition, counts.shape[1:])
    engines = own_engines(counts, pixels)
    for measure in engines.values():
        measure()  # compiles what prepare() does not know of
    ns: dict[str, list[float]] = {name: [] for name in engines}
    scale = 1e9 / len(pixels.index)
    with tempfile.TemporaryDirectory() as folder:
        store_case(Path(folder), counts, partition.dynamic.labels, partition.static.labels)
        peers = find_peers(PEERS, Path(folder))
        ns |= {peer.name: [] for peer in peers}
        for number in range(given.rounds):
            # What runs first pays for memory that others gave back: each engine in turn.
            first = number % len(engines)
            for name in [*engines][first:] + [*engines][:first]:
                ns[name].append(scale * engines[name]() / len(counts))
            for peer in peers:
                seconds, frames = peer.cpu_s()
                ns[peer.name].append(scale * seconds / frames)
        for peer in peers:
            peer.close()
    print(f"{given.frames} frames of {given.size} x {given.size}, {len(pixels.index)} used pixels")
    print(f"{'':34}{'ns per pixel and frame':>24}{'x Numba':>16}{'x JAX':>16}")
    for name, found in ns.items():
        row = f"{name:34}{median(found):24.2f}"
        for base in ("Numba", "array, JAX"):
            ratios = [a / b for a, b in zip(found, ns[base], strict=True)]
            row += f"{median(ratios):7.1f} ({min(ratios):.1f}-{max(ratios):.1f})".rjust(16)
        print(row)
    print(TARGETS)


if __name__ == "__main__":
    main()
