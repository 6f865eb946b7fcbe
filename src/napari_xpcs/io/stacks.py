"""Frames in HDF5 of any layout: the one stack in the file, or the choice between several."""

from collections.abc import Iterator
from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.frames_file import frames_file
from napari_xpcs.io.hdf5 import holds, read_texts, reading
from napari_xpcs.io.hdf5_frames import HDF5Frames, SeveralFramesError
from napari_xpcs.io.known_geometry import Collector, look_up
from napari_xpcs.io.metadata_file import read_metadata
from napari_xpcs.io.nexus_places import DETECTOR, NEXUS, ODIN_META, PIXEL_MASKS

_MOST_OBJECTS = 20_000
_LEAST_PIXELS = 8
_DEFINITION = "/entry/definition"


def split_channel(dataset: str) -> tuple[str, str | None]:
    """Return the place and the channel of ``PLACE[CHANNEL]``."""
    place, bracket, channel = dataset.partition("[")
    return (place, channel.rstrip("]")) if bracket else (dataset, None)


def open_stack(path: Path, file: h5py.File, dataset: str = layouts.FRAMES) -> FramesFile:
    """Open the frames at ``dataset`` with whatever geometry the usual places tell."""
    place, channel = split_channel(dataset)
    frames = HDF5Frames.open(path, place, channel)
    layout = _layout(file)
    if layout == "hdf5":
        metadata_path, report, problems, missing = read_metadata(path, file, NEXUS)
        layout = "aps-raw" if metadata_path or holds(file, layouts.DETECTOR) else "hdf5"
    else:
        metadata_path, problems, missing = None, (), ()
        collector = Collector()
        look_up(collector, file, NEXUS)
        problems += _look_into_meta(collector, path)
        report = collector.report()
    return frames_file(
        path,
        layout,
        frames,
        report,
        file=file,
        pixel_masks=(*PIXEL_MASKS, *_channel_masks(file, channel, frames.channel)),
        metadata_path=metadata_path,
        problems=problems,
        missing=missing,
    )


def _layout(file: h5py.File) -> str:
    if holds(file, f"{DETECTOR}/threshold_1_channel"):
        return "dectris-2024.2"
    definition = "".join(read_texts(file, _DEFINITION))
    return {"NXmx": "nxmx", "NXsas": "nxsas"}.get(definition, "hdf5")


def _channel_masks(file: h5py.File, channel: str | None, number: int) -> list[str]:
    name = channel if channel and not channel.isdecimal() else f"threshold_{number + 1}"
    place = f"{DETECTOR}/{name}_channel/pixel_mask"
    return [place] if holds(file, place) else []


def _look_into_meta(collector: Collector, path: Path) -> tuple[str, ...]:
    """Read what Diamond's writer says beside the frames; the file may be absent."""
    meta = path.with_name(f"{path.stem}_meta.h5")
    if not meta.is_file():
        return ()
    try:
        with reading(meta, "The list of contents"), h5py.File(meta, "r") as file:
            look_up(collector, file, ODIN_META, f"{meta.name}:")
    except FileFormatError as fault:
        return (f"{meta.name} is not used. {fault}",)
    return ()


def open_any_stack(path: Path, file: h5py.File) -> FramesFile:
    """Open the only stack of images in ``file`` that can be read.

    Raises
    ------
    SeveralFramesError
        There are several; one must be named.
    FileFormatError
        There is one, but its files are missing.
    """
    with reading(path, "The list of datasets"):
        stacks = find_stacks(file)
    readable: list[str] = []
    fault: FileFormatError | None = None
    for place in stacks:
        try:
            HDF5Frames.open(path, place)
        except SeveralFramesError as choice:
            readable += choice.candidates
        except FileFormatError as unreadable:
            fault = fault or unreadable
        else:
            readable.append(place)
    if len(readable) == 1:
        return open_stack(path, file, readable[0])
    if readable:
        with reading(path, "The list of datasets"):
            described = tuple(
                f"{place} {file[split_channel(place)[0]].shape}" for place in readable
            )
        raise SeveralFramesError(path, tuple(readable), described)
    if fault is not None:
        raise fault
    msg = f"{path.name} holds no stack of images."
    raise FileFormatError(msg)


def find_stacks(file: h5py.File) -> list[str]:
    """Return where stacks of frames stand; single images only where there is no stack.

    Every dataset appears once, however many links lead to it.
    """
    found = list(_images(file))
    stacks = [place for place, axes in found if axes > 2]
    return stacks or [place for place, _ in found]


def _images(file: h5py.File) -> Iterator[tuple[str, int]]:
    seen: set[tuple[object, ...]] = set()
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    for _ in range(_MOST_OBJECTS):
        if not waiting:
            return
        place, group = waiting.pop(0)
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.SoftLink):
                continue  # what it leads to is met under its own name
            item = group.get(name)  # None for a link that leads nowhere
            if item is None:
                continue
            information = h5py.h5o.get_info(item.id)
            identity = (information.fileno, information.addr)
            if identity in seen:
                continue
            seen.add(identity)
            if isinstance(item, h5py.Group):
                waiting.append((f"{place}/{name}", item))
            elif isinstance(item, h5py.Dataset) and _is_image(item):
                yield f"{place}/{name}", item.ndim


def _is_image(dataset: h5py.Dataset) -> bool:
    return (
        dataset.dtype.kind in "iuf"
        and 2 <= len(dataset.shape or ()) <= 4
        and min(dataset.shape[-2:]) >= _LEAST_PIXELS
        and dataset.shape[0] > 0
    )
