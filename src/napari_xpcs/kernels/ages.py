r"""g2 of a sample at one age, from two-time maps.

The age of a pair of frames :math:`t_1 < t_2` is the time half-way between them,
:math:`(t_1 + t_2) / 2`, from the first used frame on; g2 at an age is the mean of C2 over the pairs
of one delay whose age lies in a window around it.  The diagonal, which holds the noise of counting,
is no delay.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.multitau import multitau_lags
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime

DELAYS_PER_LEVEL = 8
"""Delays of a cut, per factor of two beyond the first 16."""


def g2_at_age(
    c2: Float32[np.ndarray, "frame frame"], age: float, width: float
) -> tuple[Float[np.ndarray, " delay"], Float[np.ndarray, " delay"]]:
    """Return g2 of every delay at one age, and its standard error.

    Parameters
    ----------
    c2
        A two-time map; only what lies above its diagonal is looked at.  NaN and 0 were
        not measured.
    age, width
        Middle of the window and its full width, in used frames.

    Returns
    -------
    g2, error
        Of the delays 1, 2, ... used frames; NaN where no pair has this age.  The error is the
        scatter over the pairs divided by the root of their number, NaN for a single pair.

    Raises
    ------
    CorrelationError
        The window is empty or outside the map.
    """
    frames = len(c2)
    _check_window(age, width, frames)
    g2, error = np.full((2, frames - 1), np.nan)
    for delay in range(1, frames):
        # Ages of the pairs (t, t + delay) are t + delay / 2.
        first = max(int(np.ceil(age - width / 2 - delay / 2)), 0)
        last = min(int(np.ceil(age + width / 2 - delay / 2)), frames - delay)
        if first < last:
            along = np.diagonal(c2, delay)[first:last]
            g2[delay - 1], error[delay - 1] = _mean_and_error(
                along[(along != 0.0) & np.isfinite(along)]
            )
    return g2, error


def curves_at_ages(
    c2: Float32[np.ndarray, "frame frame"],
    ages_s: Sequence[float],
    width_s: float,
    *,
    frame_time_s: float,
    q: float = np.nan,
    phi_deg: float = np.nan,
    pixels: int = 0,
    source: str = "",
) -> G2Curves:
    """Return g2 curves of one bin, a column for each age, as fits take them.

    Delays are those of multi-tau with :data:`DELAYS_PER_LEVEL`; a long one is the mean over the
    delays around it.

    Parameters
    ----------
    c2
        As in :func:`g2_at_age`.
    ages_s, width_s
        Ages and the full width of the window around each, s.
    frame_time_s
        Time between two rows of the map, s.
    q, phi_deg, pixels
        Of the bin.

    Raises
    ------
    CorrelationError
        A window is empty or outside the map.
    """
    delays = multitau_lags(len(c2), DELAYS_PER_LEVEL)
    length = 1 << delays.level
    first = delays.delay_frames - length // 2
    g2, error = np.full((2, len(first), len(ages_s)), np.nan)
    for column, age_s in enumerate(ages_s):
        every = g2_at_age(c2, age_s / frame_time_s, width_s / frame_time_s)
        for row, (start, count) in enumerate(zip(first - 1, length, strict=True)):
            means, errors = (values[start : start + count] for values in every)
            there = np.isfinite(means)
            if there.any():
                g2[row, column] = means[there].mean()
                # Neighbouring delays share their frames: their mean is not much better than one.
                error[row, column] = errors[there].mean()
    return G2Curves(
        delay_s=delays.delay_frames * frame_time_s,
        g2=g2,
        error=error,
        bins=_columns(len(ages_s), q, phi_deg, pixels),
        source=source,
        # A box of m delays varies by (m^2 - 1) / 12, a triangle of half-width w by w^2 / 6.
        averaging_s=np.sqrt((length**2 - 1.0) / 2.0) * frame_time_s,
    )


def long_run_at_ages(
    run: MultiTauTwoTime,
    position: int,
    ages_s: Sequence[float],
    width_s: float,
    *,
    q: float = np.nan,
    phi_deg: float = np.nan,
    pixels: int = 0,
    source: str = "",
) -> G2Curves:
    """Return g2 curves of map ``position`` of a long run, a column for each age.

    Parameters
    ----------
    ages_s, width_s, q, phi_deg, pixels
        As in :func:`curves_at_ages`.

    Raises
    ------
    CorrelationError
        A window is empty or outside the run.
    """
    frames = run.levels[0].c2.shape[2]
    ages, width = np.asarray(ages_s) / run.frame_time_s, width_s / run.frame_time_s
    delay_frames, g2, error, averaging = [], [], [], []
    for age in ages:
        _check_window(float(age), width, frames)
    for level in run.levels:
        sums = np.arange(level.c2.shape[2])
        for lag, along in zip(level.lags, level.c2[position], strict=True):
            age_of_pair = (sums + 0.5 + lag / 2) * level.frames_per_sum - 0.5
            found = [
                _mean_and_error(
                    along[(np.abs(age_of_pair - age) <= width / 2) & np.isfinite(along)]
                )
                for age in ages
            ]
            delay_frames.append(int(lag) * level.frames_per_sum)
            g2.append([mean for mean, _ in found])
            error.append([scatter for _, scatter in found])
            averaging.append(np.sqrt(level.frames_per_sum**2 - 1.0))
    return G2Curves(
        delay_s=np.array(delay_frames) * run.frame_time_s,
        g2=np.array(g2),
        error=np.array(error),
        bins=_columns(len(ages), q, phi_deg, pixels),
        source=source,
        averaging_s=np.array(averaging) * run.frame_time_s,
    )


def _check_window(age: float, width: float, frames: int) -> None:
    if width <= 0.0:
        msg = f"The window of ages must be wider than 0, got {width:g} used frames."
        raise CorrelationError(msg)
    if age + width / 2 <= 0.0 or age - width / 2 >= frames - 1:
        msg = (
            f"The age {age:g} with a window of {width:g} lies outside the run, whose ages are 0 to "
            f"{frames - 1} used frames."
        )
        raise CorrelationError(msg)


def _mean_and_error(values: Float32[np.ndarray, " pair"]) -> tuple[float, float]:
    if not len(values):
        return np.nan, np.nan
    values = values.astype(np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


def _columns(count: int, q: float, phi_deg: float, pixels: int) -> BinTable:
    return BinTable(
        label=np.arange(1, count + 1),
        q=np.full(count, q),
        phi_deg=np.full(count, phi_deg),
        pixels=np.full(count, pixels),
    )
