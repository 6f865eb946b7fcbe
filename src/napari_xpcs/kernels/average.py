r"""Average of g2 over repeats of one measurement, and whether these agree.

Files of the field write g2 = 0 with error 0 where no pair of photons was counted.  In one file
that is nothing to fit.  Between repeats it is a count of 0: to average the files alone that
happened to count a pair gives :math:`\lambda / (1 - e^{-\lambda})` times the true mean where a file
counts :math:`\lambda` pairs, 1.6 times at one pair and 20 times at 0.05.  So a point without
a value counts as 0 in a file that counted pairs in the bin at other delays, and as not measured
in a file that counted none there; a point where no file has a value stays unknown.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

LAST_DELAYS = 4
"""The baseline is the mean over so many of the longest delays: an octave of multi-tau."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AveragedG2:
    r"""Mean g2 of :math:`n` files with its error, and their scatter.

    Parameters
    ----------
    g2, error
        Plain mean over the files that measured the point, :math:`\sqrt{\sum_i \sigma_i^2} / n`;
        NaN where no file counted a pair.
    scatter
        Standard error of the mean from the differences between the files, which needs no error
        of theirs; NaN for fewer than two files.
    files
        :math:`n` of each point.
    chi2
        Sample variance between the files over their mean square error, averaged over all points:
        1 where the errors tell all that the files differ by, NaN for fewer than two files.  The
        square error is that of the covariance where every file has one.
    chi2_of_bins, chi2_of_files
        The same for each bin, and what each file adds to it, normalised to 1, too.
    covariance
        Of the mean between the delays of a bin, where every file has one.
    """

    g2: Float[np.ndarray, "delay bin"]
    error: Float[np.ndarray, "delay bin"]
    scatter: Float[np.ndarray, "delay bin"]
    files: Int[np.ndarray, "delay bin"]
    chi2: float
    chi2_of_bins: Float[np.ndarray, " bin"]
    chi2_of_files: Float[np.ndarray, " file"]
    covariance: Float[np.ndarray, "bin delay delay"] | None = None

    @property
    def chi2_limit(self) -> float:
        """Four standard deviations above 1, as if the delays of a bin were one measurement."""
        free = np.isfinite(self.chi2_of_bins).sum() * max(len(self.chi2_of_files) - 1, 1)
        return 1.0 + 4.0 * float(np.sqrt(2.0 / max(free, 1)))


def counted_zeros(g2: Float[np.ndarray, "delay bin"]) -> Float[np.ndarray, "delay bin"]:
    """Return g2 of a file with 0 where it counted in the bin but no pair at the delay."""
    there = np.isfinite(g2)
    return np.where(there.any(axis=0) & ~there, 0.0, g2)


def baseline(g2: Float[np.ndarray, "delay bin"]) -> float:
    """Return the mean g2 of a file over its :data:`LAST_DELAYS` longest delays and all bins.

    Delays behind the last one with a value do not count; NaN for a file without any value.
    """
    reached = np.flatnonzero(np.isfinite(g2).any(axis=1))
    if not len(reached):
        return float("nan")
    end = int(reached[-1]) + 1
    return float(np.nanmean(counted_zeros(g2)[max(end - LAST_DELAYS, 0) : end]))


def average_g2(
    g2: Float[np.ndarray, "file delay bin"],
    error: Float[np.ndarray, "file delay bin"],
    covariance: Float[np.ndarray, "file bin delay delay"] | None = None,
) -> AveragedG2:
    r"""Average repeats.

    Parameters
    ----------
    g2, error, covariance
        NaN where a file has no value.  A g2 without an error counts as noisy as those of the
        other files.

    Notes
    -----
    With the sample variance :math:`s^2` of the :math:`n` values of a point and the mean square
    :math:`\overline{\sigma^2}` of their errors, :math:`\langle s^2 \rangle =
    \overline{\sigma^2}` for repeats, whether the errors are equal or not; chi2 is the mean of
    :math:`s^2 / \overline{\sigma^2}`.  A file without a pair adds 0 to both, as counting does.
    """
    values = np.stack([counted_zeros(each) for each in g2])
    measured = np.isfinite(values) & np.isfinite(g2).any(axis=0)
    number = measured.sum(axis=0)
    some = np.maximum(number, 1)
    mean = np.where(number > 0, np.where(measured, values, 0.0).sum(axis=0) / some, np.nan)

    noise = _mean_square(np.where(np.isfinite(g2), error**2, 0.0), measured)
    expected = noise
    if covariance is not None:
        own = np.einsum("fbdd->fdb", covariance)
        expected = _mean_square(np.where(np.isfinite(g2), own, 0.0), measured)
        expected = np.where(np.isfinite(expected), expected, noise)

    off = np.where(measured, (values - mean) ** 2, np.nan)
    free = np.where(number > 1, number - 1.0, np.nan)
    # Of n values around their own mean, each is off by (n - 1) / n of its variance.
    share = off / (expected * free / some)
    return AveragedG2(
        g2=mean,
        error=np.sqrt(noise / some),
        scatter=np.sqrt(np.where(measured, off, 0.0).sum(axis=0) / free / some),
        files=number,
        chi2=_mean(share).item(),
        chi2_of_bins=_mean(share, (0, 1)),
        chi2_of_files=_mean(share, (1, 2)),
        covariance=None if covariance is None else _covariance(covariance, mean, some),
    )


def _mean_square(
    square: Float[np.ndarray, "file delay bin"], measured: Bool[np.ndarray, "file delay bin"]
) -> Float[np.ndarray, "delay bin"]:
    """Return the mean over the files that measured the point and know its error, else NaN."""
    mean = _mean(np.where(measured, square, np.nan), (0,))
    return np.where(mean > 0, mean, np.nan)


def _covariance(
    covariance: Float[np.ndarray, "file bin delay delay"],
    mean: Float[np.ndarray, "delay bin"],
    number: Int[np.ndarray, "delay bin"],
) -> Float[np.ndarray, "bin delay delay"]:
    total = np.nansum(covariance, axis=0) / (number.T[:, :, None] * number.T[:, None, :])
    there = np.isfinite(mean).T
    return np.where(there[:, :, None] & there[:, None, :], total, np.nan)


def _mean(values: np.ndarray, axes: tuple[int, ...] | None = None) -> np.ndarray:
    """Return the mean of what is known, NaN where nothing is."""
    there = np.isfinite(values)
    number = np.asarray(there.sum(axis=axes))
    total = np.where(there, values, 0.0).sum(axis=axes)
    return np.asarray(np.where(number > 0, total / np.maximum(number, 1), np.nan))
