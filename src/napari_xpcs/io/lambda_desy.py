"""Lambda detectors at DESY: one series of files per module, frames cut into parts."""

import re
from pathlib import Path

import h5py
import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.composed_frames import ConcatenatedFrames, StitchedFrames
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.frames_file import frames_file
from napari_xpcs.io.hdf5 import open_hdf5, read_array
from napari_xpcs.io.hdf5_frames import HDF5Frames
from napari_xpcs.io.known_geometry import Collector, look_up, look_up_sum
from napari_xpcs.io.nexus_places import DETECTOR, LAMBDA, LAMBDA_FRAME_TIME
from napari_xpcs.kernels.mask import pixel_mask_to_mask

FRAMES = f"{DETECTOR}/data"
POSITION = f"{DETECTOR}/translation/distance"

_MODULE_AND_PART = re.compile(r"(?P<run>.*)_m(?P<module>\d+)(?P<part>_part(?P<number>\d+))?$")
_NO_VALUE = -1
_LARGEST_CANVAS = 20_000


def open_modules(path: Path, file: h5py.File) -> FramesFile:
    """Open all modules and parts of the run that ``path`` belongs to, on one canvas.

    Raises
    ------
    FileFormatError
        A module tells no position, or modules do not fit each other.
    """
    series, problems = _series(path)
    modules, corners, masks = [], [], []
    for parts in series:
        frames = ConcatenatedFrames.join(
            parts[0], [HDF5Frames.open(part, FRAMES) for part in parts]
        )
        modules.append(frames)
        with open_hdf5(parts[0]) as module:
            corners.append(_corner(parts[0], module))
            masks.append(_mask(module, frames.shape[1:], problems))
    canvas = StitchedFrames.stitch(path, modules, corners, _NO_VALUE)
    collector = Collector()
    look_up(collector, file, LAMBDA)
    look_up_sum(collector, file, "frame_time_s", *LAMBDA_FRAME_TIME)
    return frames_file(
        path,
        "lambda-desy",
        canvas,
        collector.report(),
        marked=canvas.place(masks, fill=False),
        problems=problems,
    )


def _series(path: Path) -> tuple[list[list[Path]], list[str]]:
    """Return the parts of every module of the run, in order, and what is missing of them."""
    own = _MODULE_AND_PART.match(path.stem)
    if own is None:
        return [[path]], []
    modules: dict[int, dict[int, Path]] = {}
    for place in path.parent.glob(f"{_escaped(own['run'])}_m*{path.suffix}"):
        other = _MODULE_AND_PART.match(place.stem)
        if other and other["run"] == own["run"] and bool(other["part"]) == bool(own["part"]):
            modules.setdefault(int(other["module"]), {})[int(other["number"] or 0)] = place
    problems = []
    numbers = sorted(modules)
    absent = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if absent:
        which = ", ".join(f"m{number}" for number in absent)
        problems.append(f"The files of module {which} of {own['run']} are missing.")
    parts = {
        module: _unbroken(found, f"{own['run']}_m{module}", problems)
        for module, found in modules.items()
    }
    return [parts[number] for number in numbers], problems


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _unbroken(parts: dict[int, Path], name: str, problems: list[str]) -> list[Path]:
    """Return the parts up to the first gap in their numbers."""
    numbers = sorted(parts)
    first = numbers[0]
    if first > 1:
        problems.append(f"The frames of {name} begin with part {first}: earlier parts are missing.")
    count = next((i for i, number in enumerate(numbers) if number != first + i), len(numbers))
    if count < len(numbers):
        problems.append(
            f"Part {first + count} of {name} is missing; the frames behind it are not used."
        )
    return [parts[number] for number in numbers[:count]]


def _corner(path: Path, file: h5py.File) -> tuple[int, int]:
    """Return row and column of the module on the canvas, from x, y, z in pixels."""
    position = read_array(file, POSITION)
    if position is None or position.size < 2 or not np.isfinite(position).all():
        msg = f"{path.name} does not tell the position of the module at {POSITION}."
        raise FileFormatError(msg)
    col, row = np.rint(position.reshape(-1)[:2])
    if max(abs(row), abs(col)) > _LARGEST_CANVAS:
        msg = f"{path.name} places the module at {col:g}, {row:g}, far outside any detector."
        raise FileFormatError(msg)
    return int(row), int(col)


def _mask(file: h5py.File, shape: tuple[int, int], problems: list[str]) -> np.ndarray:
    flags = read_array(file, f"{DETECTOR}/pixel_mask")
    if flags is None or flags.size != shape[0] * shape[1] or flags.dtype.kind not in "iu":
        name = Path(file.filename).name
        problems.append(f"{name} holds no pixel mask of {shape[0]} x {shape[1]} pixels.")
        return np.ones(shape, dtype=bool)
    return pixel_mask_to_mask(flags.reshape(shape))
