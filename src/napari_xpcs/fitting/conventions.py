r"""What other programs call the parameters, and what they mean by them: :func:`translate`.

pyXpcsViewer fits :math:`a\,e^{-2(x/b)^c} + d` and
:math:`a\,[f e^{-(x/b)^c} + (1-f) e^{-(x/b_2)^{c_2}}]^2 + d`: its numbers are ours under other
names.  xpcsviewer fits :math:`c\,e^{-(2t/\tau)^\alpha} + b`, so its relaxation time is ours times
:math:`2^{1 - 1/\alpha}`.
"""

from collections.abc import Mapping
from typing import TypeVar

from napari_xpcs.errors import FitError

Given = TypeVar("Given", float, tuple[float, float])

PYXPCSVIEWER = {
    "a": "contrast",
    "b": "tau_s",
    "c": "exponent",
    "d": "baseline",
    "b2": "tau2_s",
    "c2": "exponent2",
    "f": "fraction",
}
XPCSVIEWER = {
    "contrast": "contrast",
    "tau": "tau_s",
    "beta": "exponent",
    "baseline": "baseline",
}
CONVENTIONS = ("own", "pyxpcsviewer", "xpcsviewer")


def translate(
    convention: str, model: str, given: Mapping[str, Given], exponent: float | None = None
) -> dict[str, Given]:
    """Return values or bounds under our names and with our meanings.

    Parameters
    ----------
    convention
        One of :data:`CONVENTIONS`; ``own`` leaves everything as it is.
    model
        Key of the table of models.
    given
        By the names of the other program, times in s.
    exponent
        Of the stretched exponential, where it is known: xpcsviewer's time depends on it.
    """
    if convention == "own":
        return dict(given)
    if convention not in CONVENTIONS:
        raise FitError(
            f"Unknown convention {convention!r}; choose one of {', '.join(CONVENTIONS)}."
        )
    names = PYXPCSVIEWER if convention == "pyxpcsviewer" else XPCSVIEWER
    unknown = [name for name in given if name not in names]
    if unknown:
        raise FitError(
            f"{convention} has no parameter {', '.join(unknown)}; it has {', '.join(names)}."
        )
    result = {}
    for name, value in given.items():
        if convention == "xpcsviewer" and name == "tau":
            factor = _time_factor(model, exponent)
            value = (
                (value[0] * factor, value[1] * factor)
                if isinstance(value, tuple)
                else value * factor
            )
        result[names[name]] = value
    return result


def _time_factor(model: str, exponent: float | None) -> float:
    if model == "single":
        return 1.0
    if model != "stretched":
        raise FitError(
            f"xpcsviewer's model {model} is another one (it adds intensities, not fields);"
            " its times have no counterpart here."
        )
    if exponent is None:
        raise FitError(
            "xpcsviewer's tau means another time for every beta; fix beta as well, or give tau_s"
            " in our meaning."
        )
    return float(2 ** (1 / exponent - 1))
