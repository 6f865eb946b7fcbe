"""Two-time maps as images that are read in a thread when they are first looked at."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari import current_viewer
from napari.utils.notifications import show_warning
from psygnal import Signal

from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.io.twotime_maps import STRIPE_FRAMES
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime
from napari_xpcs.kernels.twotime import TwoTimeResult
from napari_xpcs.progress import Progress, Steps, run

if TYPE_CHECKING:
    from napari_xpcs.plugin.job import Runner

MOST_ROWS = 2048
"""Rows that are shown; entries of a larger map are averaged, never left out."""

CONTRAST = (0.02, 0.995)
"""Quantiles of C2 that are the ends of the colours."""


class Maps(Protocol):
    """Two-time maps of some bins, in a file or in memory."""

    def __hash__(self) -> int:
        """Tell these maps from others."""
        ...

    @property
    def bins(self) -> np.ndarray:
        """Labels of the bins."""
        ...

    @property
    def lower(self) -> bool:
        """Whether the half below the diagonal is the one that counts."""
        ...

    @property
    def frame_time_s(self) -> float | None:
        """Time between two rows, s."""
        ...

    def frames(self, position: int = 0) -> int:
        """Return the number of rows of a map."""
        ...

    def stripes(self, position: int, length: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the rows of a map, ``length`` at a time, with the number of the first."""
        ...

    def upper(self, position: int) -> np.ndarray:
        """Return the half of a map above its diagonal."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MapsOfRun:
    """The maps that a run has just made, in memory."""

    result: TwoTimeResult

    lower = False

    @property
    def bins(self) -> np.ndarray:
        """Labels of the bins."""
        return np.asarray(self.result.processed_bins)

    @property
    def frame_time_s(self) -> float:
        """Time between two rows, s."""
        return self.result.frame_time_s * self.result.selection.step

    def frames(self, position: int = 0) -> int:
        """Return the number of rows of a map."""
        return len(self.result.maps[position])

    def stripes(self, position: int, length: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the rows of a map, ``length`` at a time, with the number of the first."""
        whole = self.upper(position)
        for first in range(0, len(whole), length):
            yield first, whole[first : first + length]

    def upper(self, position: int) -> np.ndarray:
        """Return the half of a map above its diagonal."""
        return np.asarray(self.result.maps[position])


