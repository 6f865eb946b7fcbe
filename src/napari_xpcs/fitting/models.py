r"""The g2 models: one table of formulas, parameters, bounds and start grids.

Every model has the form :math:`g_2(t) = b + c\,|g_1(t)|^2` with baseline :math:`b` and speckle
contrast :math:`c`.  A relaxation time belongs to the *field*, :math:`g_1 = e^{-t/\tau}`, so the
factor 2 stands in :math:`|g_1|^2` (Siegert relation [1]_).  Programs that fit
:math:`e^{-t/\tau}` to g2 report half of this time.

References
----------
.. [1] Berne & Pecora, *Dynamic Light Scattering*, ch. 4 and 8.
.. [2] Frisken, Appl. Opt. 40, 4087 (2001): cumulants in the form without cancellation.
.. [3] Burghardt, Sikorski, Sandy & Narayanan, Phys. Rev. E 85, 021402 (2012): flow.
.. [4] Livet et al., J. Synchrotron Rad. 13, 453 (2006): heterodyne mixing.
"""

import numpy as np

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.fitting.g2_model import DefaultPrior, G2Model, Parameter


def _single(t: Array, tau: Array, *, xp: BackendProtocol) -> Array:
    return xp.exp(-2 * t / tau)


def _field(t: Array, tau: Array, exponent: Array, *, xp: BackendProtocol) -> Array:
    # Not a power: XLA takes one element after the other for it, sampling takes twice the time.
    return xp.exp(-xp.exp(exponent * (xp.log(t) - xp.log(tau))))


def _stretched(t: Array, tau: Array, exponent: Array, *, xp: BackendProtocol) -> Array:
    return _field(t, tau, exponent, xp=xp) ** 2


def _double(t: Array, tau: Array, tau2: Array, fraction: Array, *, xp: BackendProtocol) -> Array:
    return (fraction * xp.exp(-t / tau) + (1 - fraction) * xp.exp(-t / tau2)) ** 2


def _double_stretched(
    t: Array,
    tau: Array,
    exponent: Array,
    tau2: Array,
    exponent2: Array,
    fraction: Array,
    *,
    xp: BackendProtocol,
) -> Array:
    first = _field(t, tau, exponent, xp=xp)
    second = _field(t, tau2, exponent2, xp=xp)
    return (fraction * first + (1 - fraction) * second) ** 2


def _cumulant(t: Array, gamma: Array, pdi: Array, *, xp: BackendProtocol) -> Array:
    return xp.exp(-2 * gamma * t) * (1 + 0.5 * pdi * (gamma * t) ** 2) ** 2


def _flow(t: Array, tau: Array, rate: Array, *, xp: BackendProtocol) -> Array:
    # The protocol's sinc is numpy's, sin(pi x)/(pi x); the formula has sin(u)/u with u = rate t/2.
    return xp.exp(-2 * t / tau) * xp.sinc(rate * t / (2 * xp.pi)) ** 2


def _heterodyne(
    t: Array, tau: Array, fraction: Array, rate: Array, *, xp: BackendProtocol
) -> Array:
    field = xp.exp(-t / tau)
    static = 1 - fraction
    beat = 2 * fraction * static * field * xp.cos(rate * t)
    return static**2 + (fraction * field) ** 2 + beat


def _damped(t: Array, tau: Array, frequency: Array, *, xp: BackendProtocol) -> Array:
    return (xp.exp(-t / tau) * xp.cos(2 * xp.pi * frequency * t)) ** 2


_OF_DELAYS = DefaultPrior("log-delays", width=2.0)
_BASELINE = Parameter(
    name="baseline",
    unit="",
    meaning="g2 at long delays",
    lower=0.5,
    upper=1.5,
    prior=DefaultPrior("normal", 1.0, 0.1),
)
_CONTRAST = Parameter(
    name="contrast",
    unit="",
    meaning="speckle contrast",
    lower=0.0,
    upper=1.0,
    domain=(0.0, np.inf),
    prior=DefaultPrior("halfnormal", width=0.5),
)
_POSITIVE = (0.0, np.inf)


def _time(name: str, meaning: str) -> Parameter:
    return Parameter(
        name=name,
        unit="s",
        meaning=meaning,
        scale="time",
        log=True,
        lower=0.01,
        upper=100.0,
        domain=_POSITIVE,
        prior=_OF_DELAYS,
    )


def _exponent(name: str, meaning: str) -> Parameter:
    return Parameter(
        name=name,
        unit="",
        meaning=meaning,
        lower=0.2,
        upper=3.0,
        domain=_POSITIVE,
        prior=DefaultPrior("lognormal", 0.0, 0.5),
    )


def _fraction(meaning: str) -> Parameter:
    return Parameter(
        name="fraction",
        unit="",
        meaning=meaning,
        lower=0.0,
        upper=1.0,
        domain=(0.0, 1.0),
        prior=DefaultPrior("uniform"),
    )


def _rate(name: str, unit: str, meaning: str, upper: float) -> Parameter:
    return Parameter(
        name=name,
        unit=unit,
        meaning=meaning,
        scale="rate",
        log=True,
        lower=0.01,
        upper=upper,
        domain=_POSITIVE,
        prior=_OF_DELAYS,
    )


