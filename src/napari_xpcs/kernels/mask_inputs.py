"""What the steps of a mask may look at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from napari_xpcs._typing import Array, Image, Mask
from napari_xpcs.backends import BackendProtocol
from napari_xpcs.errors import MaskError
from napari_xpcs.kernels.axis_values import MAP_FIELDS, axis_values
from napari_xpcs.kernels.mask import check_mask_shape, not_counted
from napari_xpcs.kernels.mask_steps import SAMPLED_FRAMES, FileStep
from napari_xpcs.kernels.pixel_statistics import PixelStatistics, pixel_statistics
from napari_xpcs.kernels.qmap import QMaps
from napari_xpcs.progress import Steps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskInputs:
    """What steps may look at; a step that needs what is not there says so.

    Parameters
    ----------
    shape
        Rows and columns of the detector.
    image
        Counts of every pixel, such as a mean or a sum of frames.
    frames
        The run, (frame, row, col); stands for ``image`` by the mean of a sample of it.
    maps
        q and angles of every pixel.
    center_px
        Row and column of the direct beam on the detector, in pixel index.
    read_file
        Returns the mask (True = used) of a :class:`FileStep`, checked against ``shape``.
    """

    shape: tuple[int, int]
    image: Image | None = None
    frames: Any = None
    maps: QMaps | None = None
    center_px: tuple[float, float] | None = None
    read_file: Callable[[FileStep], Mask] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The inputs with what was read of them already; ``notes`` gathers what a step has to say.

    Its methods raise :class:`MaskError` where what they need is not there.
    """

    inputs: MaskInputs
    statistics: dict[int, PixelStatistics]
    xp: BackendProtocol
    notes: list[str]

    def statistics_of(self, sample: int) -> Steps[PixelStatistics]:
        """Return the statistics of ``sample`` frames, read once for all steps."""
        if self.inputs.frames is None:
            msg = "This needs the frames of a run, and there is only one image."
            raise MaskError(msg)
        if sample not in self.statistics:
            self.statistics[sample] = yield from pixel_statistics(self.inputs.frames, sample)
        found = self.statistics[sample]
        check_mask_shape(found.mean, self.inputs.shape)
        return found

    def image(self, sample: int = SAMPLED_FRAMES) -> Steps[Image]:
        """Return the counts of every pixel, NaN where nothing was counted."""
        if self.inputs.image is not None:
            check_mask_shape(self.inputs.image, self.inputs.shape)
            image = np.asarray(self.inputs.image)
            return np.where(not_counted(image), np.nan, image)
        if self.inputs.frames is None:
            msg = "This needs counts, and there is neither an image nor a run of frames."
            raise MaskError(msg)
        return (yield from self.statistics_of(sample)).mean

    def axis(self, name: str) -> Float[Array, "row col"]:
        """Return one of :data:`~napari_xpcs.kernels.mask_parameters.AXES` at every pixel."""
        maps = self.inputs.maps
        if name in MAP_FIELDS and maps is None:
            msg = f"This needs {name} of every pixel, and the geometry is not known."
            raise MaskError(msg)
        fields = {field: getattr(maps, field, None) for field in MAP_FIELDS.values()}
        return axis_values(name, fields, self.inputs.shape, xp=self.xp)

    def center(self, row: float | None, col: float | None) -> tuple[float, float]:
        """Return the point that a step names, the direct beam where it names none."""
        beam = self.inputs.center_px
        if (row is None or col is None) and beam is None:
            msg = "This needs the beam centre: type it, or give the geometry."
            raise MaskError(msg)
        at = beam or (0.0, 0.0)
        return at[0] if row is None else row, at[1] if col is None else col
