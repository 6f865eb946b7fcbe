r"""Covariance of g2 between the delays of a bin, measured from the spread of its pixels.

Neighbouring delays of g2 are averages over the same frames, so their errors are not
independent, and a decay that is fitted to them is less well known than as many independent
points would tell.  The static bin :math:`s` gives :math:`g_2 = \langle G_2\rangle_s /
(\langle I_P\rangle_s \langle I_F\rangle_s)`; to first order pixel :math:`p` moves it by

.. math::

    \psi_p(\tau) = \frac{1}{n_s}\left[\frac{G_{2,p}}{\langle I_P\rangle_s\langle I_F\rangle_s}
    - g_2\left(\frac{I_{P,p}}{\langle I_P\rangle_s} + \frac{I_{F,p}}{\langle I_F\rangle_s}
    - 1\right)\right],

which has the sum 0 over the bin (the delta method for a ratio of means [1]_).  Independent pixels
then give :math:`\mathrm{cov}[g_2(\tau), g_2(\tau')] = \frac{n_s}{n_s - 1} \sum_p
\psi_p(\tau)\psi_p(\tau')`, and a mean over static bins the sum of their covariances with the
squares of their weights.

First order means that the variances of static bins of few pixels come out too small: by 17 %
for 40 pixels of slow speckle with a contrast of 1, by less for more pixels or less contrast.
What several pixels see together is not in it: speckles larger than a pixel, and a beam whose
intensity changes, make g2 less certain than this covariance says.

References
----------
.. [1] Cochran, *Sampling Techniques*, 3rd ed., ch. 5 (stratified means) and 6 (ratios).
"""

import numpy as np
from jaxtyping import Float, Int

from napari_xpcs.kernels.multitau import (
    MultiTauLags,
    Normalization,
    multitau_lags,
    pair_sums,
    sum_groups,
)
from napari_xpcs.kernels.multitau_state import MultiTauState

MOST_PIXELS = 2000
"""About so many pixels of a dynamic bin are looked at: errors of errors of 2 %."""

AT_ONCE = 4096
"""Pixels worked on together."""


