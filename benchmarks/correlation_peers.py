"""Other programs that correlate, each in a process of an environment that has it.

``XPCS_CORRELATION_PEERS`` names the Python of that environment.  A peer is prepared once and then
answers with its CPU seconds whenever it is asked, so that rounds of several programs take turns.
"""

import json
import os
import subprocess
from pathlib import Path

VARIABLE = "XPCS_CORRELATION_PEERS"

_LOOP = """
import json, os, sys, time
import numpy as np
case = np.load(sys.argv[1], mmap_mode="r")
folder = os.path.dirname(sys.argv[1])
dynamic, static = (np.load(os.path.join(folder, n + ".npy")) for n in ("dynamic", "static"))
mask = dynamic > 0
{prepare}
print("ready", flush=True)
for _ in sys.stdin:
    start = time.process_time()
    frames = work()
    seconds = time.process_time() - start
    print(json.dumps([seconds, frames]), flush=True)
"""

_BOOST_MULTITAU = """
import torch
from boost_corr import MultitauCorrelator
torch.set_num_threads(1)
used = torch.from_numpy(np.asarray(case)[:, mask].astype(np.int32))
def work():
    correlator = MultitauCorrelator(
        mask.shape, len(used), queue_size={queue}, auto_queue={auto}, max_memory=8.0,
        mask_crop=torch.from_numpy(np.flatnonzero(mask)),
    )
    for at in range(0, len(used), 8):
        correlator.process(used[at : at + 8])
    correlator.post_process()
    return len(used)
"""

_BOOST_TWOTIME = """
import torch
from boost_corr import TwotimeCorrelator
torch.set_num_threads(1)
order = np.lexsort((static[mask], dynamic[mask]))
used = torch.from_numpy(np.asarray(case)[:, mask][:, order].astype(np.int32))
def slices(labels):
    ends = np.cumsum(np.bincount(labels[mask])[1:])
    return [slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends)]
dq, sq = slices(dynamic), slices(static)
info = dict(dq_idx=np.arange(len(dq)) + 1, dq_slc=dq, sq_idx=np.arange(len(sq)) + 1, sq_slc=sq)
place = torch.from_numpy(np.flatnonzero(mask)[order])
def work():
    correlator = TwotimeCorrelator(info, len(used), det_size=mask.shape, mask_crop=place)
    for at in range(0, len(used), 8):
        correlator.process(used[at : at + 8])
    correlator.post_processing(smooth_method="sqmap")
    for _ in correlator.get_twotime_generator():
        pass
    return len(used)
"""

PROGRAMS = {
    "boost_corr multi-tau, its queues": _BOOST_MULTITAU.format(queue=8, auto=True),
    "boost_corr multi-tau, queue 64": _BOOST_MULTITAU.format(queue=64, auto=False),
    "scikit-beam multi-tau": """
from skbeam.core.correlation import multi_tau_auto_corr
some = np.array(case[:32], dtype=float)
def work():
    multi_tau_auto_corr(3, 8, dynamic, some)
    return len(some)
""",
    "boost_corr two-time": _BOOST_TWOTIME,
    "scikit-beam two-time": """
from skbeam.core.correlation import two_time_corr
some = np.array(case[:32], dtype=float)
def work():
    two_time_corr(dynamic, some, len(some), num_bufs=len(some), num_levels=1)
    return len(some)
""",
    "xpcs-correlator two-time": """
from xpcscorr.correlators.dense.reference import CorrelatorDenseReference
some = np.array(case)
def work():
    for label in range(1, dynamic.max() + 1):
        CorrelatorDenseReference.correlate(some, dynamic == label, True, True)
    return len(some)
""",
}


class Peer:
    """One of :data:`PROGRAMS` on the arrays that :func:`store_case` wrote."""

    def __init__(self, name: str, python: str, folder: Path) -> None:
        self.name = name
        code = _LOOP.replace("{prepare}", PROGRAMS[name])
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-c", code, str(folder / "counts.npy")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | threads,
        )  # fmt: skip
        if self._answer() != "ready":
            fault = self._process.stderr.read().strip().splitlines()
            raise RuntimeError(fault[-1] if fault else "it ended without a word")

    def cpu_s(self) -> tuple[float, int]:
        """Return CPU seconds, and the frames that were correlated in them."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        seconds, frames = json.loads(self._answer())
        return seconds, frames

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        return self._process.stdout.readline().strip()


def store_case(folder: Path, counts: object, dynamic: object, static: object) -> None:
    """Write what peers read."""
    import numpy as np

    for name, array in (("counts", counts), ("dynamic", dynamic), ("static", static)):
        np.save(folder / f"{name}.npy", array)


def find_peers(names: list[str], folder: Path) -> list[Peer]:
    """Start the peers that are there; say which are not."""
    python = os.environ.get(VARIABLE)
    if not python:
        print(f"other programs: skipped, {VARIABLE} names no Python that has them")
        return []
    found = []
    for name in names:
        try:
            found.append(Peer(name, python, folder))
        except RuntimeError as fault:
            print(f"{name}: skipped, {fault}")
    return found
