"""What every correlation of a run tells of its frames: averages, and what was left out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from napari_xpcs.kernels.selection import FrameSelection

_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunAverages:
    """Averages over the used frames of a run.

    Parameters
    ----------
    mean_frame
        Mean counts per frame, every pixel of the detector; 0 for a pixel outside the bins
        that held the "no value" of the file (NaN, the largest integer) in any frame.
    scattering_1d
        Mean counts per pixel and frame of the static bins, NaN for one without pixels.
    scattering_1d_segments
        The same for equal spans of time: up to 16 of a multi-tau run, up to 10 of two-time.
    intensity_vs_time
        Used frame number, and mean counts per used pixel of that frame.
    selection
        The used frames, with ``end`` filled in.
    frame_time_s
        Time between raw frames, s.
    skipped_frames
        Raw frames that were left out, asked for or corrupt.
    """

    mean_frame: Float32[np.ndarray, "row col"]
    scattering_1d: Float[np.ndarray, " sbin"]
    scattering_1d_segments: Float[np.ndarray, "segment sbin"]
    intensity_vs_time: Float[np.ndarray, "2 counted"]
    selection: FrameSelection
    frame_time_s: float
    skipped_frames: tuple[int, ...] = ()

    @property
    def step_s(self) -> float:
        """Time from one used frame to the next, s."""
        return self.frame_time_s * self.selection.step

    def left_out(self) -> tuple[str, ...]:
        """Return in words which raw frames were left out; nothing if none was."""
        if not self.skipped_frames:
            return ()
        number = len(self.skipped_frames)
        return (f"Raw frames left out ({first_numbers(self.skipped_frames)}): {number}.",)


def first_numbers(numbers: tuple[int, ...]) -> str:
    """Return the first of some numbers in words."""
    return ", ".join(map(str, numbers[:_SHOWN])) + (", ..." if len(numbers) > _SHOWN else "")
