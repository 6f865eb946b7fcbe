"""How a run is to be correlated to g2: what is chosen, and what follows from it for a run."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from napari_xpcs.backends import DeviceConfig
from napari_xpcs.correlate.engines import EngineChoice, choose_engine
from napari_xpcs.correlate.event_engine import few_events
from napari_xpcs.correlate.finish import Reduction
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.correlate.run_state import RunPlan
from napari_xpcs.kernels.selection import FrameSelection


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiTauOptions:
    """The options of multi-tau correlation, here and on a cluster.

    Parameters
    ----------
    frame_time_s
        Time between raw frames, s.
    selection
        The frames to use, all by default.
    skipped
        Raw frames to leave out: they enter no pair and no average.
    skip_corrupt
        Leave out frames that cannot be read, too, instead of stopping there.
    normalization
        One of :data:`~napari_xpcs.kernels.multitau.NORMALIZATIONS`.
    normalize_frame
        Divide every frame by its mean over the used pixels; a frame without a count is left out.
    delays_per_level
        4 as in the programs of APS 8-ID, or 8.
    errors
        One of :data:`~napari_xpcs.kernels.multitau.G2_ERRORS`.
    partials
        Give g2 of the first part of the run, too, at this many times or up to twice as many.
    pixel_averages
        Keep G2, IP and IF of every pixel.
    engine
        One of :data:`~napari_xpcs.correlate.engines.ENGINES`.
    """

    frame_time_s: float
    selection: FrameSelection = field(default_factory=FrameSelection)
    skipped: Iterable[int] = ()
    skip_corrupt: bool = False
    normalization: str = "symmetric"
    normalize_frame: bool = False
    delays_per_level: int = 4
    errors: str = "pixel"
    partials: int = 0
    pixel_averages: bool = False
    engine: str = "auto"

    def reduction(self) -> Reduction:
        """Return how pixels become g2.

        Raises
        ------
        ChoiceError
            There is no such normalization or source of errors.
        CorrelationError
            No run has that frame time.
        """
        return Reduction(
            frame_time_s=self.frame_time_s,
            normalization=self.normalization,
            errors=self.errors,
            pixel_averages=self.pixel_averages,
        )

    def plan(self, frames: Frames) -> RunPlan:
        """Return which frames of a run are correlated.

        Raises
        ------
        CorrelationError
            The run has no such frames.
        """
        return RunPlan.of(
            frames.shape[0],
            self.selection,
            self.skipped,
            normalize_frame=self.normalize_frame,
            delays_per_level=self.delays_per_level,
        )

    def engine_for(self, frames: Frames) -> EngineChoice:
        """Return the engine for a run, and why.

        Raises
        ------
        ChoiceError
            There is no such engine.
        """
        return choose_engine(self.engine, events=few_events(frames), prefer_gpu=prefers_gpu())


def prefers_gpu() -> bool:
    """Return whether the user asked for a GPU."""
    return DeviceConfig.from_environment().use_gpu