def _velocity(meaning: str, upper: float) -> Parameter:
    return Parameter(
        name="velocity_m_per_s",
        unit="m/s",
        meaning=meaning,
        scale="velocity",
        log=True,
        lower=0.01,
        upper=upper,
        domain=_POSITIVE,
        prior=_OF_DELAYS,
    )


_TAU = _time("tau_s", "relaxation time of the field")
_EXPONENT = _exponent("exponent", "below 1 stretched, above 1 compressed")

_TABLE = (
    G2Model(
        name="single",
        label="Single exponential",
        formula="g2 = baseline + contrast · exp(−2 t/τ)",
        parameters=(_BASELINE, _CONTRAST, _TAU),
        shape=_single,
        grid=(0.4,),
    ),
    G2Model(
        name="stretched",
        label="Stretched or compressed exponential",
        formula="g2 = baseline + contrast · exp(−2 (t/τ)^exponent)",
        parameters=(_BASELINE, _CONTRAST, _TAU, _EXPONENT),
        shape=_stretched,
        grid=(0.5, (0.35, 0.6, 1.0, 1.6, 2.4)),
    ),
    G2Model(
        name="double",
        label="Two exponentials in one field",
        formula="g2 = baseline + contrast · [fraction · exp(−t/τ) + (1 − fraction) · exp(−t/τ₂)]²",
        parameters=(
            _BASELINE,
            _CONTRAST,
            _time("tau_s", "relaxation time of the faster mode"),
            _time("tau2_s", "relaxation time of the slower mode"),
            _fraction("part of the faster mode in the field"),
        ),
        shape=_double,
        grid=(0.8, 0.8, (0.25, 0.5, 0.75)),
        starts=2,
        symmetric=True,
    ),
    G2Model(
        name="double-stretched",
        label="Two stretched exponentials in one field",
        formula=(
            "g2 = baseline + contrast · [fraction · exp(−(t/τ)^exponent)"
            " + (1 − fraction) · exp(−(t/τ₂)^exponent₂)]²"
        ),
        parameters=(
            _BASELINE,
            _CONTRAST,
            _time("tau_s", "relaxation time of the faster mode"),
            _exponent("exponent", "exponent of the faster mode"),
            _time("tau2_s", "relaxation time of the slower mode"),
            _exponent("exponent2", "exponent of the slower mode"),
            _fraction("part of the faster mode in the field"),
        ),
        shape=_double_stretched,
        grid=(0.8, (0.6, 1.0), 0.8, (1.0, 1.7), (0.25, 0.5, 0.75)),
        starts=4,
        symmetric=True,
    ),
    G2Model(
        name="cumulant",
        label="Cumulants: narrow spread of rates",
        formula="g2 = baseline + contrast · exp(−2 Γ t) · [1 + (pdi/2)(Γ t)²]²",
        parameters=(
            _BASELINE,
            _CONTRAST,
            _rate("gamma_per_s", "1/s", "mean decay rate of the field", upper=100.0),
            Parameter(
                name="pdi",
                unit="",
                meaning="variance of the rates over their mean squared",
                lower=0.0,
                upper=1.0,
                domain=_POSITIVE,
                prior=DefaultPrior("lognormal", float(np.log(0.1)), 1.0),
            ),
        ),
        shape=_cumulant,
        grid=(0.4, (0.05, 0.3, 0.8)),
        starts=2,
    ),
    G2Model(
        name="flow",
        label="Diffusion with a spread of flow velocities",
        formula="g2 = baseline + contrast · exp(−2 t/τ) · [sin(q v t/2) / (q v t/2)]²",
        parameters=(
            _BASELINE,
            _CONTRAST,
            _TAU,
            _velocity("full spread of the velocity along q", upper=100.0),
        ),
        shape=_flow,
        grid=(0.6, 0.4),
        starts=3,
    ),
    G2Model(
        name="heterodyne",
        label="Moving sample with a static reference",
        formula=(
            "g2 = baseline + contrast · [(1 − fraction)² + fraction² · exp(−2 t/τ)"
            " + 2 fraction (1 − fraction) · exp(−t/τ) · cos(q v t)]"
        ),
        parameters=(
            _BASELINE,
            _CONTRAST,
            _TAU,
            _fraction("part of the moving sample in the field"),
            # Faster beats than pi per first delay cannot be told from slower ones.
            _velocity("velocity along q against the reference", upper=np.pi),
        ),
        shape=_heterodyne,
        grid=(0.8, (0.2, 0.5, 0.8), 0.15),
        starts=3,
    ),
    G2Model(
        name="damped",
        label="Damped oscillation",
        formula="g2 = baseline + contrast · [exp(−t/τ) · cos(2π f t)]²",
        parameters=(
            _BASELINE,
            _CONTRAST,
            _TAU,
            # The square oscillates at 2 f, which a quarter turn per first delay samples.
            _rate("frequency_hz", "Hz", "frequency of the field's oscillation", upper=0.25),
        ),
        shape=_damped,
        grid=(0.8, 0.15),
        starts=3,
    ),
)

G2_MODELS: dict[str, G2Model] = {model.name: model for model in _TABLE}
"""All models by name, in the order in which a form lists them."""
