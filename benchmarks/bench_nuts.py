"""Our NUTS against numpyro's MCMC, one object per bin as a straightforward program has it.

    python benchmarks/bench_nuts.py                        # single and stretched, 30 curves
    python benchmarks/bench_nuts.py --models single --reference 3

Both sample the same posterior with 4 chains of 1000 draws.  MCMC runs on a few of the curves
(after its imports, with its own warm-up of 500), its time is per curve; ours is for all curves,
first with compiling, then warm.  Means are compared in standard errors of both samplers.
"""

import argparse
from time import perf_counter, process_time

import arviz_stats.base
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

from napari_xpcs.backends import JAXBackend, NumPyBackend
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.nuts import sample_nuts
from napari_xpcs.fitting.posterior import Posterior
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import Progress, run

DELAYS = np.geomspace(1e-3, 10, 64)


def simulate(model: str, count: int) -> G2Curves:
    rng = np.random.default_rng(11)
    columns = {"contrast": (0.15, 0.4), "tau_s": (0.01, 0.5), "exponent": (0.6, 1.6)}
    theta = [
        np.exp(rng.uniform(*np.log(columns[name]), (count, 1))) if name in columns else 1.0
        for name in G2_MODELS[model].names
    ]
    baseline, contrast, *shape = theta
    g2 = baseline + contrast * G2_MODELS[model].shape(DELAYS, *shape, xp=NumPyBackend())
    error = 0.004 * np.geomspace(1, 0.05, len(DELAYS)) * rng.uniform(0.5, 2, (count, 1))
    bins = BinTable(
        label=np.arange(1, count + 1),
        q=np.full(count, 3e-3),
        phi_deg=np.zeros(count),
        pixels=np.ones(count, dtype=int),
    )
    noisy = g2 + error * rng.standard_normal(g2.shape)
    return G2Curves(delay_s=DELAYS, g2=noisy.T, error=error.T, bins=bins)


def reference(g2: np.ndarray, error: np.ndarray, posterior: Posterior) -> dict[str, np.ndarray]:
    """Sample one curve with numpyro's MCMC under the same priors, written its own way."""
    wide = posterior.priors["tau_s"]

    def program() -> None:
        baseline = numpyro.sample("baseline", dist.Normal(1.0, 0.1))
        contrast = numpyro.sample("contrast", dist.HalfNormal(0.5))
        log_tau = numpyro.sample("log_tau", dist.Normal(np.log(wide.first), np.log(wide.second)))
        exponent = 1.0
        if "exponent" in posterior.priors:
            exponent = numpyro.sample("exponent", dist.LogNormal(0.0, 0.5))
        tau = numpyro.deterministic("tau_s", jnp.exp(log_tau))
        decay = jnp.exp(-2 * (DELAYS / tau) ** exponent)
        numpyro.sample("g2", dist.Normal(baseline + contrast * decay, error), obs=g2)

    sampler = MCMC(
        NUTS(program),
        num_warmup=500,
        num_samples=1000,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    sampler.run(jax.random.PRNGKey(0))
    return {name: np.asarray(v) for name, v in sampler.get_samples(group_by_chain=True).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["single", "stretched"])
    parser.add_argument("--curves", type=int, default=30)
    parser.add_argument("--reference", type=int, default=2, help="curves for numpyro's MCMC")
    asked = parser.parse_args()
    stats, xp = arviz_stats.base.array_stats, JAXBackend()
    for model in asked.models:
        curves = simulate(model, asked.curves)
        fit = run(fit_g2(curves, model, xp=NumPyBackend()))
        for name in ("first", "warm"):
            start, cpu = perf_counter(), process_time()
            posterior = run(sample_nuts(curves, fit, seed=1, xp=xp))
            ours, ours_cpu = perf_counter() - start, process_time() - cpu
            times = f"{ours:.1f} s ({ours_cpu:.1f} s CPU)"
            print(f"{model}: {asked.curves} curves x 4 x 1000, {name}: {times}")
        found = posterior.diagnostics
        least = np.nanmin(np.fmin(found.ess_bulk, found.ess_tail), axis=1)
        print(f"  {posterior.verdict()} Least ESS: median {np.median(least):.0f}")

        steps, latest = sample_nuts(curves, fit, draws=100_000, xp=xp), 0.0
        for _ in range(30):
            before = perf_counter()
            progress: Progress = next(steps)
            latest = max(latest, perf_counter() - before) if progress.done else 0.0
        steps.close()
        print(f"  longest time between two chances to cancel: {latest:.2f} s")

        start, cpu = perf_counter(), process_time()
        worst = 0.0
        for i in range(asked.reference):
            error = curves.error[:, i] * posterior.noise[i]
            theirs = reference(curves.g2[:, i], error, posterior)
            for p, name in enumerate(posterior.names):
                ours_draws = posterior.row_draws(i)[..., p]
                variance = stats.mcse(theirs[name]) ** 2 + stats.mcse(ours_draws) ** 2
                apart = abs(theirs[name].mean() - ours_draws.mean()) / np.sqrt(variance)
                worst = max(worst, float(apart))
        per_curve = (perf_counter() - start) / asked.reference
        per_curve_cpu = (process_time() - cpu) / asked.reference
        print(f"  numpyro.infer.MCMC: {per_curve:.1f} s ({per_curve_cpu:.1f} s CPU) per curve")
        print(f"  ratio per curve: {per_curve * asked.curves / ours:.0f}x by clock,"
              f" {per_curve_cpu * asked.curves / ours_cpu:.0f}x by CPU;"
              f" means differ by at most {worst:.1f} of their standard errors")  # fmt: skip


if __name__ == "__main__":
    main()
