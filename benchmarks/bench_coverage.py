"""What the fit is worth: coverage of its errors, global minima, and curves without an answer.

    python benchmarks/bench_coverage.py                 # 2000 curves a model, 60 against SciPy
    python benchmarks/bench_coverage.py --curves 500 --against 20

Three tables.  Coverage: how often one error bar holds the truth, parameter by parameter (0.683
is nominal).  Minima: how often chi2 is within 1 % of the best of 25 SciPy fits from random
points of the box, for random, low-contrast and truncated curves.  No answer: how often a curve
that holds none is said to hold none.  Fixed seeds, the NumPy solver.  A count of 0 leaves a table
out.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "fitting"))
from conftest import simulated  # the curves of the tests

XP = NumPyBackend()
STARTS = 25
CASES = {
    "random": {"noise": 0.004},
    "hard": {"noise": 0.004, "contrast": (0.02, 0.05)},
    "truncated": {"noise": 0.002, "delays": 0.62},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=int, default=2000)
    parser.add_argument("--against", type=int, default=60)
    parser.add_argument("--models", nargs="*", default=list(G2_MODELS))
    options = parser.parse_args()
    print(f"coverage of one error bar, {options.curves} curves a model")
    for model in options.models if options.curves else ():
        print(f"  {model:17s}", coverage(model, options.curves), flush=True)
    print(f"chi2 within 1 % of the best of {STARTS} SciPy starts, {options.against} curves a case")
    for model in options.models if options.against else ():
        found = {case: minima(model, case, options.against) for case in CASES}
        print(f"  {model:17s}", "  ".join(f"{c} {v:.3f}" for c, v in found.items()), flush=True)
    print("curves without an answer of which that is said, 200 of each kind")
    for model in options.models:
        print(f"  {model:17s}", no_answer(model), flush=True)


def coverage(model: str, count: int) -> str:
    curves, truth = simulated(model, count, seed=100, noise=0.002)
    fit = run(fit_g2(curves, model, xp=XP))
    inside = (np.abs(fit.value - truth) < fit.error)[fit.ok].mean(axis=0)
    parts = [f"{name} {value:.3f}" for name, value in zip(fit.names, inside, strict=True)]
    return f"ok {fit.ok.mean():.3f}  " + "  ".join(parts)


def minima(model: str, case: str, count: int) -> float:
    settings = dict(CASES[case])
    part = settings.pop("delays", 1.0)
    curves, _ = simulated(model, count, seed=200, **settings)
    keep = int(part * len(curves.delay_s))
    curves = G2Curves(
        delay_s=curves.delay_s[:keep],
        g2=curves.g2[:keep],
        error=curves.error[:keep],
        bins=curves.bins,
    )
    fit = run(fit_g2(curves, model, xp=XP))
    reached = 0
    for i in range(count):
        best = _best_of_scipy(model, curves, i)
        pull = (fit.curve(i, curves.delay_s) - curves.g2[:, i]) / curves.error[:, i]
        reached += float(np.sum(pull**2)) <= 1.01 * best
    return reached / count


def _best_of_scipy(model: str, curves: G2Curves, i: int) -> float:
    """Return the lowest chi2 from random starts, in the same box and coordinates as ours."""
    chosen = G2_MODELS[model]
    t = curves.delay_s / curves.delay_s[0]
    log = np.array([parameter.log for parameter in chosen.parameters])
    low = np.array([parameter.lower for parameter in chosen.parameters])
    high = np.array([parameter.upper for parameter in chosen.parameters])
    for k, parameter in enumerate(chosen.parameters):
        if parameter.scale == "time":
            high[k] *= t[-1]
        elif parameter.scale != "none":
            low[k] /= t[-1]
    low, high = (
        np.where(log, np.log(np.maximum(low, 1e-12)), low),
        np.where(log, np.log(high), high),
    )

    def residual(x: np.ndarray) -> np.ndarray:
        level, size, *theta = np.where(log, np.exp(np.where(log, x, 0)), x)
        g2 = level + size * chosen.shape(t, *theta, xp=XP)
        return (g2 - curves.g2[:, i]) / curves.error[:, i]

    rng = np.random.default_rng(i)
    best = np.inf
    for _ in range(STARTS):
        start = low + (high - low) * rng.uniform(0.02, 0.98, len(low))
        start[:2] = 1.0, 0.2
        with np.errstate(all="ignore"):
            best = min(best, 2 * least_squares(residual, start, bounds=(low, high)).cost)
    return best


def no_answer(model: str) -> str:
    """Return how often a curve that holds no answer is not called ok, kind by kind."""
    delay = np.geomspace(1e-3, 10, 48)
    kinds = {
        "constant": np.ones(48),
        "frozen": 1.2 * np.ones(48),
        "too slow": 1 + 0.2 * np.exp(-2 * delay / 300),
        "too fast": 1 + 0.2 * np.exp(-2 * delay / 1e-4),
        "too short": (1 + 0.2 * np.exp(-2 * delay / 0.1))[:6],
    }
    rng = np.random.default_rng(300)
    parts = []
    for kind, g2 in kinds.items():
        noisy = (g2 + 0.003 * rng.standard_normal((200, len(g2)))).T
        ones = np.ones(200)
        bins = BinTable(
            label=np.arange(1, 201), q=3e-3 * ones, phi_deg=0 * ones, pixels=ones.astype(int)
        )
        curves = G2Curves(
            delay_s=delay[: len(g2)], g2=noisy, error=np.full(noisy.shape, 0.003), bins=bins
        )
        fit = run(fit_g2(curves, model, xp=XP))
        parts.append(f"{kind} {1 - fit.ok.mean():.3f}")
    return "  ".join(parts)


if __name__ == "__main__":
    main()
