"""What the dock asks for, how much that is, and the job that does it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.multitau_twotime_run import (
    ages_instead_of_maps,
    correlate_multitau_twotime,
)
from napari_xpcs.correlate.reading import BLOCK_BYTES, Frames
from napari_xpcs.correlate.twotime_run import COUNTS_IN_MEMORY, correlate_twotime
from napari_xpcs.errors import CorrelationError
from napari_xpcs.io.atomic import refuse_input_as_output
from napari_xpcs.io.correlate_choices import CorrelateChoices, command_options
from napari_xpcs.io.result_writer import write_result
from napari_xpcs.kernels.geometry import KnownGeometry
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTimeResult
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.selection import FrameSelection
from napari_xpcs.kernels.twotime import TwoTimeResult
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.pace import time_text
from napari_xpcs.plugin.twotime_image import MapsOfRun
from napari_xpcs.plugin.twotime_layers import ages_layers, twotime_layers
from napari_xpcs.progress import Progress, Steps

KINDS = ("multitau", "twotime", "both")
"""As the command line calls them."""

TWOTIME_BYTES = 4e9
"""What two-time maps and the counts they are made of may take together."""

_CHOICES = {"skipped": "skip_frames", "pixel_averages": "save_g2_pixels"}
"""Options of the correlators that the command calls otherwise."""

_STATE_BYTES = 900
"""Of a used pixel in the state of g2."""
_AGE_BYTES = 50
"""Of a frame and bin where ages are kept in place of maps."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """A run to be correlated, as the dock says it.

    Parameters
    ----------
    frames
        Counts (frame, row, col).
    known
        Geometry of the run, for the result file.
    source
        Path of the frames file.
    kind
        One of :data:`KINDS`.
    bins
        Labels of the two-time maps, ``None`` for all.
    multitau, twotime
        Further options of
        :func:`~napari_xpcs.correlate.multitau_run.correlate_multitau`, and ``smoothing`` and
        ``maps`` of two-time correlation.
    """

    frames: Frames
    partition: Partition
    known: KnownGeometry = field(default_factory=dict)
    source: str = ""
    frame_time_s: float
    kind: str = "multitau"
    bins: tuple[int, ...] | None = None
    selection: FrameSelection = field(default_factory=FrameSelection)
    multitau: Mapping[str, Any] = field(default_factory=dict)
    twotime: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wants_multitau(self) -> bool:
        """Whether g2 is made."""
        return self.kind != "twotime"

    @property
    def wants_twotime(self) -> bool:
        """Whether two-time maps or ages are made."""
        return self.kind != "multitau"

    def used_frames(self) -> int:
        """Return the number of used frames.

        Raises
        ------
        CorrelationError
            The run has no such frames.
        """
        return self.selection.within(self.frames.shape[0]).count()

    def wants_ages(self) -> bool:
        """Return whether two-time correlation keeps ages in place of maps."""
        maps = str(self.twotime.get("maps", "auto"))
        return self.wants_twotime and ages_instead_of_maps(maps, self.used_frames())

    def check(self) -> None:
        """Raise :class:`CorrelationError` for what cannot be done, before anything is read."""
        self.used_frames()
        if self.wants_twotime and self.bins is not None and not self.bins:
            msg = "No bin is chosen for two-time: pick bins on the image, or type labels as 1,4,9."
            raise CorrelationError(msg)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correlated:
    """What came out of a request; what was not asked for is ``None``.

    Parameters
    ----------
    maps
        Layers of the two-time maps, made in the thread: those of a long run take a second.
    """

    request: Request
    multitau: MultiTauResult | None = None
    twotime: TwoTimeResult | None = None
    ages: MultiTauTwoTimeResult | None = None
    maps: tuple[xpcs_layers.LayerData, ...] = ()


def correlation_steps(request: Request) -> Steps[Correlated | None]:
    """Correlate; runs in the thread, so that the backend starts there.

    When it is closed it returns g2 of the frames so far, all that was asked for or not.
    """
    from napari_xpcs.backends import get_backend

    request.check()
    common: dict[str, Any] = {
        "frame_time_s": request.frame_time_s,
        "selection": request.selection,
        "xp": get_backend(),
    }
    found: dict[str, Any] = {}
    so_far: list[MultiTauResult] = []
    try:
        if request.wants_multitau:
            found["multitau"] = yield from correlate_multitau(
                request.frames,
                request.partition,
                keep=so_far.append,
                **request.multitau,
                **common,
            )
            so_far.append(found["multitau"])
        if request.wants_twotime:
            found |= yield from _correlate_in_time(request, common)
    except GeneratorExit:
        return Correlated(request=request, multitau=so_far[0]) if so_far else None
    maps = _map_layers(request, found.get("twotime"), found.get("ages"))
    return Correlated(request=request, maps=tuple(maps), **found)


def _correlate_in_time(request: Request, common: Mapping[str, Any]) -> Steps[dict[str, Any]]:
    """Return two-time maps, or ages, by their name in the result."""
    options: dict[str, Any] = {
        **common,
        "bins": request.bins,
        "smoothing": request.twotime.get("smoothing", "static"),
        "skipped": request.multitau.get("skipped", ()),
        "skip_corrupt": request.multitau.get("skip_corrupt", False),
    }
    run = (request.frames, request.partition)
    if request.wants_ages():
        return {"ages": (yield from correlate_multitau_twotime(*run, **options))}
    maps = yield from correlate_twotime(*run, memory_bytes=TWOTIME_BYTES, **options)
    return {"twotime": maps}


def _map_layers(
    request: Request, twotime: TwoTimeResult | None, ages: MultiTauTwoTimeResult | None
) -> list[xpcs_layers.LayerData]:
    """Return the layers of two-time maps and ages."""
    bins, found = request.partition.table(), []
    if twotime is not None:
        found += twotime_layers(MapsOfRun(twotime), request.source, bins)
    if ages is not None:
        found += ages_layers(ages.ages, request.source, bins)
    return found


def saving_steps(path: Path, correlated: Correlated) -> Steps[Path]:
    """Write a result file; runs in the thread."""
    yield Progress(0, 1, "files")
    request = correlated.request
    refuse_input_as_output(path, Path(request.source))
    write_result(
        path,
        source=request.source,
        multitau=correlated.multitau,
        twotime=correlated.twotime,
        ages=correlated.ages,
        partition=request.partition,
        known=request.known,
        force=True,
    )
    return path


def estimate(request: Request, pixels_per_s: float | None) -> str:
    """Return in words what a request takes: frames, memory, and time where it is known.

    Parameters
    ----------
    pixels_per_s
        Used pixels times frames that g2 did per second in the last run.

    Raises
    ------
    CorrelationError
        It cannot be done.
    """
    request.check()
    frames, partition = request.used_frames(), request.partition
    pixels = int(partition.dynamic.pixels.sum())
    one = int(np.prod(request.frames.shape[1:])) * np.dtype(request.frames.dtype).itemsize
    memory = 2.0 * min(256 * one * request.selection.step, BLOCK_BYTES)
    said = [f"{frames} frames of {pixels} pixels in {bins_text(len(partition.dynamic))}"]
    if request.wants_multitau:
        memory += _STATE_BYTES * pixels
    if request.wants_twotime:
        counts = partition.dynamic.pixels
        chosen = (
            counts
            if request.bins is None
            else [counts[b - 1] for b in request.bins if b <= len(counts)]
        )
        if request.wants_ages():
            memory += _AGE_BYTES * frames * len(chosen)
            said.append(f"two-time ages of {bins_text(len(chosen))}, as for all long runs")
        else:
            size = float(np.dtype(request.frames.dtype).itemsize)
            memory += min(size * frames * float(np.sum(chosen)), COUNTS_IN_MEMORY)
            memory += 4.0 * frames**2 * len(chosen)
            said.append(f"two-time maps of {bins_text(len(chosen))}")
    said.append(f"memory about {memory_text(memory)}")
    if pixels_per_s and request.wants_multitau:
        seconds = max(frames * pixels / pixels_per_s, 1.0)
        said.append(f"g2 in about {time_text(seconds)} as the last run")
    return ", ".join(said) + "."


def bins_text(number: int) -> str:
    """Return how many bins there are.

    >>> bins_text(1), bins_text(18)
    ('1 bin', '18 bins')
    """
    return "1 bin" if number == 1 else f"{number} bins"


def memory_text(size: float) -> str:
    """Return bytes in MB or GB.

    >>> memory_text(2.5e9), memory_text(3.2e7)
    ('2.5 GB', '32 MB')
    """
    return f"{size / 1e9:.2g} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def choices_of(request: Request) -> CorrelateChoices:
    """Return what a request chooses, as the command line and recipes tell it."""
    told, selection = request.known.get("frame_time_s"), request.selection
    as_told = told is not None and told.value == request.frame_time_s
    chosen: dict[str, Any] = {
        "type": request.kind,
        **{_CHOICES.get(name, name): value for name, value in request.multitau.items()},
    }
    if request.wants_twotime:
        chosen |= {"bins": request.bins, **request.twotime}
    return CorrelateChoices(
        begin=selection.begin,
        end=selection.end,
        stride=selection.stride,
        average=selection.average,
        frame_time_s=None if as_told else request.frame_time_s,
        **chosen,
    )


def command_line(request: Request, qmap: Path, scheduler: str) -> str:
    """Return the command that does the same without a screen, ready for a shell.

    Parameters
    ----------
    qmap
        File that the bins are saved in.
    scheduler
        Address of a dask scheduler, ``local``, or nothing.

    Raises
    ------
    CorrelationError
        The frames are in no file.
    """
    source = Path(request.source)
    if not source.is_file():
        msg = "These frames are in no file, so no other computer can read them."
        raise CorrelationError(msg)
    words = ["napari-xpcs", "correlate", str(source.resolve()), "--qmap", str(qmap.resolve())]
    words += ["-o", str(source.resolve().with_name(f"{source.stem}_results.hdf"))]
    words += command_options(choices_of(request))
    if scheduler:
        words += ["--scheduler", scheduler]
    return shlex.join(words)
