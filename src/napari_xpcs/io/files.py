"""What a file holds once it is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from napari_xpcs._typing import Image, Mask
from napari_xpcs.io.events import EventFrames
from napari_xpcs.io.frames import LazyFrames
from napari_xpcs.io.twotime_maps import TwoTimeMaps
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime
from napari_xpcs.kernels.partition import Partition


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FramesFile:
    """Detector frames with what is known about the experiment.

    Parameters
    ----------
    frames
        The frames, read from the file when they are asked for.
    known
        Geometry with the origin of each value.
    mask
        True where a pixel counts photons; ``None`` where the file marks no pixel.
    truth
        What a simulated run was made from (``/simulation``), empty for measured ones.
    problems, missing
        In words: contradictions and doubtful values; what is absent and where it was looked for.
    """

    path: Path
    layout: str
    frames: LazyFrames | EventFrames
    known: KnownGeometry
    mask: Mask | None = None
    truth: Mapping[str, Any] = field(default_factory=dict)
    metadata_path: Path | None = None
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResultFile:
    """g2 curves, two-time maps and mean images; anything that the file lacks is ``None``.

    Parameters
    ----------
    scattering
        Mean counts per pixel and frame.
    partition
        Mask and bins.
    curves
        Multi-tau g2 with delays in s.
    twotime
        Two-time maps, read when they are asked for.
    ages
        g2 over the age on the delays of multi-tau, which long runs have in place of maps.
    intensity_vs_time
        (2, frame): frame number, mean counts per pixel.
    scattering_1d, scattering_1d_segments
        Mean per static bin over the run (sbin,) and per time segment (segment, sbin).
    config
        Options of the correlation, by name.
    averaged_files
        The files that went into an average, empty for a single run.
    problems, missing
        In words: contradictions and doubtful values; what is absent and where it was looked for.
    """

    path: Path
    layout: str
    scattering: Image | None = None
    partition: Partition | None = None
    curves: G2Curves | None = None
    twotime: TwoTimeMaps | None = None
    ages: MultiTauTwoTime | None = None
    intensity_vs_time: np.ndarray | None = None
    scattering_1d: np.ndarray | None = None
    scattering_1d_segments: np.ndarray | None = None
    known: KnownGeometry = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    averaged_files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartitionFile:
    """Mask and bins of a partition file, with the geometry that they were made for."""

    path: Path
    layout: str
    partition: Partition
    known: KnownGeometry
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


Polarity = Literal["good", "bad"]
"""What a pixel that is not 0 means in a mask file."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskFile:
    """A mask that was read, and how its numbers were understood.

    Parameters
    ----------
    mask
        True = the pixel is used.
    ones
        What a pixel that is not 0 means in the file: ``"good"`` or ``"bad"``.
    guessed
        The meaning was guessed: the rarer of the two values was taken for bad pixels.
    """

    path: Path
    layout: str
    mask: Mask
    ones: Polarity
    guessed: bool
    known: KnownGeometry = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def bad_pixels(self) -> int:
        """Number of pixels that are not used."""
        return int(np.count_nonzero(~self.mask))

    def __str__(self) -> str:
        how = "a guess from the rarer value" if self.guessed else "as the format says"
        return f"{self.bad_pixels} of {self.mask.size} pixels are bad (not 0 = {self.ones}, {how})."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeometryFile:
    """A calibration: geometry without frames, for detectors of ``shape`` where it says so."""

    path: Path
    layout: str
    known: KnownGeometry
    shape: tuple[int, int] | None = None
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


XpcsFile: TypeAlias = FramesFile | ResultFile | PartitionFile | MaskFile | GeometryFile
