"""Simulation-based calibration of the samplers (Talts et al., arXiv:1804.06788).

    python benchmarks/sbc.py                         # single and stretched, 600 curves each
    python benchmarks/sbc.py --curves 1200 --models stretched --method laplace

Parameters are drawn from the prior, curves from the parameters; the rank of the truth among
draws of its posterior is then uniform if the sampler is right.  Chi-square tells how far it is
from that: a p-value below 0.001 for any parameter is a fault.  The reduced run is in the tests.
"""

import argparse
from collections.abc import Mapping

import numpy as np
from scipy.stats import chisquare

from napari_xpcs.backends import JAXBackend, NumPyBackend
from napari_xpcs.fitting.laplace import sample_laplace
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.nuts import sample_nuts
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.fitting.priors import read_prior
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import run

PRIORS: Mapping[str, str] = {
    "baseline": "normal(1, 0.01)",
    "contrast": "lognormal(0.25, 1.5)",
    "tau_s": "lognormal(0.1, 3)",
    "exponent": "lognormal(1, 1.4)",
}
THINNED = 99
"""Draws per curve that the rank is taken among, nearly independent."""


def simulate(model: str, count: int, seed: int) -> tuple[G2Curves, np.ndarray]:
    """Return curves whose parameters come from the priors, and these parameters."""
    rng = np.random.default_rng(seed)
    chosen = G2_MODELS[model]
    truth = np.stack(
        [read_prior(PRIORS[p.name]).draw(rng, count, p.domain) for p in chosen.parameters], axis=1
    )
    delay_s = np.geomspace(1e-3, 10, 48)
    baseline, contrast, *theta = truth.T[:, :, None]
    g2 = baseline + contrast * chosen.shape(delay_s, *theta, xp=NumPyBackend())
    error = np.broadcast_to(0.01 * np.geomspace(1, 0.2, 48), g2.shape)
    bins = BinTable(
        label=np.arange(1, count + 1),
        q=np.full(count, 3e-3),
        phi_deg=np.zeros(count),
        pixels=np.ones(count, dtype=int),
    )
    noisy = g2 + error * rng.standard_normal(g2.shape)
    return G2Curves(delay_s=delay_s, g2=noisy.T, error=error.T, bins=bins), truth


def ranks(model: str, count: int, method: str, seed: int) -> np.ndarray:
    """Return the rank of every true parameter among THINNED draws, (curve, param)."""
    curves, truth = simulate(model, count, seed)
    priors = {name: PRIORS[name] for name in G2_MODELS[model].names}
    options = FitOptions(errors="stated")
    fit = run(fit_g2(curves, model, options=options, xp=NumPyBackend()))
    if method == "nuts":
        posterior = run(sample_nuts(curves, fit, priors=priors, draws=250, xp=JAXBackend()))
    else:
        posterior = run(sample_laplace(curves, fit, priors=priors, xp=NumPyBackend()))
    flat = posterior.draws.reshape(count, -1, truth.shape[1])
    # Chains and their draws are in order: even steps through them decorrelate.
    rng = np.random.default_rng(seed + 1)
    chosen = np.linspace(0, flat.shape[1] - 1, THINNED).astype(int)
    below = np.sum(flat[:, chosen] < truth[:, None], axis=1)
    equal = np.sum(flat[:, chosen] == truth[:, None], axis=1)
    return np.asarray(below + rng.integers(0, equal + 1))


def p_values(
    model: str, count: int, method: str = "nuts", seed: int = 0, bins: int = 20
) -> dict[str, float]:
    """Return the probability of ranks as uneven as these, by parameter."""
    found = ranks(model, count, method, seed)
    edges = np.linspace(0, THINNED + 1, bins + 1)
    return {
        name: float(chisquare(np.histogram(found[:, i], edges)[0]).pvalue)
        for i, name in enumerate(G2_MODELS[model].names)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=int, default=600)
    parser.add_argument("--models", nargs="+", default=["single", "stretched"])
    parser.add_argument("--method", choices=["nuts", "laplace"], default="nuts")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for model in asked.models:
        found = p_values(model, asked.curves, asked.method, asked.seed)
        words = ", ".join(f"{name} {p:.3f}" for name, p in found.items())
        print(f"{model}: p of uniform ranks over {asked.curves} curves: {words}")


if __name__ == "__main__":
    main()
