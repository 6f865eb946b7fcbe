"""Sample the posterior of many bins with NUTS: :func:`sample_nuts`."""

from collections.abc import Mapping, Sequence

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FitError
from napari_xpcs.fitting._sampling import set_up
from napari_xpcs.fitting._target import Likelihood
from napari_xpcs.fitting.posterior import Posterior
from napari_xpcs.fitting.priors import Prior
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.progress import Progress, Steps


def sample_nuts(
    curves: G2Curves,
    fit: G2Fit,
    *,
    priors: Mapping[str, Prior | str] | None = None,
    likelihood: Likelihood = "gaussian",
    chains: int = 4,
    warmup: int = 100,
    draws: int = 1000,
    seed: int = 0,
    bins: Sequence[int] | None = None,
    careful: bool = False,
    xp: BackendProtocol,
) -> Steps[Posterior]:
    """Sample the posterior of every bin of ``fit``, each by itself, with the No-U-Turn sampler.

    Parameters
    ----------
    curves, fit
        The curves, and their least-squares fit: its model is sampled, what it holds
        stays held, what it ties stays tied, and its options say which points take part and
        whether errors are widened to the scatter.
    priors
        In place of the defaults (:func:`~napari_xpcs.fitting.priors.default_priors`), by
        parameter: a :class:`~napari_xpcs.fitting.priors.Prior` or its text.
    likelihood
        ``gaussian``, or ``student-t`` with 4 degrees of freedom: single outliers then count
        little.
    chains, warmup, draws
        Independent walks of each bin, their first iterations that are dropped, and the draws
        that are kept of each.
    seed
        The same seed gives a bin the same draws, whatever is sampled with it.
    bins
        Labels of the bins to sample; all of the fit by default.
    careful
        Learn the shape of the posterior during a longer warm-up, in smaller steps and longer
        trajectories: several times slower, for bins that failed.

    Yields
    ------
    Progress
        Iterations done, with the posterior so far as ``partial``.  Closing the generator ends
        the sampling within 0.3 s (compiling, some seconds on first use, cannot be
        interrupted); the last ``partial`` is then the result, and
        :func:`~napari_xpcs.fitting.diagnostics.judge` gives the verdict on what was drawn.

    Returns
    -------
    Posterior
        Draws with their diagnostics and a verdict for every bin.

    Raises
    ------
    FitError
        On a backend without gradients, and for bins, priors or counts that cannot be.
    """
    if not xp.supports_grad:
        msg = (
            "NUTS needs JAX, and this run computes with NumPy (XPCS_USE_JAX): set XPCS_USE_JAX to"
            " auto, or take the posterior by the method laplace."
        )
        raise FitError(msg)
    for name, count, least in (("chains", chains, 1), ("warmup", warmup, 20), ("draws", draws, 4)):
        if count < least:
            msg = f"{name} is {count}, but sampling needs at least {least}."
            raise FitError(msg)
    sampling = set_up(curves, fit, priors, likelihood, bins)
    if not len(sampling.rows):
        yield Progress(0, 0, "no bin has data")
        return sampling.empty("nuts", chains, draws, warmup, seed)
    from napari_xpcs.fitting import _nuts_lanes  # imports JAX and NumPyro: seconds, so not before

    return (
        yield from _nuts_lanes.sample(
            sampling,
            chains=chains,
            warmup=max(warmup, 1000) if careful else warmup,
            draws=draws,
            seed=seed,
            careful=careful,
            xp=xp,
        )
    )
