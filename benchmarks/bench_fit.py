"""The fit of many curves against loops of others, paired in one run.

    python benchmarks/bench_fit.py                        # 300 curves x 64 delays
    python benchmarks/bench_fit.py --curves 30 --rounds 7
    XPCS_BENCH_LMFIT=env/bin/python XPCS_BENCH_PYXPCSVIEWER=env/bin/python \
        python benchmarks/bench_fit.py

Columns: wall and CPU milliseconds of a warm fit (median of the rounds), and the median of the
paired ratios of wall time; the methods take turns in every round.  SciPy runs here; lmfit and
pyXpcsViewer run in the interpreters that the two variables name, on the same curves in the same
box, and time themselves: a fit per curve, imports and start-up not counted.  SciPy and lmfit are
given a start off by a factor of 2 in the times, pyXpcsViewer takes its own.  A
loop is measured over at most ``--loop`` curves and scaled.  "first" is the NumPy fit in a fresh
process, from the curves to the table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import curve_fit

from napari_xpcs.backends import BackendProtocol, JAXBackend, NumPyBackend
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import run

if TYPE_CHECKING:
    from collections.abc import Callable

XP = NumPyBackend()
TRUTH = {
    "single": (1.0, 0.2, 0.1),
    "stretched": (1.0, 0.2, 0.1, 0.8),
    "double": (1.0, 0.2, 0.01, 0.5, 0.5),
    "heterodyne": (1.0, 0.2, 0.2, 0.5, 1.5e-6),
}
PEERS = {
    "lmfit": """
import lmfit
def work(i):
    model = lmfit.Model(g2)
    given = dict(zip(names, start))
    parameters = model.make_params(**given)
    for name, low, high in zip(names, lower, upper):
        parameters[name].set(min=low, max=high)
    model.fit(y[:, i], parameters, t=t, weights=1 / error[:, i])
""",
    "pyxpcsviewer": """
from pyxpcsviewer.core.fitting import build_g2_fit_summary
# Its models have exponents, which are held at 1 (their upper bound) where ours has none; it
# sets out from the middle of the box and takes no other start.
ours = dict(zip(names, zip(lower, upper)))
kind = "double" if "tau2_s" in ours else "single"
theirs = ["contrast", "tau_s", "exponent", "baseline"]
theirs += ["tau2_s", "exponent2", "fraction"] if kind == "double" else []
box = np.array([ours.get(name, (0.5, 1.0)) for name in theirs]).T
free = [name in ours for name in theirs]
def work(i):
    one = slice(i, i + 1)
    build_g2_fit_summary(
        np.ones(1), t, y[:, one], error[:, one], [""], box, fit_flag=free, fit_func=kind
    )
