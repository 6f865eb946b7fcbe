"""Sampling and comparing models, as jobs of the fit dock."""

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin.collection import collection_paused
from napari_xpcs.plugin.fit_request import FitRequest
from napari_xpcs.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_xpcs.fitting._target import Likelihood
    from napari_xpcs.fitting.comparison import Comparison
    from napari_xpcs.fitting.posterior import Posterior

COMPARED = ("single", "stretched", "double")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplingRequest:
    """What is sampled, and how; without ``draws`` only the instant posterior is wanted."""

    curves: G2Curves
    fit: G2Fit
    priors: Mapping[str, str]
    likelihood: "Likelihood"
    chains: int
    draws: int | None
    seed: int
    careful: bool


def sampling_steps(request: SamplingRequest) -> "Steps[Posterior]":
    """Return the posterior: at once by importance sampling, then by NUTS as it comes in.

    ``partial`` is the instant posterior until NUTS has draws of some bin.
    """
    with collection_paused():
        from napari_xpcs.backends import get_backend
        from napari_xpcs.fitting.laplace import sample_laplace
        from napari_xpcs.fitting.nuts import sample_nuts

        import_module("arviz_stats.base")  # before the first bin, so that no bin waits for it
    common: Mapping[str, Any] = {
        "priors": request.priors,
        "likelihood": request.likelihood,
        "seed": request.seed,
    }
    instant = yield from sample_laplace(request.curves, request.fit, xp=NumPyBackend(), **common)
    if request.draws is None:
        return instant
    yield Progress(0, 0, "starting NUTS; compiling takes some seconds the first time", instant)
    steps = sample_nuts(
        request.curves,
        request.fit,
        chains=request.chains,
        draws=request.draws,
        careful=request.careful,
        xp=get_backend(),
        **common,
    )
    with closing(steps), ExitStack() as compiling:
        compiling.enter_context(collection_paused())
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            partial: Any = progress.partial
            if partial is None or not partial.drawn.any():
                progress = replace(progress, partial=instant)
            else:
                compiling.close()
            yield progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelComparison:
    """Fits of several models to the same curves, and which predicts the points best."""

    fits: "tuple[G2Fit, ...]"
    left_out: "Comparison"


def comparison_steps(
    request: FitRequest, models: tuple[str, ...] = COMPARED
) -> Steps[ModelComparison]:
    """Fit ``models`` to the curves of ``request`` and compare their instant posteriors.

    Values that are held or bounded count for the models that have such a parameter.
    """
    from napari_xpcs.fitting.comparison import compare_models
    from napari_xpcs.fitting.laplace import sample_laplace
    from napari_xpcs.fitting.least_squares import fit_g2

    xp = NumPyBackend()
    curves = request.several[0]
    fits, posteriors = [], []
    for name in models:
        model = G2_MODELS[name]
        fit = yield from fit_g2(
            curves,
            model,
            fixed={key: value for key, value in request.fixed.items() if key in model.names},
            bounds={key: pair for key, pair in request.bounds.items() if key in model.names},
            options=replace(request.options, start={}),
            xp=xp,
        )
        fits.append(fit)
        posteriors.append((yield from sample_laplace(curves, fit, xp=xp)))
    left_out = yield from compare_models(curves, posteriors)
    return ModelComparison(fits=tuple(fits), left_out=left_out)
