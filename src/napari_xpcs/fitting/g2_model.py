"""What a model of g2 is, and g2 that it gives for fitted coordinates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FitError
from napari_xpcs.units import ANGSTROM_M

Scale: TypeAlias = Literal["none", "time", "rate", "velocity"]

GridAxis: TypeAlias = float | tuple[float, ...]
"""Start values of one parameter: the step in its logarithm, or the values themselves."""


@dataclass(frozen=True, slots=True)
class DefaultPrior:
    """What is believed of a parameter before curves are seen, for any delays and q.

    :func:`~napari_xpcs.fitting.priors.default_priors` puts it on the scale of a measurement.

    Parameters
    ----------
    family
        ``normal``: of the parameter itself.  ``halfnormal``: of a positive one, down to 0.
        ``lognormal``: of its logarithm.  ``uniform``: between its bounds.  ``log-delays``: normal
        in its logarithm, centred on the geometric middle of the delays (or of their inverses) and
        ``width`` wider than half their span in ln(time): wide, yet proper.
    centre, width
        Of the normal distribution, in ln(value) for ``lognormal``.
    """

    family: Literal["normal", "halfnormal", "lognormal", "uniform", "log-delays"]
    centre: float = 0.0
    width: float = 1.0


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
    prior: DefaultPrior


@dataclass(frozen=True, slots=True, kw_only=True)
class G2Model:
    """One model of g2.

    Parameters
    ----------
    name
        Key in :data:`~napari_xpcs.fitting.models.G2_MODELS`.
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


def check_names(model: G2Model, what: str, given: Mapping[str, object]) -> None:
    """Check that the names in ``given``, which are for ``what``, are parameters of the model.

    Raises
    ------
    FitError
        With those that are none, and those that there are.
    """
    unknown = [name for name in given if name not in model.names]
    if unknown:
        raise FitError(
            f"The model {model.name} has no parameter {', '.join(map(repr, unknown))} ({what});"
            f" its parameters are {', '.join(model.names)}."
        )


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
