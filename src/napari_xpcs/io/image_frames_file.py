"""Single images and stacks in files other than HDF5, opened as frames."""

import re
from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.frames_file import frames_file
from napari_xpcs.io.images import ImageFrames, image_kind, read_header
from napari_xpcs.io.known_geometry import Collector
from napari_xpcs.io.physical_units import plausible, to_house_unit

_QUANTITY = re.compile(r"(?P<value>[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)\s*(?P<unit>[A-Za-zµ]+)?")
_PAIR = re.compile(r"\(?\s*(?P<x>[-+\d.eE]+)\s*,\s*(?P<y>[-+\d.eE]+)\s*\)?\s*pixel")

_PILATUS = {
    "pixel_row_m": ("Pixel_size", "m", -1),
    "pixel_col_m": ("Pixel_size", "m", 0),
    "energy_kev": ("Wavelength", "A", 0),
    "distance_m": ("Detector_distance", "m", 0),
    "frame_time_s": ("Exposure_period", "s", 0),
    "count_time_s": ("Exposure_time", "s", 0),
}
"""Key of the header, unit where none is told, which number of the line."""

_ESRF = {"count_time_s": ("acq_expo_time", "s", 0)}
_ESRF_PERIOD = ("acq_expo_time", "acq_latency_time")


def is_image(path: Path, file: h5py.File | None) -> bool:
    """Say whether the first bytes of ``path`` show an image of a known format."""
    return file is None and image_kind(path) not in (None, "fit2d-mask")


def open_image(path: Path, _: None) -> FramesFile:
    """Open an image as one frame, a stack as several, with what its header tells.

    Raises
    ------
    FileFormatError
        Damaged, or no frames: a matrix of real numbers in an ``.npy`` has no sign of what it is.
    """
    kind = image_kind(path)
    if kind is None:
        msg = f"{path.name} is no image of a known format."
        raise FileFormatError(msg)
    frames = ImageFrames.open(path, kind)
    if kind == "npy" and frames.dtype.kind == "f":
        msg = (
            f"{path.name} holds {frames.dtype} of the shape {frames.shape[-2:]} and no sign of "
            "what it is. Counts are integers; a mask has the word mask in its name."
        )
        raise FileFormatError(msg)
    collector = Collector()
    header = read_header(path, kind)
    for table in (_PILATUS, _ESRF):
        for name, (key, unit, which) in table.items():
            _take(collector, path, header, name, key, unit, which)
    _take_period(collector, path, header)
    center = _PAIR.search(header.get("Beam_xy", ""))
    if center is not None:
        for name, axis in (("center_row_px", "y"), ("center_col_px", "x")):
            value = _float(center[axis])
            if value is not None:
                collector.add(name, value, f"{path.name}:Beam_xy")
    layout = "tiff-pilatus" if "Pixel_size" in header and kind == "tiff" else kind
    return frames_file(path, layout, frames, collector.report())


def _take(
    collector: Collector,
    path: Path,
    header: dict[str, str],
    name: str,
    key: str,
    unit: str,
    which: int,
) -> None:
    found = list(_QUANTITY.finditer(header.get(key, "")))
    stored = _float(found[which]["value"]) if found else None
    if stored is None or stored == 0.0:  # how these headers say "not set"
        return
    value = to_house_unit(name, stored, found[which]["unit"] or unit, None)
    if value is not None and plausible(name, value):
        collector.add(name, value, f"{path.name}:{key}")


def _take_period(collector: Collector, path: Path, header: dict[str, str]) -> None:
    parts = [_float(header.get(key, "")) for key in _ESRF_PERIOD]
    known = [part for part in parts if part is not None]
    if len(known) == len(parts):
        collector.add("frame_time_s", sum(known), f"{path.name}:{' + '.join(_ESRF_PERIOD)}")


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