def g2_covariance(
    state: MultiTauState,
    static_sums: Float[np.ndarray, "sbin 3 delay"],
    pairs: Float[np.ndarray, " delay"],
    static: Int[np.ndarray, " pixel"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    bins: int,
    *,
    normalization: Normalization = "symmetric",
) -> Float[np.ndarray, "bin delay delay"]:
    """Return the covariance of g2 of the frames seen so far, from a small part of the pixels.

    Parameters
    ----------
    static_sums, pairs, dynamic_of_static, normalization
        As for :func:`~napari_xpcs.kernels.multitau.g2_of_sums`.
    static
        Static bin of every pixel of the state, counted from 0.
    bins
        Number of dynamic bins.

    Returns
    -------
    ndarray
        NaN where g2 is, and in a bin of which no static bin has two pixels.  A static bin of
        one pixel has no spread; it counts as noisy as the other pixels of its dynamic bin.
    """
    lags = multitau_lags(state.frames, state.delays_per_level)
    pixels = np.bincount(static, minlength=len(dynamic_of_static))
    weight = _static_weights(static_sums, pixels, dynamic_of_static, bins, normalization)
    chosen = _even_choice(static, pixels, dynamic_of_static, bins)
    counted = np.bincount(static[chosen], minlength=len(pixels))
    # One term for products, past and future each, and the mean over the static bin.
    terms = _influence(static_sums, pixels, dynamic_of_static, bins, pairs, normalization)
    terms *= (weight / np.sqrt(np.maximum(counted * (pixels - 1.0), 1.0))[:, None])[:, None]

    chosen = chosen[np.argsort(dynamic_of_static[static[chosen]], kind="stable")]
    total = np.zeros((bins, len(pairs), len(pairs)))
    for start in range(0, len(chosen), AT_ONCE):
        here = chosen[start : start + AT_ONCE]
        of_pixel = static[here]
        sums = _pixel_sums(state, here, lags)
        psi = np.take(terms[:, 3], of_pixel, axis=0)
        for kind in range(3):
            psi += np.take(terms[:, kind], of_pixel, axis=0) * sums[kind].T
        groups, first = np.unique(dynamic_of_static[of_pixel], return_index=True)
        for group, part in zip(groups, np.split(psi, first[1:]), strict=True):
            total[group] += part.T @ part

    single = pixels < 2
    seen = np.where(single[:, None], 0.0, weight)
    all_of, seen_of = (
        _sum_products(each, pixels, dynamic_of_static, bins) for each in (weight, seen)
    )
    return np.where(seen_of > 0, total * all_of / np.where(seen_of > 0, seen_of, 1.0), np.nan)


def _static_weights(
    static_sums: Float[np.ndarray, "sbin 3 delay"],
    pixels: Int[np.ndarray, " sbin"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    bins: int,
    normalization: Normalization,
) -> Float[np.ndarray, "sbin delay"]:
    """Return the part of every static bin in g2 of its dynamic bin, 0 where nothing counted."""
    measured = static_sums[:, 1] * static_sums[:, 2] > 0
    if normalization == "no-static":
        measured = np.broadcast_to((pixels > 0)[:, None], measured.shape)
    size = np.ones(len(pixels)) if normalization == "symmetric" else pixels.astype(np.float64)
    weight = np.where(measured & (dynamic_of_static >= 0)[:, None], size[:, None], 0.0)
    total = sum_groups(weight, dynamic_of_static, bins)[dynamic_of_static]
    return np.where(total > 0, weight / np.where(total > 0, total, 1.0), 0.0)


def _even_choice(
    static: Int[np.ndarray, " pixel"],
    pixels: Int[np.ndarray, " sbin"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    bins: int,
) -> Int[np.ndarray, " chosen"]:
    """Return every n-th pixel of each static bin, about :data:`MOST_PIXELS` per dynamic bin."""
    in_bin = np.bincount(dynamic_of_static[static], minlength=bins)
    step = np.maximum(np.ceil(in_bin / MOST_PIXELS), 1).astype(np.int64)[dynamic_of_static]
    order = np.argsort(static, kind="stable")
    first = np.cumsum(pixels) - pixels
    place = np.arange(len(static)) - first[static[order]]
    return np.sort(order[place % step[static[order]] == 0])


def _influence(
    static_sums: Float[np.ndarray, "sbin 3 delay"],
    pixels: Int[np.ndarray, " sbin"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    bins: int,
    pairs: Float[np.ndarray, " delay"],
    normalization: Normalization,
) -> Float[np.ndarray, "sbin 4 delay"]:
    """Return what products, past and future of a pixel are multiplied with, and a constant.

    The constant takes the mean over the static bin to 0.  In ``no-static`` g2 rests on the means
    of the dynamic bin; that its static bins differ is no noise, so the constant is theirs.
    """
    number = np.maximum(pixels, 1)[:, None, None]
    mean = static_sums / number
    level = mean
    if normalization == "no-static":
        in_bin = sum_groups(pixels.astype(np.float64), dynamic_of_static, bins)
        of_bin = sum_groups(static_sums, dynamic_of_static, bins)
        level = (of_bin / np.maximum(in_bin, 1.0)[:, None, None])[dynamic_of_static]
    product, past, future = np.moveaxis(level, 1, 0)
    counted = past * future > 0
    past, future = np.where(counted, past, 1.0), np.where(counted, future, 1.0)
    g2 = pairs * product / (past * future)
    terms = np.stack([pairs / (past * future), -g2 / past, -g2 / future, np.zeros_like(g2)], axis=1)
    terms = np.where(counted[:, None], terms, 0.0)
    terms[:, 3] = -np.sum(terms[:, :3] * mean, axis=1)
    return np.asarray(terms)


def _pixel_sums(
    state: MultiTauState, chosen: Int[np.ndarray, " chosen"], lags: MultiTauLags
) -> list[Float[np.ndarray, "delay chosen"]]:
    """Return sums of products, past and future of some pixels."""
    columns = []
    for level in range(int(lags.level[-1]) + 1):
        sums = pair_sums(state, level, chosen)
        used = lags.lag[lags.level == level] - 1 - (2 * state.delays_per_level - len(sums[0]))
        columns.append([each[used] for each in sums])
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


def _sum_products(
    weight: Float[np.ndarray, "sbin delay"],
    pixels: Int[np.ndarray, " sbin"],
    dynamic_of_static: Int[np.ndarray, " sbin"],
    bins: int,
) -> Float[np.ndarray, "bin delay delay"]:
    """Return the sum of products of weights over pixels, over the static bins of a dynamic one."""
    scaled = weight / np.sqrt(np.maximum(pixels, 1))[:, None]
    return np.stack(
        [
            scaled[group].T @ scaled[group]
            for group in (np.flatnonzero(dynamic_of_static == bin_) for bin_ in range(bins))
        ]
    )
