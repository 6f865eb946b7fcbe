"""Global fits of noise and of weak decays: how often a law is found in each.

    python benchmarks/bench_laws.py                # 200 runs a case
    python benchmarks/bench_laws.py --runs 50 --bins 12

Noise is white, heavy-tailed (Student's t with 3 degrees of freedom) or drifting (neighbours
correlated by 0.8, as large as the errors say); decays obey diffusion in white noise, and the
contrast is so small that a bin by itself shows the given number of standard deviations.  "found"
is the part of the runs in which a diffusion coefficient is given; "alone" that of the bins whose
own fit is ok.
"""

import argparse

import numpy as np

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.global_fit import fit_global
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import run

XP = NumPyBackend()
DELAY_S = np.geomspace(1e-3, 10, 48)
ERROR = 0.003
D_M2_PER_S = 1e-15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--bins", type=int, default=20)
    options = parser.parse_args()
    for kind in ("white", "heavy-tailed", "drifting"):
        report(f"noise, {kind}", options, kind, 0.0)
    for sigma in (1.0, 2.0, 3.0, 5.0):
        report(f"decay of {sigma:g} standard deviations a bin", options, "white", sigma)


def report(what: str, options: argparse.Namespace, kind: str, sigma: float) -> None:
    found, alone, off = 0, [], []
    for seed in range(options.runs):
        curves = curves_of(options.bins, kind, sigma, seed)
        law = run(fit_global(curves, law="diffusion", xp=XP)).shared[0]
        found += law.status == "ok"
        if law.status == "ok":
            off.append((law.value - D_M2_PER_S) / law.error)
        alone.append(run(fit_g2(curves, xp=XP)).ok.mean())
    line = f"  {what:42s} found {found / options.runs:.3f}  alone {np.mean(alone):.3f}"
    if sigma and off:
        line += f"  D within 2 errors {np.mean(np.abs(off) < 2):.3f}"
    print(line, flush=True)


def curves_of(bins: int, kind: str, sigma: float, seed: int) -> G2Curves:
    rng = np.random.default_rng(seed)
    q = np.linspace(2e-3, 6e-3, bins)
    shape = np.exp(-2 * np.outer(DELAY_S, D_M2_PER_S * (q * 1e10) ** 2))
    centred = shape - shape.mean(axis=0)
    contrast = sigma * ERROR / np.sqrt(np.sum(centred**2, axis=0))
    if kind == "drifting":
        noise = np.empty(shape.shape)
        noise[0] = rng.standard_normal(bins)
        for k in range(1, len(noise)):
            noise[k] = 0.8 * noise[k - 1] + 0.6 * rng.standard_normal(bins)
    elif kind == "heavy-tailed":
        noise = rng.standard_t(3, shape.shape) / np.sqrt(3)
    else:
        noise = rng.standard_normal(shape.shape)
    ones = np.ones(bins)
    table = BinTable(label=np.arange(1, bins + 1), q=q, phi_deg=0 * ones, pixels=ones.astype(int))
    g2 = 1 + contrast * shape + ERROR * noise
    return G2Curves(delay_s=DELAY_S, g2=g2, error=np.full(g2.shape, ERROR), bins=table)


if __name__ == "__main__":
    main()
