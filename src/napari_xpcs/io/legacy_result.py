"""Results and bins as 8-ID wrote them until early 2025: ``/exchange``, ``/xpcs``, ``/measurement``.

Vectors are stored with two axes, (1, n).
"""

from pathlib import Path

import h5py
import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import PartitionFile, ResultFile
from napari_xpcs.io.known_geometry import known_values, unknown_values
from napari_xpcs.io.result_parts import LabelledBins, PartReader, labelled_bins
from napari_xpcs.io.twotime_maps import TwoTimeMaps
from napari_xpcs.kernels.geometry import KnownGeometry

RESULT_SIGNS = ("/exchange/norm-0-g2", "/exchange/C2T_all", "/xpcs/Version", "/exchange/pixelSum")
QMAP_SIGN = "/data/dynamicMap"

_DETECTOR = "/measurement/instrument/detector"
_ACQUISITION = "/measurement/instrument/acquisition"
_GEOMETRY = {
    "energy_kev": ("/measurement/instrument/source_begin/energy", 1.0),
    "distance_m": (f"{_DETECTOR}/distance", 1e-3),
    "pixel_row_m": (f"{_DETECTOR}/y_pixel_size", 1e-3),
    "pixel_col_m": (f"{_DETECTOR}/x_pixel_size", 1e-3),
    "center_row_px": (f"{_ACQUISITION}/beam_center_y", 1.0),
    "center_col_px": (f"{_ACQUISITION}/beam_center_x", 1.0),
    "frame_time_s": (f"{_DETECTOR}/exposure_period", 1.0),
    "count_time_s": (f"{_DETECTOR}/exposure_time", 1.0),
}
"""Place and factor to our unit; lengths are stored in mm."""

_MAY_BE_ZERO = frozenset({"center_row_px", "center_col_px"})


def read_legacy_result(path: Path, file: h5py.File) -> ResultFile:
    """Read what a result file of the ``/exchange`` layout holds and name what it lacks."""
    parts = PartReader(path, file)
    known = legacy_geometry(parts)
    bins = _bins(
        parts,
        images=("/xpcs/dqmap", "/xpcs/sqmap", "/xpcs/mask"),
        lists={
            "q": "/xpcs/dqlist",
            "phi": "/xpcs/dphilist",
            "static_q": "/xpcs/sqlist",
            "static_phi": "/xpcs/sphilist",
        },
    )
    step_s = _step(parts, known)
    g2 = parts.array("/exchange/norm-0-g2", axes=2)
    curves = None
    if g2 is not None:
        error = parts.array("/exchange/norm-0-stderr", axes=2)
        delays = parts.flat("/exchange/tau")
        delay_s = None if delays is None or step_s is None else delays * step_s
        curves = parts.curves(g2, error, delay_s, bins)
    return ResultFile(
        path=path,
        layout="aps-legacy-results",
        scattering=_scattering(parts, bins),
        partition=bins.partition,
        curves=curves,
        twotime=_twotime(parts, bins, step_s),
        intensity_vs_time=parts.array("/exchange/frameSum", axes=2),
        scattering_1d=parts.flat("/exchange/partition-mean-total"),
        scattering_1d_segments=parts.array("/exchange/partition-mean-partial", axes=2),
        known=known,
        problems=tuple(parts.problems),
        missing=(*parts.missing, *_gaps(known)),
    )


def read_legacy_qmap(path: Path, file: h5py.File) -> PartitionFile:
    """Read a Q-map file of the ``/data`` layout.

    Raises
    ------
    FileFormatError
        The image of the dynamic bins is damaged or empty.
    """
    parts = PartReader(path, file)
    bins = _bins(
        parts,
        images=(QMAP_SIGN, "/data/staticMap", "/data/mask"),
        lists={
            "q": "/data/dqval",
            "phi": "/data/dphival",
            "static_q": "/data/sqval",
            "static_phi": "/data/sphival",
        },
    )
    if bins.partition is None:
        msg = f"{path.name} holds no bins that could be read. {' '.join(parts.problems)}"
        raise FileFormatError(msg)
    known = known_values({})
    return PartitionFile(
        path=path,
        layout="aps-legacy-qmap",
        partition=bins.partition,
        known=known,
        problems=tuple(parts.problems),
        missing=(*parts.missing, *unknown_values(known, {})),
    )


