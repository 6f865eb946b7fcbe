"""Mean counts of bins, from some frames of the image they lie on."""

from functools import partial

import numpy as np
from jaxtyping import Float
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_xpcs.kernels.partition import Partition
from napari_xpcs.plugin.job import Runner
from napari_xpcs.plugin.mean_image import RunImage, run_image_steps
from napari_xpcs.progress import Progress, Steps

COUNTED_FRAMES = 20
"""Frames that the mean counts are taken from."""


class BinCounts(QObject):
    """Counts anew for other bins; the frames of an image are added up once."""

    counted = Signal(object)
    """Emitted with the mean counts per pixel and frame of each label of the newest bins."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._asked: tuple[Layer | None, Partition | None] = (None, None)
        self._run: tuple[Layer, RunImage] | None = None
        self._runner = Runner(self)
        self._runner.finished.connect(self._on_counted)

    def follow(self, image: Layer | None, partition: Partition | None) -> None:
        """Count ``partition`` on ``image``, unless that was done."""
        if image is self._asked[0] and partition is self._asked[1]:
            return
        self._asked = (image, partition)
        self._runner.cancel()
        if self._run is not None and self._run[0] is not image:
            self._run = None
        if partition is not None and image is not None:
            run = None if self._run is None else self._run[1]
            self._runner.start(partial(_image_and_counts, image, run, partition))

    def _on_counted(self, found: tuple[Layer, RunImage, np.ndarray]) -> None:
        image, run, counts = found
        self._run = (image, run)
        self.counted.emit(counts)


def _image_and_counts(
    image: Layer, run: RunImage | None, partition: Partition
) -> Steps[tuple[Layer, RunImage, Float[np.ndarray, " bin"]]]:
    """Add up some frames, unless that was done, and average them over the bins."""
    from napari_xpcs.backends import NumPyBackend
    from napari_xpcs.kernels.saxs import bin_mean

    if run is None:
        run = yield from run_image_steps(image, COUNTED_FRAMES)
    yield Progress(0, 1, "counts")
    labels = np.where(run.counted, partition.dynamic.labels, 0)
    mean = np.where(run.counted, run.total / run.frames, 0.0)
    return image, run, bin_mean(mean, labels, len(partition.dynamic), xp=NumPyBackend())
