r"""The speckle of Brownian particles, frame by frame: it decays exactly as theory says.

The field of every pixel and mode is a circular complex Gaussian process that follows

.. math:: E(t + \Delta t) = g_1 E(t) + \sqrt{1 - g_1^2}\,\xi, \qquad g_1 = e^{-D q^2 \Delta t}

with q of the very pixel, so that :math:`\langle E(0) E^*(t)\rangle = e^{-D q^2 t}` holds
at every delay and not just for a fine time step.  The intensity adds up modes that do not
interfere, with weights whose squares sum to the contrast :math:`\beta`; by the Siegert relation

.. math:: g_2(t) = 1 + \beta e^{-2 D q^2 t}.

Where pixels are independent, nothing but the intensity of each is needed, and for equal modes
that is a Markov process of its own, the square-root diffusion [1]_.  The sum S of the squares of
:math:`n = 2 / \beta` components of variance 1 becomes

.. math:: S(t + \Delta t) = (g_1 \sqrt{S(t)} + \sqrt{1 - g_1^2}\,\xi)^2 + (1 - g_1^2) \chi^2_{n - 1}

because only the component along the field feels the field: two random numbers for a pixel
however many modes there are, and n need not be whole.

.. [1] J. C. Cox, J. E. Ingersoll, S. A. Ross, *Econometrica* 53 (1985) 385.
"""

from math import ceil, log, sqrt

import numpy as np
from jaxtyping import Float, Float32

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol


def evolve_power(
    power: Float[Array, "row col"],
    along: Float[Array, "frame row col"],
    across: Float[Array, "frame row col"],
    decay: Float[Array, "row col"],
    renewal: Float[Array, "row col"],
    *,
    xp: BackendProtocol,
) -> tuple[Float[Array, "row col"], Float[Array, "frame row col"]]:
    r"""Return the sum of squares of the field after some frames, and that of each of them.

    Parameters
    ----------
    power
        Sum of the squares of n components of variance 1, before the first of the frames.
    along, across
        What renews it after each frame: a Gaussian number of variance 1, and a
        :math:`\chi^2_{n - 1}` number.
    decay, renewal
        :math:`g_1` over one frame time, and :math:`\sqrt{1 - g_1^2}`.
    """
    renewal_squared = renewal * renewal

    def step(now: Float[Array, "row col"], fresh: Float[Array, "2 row col"]) -> tuple[Array, Array]:
        kept = decay * xp.sqrt(now) + renewal * fresh[0]
        return kept * kept + renewal_squared * fresh[1], now

    final, powers = xp.scan(step, power, xp.stack([along, across], axis=1))
    return final, powers


def evolve(
    field: Float[Array, "component row col"],
    noise: Float[Array, "frame component row col"],
    decay: Float[Array, "row col"],
    renewal: Float[Array, "row col"],
    weights: Float[Array, " component"],
    *,
    xp: BackendProtocol,
) -> tuple[Float[Array, "component row col"], Float[Array, "frame row col"]]:
    r"""Return the field after some frames, and the speckle of each of them.

    Parameters
    ----------
    field
        Real and imaginary parts of all modes, before the first of the frames.
    noise
        What renews the field after each frame: independent, of variance 1.
    decay, renewal
        :math:`g_1` over one frame time, and :math:`\sqrt{1 - g_1^2}`.
    weights
        Share of each component in the intensity; they sum to 1/2 over the real parts.
    """

    def step(
        now: Float[Array, "component row col"], fresh: Float[Array, "component row col"]
    ) -> tuple[Array, Array]:
        speckle = xp.einsum("c,crs->rs", weights, now * now)
        return decay * now + renewal * fresh, speckle

    final, speckles = xp.scan(step, field, noise)
    return final, speckles


def mode_weights(contrast: float) -> Float[np.ndarray, " mode"]:
    r"""Return weights :math:`w` of the fewest modes with :math:`\sum w = 1, \sum w^2 = \beta`.

    All but the last are equal and not smaller than that one.
    """
    # The margin keeps 1 / (1 / n) at n modes where rounding puts it just above.
    modes = ceil(1.0 / contrast - 1e-9)
    if modes == 1:
        return np.ones(1)
    excess = max(1.0 - (1.0 - contrast) * modes / (modes - 1), 0.0)
    equal = (1.0 + sqrt(excess)) / modes
    last = max(1.0 - (modes - 1) * equal, 0.0)
    return np.array([*[equal] * (modes - 1), last])


def speckle_spectrum(shape: tuple[int, int], size_px: float) -> Float32[np.ndarray, "row half"]:
    """Return the filter that gives white noise speckles of some size, and the variance 1.

    It multiplies the ``rfft2`` of an image of ``shape``; ``size_px`` is the full width at half
    maximum of the correlation of the field.
    """
    row, col = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    # The correlation exp(-4 ln 2 r²/w²) has the root of its Fourier transform as filter.
    width = size_px / (4.0 * sqrt(log(2.0)))
    amplitude = np.exp(-0.5 * (2.0 * np.pi * width) ** 2 * (row**2 + col**2))
    impulse = np.fft.irfft2(amplitude, shape)
    return np.asarray(amplitude / np.sqrt(np.sum(impulse**2)), np.float32)
