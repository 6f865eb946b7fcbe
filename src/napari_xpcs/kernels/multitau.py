r"""Multi-tau correlation of a stream of frames, pixel by pixel, and its reduction to g2.

Level :math:`L` works on sums of :math:`2^L` frames.  With :math:`n_L` complete sums
:math:`x_L(j)` of a pixel and lag :math:`k` of the level, :math:`n = n_L - k` pairs give

.. math::

    G_2 = \frac{1}{n 4^L} \sum_{j<n} x_L(j) x_L(j+k), \quad
    I_P = \frac{1}{n 2^L} \sum_{j<n} x_L(j), \quad
    I_F = \frac{1}{n 2^L} \sum_{j\ge k} x_L(j).

Lags are those of the programs of APS 8-ID: 1 to 2d at level 0 and d+1 to 2d above, with
d = 4 or 8 delays per level.  The two intensities are sums over all frames less the first or
last ``k``, so a state (:mod:`~napari_xpcs.kernels.multitau_state`) never needs to know how long
the run will be.

Frames that are left out count nothing.  With :math:`v_L(j)` raw frames in a sum, the divisors
become :math:`\sum v_L(j) v_L(j+k)`, :math:`\sum v_L(j)` and :math:`\sum v_L(j+k)`: means over the
pairs of frames that are there.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs.kernels.multitau_state import MultiTauState, level_rows

ROUNDING = 1e-12
"""Part of a sum of squares that may be left over by rounding."""

Normalization: TypeAlias = Literal["symmetric", "pixel-weighted", "no-static"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)
r"""How static bins s make g2 of a dynamic bin.

