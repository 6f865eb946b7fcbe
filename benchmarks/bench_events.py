"""Multi-tau of events beside our dense kernel on the same counts, one thread, in the same run.

``python benchmarks/bench_events.py`` prints CPU time for each frame of 512 x 512 pixels at three
mean counts, medians of interleaved rounds.  What bounds them: for events, sorting them to pixels
and the traffic of the state, 2 kB for each pixel and share of frames; for the dense kernel, twelve
multiply-adds for each pixel and frame.
"""

import argparse
import json
import statistics
from collections.abc import Iterator

import numpy as np
from correlation_case import cpu_s, pin_to_one_core, rings

from napari_xpcs.correlate.engines import NumbaEngine
from napari_xpcs.correlate.event_engine import EventAccumulation
from napari_xpcs.correlate.pixels import used_pixels
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.kernels.multitau_state import empty_state
from napari_xpcs.kernels.selection import FrameSelection

SIDE = 512
MEANS = (0.001, 0.003, 0.01)
TARGET = 7.0
"""Times that events are quicker than dense frames at a mean of 0.003."""


class EventsInMemory:
    """Poisson counts as a run of events."""

    def __init__(self, mean: float, frames: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        number = rng.poisson(mean * SIDE * SIDE, frames)
        self.shape = (frames, SIDE, SIDE)
        self.dtype = np.dtype(np.uint16)
        self.starts = np.concatenate([[0], np.cumsum(number)])
        self.source = self
        self.pixel = rng.integers(0, SIDE * SIDE, self.starts[-1]).astype(np.int32)
        self.count = np.ones(self.starts[-1], np.uint16)

    def __getitem__(self, key: slice) -> np.ndarray:
        starts, pixel, count = self.block(key.start, key.stop)
        dense = np.zeros((key.stop - key.start, SIDE * SIDE), np.uint16)
        np.add.at(dense, (np.repeat(np.arange(len(dense)), np.diff(starts)), pixel), count)
        return dense.reshape(-1, SIDE, SIDE)

    def block(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        here = slice(self.starts[begin], self.starts[end])
        return self.starts[begin : end + 1] - here.start, self.pixel[here], self.count[here]

    def spans(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        yield begin, end


def compare(mean: float, rounds: int, frames: int) -> dict[str, float]:
    pixels = used_pixels(rings(SIDE), (SIDE, SIDE))
    counts = EventsInMemory(mean, frames, 1)
    plan = RunPlan(selection=FrameSelection().within(frames))
    block = counts[0:256]

    def dense() -> None:
        engine = NumbaEngine(
            empty_state(len(pixels.index), frames=frames, largest_count=65535.0), pixels, threads=1
        )
        for _ in range(frames // len(block)):
            engine.add(block, None)
        engine.close()

    def events() -> None:
        for _ in EventAccumulation(counts, pixels, plan, threads=1).steps():
            pass

    dense()
    events()
    of_events, of_dense = [], []
    for _ in range(rounds):
        of_events.append(cpu_s(events) / frames)
        of_dense.append(cpu_s(dense) / frames)
    ratios = [slow / quick for slow, quick in zip(of_dense, of_events, strict=True)]
    return {
        "events_us": 1e6 * statistics.median(of_events),
        "dense_us": 1e6 * statistics.median(of_dense),
        "ratio": statistics.median(ratios),
        "events_per_frame": counts.starts[-1] / frames,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, default=8192)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", action="store_true", help="for machines")
    chosen = options.parse_args()
    pin_to_one_core()
    table = {mean: compare(mean, chosen.rounds, chosen.frames) for mean in MEANS}
    if chosen.json:
        print(json.dumps(table, indent=1))
        return
    print(
        f"{chosen.frames} frames of {SIDE} x {SIDE}, {rings(SIDE).mask.sum()} used pixels, 1 thread"
    )
    for mean, row in table.items():
        target = f", target {TARGET:g}" if mean == 0.003 else ""
        print(
            f"mean {mean:<6g} {row['events_per_frame']:7.0f} events/frame   events "
            f"{row['events_us']:7.1f} us/frame   dense {row['dense_us']:7.1f} us/frame   "
            f"ratio {row['ratio']:5.1f}{target}"
        )


if __name__ == "__main__":
    main()
