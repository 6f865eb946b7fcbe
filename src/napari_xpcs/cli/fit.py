"""``napari-xpcs fit``: g2 to relaxation times and their law."""

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_xpcs.cli._console import print_json, with_progress
from napari_xpcs.cli._fit_report import dispersion_facts, print_fit
from napari_xpcs.cli._options import (
    Force,
    Json,
    read_assignment,
    read_labels,
    read_number,
    read_number_pair,
)
from napari_xpcs.cli._sample import (
    Chains,
    Draws,
    LikelihoodName,
    LikelihoodOption,
    Method,
    MethodOption,
    PriorOption,
    SamplingOptions,
    Seed,
    Warmup,
    posterior_facts,
    print_verdict,
    sample,
)


def fit(
    results: Annotated[Path, typer.Argument(help="Result file, or CSV of curves.")],
    model: Annotated[
        str,
        typer.Option(
            help="single, stretched, double, double-stretched, cumulant, flow, heterodyne."
        ),
    ] = "single",
    bins: Annotated[str | None, typer.Option(help="Labels to fit, as 1,4,9; default: all.")] = None,
    fix: Annotated[
        list[str] | None, typer.Option(help="Hold a parameter: contrast=0.15. May be repeated.")
    ] = None,
    bound: Annotated[
        list[str] | None, typer.Option(help="Bounds: tau_s=1e-6,10. May be repeated.")
    ] = None,
    method: MethodOption = Method.NLSQ,
    chains: Chains = 4,
    draws: Draws = None,
    warmup: Warmup = 100,
    seed: Seed = 0,
    prior: PriorOption = None,
    likelihood: LikelihoodOption = LikelihoodName.GAUSSIAN,
    table: Annotated[Path | None, typer.Option("--csv", help="Write the table as CSV.")] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Store the table in the result file.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Fit g2 of every bin and the law of tau(q); say which bins hold no answer."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.fitting.dispersion import fit_dispersion
    from napari_xpcs.fitting.least_squares import fit_g2
    from napari_xpcs.io.atomic import refuse_input_as_output
    from napari_xpcs.io.fit_table import append_fit, fit_rows, write_fit_csv
    from napari_xpcs.io.posterior_file import (
        append_posterior,
        posterior_rows,
        write_posterior_csv,
    )
    from napari_xpcs.pipeline import curves_of

    fixed = {name: read_number(value) for name, value in map(read_assignment, fix or ())}
    bounds = {name: read_number_pair(value) for name, value in map(read_assignment, bound or ())}
    labels = read_labels(bins)
    curves = curves_of(results)
    fitted = with_progress(
        fit_g2(
            curves,
            model,
            bins=labels,
            fixed=fixed,
            bounds=bounds,
            xp=get_backend(),
        )
    )
    posterior = None
    if method is not Method.NLSQ:
        posterior = sample(
            curves,
            fitted,
            SamplingOptions(
                method=method,
                chains=chains,
                draws=draws,
                warmup=warmup,
                seed=seed,
                prior=prior,
                likelihood=likelihood,
            ),
        )
        fitted = posterior.as_fit()
    dispersion = fit_dispersion(fitted)
    if table is not None:
        refuse_input_as_output(table, results)
        if posterior is None:
            write_fit_csv(table, fitted, force=force)
        else:
            write_posterior_csv(table, posterior, force=force)
    if append:
        if posterior is None:
            append_fit(results, fitted, force=force)
        else:
            append_posterior(results, posterior, force=force)
    rows = fit_rows(fitted) if posterior is None else posterior_rows(posterior)
    facts: dict[str, Any] = {"bins": rows, "dispersion": dispersion_facts(dispersion)}
    if posterior is not None:
        facts["posterior"] = posterior_facts(posterior)
    if as_json:
        print_json(facts)
    else:
        print_fit(fitted, dispersion)
        if posterior is not None:
            print_verdict(posterior)