""",
}
COMMON = """
import sys, time, warnings
import numpy as np
warnings.simplefilter("ignore")
data = np.load(sys.argv[1])
t, y, error, start, lower, upper = (data[k] for k in ("t", "y", "error", "start", "lower", "upper"))
names = [str(name) for name in data["names"]]
SHAPES = {
    "single": lambda t, tau_s: np.exp(-2 * t / tau_s),
    "stretched": lambda t, tau_s, exponent: np.exp(-2 * (t / tau_s) ** exponent),
    "double": lambda t, tau_s, tau2_s, fraction: (
        fraction * np.exp(-t / tau_s) + (1 - fraction) * np.exp(-t / tau2_s)) ** 2,
}
shape = SHAPES[str(data["model"])]
exec("def g2(t, " + ", ".join(names) + "):\\n    return baseline + contrast * shape(t, "
     + ", ".join(names[2:]) + ")")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=int, default=300)
    parser.add_argument("--delays", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", type=int, default=60)
    parser.add_argument("--models", nargs="*", default=list(TRUTH))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{options.curves} curves x {options.delays} delays; ms wall / CPU, ratio to JAX")
    for name in options.models:
        measure(name, options)
    print(f"first fit, NumPy, 30 curves: {first_fit():.0f} ms")


def curves_of(model: str, count: int, delays: int) -> G2Curves:
    """Return noisy curves about the truth, each with parameters of its own."""
    rng = np.random.default_rng(0)
    delay = np.geomspace(1e-3, 10, delays)
    truth = np.array(TRUTH[model]) * np.exp(0.3 * rng.standard_normal((count, len(TRUTH[model]))))
    truth[:, 0] = 1.0
    if model in ("double", "heterodyne"):
        column = G2_MODELS[model].names.index("fraction")
        truth[:, column] = rng.uniform(0.35, 0.65, count)
    q = 3e-3
    rate = [q * 1e10 if p.scale == "velocity" else 1.0 for p in G2_MODELS[model].parameters]
    level, size, *theta = (truth * rate).T[:, :, None]
    g2 = (level + size * G2_MODELS[model].shape(delay, *theta, xp=XP)).T
    error = np.full(g2.shape, 0.003)
    ones = np.ones(count)
    bins = BinTable(
        label=np.arange(1, count + 1), q=q * ones, phi_deg=0 * ones, pixels=ones.astype(int)
    )
    noisy = g2 + error * rng.standard_normal(g2.shape)
    return G2Curves(delay_s=delay, g2=noisy, error=error, bins=bins)


def measure(model: str, options: argparse.Namespace) -> None:
    curves = curves_of(model, options.curves, options.delays)
    methods: dict[str, Callable[[], tuple[float, float]]] = {
        "JAX": lambda: timed(curves, model, JAXBackend()),
        "NumPy": lambda: timed(curves, model, NumPyBackend()),
    }
    if model != "heterodyne":
        methods["scipy"] = lambda: scipy_loop(curves, model, options.loop)
        for peer in PEERS:
            interpreter = os.environ.get(f"XPCS_BENCH_{peer.upper()}")
            if interpreter:
                methods[peer] = lambda p=peer, i=interpreter: peer_loop(
                    p, i, curves, model, options.loop
                )
    methods["JAX"]()
    rounds = {name: [] for name in methods}
    for _ in range(options.rounds):
        for name, method in methods.items():
            rounds[name].append(method())
    line = f"  {model:11s}"
    for name, seconds in rounds.items():
        wall, cpu = (1e3 * median(column) for column in zip(*seconds, strict=True))
        ratio = median(s[0] / j[0] for s, j in zip(seconds, rounds["JAX"], strict=True))
        line += f"  {name} {wall:.0f}/{cpu:.0f} ({ratio:.1f}x)"
    print(line, flush=True)


def timed(curves: G2Curves, model: str, xp: BackendProtocol) -> tuple[float, float]:
    wall, cpu = perf_counter(), process_time()
    run(fit_g2(curves, model, xp=xp))
    return perf_counter() - wall, process_time() - cpu


def box(curves: G2Curves, model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return start, off by 2 in time, and bounds in the units of the model."""
    start = np.array(TRUTH[model])
    low, high = [], []
    for i, parameter in enumerate(G2_MODELS[model].parameters):
        is_time = parameter.scale == "time"
        start[i] *= 2.0 if is_time else 1.0
        low.append(parameter.lower * (curves.delay_s[0] if is_time else 1.0))
        high.append(parameter.upper * (curves.delay_s[-1] if is_time else 1.0))
    return start, np.array(low), np.array(high)


def scipy_loop(curves: G2Curves, model: str, most: int) -> tuple[float, float]:
    start, low, high = box(curves, model)
    count = min(most, curves.g2.shape[1])

    def g2(t: np.ndarray, level: float, size: float, *theta: float) -> np.ndarray:
        return np.asarray(level + size * G2_MODELS[model].shape(t, *theta, xp=XP))

    wall, cpu = perf_counter(), process_time()
    for i in range(count):
        curve_fit(
            g2,
            curves.delay_s,
            curves.g2[:, i],
            start,
            curves.error[:, i],
            bounds=(low, high),
            maxfev=20000,
        )
    scale = curves.g2.shape[1] / count
    return scale * (perf_counter() - wall), scale * (process_time() - cpu)


def peer_loop(
    peer: str, interpreter: str, curves: G2Curves, model: str, most: int
) -> tuple[float, float]:
    start, low, high = box(curves, model)
    count = min(most, curves.g2.shape[1])
    text = (
        COMMON
        + PEERS[peer]
        + (
            "work(0)\n"
            "wall, cpu = time.perf_counter(), time.process_time()\n"
            f"for i in range({count}):\n    work(i)\n"
            "print(time.perf_counter() - wall, time.process_time() - cpu)\n"
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curves.npz"
        np.savez(
            path,
            t=curves.delay_s,
            y=curves.g2,
            error=curves.error,
            start=start,
            lower=low,
            upper=high,
            names=G2_MODELS[model].names,
            model=model,
        )
        done = subprocess.run(
            [interpreter, "-c", text, path], check=True, capture_output=True, text=True
        )
    wall, cpu = (float(number) for number in done.stdout.split()[-2:])
    scale = curves.g2.shape[1] / count
    return scale * wall, scale * cpu


def first_fit() -> float:
    """Return the milliseconds of the first NumPy fit of a process, its imports done."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from time import perf_counter\n"
        "from bench_fit import curves_of, timed, NumPyBackend\n"
        "curves = curves_of('single', 30, 64)\n"
        "print(timed(curves, 'single', NumPyBackend())[0] * 1e3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
