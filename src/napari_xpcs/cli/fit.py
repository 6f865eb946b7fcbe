"""``napari-xpcs fit``: g2 to relaxation times and their law."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_xpcs.cli._console import print_json, with_progress
from napari_xpcs.cli._fit_options import (
    Bound,
    Convention,
    ConventionOption,
    DelayRange,
    DelayRangeOf,
    ErrorFloor,
    Errors,
    ErrorsOption,
    Fix,
    Given,
    LawChoice,
    ModelName,
    Parameters,
    Robust,
    Script,
    Share,
    Start,
    Starts,
    Temperature,
    Tie,
    Viscosity,
    read_fit_options,
    read_model,
    read_solvent,
)
from napari_xpcs.cli._fit_report import dispersion_facts, print_fit, shared_facts
from napari_xpcs.cli._options import Force, Json, read_labels
from napari_xpcs.cli._sample import (
    Careful,
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

if TYPE_CHECKING:
    from napari_xpcs.fitting.posterior import Posterior
    from napari_xpcs.fitting.results import G2Fit


def fit(
    results: Annotated[list[Path], typer.Argument(help="Result files, or CSV tables of curves.")],
    model: ModelName = "single",
    parameter: Parameters = None,
    bins: Annotated[str | None, typer.Option(help="Labels to fit, as 1,4,9; default: all.")] = None,
    fix: Fix = None,
    bound: Bound = None,
    start: Start = None,
    names: ConventionOption = Convention.OWN,
    tie: Tie = None,
    share: Share = None,
    law: LawChoice = None,
    delay_range: DelayRange = None,
    delay_range_of: DelayRangeOf = None,
    robust: Robust = False,
    error_floor: ErrorFloor = "0",
    errors: ErrorsOption = Errors.AUTO,
    starts: Starts = None,
    temperature_k: Temperature = None,
    viscosity_pa_s: Viscosity = None,
    method: MethodOption = Method.NLSQ,
    chains: Chains = 4,
    draws: Draws = None,
    warmup: Warmup = 100,
    seed: Seed = 0,
    prior: PriorOption = None,
    likelihood: LikelihoodOption = LikelihoodName.GAUSSIAN,
    careful: Careful = False,
    table: Annotated[Path | None, typer.Option("--csv", help="Write the table as CSV.")] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Store the table in the result file.")
    ] = False,
    script: Script = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Fit g2 of every bin and the law of tau(q); say which bins hold no answer."""
    from napari_xpcs.backends import get_backend
    from napari_xpcs.fitting.dispersion import fit_dispersion
    from napari_xpcs.fitting.global_fit import fit_global
    from napari_xpcs.fitting.least_squares import fit_g2
    from napari_xpcs.io.fit_table import fit_rows
    from napari_xpcs.io.posterior_file import posterior_rows
    from napari_xpcs.pipeline.curves import curves_of

    solvent = read_solvent(temperature_k, viscosity_pa_s)
    given = Given(fix=fix or (), bound=bound or (), start=start or ())
    fixed, bounds, begin = given.translated(model, names)
    options = read_fit_options(
        tie=tie or (),
        start=begin,
        starts=starts,
        delay_range=delay_range,
        delay_range_of=delay_range_of or (),
        robust=robust,
        error_floor=error_floor,
        errors=errors,
    )
    labels = read_labels(bins)
    together = bool(share) or law is not None
    _refuse(results, together=together, sampled=method is not Method.NLSQ, append=append)
    if method is Method.NLSQ and (prior or likelihood is not LikelihoodName.GAUSSIAN or careful):
        msg = "--prior, --likelihood and --careful are of draws; add --method nuts or laplace."
        raise typer.BadParameter(msg)
    chosen = read_model(model, parameter or ())
    store = _Store(results=results, force=force)
    store.refuse(
        *(path for path in (table, script) if path is not None),
        inside=chosen.name if append else None,
        sampled=method is not Method.NLSQ,
    )
    several = [curves_of(path) for path in results]
    curves = several[0]
    steps = (
        fit_global(
            several,
            chosen,
            share=share or (),
            law=law,
            bins=labels,
            fixed=fixed,
            bounds=bounds,
            options=options,
            xp=get_backend(),
        )
        if together
        else fit_g2(
            curves,
            chosen,
            bins=labels,
            fixed=fixed,
            bounds=bounds,
            options=options,
            xp=get_backend(),
        )
    )
    fitted = with_progress(steps)
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
                careful=careful,
            ),
        )
        fitted = posterior.as_fit()
    dispersion = fit_dispersion(fitted)
    if table is not None:
        store.table(table, fitted, posterior)
    if append:
        store.inside(fitted, posterior)
    if script is not None:
        store.script(script, fitted)
    rows = fit_rows(fitted) if posterior is None else posterior_rows(posterior)
    facts: dict[str, Any] = {
        "bins": rows,
        "dispersion": dispersion_facts(dispersion, solvent),
        "shared": shared_facts(fitted),
    }
    if posterior is not None:
        facts["posterior"] = posterior_facts(posterior)
    if as_json:
        print_json(facts)
    else:
        print_fit(fitted, dispersion, solvent)
        if posterior is not None:
            print_verdict(posterior)


def _refuse(results: Sequence[Path], *, together: bool, sampled: bool, append: bool) -> None:
    """Say which options do not go together."""
    if len(results) > 1 and not together:
        msg = "several files are fitted together: say what they --share, or by which --law."
        raise typer.BadParameter(msg)
    if together and sampled:
        msg = "--share and --law are for least squares; draws are made bin by bin."
        raise typer.BadParameter(msg)
    if append and len(results) > 1:
        msg = "--append stores the fit of one file in it; write that of several with --csv."
        raise typer.BadParameter(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Store:
    """Where results go; never onto a file that was read."""

    results: Sequence[Path]
    force: bool

    def refuse(self, *outputs: Path, inside: str | None, sampled: bool) -> None:
        """Say what cannot be stored before the work is done; ``inside``: the model to append."""
        from napari_xpcs.io.appended_group import require_group_place
        from napari_xpcs.io.atomic import refuse_input_as_output, require_place
        from napari_xpcs.io.fit_table import place_of_fit
        from napari_xpcs.io.posterior_file import place_of_posterior

        for path in outputs:
            refuse_input_as_output(path, *self.results)
            require_place(path, self.force)
        if inside is not None:
            place = place_of_posterior if sampled else place_of_fit
            require_group_place(self.results[0], *place(inside), self.force)

    def table(self, path: Path, fitted: "G2Fit", posterior: "Posterior | None") -> None:
        from napari_xpcs.io.fit_table import write_fit_csv
        from napari_xpcs.io.posterior_file import write_posterior_csv

        if posterior is None:
            write_fit_csv(path, fitted, force=self.force)
        else:
            write_posterior_csv(path, posterior, force=self.force)

    def inside(self, fitted: "G2Fit", posterior: "Posterior | None") -> None:
        from napari_xpcs.io.fit_table import append_fit
        from napari_xpcs.io.posterior_file import append_posterior

        if posterior is None:
            append_fit(self.results[0], fitted, force=self.force)
        else:
            append_posterior(self.results[0], posterior, force=self.force)

    def script(self, path: Path, fitted: "G2Fit") -> None:
        from napari_xpcs.fitting.script import fit_script
        from napari_xpcs.io.fit_table import write_text

        write_text(path, fit_script(fitted), force=self.force)
