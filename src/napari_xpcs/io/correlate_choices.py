"""What can be chosen of a correlation, as recipes, the command line and the dock all tell it."""

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

from napari_xpcs.errors import check_choice
from napari_xpcs.kernels.multitau import G2Errors, Normalization
from napari_xpcs.kernels.twotime import Smoothing

OPTION_NAMES = {"average": "avg", "frame_time_s": "frame-time"}
"""Options of the command that are not called as the choice is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelateChoices:
    """The choices of ``napari-xpcs correlate``; frames are counted from 0, times in s.

    Where and how it runs (``--scheduler``, ``--checkpoint-s``) is no choice: no number depends
    on it.

    Parameters
    ----------
    type
        What is computed.
    begin, end, stride, average
        As in :class:`~napari_xpcs.kernels.selection.FrameSelection`.
    bins
        Labels of the two-time maps, ``None`` for all.
    normalization, normalize_frame, delays_per_level, errors, partials
        Of g2, as in :func:`~napari_xpcs.correlate.multitau_run.correlate_multitau`.
    save_g2_pixels
        Keep G2, IP and IF of every pixel.
    skip_frames, skip_corrupt
        Raw frames to leave out, and whether those are, too, that cannot be read.
    smoothing, maps
        Of two-time maps.
    frame_time_s
        Time between raw frames where that of the file is wrong.
    dataset
        HDF5 path of the frames where it is unusual.
    engine
        One of :data:`~napari_xpcs.correlate.engines.ENGINES`.

    Raises
    ------
    ChoiceError
        A value is none of those that its type names.
    """

    type: Literal["multitau", "twotime", "both"] = "multitau"
    begin: int = 0
    end: int | None = None
    stride: int = 1
    average: int = 1
    bins: tuple[int, ...] | None = None
    normalization: Normalization = "symmetric"
    normalize_frame: bool = False
    delays_per_level: Literal[4, 8] = 4
    errors: G2Errors = "pixel"
    partials: int = 0
    save_g2_pixels: bool = False
    skip_frames: tuple[int, ...] = ()
    skip_corrupt: bool = False
    smoothing: Smoothing = "static"
    maps: Literal["auto", "full", "ages"] = "auto"
    frame_time_s: float | None = None
    dataset: str | None = None
    engine: Literal["auto", "dense", "events", "numba", "array"] = "auto"

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            if get_origin(hint) is Literal:
                check_choice(_option(name), getattr(self, name), get_args(hint))


def command_options(choices: CorrelateChoices) -> list[str]:
    """Return the options of ``napari-xpcs correlate`` that say the same.

    Examples
    --------
    >>> command_options(CorrelateChoices(average=4, bins=(1, 9), skip_corrupt=True))
    ['--avg', '4', '--bins', '1,9', '--skip-corrupt']
    """
    words: list[str] = []
    for field in fields(choices):
        value = getattr(choices, field.name)
        if value == field.default:
            continue
        words.append(_option(field.name))
        if isinstance(value, tuple):
            words.append(",".join(map(str, value)))
        elif value is not True:
            words.append(str(value))
    return words


def _option(name: str) -> str:
    return "--" + OPTION_NAMES.get(name, name).replace("_", "-")
