"""Options of ``napari-xpcs fit`` that say how the least squares are done."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xpcs.cli._options import read_assignment, read_number, read_number_pair

if TYPE_CHECKING:
    from napari_xpcs.fitting.g2_model import G2Model
    from napari_xpcs.fitting.laws import Solvent
    from napari_xpcs.fitting.options import FitOptions, FitRange


class LawOption(StrEnum):
    DIFFUSION = "diffusion"
    POWER = "power"
    BALLISTIC = "ballistic"


class Errors(StrEnum):
    AUTO = "auto"
    STATED = "stated"
    SCALED = "scaled"


class Convention(StrEnum):
    OWN = "own"
    PYXPCSVIEWER = "pyxpcsviewer"
    XPCSVIEWER = "xpcsviewer"


Texts = list[str] | None
ModelName = Annotated[
    str,
    typer.Option(
        help="single, stretched, double, double-stretched, cumulant, flow, heterodyne, damped;"
        " a formula of |g1|² as 'exp(-2*t/tau_s)*cos(k*t)**2';"
        " or a function in a file, mine.py:shape."
    ),
]
Parameters = Annotated[
    Texts,
    typer.Option(
        "--parameter",
        help="A parameter of a model of your own: k,1/s or k,s or k,LOWER,UPPER. May be repeated.",
    ),
]
Fix = Annotated[Texts, typer.Option(help="Hold a parameter: contrast=0.15. May be repeated.")]
Bound = Annotated[Texts, typer.Option(help="Bounds: tau_s=1e-6,10. May be repeated.")]
Tie = Annotated[
    Texts, typer.Option(help="Tie a parameter to another: tau2_s=10*tau_s. May be repeated.")
]
Start = Annotated[Texts, typer.Option(help="Set out from a value: tau_s=0.1. May be repeated.")]
Starts = Annotated[
    int | None, typer.Option(min=1, help="Number of starts per bin; default: what the model needs.")
]
DelayRange = Annotated[
    tuple[float, float] | None, typer.Option(help="Shortest and longest delay to fit, s.")
]
DelayRangeOf = Annotated[
    Texts, typer.Option(help="Delays of one bin, as BIN=SHORTEST,LONGEST in s. May be repeated.")
]
Robust = Annotated[
    bool, typer.Option("--robust", help="Outliers count less (Student's t, 4 degrees of freedom).")
]
ErrorFloor = Annotated[
    str, typer.Option(help="Added in square to the errors of g2: a number, or auto.")
]
ErrorsOption = Annotated[
    Errors,
    typer.Option(
        help="Errors of the parameters: from those of g2, scaled by sqrt(chi2/dof) where the "
        "scatter is larger than chance (auto); never scaled (stated); always (scaled)."
    ),
]
ConventionOption = Annotated[
    Convention,
    typer.Option("--names", help="Names and meanings in --fix, --bound and --start."),
]
Share = Annotated[
    Texts,
    typer.Option(
        help="One value in all bins and files: exponent, contrast, ..., or D, n, v of a law."
        " May be repeated."
    ),
]
LawChoice = Annotated[
    LawOption | None, typer.Option("--law", help="Fit all bins together with this law of tau(q).")
]
Temperature = Annotated[float | None, typer.Option(help="Of the sample, K; for R_h.")]
Viscosity = Annotated[float | None, typer.Option(help="Of the solvent, Pa s; for R_h.")]
Script = Annotated[Path | None, typer.Option(help="Write a Python script that repeats the fit.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Values and bounds as they were typed."""

    fix: Sequence[str]
    bound: Sequence[str]
    start: Sequence[str]

    def translated(
        self, model: str, convention: Convention
    ) -> tuple[dict[str, float], dict[str, tuple[float, float]], dict[str, float]]:
        """Return fixed values, bounds and starts under our names."""
        from napari_xpcs.fitting.conventions import translate

        fixed = {name: read_number(text) for name, text in map(read_assignment, self.fix)}
        bounds = {name: read_number_pair(text) for name, text in map(read_assignment, self.bound)}
        start = {name: read_number(text) for name, text in map(read_assignment, self.start)}
        exponent = fixed.get("beta")
        return (
            translate(convention, model, fixed, exponent),
            translate(convention, model, bounds, exponent),
            translate(convention, model, start, exponent),
        )


def read_fit_options(
    *,
    tie: Sequence[str],
    start: dict[str, float],
    starts: int | None,
    delay_range: tuple[float, float] | None,
    delay_range_of: Sequence[str],
    robust: bool,
    error_floor: str,
    errors: Errors,
) -> "FitOptions":
    from napari_xpcs.fitting.options import EVERYWHERE, FitOptions

    fit_range: FitRange = delay_range or EVERYWHERE
    if delay_range_of:
        if delay_range is not None:
            msg = "--delay-range is of all bins and --delay-range-of of one; give one of the two."
            raise typer.BadParameter(msg)
        fit_range = {
            _label(name): read_number_pair(text)
            for name, text in map(read_assignment, delay_range_of)
        }
    return FitOptions(
        tied=dict(map(read_assignment, tie)),
        start=start,
        starts=starts,
        fit_range=fit_range,
        robust=robust,
        error_floor="auto" if error_floor == "auto" else read_number(error_floor),
        errors=errors.value,
    )


def read_model(text: str, parameters: Sequence[str]) -> "G2Model":
    from napari_xpcs.fitting.user_models import model_of

    return model_of(text, parameters)


def read_solvent(temperature_k: float | None, viscosity_pa_s: float | None) -> "Solvent | None":
    from napari_xpcs.fitting.laws import Solvent

    if temperature_k is None and viscosity_pa_s is None:
        return None
    if temperature_k is None or viscosity_pa_s is None:
        msg = "a hydrodynamic radius needs both --temperature-k and --viscosity-pa-s."
        raise typer.BadParameter(msg)
    return Solvent(temperature_k=temperature_k, viscosity_pa_s=viscosity_pa_s)


def _label(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        msg = f"--delay-range-of wants BIN=SHORTEST,LONGEST with a whole number, got {text!r}."
        raise typer.BadParameter(msg) from None