def _bins(
    parts: PartReader, *, images: tuple[str, str, str], lists: dict[str, str]
) -> LabelledBins:
    dynamic, static = parts.labels(images[0]), parts.labels(images[1])
    mask = None if dynamic is None else parts.mask(images[2], dynamic.shape)
    values = {name: parts.flat(place) for name, place in lists.items()}
    return labelled_bins(dynamic, static, mask, values, parts.problems)


def legacy_geometry(parts: PartReader) -> KnownGeometry:
    """Return what ``/measurement`` tells; doubts go to the problems of ``parts``."""
    found: dict[str, tuple[float, str]] = {}
    for name, (place, factor) in _GEOMETRY.items():
        value = parts.number(place)
        if value is not None and (value > 0 or name in _MAY_BE_ZERO):
            found[name] = (value * factor, place)
    count = found.get("count_time_s")
    period = found.get("frame_time_s")
    if count is not None and (period is None or period[0] < count[0]):
        # No frame can follow sooner than its exposure lasts: the period was not written then.
        found["frame_time_s"] = count
        parts.problems.append(
            f"The time between frames is taken from {count[1]}: {_GEOMETRY['frame_time_s'][0]} "
            f"is {'absent or 0' if period is None else 'shorter than the exposure'}."
        )
    for axis, stage in (("x", "stage_x"), ("y", "stage_z")):
        at, zero = (
            parts.number(f"{_ACQUISITION}/{name}") for name in (stage, stage.replace("_", "_zero_"))
        )
        if at is not None and zero is not None and at != zero:
            parts.problems.append(
                f"The detector stood at {stage} = {at:g} with its zero at {zero:g}: the beam "
                f"centre along {axis} is not corrected for that."
            )
    return known_values(found)


def _gaps(known: KnownGeometry) -> tuple[str, ...]:
    return unknown_values(known, {name: place for name, (place, _) in _GEOMETRY.items()})


def _step(parts: PartReader, known: KnownGeometry) -> float | None:
    """Return the time between used frames, s."""
    frame_time_s = known["frame_time_s"].value
    if frame_time_s is None:
        return None
    factors = {name: parts.number(name) for name in ("/xpcs/stride_frames", "/xpcs/avg_frames")}
    return frame_time_s * parts.frame_step(factors)


def _scattering(parts: PartReader, bins: LabelledBins) -> np.ndarray | None:
    name = "/exchange/pixelSum"
    image = parts.array(name, axes=2)
    if image is None:
        return None
    shape = image.shape if bins.partition is None else bins.partition.shape
    if image.shape != shape and image.shape == shape[::-1]:
        parts.problems.append(f"{name} is stored with rows and columns exchanged and was turned.")
        return np.ascontiguousarray(image.T)
    parts.compare_detectors(name, image, bins.partition)
    return np.asarray(image)


def _twotime(parts: PartReader, bins: LabelledBins, step_s: float | None) -> TwoTimeMaps | None:
    datasets, labels = parts.numbered("/exchange/C2T_all", "g2_")
    if not datasets:
        return None
    numbers = np.array(labels)
    g2 = parts.array("/exchange/g2full", axes=2)
    segments = parts.array("/exchange/g2partials", axes=3)
    return TwoTimeMaps(
        path=parts.path,
        datasets=datasets,
        bins=bins.own_labels(numbers),
        frame_time_s=step_s,
        g2=_of_maps(g2, numbers),
        segments=_of_maps(segments, numbers),
    )


def _of_maps(values: np.ndarray | None, numbers: np.ndarray) -> np.ndarray | None:
    """Return the columns of the maps; the file holds one column per bin, or per map."""
    if values is None or values.shape[-1] == len(numbers):
        return values
    return values[..., numbers - 1] if values.shape[-1] >= numbers.max() else None