``symmetric``: plain mean over s of :math:`\langle G_2\rangle_s / (\langle I_P\rangle_s
\langle I_F\rangle_s)`, as boost_corr and xpcs-eigen do.  ``pixel-weighted``: the same mean
weighted with the pixels of s.  ``no-static``: one ratio of means over the dynamic bin, whose
baseline lies above 1 where the intensity varies within the bin.
"""

G2Errors: TypeAlias = Literal["pixel", "segments"]
G2_ERRORS: tuple[str, ...] = get_args(G2Errors)
"""Where ``g2_err`` comes from: the spread over the pixels of a bin, or over spans of time."""


class MultiTauLags(NamedTuple):
    """The delays of a run: ``delay_frames = lag * 2**level``."""

    level: Int[np.ndarray, " delay"]
    lag: Int[np.ndarray, " delay"]
    delay_frames: Int[np.ndarray, " delay"]


class PairNumbers(NamedTuple):
    """Raw frames in the pairs of every delay: sums of v(j) v(j+k), of v(j), of v(j+k)."""

    both: Float[np.ndarray, " delay"]
    past: Float[np.ndarray, " delay"]
    future: Float[np.ndarray, " delay"]

    @property
    def effective(self) -> Float[np.ndarray, " delay"]:
        """What takes the place of the number of pairs in g2; that number if no frame is absent."""
        there = self.both > 0
        return np.where(there, self.past * self.future / np.where(there, self.both, 1.0), np.nan)


class BinnedG2(NamedTuple):
    """g2 of dynamic bins and what it is made of.

    ``g2`` and ``g2_err`` (delay, bin); ``static_g2`` (delay, sbin), NaN where a bin counted
    nothing; ``static_sums`` (sbin, 3, delay), sums over pixels and pairs of products, past and
    future, in sums of 2^level frames.
    """

    g2: Float[np.ndarray, "delay bin"]
    g2_err: Float[np.ndarray, "delay bin"]
    static_g2: Float[np.ndarray, "delay sbin"]
    static_sums: Float[np.ndarray, "sbin 3 delay"]


def multitau_lags(frames: int, delays_per_level: int = 4) -> MultiTauLags:
    """Return the delays of a run of ``frames`` used frames.

    A level ends the list at its first lag that no pair of complete sums reaches, as in
    boost_corr: the longest delays can rest on a single pair.
    """
    found: list[tuple[int, int]] = []
    for level in range(frames.bit_length()):
        sums = frames >> level
        first = 1 if level == 0 else delays_per_level + 1
        lags = [lag for lag in range(first, 2 * delays_per_level + 1) if lag < sums]
        found += [(level, lag) for lag in lags]
        if len(lags) < 2 * delays_per_level + 1 - first:
            break
    level_of, lag_of = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return MultiTauLags(level=level_of, lag=lag_of, delay_frames=lag_of << level_of)


def pair_numbers(raw_frames: Float[np.ndarray, " frame"], lags: MultiTauLags) -> PairNumbers:
    """Return how many raw frames the pairs of every delay rest on.

    Parameters
    ----------
    raw_frames
        Raw frames in each used frame so far, 0 for one that is left out.
    """
    columns: list[tuple[float, float, float]] = []
    level, sums = 0, raw_frames.astype(np.float64)
    for of_level, lag in zip(lags.level, lags.lag, strict=True):
        while level < of_level:
            even = len(sums) // 2 * 2
            level, sums = level + 1, sums[0:even:2] + sums[1:even:2]
        past, future = sums[: len(sums) - lag], sums[lag:]
        columns.append((float(past @ future), float(past.sum()), float(future.sum())))
    return PairNumbers(*np.array(columns).reshape(-1, 3).T)


def pair_sums(
    state: MultiTauState, level: int, pixels: Int[np.ndarray, " chosen"] | slice
) -> tuple[
    Float[np.ndarray, "lag chosen"], Float[np.ndarray, "lag chosen"],
    Float[np.ndarray, "lag chosen"],
]:  # fmt: skip
    """Return sums of products, past and future over the pairs of each lag of a level.

    Sums of 2^level frames; meaningless where there is no pair.
    """
    rows = level_rows(level, state.delays_per_level)
    shortest = 2 * state.delays_per_level - (rows.stop - rows.start)
    total = state.total_at(level, pixels)

    def ends(sums: np.ndarray) -> np.ndarray:
        return np.asarray(np.cumsum(sums, axis=0, dtype=np.float64)[shortest:])

    return (
        state.products[rows][:, pixels],
        total - ends(state.last[level][::-1, pixels]),
        total - ends(state.first[level][:, pixels]),
    )


def g2_of_sums(
    static_sums: Float[np.ndarray, "sbin 3 delay"],
    pixel_sums: Float[np.ndarray, "bin 2 delay"],
    pairs: Float[np.ndarray, " delay"],
    static_pixels: Int[np.ndarray, " sbin"],
    pixels: Int[np.ndarray, " bin"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    normalization: Normalization,
) -> BinnedG2:
    r"""Turn the sums over the pixels of bins into g2 and its error.

    Parameters
    ----------
    static_sums
        Sums over pixels and pairs of products, past and future.
    pixel_sums
        Sums over the pixels of a dynamic bin of their own g2, and of its square.
    pairs
        :attr:`PairNumbers.effective`.
    static_pixels, pixels
        Pixels of static and dynamic bins.
    dynamic_of_static
        Dynamic bin of every static bin, counted from 0; negative for one without pixels.

    Notes
    -----
    The error is the sample standard deviation over the pixels of the dynamic bin of
    :math:`G_2/(I_P I_F)`, divided by the root of their number; a pixel that counted nothing
    enters with 0, as in boost_corr.
    """
    static_g2, g2 = _g2(static_sums, pairs, static_pixels, pixels, dynamic_of_static, normalization)
    count = pixels[:, None].astype(np.float64)
    enough = np.isfinite(g2) & (count > 1)
    deviation = pixel_sums[:, 1] - pixel_sums[:, 0] ** 2 / np.maximum(count, 1.0)
    # Pixels that all agree leave a rest of rounding, which is no error but would weigh as one.
    deviation = np.where(deviation > ROUNDING * pixel_sums[:, 1], deviation, 0.0)
    variance = deviation / np.maximum(count - 1.0, 1.0)
    error = np.where(enough, np.sqrt(variance / np.maximum(count, 1.0)), np.nan)
    return BinnedG2(g2=g2.T, g2_err=error.T, static_g2=static_g2.T, static_sums=static_sums)


def g2_of_spans(
    cumulative: Float[np.ndarray, "span sbin 3 delay"],
    numbers: Float[np.ndarray, "span 3 delay"],
    static_pixels: Int[np.ndarray, " sbin"],
    pixels: Int[np.ndarray, " bin"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    normalization: Normalization,
) -> Float[np.ndarray, "delay bin"]:
    r"""Return the error of g2 from its scatter between spans of time.

    A pair belongs to the span of its later frame, so that delays longer than a span have values,
    too.  Spans are weighted with their pairs :math:`n_s`; the error of the weighted mean of
    spans that know nothing of each other is :math:`\sqrt{\sum_s n_s^2 (g_s - \bar g)^2 /
    (1 - \sum_s n_s^2)}` with :math:`\sum_s n_s = 1` (Cochran, *Sampling Techniques*, ch. 5).

    Parameters
    ----------
    cumulative
        Sums over pixels and pairs of products, past and future, up to the end of each span.
    numbers
        :class:`PairNumbers` up to there.

    Returns
    -------
    ndarray
        NaN where fewer than three spans have pairs.
    """
    sums = np.diff(cumulative, axis=0, prepend=0.0)
    both, past, future = np.moveaxis(np.diff(numbers, axis=0, prepend=0.0), 1, 0)
    pairs = np.where(both > 0, past * future / np.where(both > 0, both, 1.0), np.nan)
    g2 = np.stack(
        [
            _g2(*each, static_pixels, pixels, dynamic_of_static, normalization)[1].T
            for each in zip(sums, pairs, strict=True)
        ]
    )
    there = np.isfinite(g2)
    weight = np.where(there, both[:, :, None], 0.0)
    weight /= np.maximum(weight.sum(axis=0), 1.0)
    value = np.where(there, g2, 0.0)
    mean = (weight * value).sum(axis=0)
    square = (weight**2).sum(axis=0)
    variance = (weight**2 * (value - mean) ** 2).sum(axis=0) / np.maximum(1.0 - square, ROUNDING)
    return np.where(there.sum(axis=0) >= 3, np.sqrt(variance), np.nan)


def _g2(
    static_sums: Float[np.ndarray, "sbin 3 delay"],
    pairs: Float[np.ndarray, " delay"],
    static_pixels: Int[np.ndarray, " sbin"],
    pixels: Int[np.ndarray, " bin"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    normalization: Normalization,
) -> tuple[Float[np.ndarray, "sbin delay"], Float[np.ndarray, "bin delay"]]:
    """Return g2 of static and of dynamic bins."""
    bins = len(pixels)
    static_g2 = _ratio(static_sums, static_pixels, pairs)
    if normalization == "no-static":
        g2 = _ratio(sum_groups(static_sums, dynamic_of_static, bins), pixels, pairs)
    else:
        weight = static_pixels if normalization == "pixel-weighted" else np.ones_like(static_pixels)
        weights = np.where(np.isfinite(static_g2), weight[:, None], 0.0)
        weighted = np.where(np.isfinite(static_g2), static_g2 * weights, 0.0)
        total = sum_groups(weights, dynamic_of_static, bins)
        g2 = np.where(
            total > 0,
            sum_groups(weighted, dynamic_of_static, bins) / np.where(total > 0, total, 1.0),
            np.nan,
        )
    return static_g2, g2


def _ratio(
    sums: Float[np.ndarray, "bin 3 delay"],
    pixels: Int[np.ndarray, " bin"],
    pairs: Float[np.ndarray, " delay"],
) -> Float[np.ndarray, "bin delay"]:
    r"""Return :math:`\langle G_2\rangle / (\langle I_P\rangle \langle I_F\rangle)`, else NaN.

    Of sums over pixels and pairs, so that one division is left: the frames of a level sum
    cancel, and constant counts give exactly 1.
    """
    product, past, future = np.moveaxis(sums, 1, 0)
    counted = past * future > 0
    number = pixels[:, None] * pairs
    return np.where(counted, number * product / np.where(counted, past * future, 1.0), np.nan)


def sum_groups(
    values: Float[np.ndarray, "sbin ..."], group: Int[np.ndarray, " sbin"], groups: int
) -> Float[np.ndarray, "bin ..."]:
    """Add up the static bins of every dynamic bin; those of a negative group are dropped."""
    sums = np.zeros((groups, *values.shape[1:]))
    np.add.at(sums, group[group >= 0], values[group >= 0])
    return sums