class TwoTimeImage:
    """C2(t1, t2) of one bin, NaN on the diagonal, which holds shot noise and no correlation.

    An array-like for ``napari.layers.Image``.  Until the map is read there is nothing to see;
    the first look starts to read it in a thread, and :attr:`loaded` tells when it is there.

    Parameters
    ----------
    maps, position
        Where the map is.
    frames
        Its rows.  Of more than :data:`MOST_ROWS`, blocks of :attr:`step` x :attr:`step` entries are
        averaged.
    """

    loaded = Signal(tuple)
    """Emitted with the ends of the colours when the map is there."""
    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, maps: Maps, position: int, frames: int) -> None:
        self.maps, self.position, self.frames = maps, position, frames
        self.step = -(-frames // MOST_ROWS)
        rows = -(-frames // self.step)
        self.shape = (rows, rows)
        self.size = rows * rows
        self._values: np.ndarray | None = None
        self._runner: Runner | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        if self._values is not None:
            return np.asarray(self._values[key])
        if not _has_window() or current_thread() is not main_thread():
            return np.asarray(self._read()[key])
        self.load()
        nothing: np.ndarray = np.broadcast_to(np.float32(np.nan), self.shape)[key]
        return nothing.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return np.asarray(self._read(), dtype=dtype)

    @property
    def is_loaded(self) -> bool:
        """True once the map is there."""
        return self._values is not None

    def load(self) -> None:
        """Start to read the map, unless that was done or failed before."""
        from napari_xpcs.plugin.job import Runner  # a file can be read where there is no Qt

        if self._values is None and self._runner is None:
            self._runner = Runner()
            self._runner.finished.connect(self._on_read)
            self._runner.failed.connect(show_warning)
            self._runner.start(partial(display_steps, self.maps, self.position, self.step))

    def _read(self) -> np.ndarray:
        if self._values is None:
            shown, _ = run(display_steps(self.maps, self.position, self.step))
            self._values = napari_adapter.to_numpy(shown)
        return self._values

    def _on_read(self, read: tuple[np.ndarray, tuple[float, float]]) -> None:
        self._values = napari_adapter.to_numpy(read[0])
        viewer = current_viewer()
        for layer in [] if viewer is None else viewer.layers:
            if layer.data is self:
                show_loaded(layer, read[1])
        self.loaded.emit(read[1])


def _has_window() -> bool:
    """Return whether there is a window that would stand still while a file is read."""
    widgets = sys.modules.get("qtpy.QtWidgets")
    return widgets is not None and widgets.QApplication.instance() is not None


def show_loaded(layer: Any, limits: tuple[float, float]) -> None:
    """Show a map that has just been read, in colours that fit it."""
    layer.contrast_limits_range = (min(0.0, limits[0]), max(2.0, 2 * limits[1]))
    layer.contrast_limits = limits
    layer.refresh()


def display_steps(
    maps: Maps, position: int, step: int
) -> Steps[tuple[np.ndarray, tuple[float, float]]]:
    """Read a map for the screen; return it, both halves, and the ends of the colours.

    Entries that are 0 were not measured and are left out of the averages over ``step`` x ``step``.
    """
    frames = maps.frames(position)
    rows = -(-frames // step)
    total = np.zeros((rows, rows))
    number = np.zeros((rows, rows), dtype=np.int64)
    edges = np.arange(0, frames, step)
    length = max(STRIPE_FRAMES // step, 1) * step
    for first, stripe in maps.stripes(position, length):
        yield Progress(first, frames, "rows")
        later = np.arange(frames)[None, :] > np.arange(first, first + len(stripe))[:, None]
        if maps.lower:
            later = np.arange(frames)[None, :] < np.arange(first, first + len(stripe))[:, None]
        counted = later & (stripe != 0.0) & np.isfinite(stripe)
        inside = np.where(counted, stripe, 0.0)
        into = slice(first // step, -(-(first + len(stripe)) // step))
        starts = np.arange(0, len(stripe), step)
        total[into] += np.add.reduceat(np.add.reduceat(inside, starts, axis=0), edges, axis=1)
        number[into] += np.add.reduceat(
            np.add.reduceat(counted.astype(np.int64), starts, axis=0), edges, axis=1
        )
    yield Progress(frames, frames, "rows")
    # A block on the diagonal has entries above it alone: they are its mean.
    half = np.where(np.triu(np.ones_like(number, dtype=bool)), number, 0)
    if maps.lower:
        total, half = total.T, np.where(np.triu(np.ones_like(number, dtype=bool)), number.T, 0)
    mean = np.where(half > 0, total / np.maximum(half, 1), np.nan).astype(np.float32)
    shown = np.where(np.triu(np.ones_like(mean, dtype=bool)), mean, mean.T)
    found = mean[np.isfinite(mean)]
    low, high = np.quantile(found, CONTRAST) if found.size else (1.0, 1.5)
    return shown, (float(low), float(high) if high > low else float(low) + 0.1)


def ages_image(run: MultiTauTwoTime, position: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return g2 of a long run over delay and age: rows of delays, columns of ages.

    Returns
    -------
    image
        (delay, age) C2; of longer delays neighbouring ages are the same sum.
    delay_s
        Of the rows.
    age_step_s
        Between two columns.
    """
    frames = run.levels[0].c2.shape[2]
    step = -(-frames // MOST_ROWS)
    ages = np.arange(0, frames, step) + (step - 1) / 2
    rows, delays = [], []
    for level in run.levels:
        for lag, along in zip(level.lags, level.c2[position], strict=True):
            delays.append(int(lag) * level.frames_per_sum)
            rows.append(_mean_at_ages(along, int(lag), level.frames_per_sum, ages, step))
    image = np.stack(rows).astype(np.float32)
    return image, np.array(delays) * run.frame_time_s, step * run.frame_time_s


def _mean_at_ages(
    along: np.ndarray, lag: int, per_sum: int, ages: np.ndarray, step: int
) -> np.ndarray:
    """Return the mean of C2 of one lag in windows of ``step`` frames around each age.

    Sums j and j + lag have the age (j + (1 + lag) / 2) frames_per_sum - 1/2.
    """
    there = np.isfinite(along)
    sums = np.concatenate([[0.0], np.cumsum(np.where(there, along, 0.0), dtype=np.float64)])
    numbers = np.concatenate([[0], np.cumsum(there)])
    wide = max(step, per_sum)
    first, last = (
        np.clip(np.ceil((ages + side * wide / 2 + 0.5) / per_sum - (1 + lag) / 2), 0, len(along))
        for side in (-1, 1)
    )
    begin, end = first.astype(np.int64), last.astype(np.int64)
    number = numbers[end] - numbers[begin]
    return np.where(number > 0, (sums[end] - sums[begin]) / np.maximum(number, 1), np.nan)
