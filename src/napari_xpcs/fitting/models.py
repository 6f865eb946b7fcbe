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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.units import ANGSTROM_M

Scale: TypeAlias = Literal["none", "time", "rate", "velocity"]
GridAxis: TypeAlias = float | tuple[float, ...]
"""Start values of one parameter: the step in its logarithm, or the values themselves."""

LOG_MARGIN_BELOW = 1.0
LOG_MARGIN_ABOVE = 1.5
"""How far the start grid reaches beyond the measured delays, in units of ln(time)."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of a parameter before a curve is seen.

    Parameters
    ----------
    family
        ``normal``: of the parameter itself.  ``half-normal``: of a positive one, down to 0.
        ``log-normal``: of its logarithm.  ``uniform``: between its bounds.  ``log-delays``: normal
        in its logarithm, centred on the geometric middle of the delays (or of their inverses) and
        ``width`` wider than half their span in ln(time): wide, yet proper.
    centre, width
        Of the normal distribution, in ln(value) for ``log-normal``.
    """

    family: Literal["normal", "half-normal", "log-normal", "uniform", "log-delays"]
    centre: float = 0.0
    width: float = 1.0

    @property
    def coordinate(self) -> Literal["location", "log", "logit"]:
        """In what an unbounded walk moves: the value, its logarithm, or the logit in its bounds."""
        if self.family == "normal":
            return "location"
        return "logit" if self.family == "uniform" else "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a model.

    Parameters
    ----------
    name, unit, meaning
        Name in tables and options, unit ("" if it has none), and a few words for a form.
    scale
        What the parameter is measured with while it is fitted: a ``time`` in first delays,
        a ``rate`` in inverse first delays, a ``velocity`` as the rate ``q v``.
    log
        Its logarithm is fitted, so the value stays positive and decades weigh alike.
    lower, upper
        Default bounds.  Times: factors on the first and the last delay.  Rates and
        velocities: factors on 1/(last delay) and 1/(first delay) of the rate.
    domain
        Values that make sense at all; bounds given by hand must lie inside.
    prior
        For sampling.
    """

    name: str
    unit: str
    meaning: str
    scale: Scale = "none"
    log: bool = False
    lower: float
    upper: float
    domain: tuple[float, float] = (-np.inf, np.inf)
    prior: Prior


@dataclass(frozen=True, slots=True, kw_only=True)
class G2Model:
    """One model of g2.

    Parameters
    ----------
    name
        Key in :data:`G2_MODELS`.
    label, formula
        For a form: a few words, and the formula in plain text.
    parameters
        Baseline and contrast, then the parameters of ``shape`` in its order.
    shape
        ``shape(t, *theta, xp=xp)`` returns :math:`|g_1|^2`; times and rates in any one unit.
    grid
        Start values for every parameter of ``shape``.
    starts
        From how many of the best, mutually distant grid points the fit sets out.
    symmetric
        Its two modes are interchangeable, so the faster one is made the first.
    made_from
        Of a user's own model, the formula or file and the descriptions of its parameters.
    """

    name: str
    label: str
    formula: str
    parameters: tuple[Parameter, ...]
    shape: Callable[..., Array]
    grid: tuple[GridAxis, ...]
    starts: int = 1
    symmetric: bool = False
    made_from: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters, baseline and contrast first."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def swaps(self) -> tuple[tuple[int, int], ...]:
        """Columns that change places when the two modes of a double model are exchanged."""
        names = self.names
        pairs = (("tau_s", "tau2_s"), ("exponent", "exponent2"))
        if not self.symmetric or not {"tau_s", "tau2_s"} <= set(names):
            return ()
        return tuple((names.index(a), names.index(b)) for a, b in pairs if {a, b} <= set(names))


def model_g2(
    model: G2Model,
    t: Float[Array, " delay"],
    x: Float[Array, "*curve param"],
    averaging: Float[Array, " delay"] | None = None,
    *,
    xp: BackendProtocol,
) -> Float[Array, "*curve delay"]:
    """Return g2 at ``t`` for fitted coordinates ``x``: logarithms where a parameter says so.

    ``averaging`` is that of :func:`averaged_shape`.
    """
    baseline, contrast, *theta = natural(model, x, xp=xp)
    return baseline + contrast * averaged_shape(model, t, averaging, theta, xp=xp)


def averaged_shape(
    model: G2Model,
    t: Float[Array, " delay"],
    averaging: Float[Array, " delay"] | None,
    theta: Sequence[Array],
    *,
    xp: BackendProtocol,
) -> Float[Array, "*curve delay"]:
    r"""Return :math:`|g_1|^2` as a correlator sees it that adds frames up before it multiplies.

    Two sums of m frames are apart by delays that fill a triangle about ``t`` of the half-width
    ``averaging`` a.  Three points :math:`t, t \pm a\sqrt{2/5}` with the weights 7/12 and 5/24 have
    its moments :math:`a^2/6` and :math:`a^4/15`, so a shape is averaged exactly up to
    :math:`t^5`.
    """
    if averaging is None:
        return model.shape(t, *theta, xp=xp)
    reach = sqrt(2 / 5) * averaging
    sides = model.shape(t - reach, *theta, xp=xp) + model.shape(t + reach, *theta, xp=xp)
    return 7 / 12 * model.shape(t, *theta, xp=xp) + 5 / 24 * sides


def natural(
    model: G2Model, x: Float[Array, "*curve param"], *, xp: BackendProtocol
) -> list[Float[Array, "*curve 1"]]:
    """Return the parameters themselves, ready to broadcast over delays."""
    return [
        xp.exp(x[..., i, None]) if parameter.log else x[..., i, None]
        for i, parameter in enumerate(model.parameters)
    ]


def unit_scale(
    model: G2Model, q: Float[np.ndarray, " bin"], time_unit_s: float
) -> Float[np.ndarray, "bin param"]:
    """Return what a fitted number is multiplied with to give the unit of its parameter.

    ``q`` in 1/angstrom turns the rate ``q v`` into a velocity in m/s.
    """
    factors = {
        "none": np.ones_like(q),
        "time": np.full_like(q, time_unit_s),
        "rate": np.full_like(q, 1 / time_unit_s),
        "velocity": ANGSTROM_M / np.where(q > 0, q, np.nan) / time_unit_s,
    }
    return np.stack([factors[parameter.scale] for parameter in model.parameters], axis=1)


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


_OF_DELAYS = Prior("log-delays", width=2.0)
_BASELINE = Parameter(
    name="baseline",
    unit="",
    meaning="g2 at long delays",
    lower=0.5,
    upper=1.5,
    prior=Prior("normal", 1.0, 0.1),
)
_CONTRAST = Parameter(
    name="contrast",
    unit="",
    meaning="speckle contrast",
    lower=0.0,
    upper=1.0,
    domain=(0.0, np.inf),
    prior=Prior("half-normal", width=0.5),
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
        prior=Prior("log-normal", 0.0, 0.5),
    )


def _fraction(meaning: str) -> Parameter:
    return Parameter(
        name="fraction",
        unit="",
        meaning=meaning,
        lower=0.0,
        upper=1.0,
        domain=(0.0, 1.0),
        prior=Prior("uniform"),
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
                prior=Prior("log-normal", float(np.log(0.1)), 1.0),
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
