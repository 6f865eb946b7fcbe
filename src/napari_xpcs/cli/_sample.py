"""``fit --method nuts`` and ``fit --method laplace``: posteriors in place of standard errors."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_xpcs.cli._console import err, out, with_progress
from napari_xpcs.cli._options import read_assignment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_xpcs.fitting.posterior import Posterior
    from napari_xpcs.fitting.results import G2Fit
    from napari_xpcs.kernels.curves import G2Curves
    from napari_xpcs.progress import Steps


class Method(StrEnum):
    """How errors are found."""

    NLSQ = "nlsq"
    NUTS = "nuts"
    LAPLACE = "laplace"


class LikelihoodName(StrEnum):
    """Of the points of a curve."""

    GAUSSIAN = "gaussian"
    STUDENT_T = "student-t"


MethodOption = Annotated[
    Method,
    typer.Option(
        help="nlsq: least squares; nuts, laplace: the posterior as well, by sampling or at once."
    ),
]
Chains = Annotated[int, typer.Option(help="NUTS: independent chains of each bin.")]
Draws = Annotated[
    int | None, typer.Option(help="Draws of each chain; default 1000, of laplace 2000.")
]
Warmup = Annotated[int, typer.Option(help="NUTS: iterations that are dropped.")]
Seed = Annotated[int, typer.Option(help="Of the draws; stored with them.")]
PriorOption = Annotated[
    list[str] | None,
    typer.Option(help="Prior: tau_s=lognormal(1e-3, 3). May be repeated."),
]
Careful = Annotated[
    bool,
    typer.Option("--careful", help="NUTS: longer warm-up and smaller steps, for bins that failed."),
]
LikelihoodOption = Annotated[
    LikelihoodName, typer.Option(help="gaussian, or student-t where single points are off.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """What the options of sampling say."""

    method: Method
    chains: int
    draws: int | None
    warmup: int
    seed: int
    prior: list[str] | None
    likelihood: LikelihoodName
    careful: bool


def sample(curves: "G2Curves", fitted: "G2Fit", options: SamplingOptions) -> "Posterior":
    """Sample with a progress bar; Ctrl-C keeps what was drawn."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.fitting.diagnostics import judge
    from napari_xpcs.fitting.laplace import sample_laplace
    from napari_xpcs.fitting.nuts import sample_nuts

    priors = {name: text.strip() for name, text in map(read_assignment, options.prior or ())}
    common: Mapping[str, Any] = {
        "priors": priors,
        "likelihood": options.likelihood.value,
        "seed": options.seed,
        "xp": get_backend(),
    } | ({} if options.draws is None else {"draws": options.draws})
    if options.method is Method.LAPLACE:
        return with_progress(sample_laplace(curves, fitted, **common))
    steps = sample_nuts(
        curves,
        fitted,
        chains=options.chains,
        warmup=options.warmup,
        careful=options.careful,
        **common,
    )
    so_far: list[Posterior] = []
    try:
        return with_progress(_remembered(steps, so_far))
    except KeyboardInterrupt:
        if not so_far or not so_far[0].drawn.any():
            raise
        err.print("Stopped: what was drawn so far follows.")
        return judge(so_far[0])


def _remembered(steps: "Steps[Posterior]", so_far: "list[Posterior]") -> "Steps[Posterior]":
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        so_far[:] = [progress.partial]  # type: ignore[list-item]
        yield progress


def posterior_facts(posterior: "Posterior") -> dict[str, Any]:
    """Return what the posterior was asked for with, and its diagnostics by bin."""
    diagnostics = posterior.diagnostics
    by_parameter = {
        "r_hat": diagnostics.r_hat,
        "ess_bulk": diagnostics.ess_bulk,
        "ess_tail": diagnostics.ess_tail,
    }
    by_bin = {
        "divergences": diagnostics.divergences,
        "bfmi": diagnostics.bfmi,
        "full_trees": diagnostics.full_trees,
        "k_hat": diagnostics.k_hat,
    }
    bins = []
    for k, label in enumerate(posterior.bins.label):
        row: dict[str, Any] = {"bin": int(label), "draws": int(posterior.drawn[k])}
        for key, values in by_parameter.items():
            row[key] = dict(zip(posterior.names, map(float, values[k]), strict=True))
        row |= {key: values[k].item() for key, values in by_bin.items()}
        bins.append(row)
    return {
        "method": posterior.method,
        "likelihood": posterior.likelihood,
        "seed": posterior.seed,
        "chains": posterior.chains,
        "warmup": posterior.warmup,
        "priors": {name: str(prior) for name, prior in posterior.priors.items()},
        "verdict": posterior.verdict(),
        "diagnostics": bins,
    }


def print_verdict(posterior: "Posterior") -> None:
    priors = ", ".join(f"{name} ~ {prior}" for name, prior in posterior.priors.items())
    for line in (f"Priors: {priors}.", posterior.verdict()):
        out.print(line, highlight=False, soft_wrap=True)
