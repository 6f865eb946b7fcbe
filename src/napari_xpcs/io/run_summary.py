"""What of a result is compared with other runs: g2, I(q), its segments, I(t); no image."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.partition import Bins
from napari_xpcs.kernels.radial_profile import (
    IntensityInTime,
    RadialProfile,
    block_means,
    ring_means,
)
from napari_xpcs.kernels.saxs import bin_mean

MOST_BLOCKS = 400
"""Points of I(t): more cannot be told apart on a screen."""

FILE, G2, PROFILE, TIMES = "file", "g2", "I(q)", "I(t)"

_SAME_UNIT = 0.05
"""Relative difference below which the mean of the segments is I(q) itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunSummary:
    """A run without its images; what the file does not tell is ``None``.

    Parameters
    ----------
    curves
        Multi-tau g2.
    profile
        I(q) of the static bins.
    segments
        I(q) in equal parts of the run, one after the other, at the q of ``profile``.
    segments_in_counts
        The segments are in counts per pixel and frame, as the profile is.
    intensity
        I(t) in blocks of frames.
    count_time_s
        Exposure of a frame, s.
    problems
        In words, what is doubtful or left out and why, by the part that it is about:
        :data:`FILE`, :data:`G2`, :data:`PROFILE` or :data:`TIMES`.
    """

    path: Path
    curves: G2Curves | None = None
    profile: RadialProfile | None = None
    segments: Float[np.ndarray, "segment q"] | None = None
    segments_in_counts: bool = True
    intensity: IntensityInTime | None = None
    count_time_s: float | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


def read_summary(path: Path, *, xp: BackendProtocol) -> RunSummary:
    """Read a result file and keep what is compared.

    Raises
    ------
    FileFormatError
        It cannot be read or holds no results.
    """
    opened = open_path(path)
    if not isinstance(opened, ResultFile):
        msg = f"{path.name} holds no results; `napari-xpcs info` tells what it holds."
        raise FileFormatError(msg)
    problems: dict[str, str] = {}
    profile, segments = _profile(opened, problems, xp)
    if opened.curves is None and opened.twotime is not None:
        problems[G2] = "the file holds two-time maps alone, see XPCS: Two-time."
    in_counts = True
    if profile is not None and segments is not None:
        in_counts = _in_counts(profile, segments)
    return RunSummary(
        path=path,
        # The covariance of a hundred runs would fill the memory, and nobody draws it.
        curves=None if opened.curves is None else replace(opened.curves, covariance=None),
        profile=profile,
        segments=segments,
        segments_in_counts=in_counts,
        intensity=_intensity(opened, problems),
        count_time_s=_known(opened, "count_time_s"),
        problems=problems,
    )


def _profile(
    result: ResultFile, problems: dict[str, str], xp: BackendProtocol
) -> tuple[RadialProfile | None, Float[np.ndarray, "segment q"] | None]:
    if result.partition is None:
        if result.scattering_1d is not None or result.scattering is not None:
            problems[PROFILE] = "without bins no q is known."
        return None, None
    bins = result.partition.static
    if "q" not in result.partition.names:
        names = " and ".join(result.partition.names)
        problems[PROFILE] = f"the bins lie along {names}, not along q."
        return None, None
    q = bins.center_of_bins(result.partition.names.index("q"))
    if not np.isfinite(q).any():
        problems[PROFILE] = "the file tells no q of its static bins."
        return None, None
    values = _of_bins(result, bins, problems, xp)
    if values is None:
        return None, None
    rings, intensity, pixels = ring_means(values, q, bins.pixels)
    stored = result.scattering_1d_segments
    segments = None
    if stored is not None and stored.shape[1] == len(bins) and len(stored) > 1:
        segments = ring_means(stored, q, bins.pixels)[1]
    return RadialProfile(q=rings, intensity=intensity, pixels=pixels), segments


def _of_bins(
    result: ResultFile, bins: Bins, problems: dict[str, str], xp: BackendProtocol
) -> Float[np.ndarray, " sbin"] | None:
    """Return the mean of every static bin: as the file tells it, else from its mean image."""
    stored = result.scattering_1d
    if stored is not None and len(stored) == len(bins):
        return stored
    if result.scattering is not None and result.scattering.shape == bins.labels.shape:
        if stored is not None:
            problems[PROFILE] = (
                f"I(q) is made from the mean image: the file has {len(stored)} values for "
                f"{len(bins)} static bins."
            )
        mean = bin_mean(result.scattering, bins.labels, len(bins), xp=xp)
        return np.asarray(xp.to_numpy(mean))
    if stored is not None:
        problems[PROFILE] = f"the file has {len(stored)} values for {len(bins)} static bins."
    return None


def _in_counts(profile: RadialProfile, segments: Float[np.ndarray, "segment q"]) -> bool:
    known = np.isfinite(profile.intensity) & np.isfinite(segments).all(axis=0)
    whole = float(profile.intensity[known].sum())
    return abs(float(segments[:, known].mean(axis=0).sum()) - whole) <= _SAME_UNIT * abs(whole)


def _intensity(result: ResultFile, problems: dict[str, str]) -> IntensityInTime | None:
    stored = result.intensity_vs_time
    if stored is None or len(stored) != 2 or not stored.shape[1]:
        return None
    frame_time = _known(result, "frame_time_s")
    if frame_time is None:
        problems[TIMES] = "no time between frames is known."
        return None
    step = frame_time
    for name in ("stride_frame", "avg_frame"):
        value = result.config.get(name)
        if isinstance(value, int | float) and value > 0:
            step *= value
    number = stored[0].astype(np.float64)
    return block_means((number - number[0]) * step, stored[1], MOST_BLOCKS)


def _known(result: ResultFile, name: str) -> float | None:
    return result.known[name].value if name in result.known else None
