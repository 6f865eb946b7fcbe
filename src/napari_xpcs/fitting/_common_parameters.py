"""What bins that are fitted together have in common, and how their coordinates follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.errors import FitError
from napari_xpcs.fitting._arrow import Links
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting._setup import Setup
from napari_xpcs.fitting.g2_model import G2Model
from napari_xpcs.fitting.laws import EXPONENT_BOUNDS, LAWS, RELAXATION, Law, law_named

_BEYOND_DELAYS = 10.0
"""How far ln(time) of a law may lie beyond the delays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which parameters are common; ``time`` follows ``law``."""

    shared: tuple[str, ...]
    law: Law | None
    time: str | None
    one_amplitude: bool
    one_exponent: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommonParameter:
    """One common parameter: its name and unit, whose it is, and what it does to the curves.

    Its own coordinate lies between ``lower`` and ``upper`` and is a logarithm where ``log`` says
    so; coordinate ``column`` of curve c changes by ``slope[c]`` times its own.
    """

    name: str
    unit: str
    source: str
    members: Bool[np.ndarray, " curve"]
    column: int
    slope: Float[np.ndarray, " curve"]
    lower: float
    upper: float
    log: bool
    law: Law | None = None
    is_exponent: bool = False
    q_reference: float = float("nan")


def plan_of(
    model: G2Model, share: Sequence[str], law: str | None, fixed: Mapping[str, float]
) -> Plan:
    """Return what ``share`` and ``law`` ask for.

    Raises
    ------
    FitError
        A name or law is not there, or is asked for twice, or nothing is shared.
    """
    implied = [each.name for each in LAWS.values() if {each.short, each.amplitude} & set(share)]
    if law is None and implied:
        law = implied[0]
    chosen = None if law is None else law_named(law)
    allowed = set(model.names)
    if chosen is not None:
        allowed |= {chosen.short, chosen.amplitude} | ({"n"} if chosen.exponent is None else set())
    unknown = [name for name in share if name not in allowed]
    if unknown:
        raise FitError(
            f"{', '.join(unknown)} cannot be shared; the model {model.name}"
            f"{f' with the law {chosen.name}' if chosen else ''} has {', '.join(sorted(allowed))}."
        )
    time = next((name for name in RELAXATION if name in model.names), None)
    if chosen is not None and time is None:
        raise FitError(f"The model {model.name} has no relaxation time that could follow a law.")
    shared = tuple(name for name in model.names if name in share)
    both = [name for name in (*shared, *([time] if chosen and time else [])) if name in fixed]
    if both:
        raise FitError(f"{', '.join(both)} is fixed; a fixed parameter is not shared as well.")
    if chosen is not None and time in shared:
        raise FitError(f"{time} follows the law {chosen.name}; it is not shared as well.")
    if not shared and chosen is None:
        raise FitError(
            "Nothing is shared: name a parameter to share, or a law that the relaxation times"
            f" follow ({', '.join(LAWS)})."
        )
    return Plan(
        shared=shared,
        law=chosen,
        time=time if chosen else None,
        one_amplitude=chosen is not None and bool({chosen.short, chosen.amplitude} & set(share)),
        one_exponent="n" in share,
    )


def links_of(
    model: G2Model,
    plan: Plan,
    setup: Setup,
    rows: Int[np.ndarray, " curve"],
    problem: Problem,
    file: Int[np.ndarray, " bin"],
    names: Sequence[str],
) -> tuple[Links, list[CommonParameter]]:
    """Return how the coordinates of the curves follow from the common parameters, and these."""
    scale = setup.scale[rows]
    log = np.array([parameter.log for parameter in model.parameters])
    log_scale = np.where(log, np.log(scale, where=log, out=np.zeros_like(scale)), 0.0)
    offset = np.zeros_like(scale)
    parts = [
        _shared_by_all(model, name, problem, log_scale[:, model.names.index(name)])
        for name in plan.shared
    ]
    if plan.law is not None and plan.time is not None:
        q = setup.table.q[rows]
        log_q = np.log(q) - float(np.log(q).mean())
        i = model.names.index(plan.time)
        if plan.law.exponent is not None:
            offset[:, i] -= RELAXATION[plan.time] * plan.law.exponent * log_q
        parts += _of_law(plan, plan.law, plan.time, i, setup, problem, q, file[rows], names)
    for i in {part.column for part in parts}:
        offset[:, i] -= log_scale[:, i]
    matrix = np.zeros((*scale.shape, len(parts)))
    for k, part in enumerate(parts):
        matrix[:, part.column, k] = part.slope
    of_common = np.zeros(len(model.parameters), dtype=bool)
    of_common[[part.column for part in parts]] = True
    links = Links(
        matrix=matrix,
        offset=offset,
        of_common=of_common,
        lower=np.array([part.lower for part in parts]),
        upper=np.array([part.upper for part in parts]),
        log=np.array([part.log for part in parts]),
    )
    return links, parts


def _shared_by_all(
    model: G2Model, name: str, problem: Problem, log_scale: Float[np.ndarray, " curve"]
) -> CommonParameter:
    """Return a parameter of the model that has one value, within the bounds of all curves."""
    i = model.names.index(name)
    everyone = np.ones(len(log_scale), dtype=bool)
    return CommonParameter(
        name=name,
        unit=model.parameters[i].unit,
        source="",
        members=everyone,
        column=i,
        slope=everyone.astype(np.float64),
        lower=float(np.max(problem.lower[:, i] + log_scale)),
        upper=float(np.min(problem.upper[:, i] + log_scale)),
        log=model.parameters[i].log,
    )


def _of_law(
    plan: Plan,
    law: Law,
    time: str,
    column: int,
    setup: Setup,
    problem: Problem,
    q: Float[np.ndarray, " curve"],
    owner: Int[np.ndarray, " curve"],
    names: Sequence[str],
) -> list[CommonParameter]:
    """Return ln(time) at the middle of ln(q) and, where it is free, the exponent of the law.

    Each of them is one for all files, or one for every file.
    """
    sign = RELAXATION[time]
    centre = float(np.log(q).mean())
    whole = [("", np.ones(len(q), dtype=bool))]
    scopes = [
        (names[k] if len(names) > 1 else "", owner == k) for k in (int(k) for k in np.unique(owner))
    ]
    first = float(np.log(setup.first_delay_s))
    last = first + float(np.log(problem.t.max()))
    amplitudes = [
        CommonParameter(
            name=law.amplitude,
            unit=law.unit,
            source=source,
            members=members,
            column=column,
            slope=np.where(members, sign, 0.0),
            lower=first - _BEYOND_DELAYS,
            upper=last + _BEYOND_DELAYS,
            log=True,
            law=law,
            q_reference=float(np.exp(centre)),
        )
        for source, members in (whole if plan.one_amplitude else scopes)
    ]
    if law.exponent is not None:
        return amplitudes
    exponents = [
        CommonParameter(
            name="n",
            unit="",
            source=source,
            members=members,
            column=column,
            slope=np.where(members, -sign * (np.log(q) - centre), 0.0),
            lower=EXPONENT_BOUNDS[0],
            upper=EXPONENT_BOUNDS[1],
            log=False,
            law=law,
            is_exponent=True,
            q_reference=float(np.exp(centre)),
        )
        for source, members in (whole if plan.one_exponent else scopes)
    ]
    return amplitudes + exponents
