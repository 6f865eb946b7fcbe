"""The only door between what was measured and napari layers.

What a widget needs later stands in ``layer.metadata["xpcs"]``, a dict with the key
``role`` (frames, scattering, mask or partition); only this module writes and reads it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, get_args

import numpy as np
import pandas as pd
from napari.layers import Layer
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap
from napari.utils.notifications import show_info, show_warning

from napari_xpcs._typing import Image, Mask
from napari_xpcs.backends.io_adapter import napari_adapter
from napari_xpcs.correlate.reading import Frames
from napari_xpcs.errors import FileFormatError
from napari_xpcs.fitting.results import FitStatus, G2Fit
from napari_xpcs.io.events import EventFrames
from napari_xpcs.io.files import FramesFile, PartitionFile, ResultFile
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.geometry import Geometry, KnownGeometry
from napari_xpcs.kernels.mask import marked_pixels
from napari_xpcs.kernels.mask_steps import MaskStep, painted_difference
from napari_xpcs.kernels.multitau_twotime import MultiTauTwoTime
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.regions import Region
from napari_xpcs.plugin.display import DisplayFrames, contrast_limits, image_contrast, log_view
from napari_xpcs.plugin.sectors import features_of, shape_of
from napari_xpcs.plugin.twotime_image import CONTRAST, Maps, TwoTimeImage, ages_image

LAYER_KEY = "xpcs"
MARK_FRAMES = 3
"""Frames that are looked at for pixels without a value: first, middle and last."""
SCATTERING_FLOOR = 1e-3
"""Mean counts below this part of the brightest are shown on a linear scale."""
CHI2 = "reduced chi2"
"""How the goodness of a fit is called among the parameters."""
STATUS = "status"
STATUSES = tuple(get_args(FitStatus))
"""First words of a status, in the order of their numbers on a map."""

BAND_PIXELS = 512
"""Side of the image that shows ages as bands."""

CORNERS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
"""A box about the origin, in the order of napari's ellipses."""
LIT = np.array((1.0, 0.1, 0.8, 1.0))
"""Colour of the selected bin: no bin of the perceptual map has it."""

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]
"""What an npe2 reader returns: data, keyword arguments of ``add_*``, layer type."""


# -- from what was read or computed to layers


def frames_layer(
    frames: Frames,
    *,
    name: str = "frames",
    known: KnownGeometry,
    mask: Mask | None = None,
    truth: Mapping[str, Any] | None = None,
    source: str = "",
) -> LayerData:
    """Return a lazy (t, y, x) Image; the time axis is in s where the frame time is known."""
    frame_time = known["frame_time_s"].value if "frame_time_s" in known else None
    metadata = {
        "role": "frames",
        "frames": frames,
        "known": known,
        "mask": mask,
        "truth": dict(truth or {}),
        "source": source,
    }
    arguments = {
        "name": name,
        "rgb": False,
        "scale": (frame_time or 1.0, 1.0, 1.0),
        "units": ("s" if frame_time else "pixel", "pixel", "pixel"),
        "axis_labels": ("t", "y", "x"),
        "metadata": {LAYER_KEY: metadata},
        **log_view(contrast_limits(frames)),
    }
    return DisplayFrames(frames, mask), arguments, "image"


def sum_layer(total: Image, *, source: str = "") -> LayerData:
    """Return the sum of some frames as an Image on the scale of counts."""
    arguments = {
        "name": "sum of frames",
        "rgb": False,
        "axis_labels": ("y", "x"),
        "metadata": {LAYER_KEY: {"role": "sum", "source": source}},
        **log_view(image_contrast(total, at_least=1.0)),
    }
    return napari_adapter.to_numpy(total), arguments, "image"


def scattering_layer(
    scattering: Image, *, known: KnownGeometry, mask: Mask | None = None, source: str = ""
) -> LayerData:
    """Return the mean counts per pixel and frame as an Image, unused pixels transparent."""
    shown = np.array(scattering, dtype=np.float32)
    if mask is not None:
        shown[~mask] = np.nan
    metadata = {"role": "scattering", "known": known, "source": source}
    limits = image_contrast(shown)
    arguments = {
        "name": "scattering",
        "rgb": False,
        "axis_labels": ("y", "x"),
        "metadata": {LAYER_KEY: metadata},
        **log_view(limits, one=limits[1] * SCATTERING_FLOOR),
    }
    return napari_adapter.to_numpy(shown), arguments, "image"


def mask_layer(mask: Mask, *, source: str = "", steps: tuple[MaskStep, ...] = ()) -> LayerData:
    """Return the masked-out pixels as label 1 of a Labels layer, so that they can be painted.

    ``steps`` are what the mask was made by, empty where that is not known.
    """
    arguments = {
        "name": "mask",
        "opacity": 0.3,
        "axis_labels": ("y", "x"),
        "colormap": DirectLabelColormap(
            color_dict={None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: (0.9, 0.2, 0.2, 1.0)}
        ),
        "metadata": {
            LAYER_KEY: {"role": "mask", "source": source, "steps": steps, "made": mask.copy()}
        },
    }
    return napari_adapter.to_numpy((~mask).astype(np.uint8)), arguments, "labels"


def partition_layer(
    partition: Partition,
    *,
    known: KnownGeometry,
    curves: G2Curves | None = None,
    source: str = "",
) -> LayerData:
    """Return the dynamic bins as Labels whose features napari shows under the cursor."""
    arguments = {
        "name": "partition",
        "opacity": 0.4,
        "axis_labels": ("y", "x"),
        "features": bin_features(partition),
        "colormap": bin_colormap(partition),
        "metadata": {LAYER_KEY: partition_metadata(partition, known, curves, source)},
    }
    return shown_labels(partition), arguments, "labels"


def shown_labels(partition: Partition) -> np.ndarray:
    """Return the labels in the smallest type that holds them, which napari draws fastest."""
    labels = partition.dynamic.labels
    return napari_adapter.to_numpy(labels.astype(np.min_scalar_type(len(partition.dynamic))))


def partition_metadata(
    partition: Partition, known: KnownGeometry, curves: G2Curves | None, source: str
) -> dict[str, Any]:
    """Return what a partition layer carries for the widgets."""
    return {
        "role": "partition",
        "partition": partition,
        "known": known,
        "curves": curves,
        "source": source,
    }


def bin_features(partition: Partition) -> pd.DataFrame:
    """Return one row per label: index, the two axes with units, pixels."""
    dynamic = partition.dynamic
    columns: dict[str, np.ndarray] = {"index": np.arange(1, len(dynamic) + 1)}
    for axis, (name, unit) in enumerate(zip(partition.names, partition.units, strict=True)):
        if dynamic.grid[axis] > 1 or axis == 0:
            columns[f"{name} ({unit})"] = np.round(dynamic.center_of_bins(axis), 6)
    columns["pixels"] = dynamic.pixels
    return pd.DataFrame(columns)


def bin_colormap(partition: Partition) -> DirectLabelColormap:
    """Return colours that run along the first axis (q), alternating in lightness.

    A perceptual map: equal steps of rank look equally far apart.
    """
    count = len(partition.dynamic)
    along = partition.dynamic.center_of_bins(0)
    order = np.nan_to_num(along, nan=-np.inf)
    _, rank = np.unique(order, return_inverse=True)
    colors = ensure_colormap("viridis").map(rank / max(rank.max(initial=0), 1))
    colors[1::2, :3] *= 0.75
    transparent = (0.0, 0.0, 0.0, 0.0)
    table: dict[int | None, Any] = {None: transparent, 0: transparent}
    table.update({label: colors[label - 1] for label in range(1, count + 1)})
    return DirectLabelColormap(color_dict=table)


def lit_colormap(colors: DirectLabelColormap, label: int) -> DirectLabelColormap:
    """Return ``colors`` with one bin in the colour that no other bin has."""
    return DirectLabelColormap(color_dict={**colors.color_dict, label: LIT})


def parameter_map_layer(bins: Layer, fit: G2Fit, name: str) -> LayerData:
    """Return a parameter of the fit as an Image over its bins, transparent where it has none.

    ``name`` is a parameter of the model, ``reduced chi2``, or ``status``: its place in
    :data:`STATUSES`.
    """
    labels = np.asarray(bins.data)
    values = fit_values(fit, name, int(labels.max(initial=0)))
    of_label = np.concatenate([[np.nan], values]).astype(np.float32)
    found = values[np.isfinite(values)]
    limits = (float(found.min()), float(found.max())) if found.size else (0.0, 1.0)
    if name == STATUS:
        limits = (0.0, len(STATUSES) - 1.0)
    arguments = {
        "name": f"{name} map",
        "rgb": False,
        "scale": bins.scale,
        "translate": bins.translate,
        "axis_labels": bins.axis_labels,
        "contrast_limits": limits if limits[0] < limits[1] else (limits[0], limits[0] + 1.0),
        "colormap": "viridis",
        "metadata": {LAYER_KEY: {"role": "map", "parameter": name, "source": layer_source(bins)}},
    }
    return napari_adapter.to_numpy(of_label[labels]), arguments, "image"


def fit_values(fit: G2Fit, name: str, count: int) -> np.ndarray:
    """Return what :func:`parameter_map_layer` shows, for the labels 1 to ``count``.

    Of a fit of several runs, those of the first.
    """
    label, first = np.unique(fit.bins.label, return_index=True)
    known = (label >= 1) & (label <= count)
    if name == STATUS:
        values = np.array([STATUSES.index(each.partition(":")[0]) for each in fit.status], float)
    else:
        values = fit.reduced_chi2 if name == CHI2 else fit.value[:, fit.names.index(name)]
    of_label = np.full(count, np.nan)
    of_label[label[known] - 1] = values[first[known]]
    return of_label


def show_fit_features(layer: Layer, fit: G2Fit) -> None:
    """Write the fit beside the bins, where napari shows it under the cursor and in its table.

    Columns of an earlier fit go.
    """
    ours = layer.metadata[LAYER_KEY]
    features = layer.features.drop(columns=ours.get("fit_columns", []), errors="ignore")
    names = [*fit.names, CHI2]
    for name in names:
        features[name] = fit_values(fit, name, len(features))
    status = fit_values(fit, STATUS, len(features))
    features[STATUS] = [STATUSES[int(at)] if np.isfinite(at) else "" for at in status]
    ours["fit_columns"] = [*names, STATUS]
    layer.features = features


def beam_layer(at: tuple[float, float], size: float) -> LayerData:
    """Return the beam at (row, column) as a cross of ``size`` pixels that can be dragged."""
    arguments = {
        "name": "beam",
        "symbol": "cross",
        "size": max(size, 5.0),
        "face_color": "red",
        "border_width": 0.0,
        "axis_labels": ("y", "x"),
        "metadata": {LAYER_KEY: {"role": "beam"}},
    }
    return np.array([at], dtype=float), arguments, "points"


def ring_points_layer(name: str, size: float) -> LayerData:
    """Return an empty Points layer to pick points of a powder ring on."""
    arguments = {
        "name": f"{name} points",
        "ndim": 2,
        "symbol": "ring",
        "size": max(size, 5.0),
        "face_color": "transparent",
        "border_color": "orange",
        "axis_labels": ("y", "x"),
        "metadata": {LAYER_KEY: {"role": "ring"}},
    }
    return np.empty((0, 2)), arguments, "points"


def ring_layer(name: str, at: tuple[float, float], radius: float, width: float) -> LayerData:
    """Return a circle to be laid along a powder ring by its handles."""
    row, col = at
    box = [[row + down, col + across] for down, across in CORNERS * radius]
    arguments = {
        "name": name,
        "shape_type": "ellipse",
        "edge_color": "orange",
        "edge_width": max(width, 1.0),
        "face_color": "transparent",
        "axis_labels": ("y", "x"),
        "metadata": {LAYER_KEY: {"role": "ring"}},
    }
    return [np.array(box)], arguments, "shapes"


def regions_layer(regions: Sequence[Region], geometry: Geometry | None) -> LayerData:
    """Return regions as shapes with handles, to be edited."""
    shapes = [shape_of(region, geometry) for region in regions]
    extent = max((float(np.nanmax(vertices)) for vertices, _ in shapes), default=0.0)
    widths = [
        region.width_px if region.kind in ("line", "path") else max(extent / 400, 0.5)
        for region in regions
    ]
    arguments = {
        "name": "regions",
        "ndim": 2,
        "shape_type": [kind for _, kind in shapes],
        "edge_width": widths,
        "edge_color": "yellow",
        "face_color": "transparent",
        "features": pd.DataFrame([features_of(region) for region in regions]),
        "axis_labels": ("y", "x"),
        "metadata": {LAYER_KEY: {"role": "regions"}},
    }
    return [vertices for vertices, _ in shapes], arguments, "shapes"


def mask_shapes_layer(regions: Sequence[Region], geometry: Geometry | None) -> LayerData:
    """Return the shapes of a mask with handles, to be edited."""
    data, arguments, kind = regions_layer(regions, geometry)
    arguments |= {
        "name": "mask shapes",
        "edge_color": "red",
        "metadata": {LAYER_KEY: {"role": "mask shapes"}},
    }
    return data, arguments, kind


def lines_layer(
    name: str,
    role: str,
    paths: list[np.ndarray],
    *,
    texts: list[str],
    color: str,
    width: float,
    kind: str = "path",
) -> LayerData:
    """Return labelled lines over the detector, (row, column) points each."""
    arguments = {
        "name": name,
        "ndim": 2,
        "shape_type": [kind] * len(paths),
        "edge_color": color,
        "edge_width": width,
        "face_color": "transparent",
        "features": pd.DataFrame({"text": texts}),
        "text": {"string": "{text}", "color": color, "size": 9, "anchor": "upper_left"},
        "axis_labels": ("y", "x"),
        "metadata": {LAYER_KEY: {"role": role}},
    }
    return paths, arguments, "shapes"


def frames_file_to_layers(file: FramesFile) -> list[LayerData]:
    """Return the layers of a frames file.

    Where the file has no mask, the pixels that hold "no value" in some frames become one.
    """
    mask = file.mask
    if mask is None and not isinstance(file.frames, EventFrames):
        marked = marked_pixels(file.frames, sample=MARK_FRAMES)
        if marked.any():
            mask = ~marked
            show_info(
                f"{file.path.name}: {np.count_nonzero(marked)} pixels hold no value in the frames "
                "looked at (the largest number of their type, or none): they are masked."
            )
    layers = [
        frames_layer(
            file.frames, known=file.known, mask=mask, truth=file.truth, source=str(file.path)
        )
    ]
    if mask is not None:
        layers.append(mask_layer(mask, source=str(file.path)))
    return layers


def result_file_to_layers(file: ResultFile) -> list[LayerData]:
    """Return the layers of a result file: what is there of scattering, mask, bins and regions."""
    source = str(file.path)
    layers: list[LayerData] = []
    if file.scattering is not None:
        layers.append(scattering_layer(file.scattering, known=file.known, source=source))
    if file.partition is not None:
        layers.append(_mask_of_partition(file.partition, source))
        layers.append(
            partition_layer(file.partition, known=file.known, curves=file.curves, source=source)
        )
        if file.partition.regions:
            layers.append(regions_layer(file.partition.regions, file.partition.geometry))
    bins = None if file.partition is None else file.partition.table()
    if file.twotime is not None:
        layers.extend(twotime_layers(file.twotime, source, bins))
    if file.ages is not None:
        layers.extend(ages_layers(file.ages, source, bins))
    return layers


def twotime_layers(maps: Maps, source: str, bins: BinTable | None = None) -> list[LayerData]:
    """Return one hidden Image per two-time map, read when it is shown, with its axes in s.

    The diagonal, which is shot noise, is transparent.  A damaged map is left out with a warning.
    """
    found: list[LayerData] = []
    time_s = maps.frame_time_s or 1.0
    for position, label in enumerate(maps.bins):
        try:
            image = TwoTimeImage(maps, position, maps.frames(position))
        except FileFormatError as fault:
            show_warning(f"The map of bin {int(label)} is left out: {fault}")
            continue
        step = time_s * image.step
        arguments = {
            "name": f"two-time bin {int(label)}",
            "rgb": False,
            "scale": (step, step),
            "translate": ((step - time_s) / 2,) * 2,
            # napari ignores all units where seconds meet pixels on one axis: the label has it.
            "axis_labels": ("t1 (s)", "t2 (s)") if maps.frame_time_s else ("t1", "t2"),
            "visible": False,
            "contrast_limits": (1.0, 1.5),
            "colormap": "viridis",
            "metadata": {
                LAYER_KEY: {
                    "role": "twotime",
                    "source": source,
                    "maps": maps,
                    "position": position,
                    **_bin_values(int(label), bins),
                }
            },
        }
        found.append((image, arguments, "image"))
    return found


def ages_layers(run: MultiTauTwoTime, source: str, bins: BinTable | None = None) -> list[LayerData]:
    """Return one hidden Image (delay, age) per bin of a long run; delays are a row each."""
    found: list[LayerData] = []
    for position, label in enumerate(run.processed_bins):
        image, delay_s, step_s = ages_image(run, position)
        counted = image[np.isfinite(image)]
        limits = np.quantile(counted, CONTRAST).tolist() if counted.size else [1.0, 1.5]
        # Delays grow by factors: a row each, all rows together half as high as the ages are long.
        height = step_s * image.shape[1] / (2 * len(delay_s))
        arguments = {
            "name": f"two-time ages bin {int(label)}",
            "rgb": False,
            "scale": (height, step_s),
            "axis_labels": ("delay (row)", "age (s)"),
            "visible": False,
            "contrast_limits": limits if limits[0] < limits[1] else [limits[0], limits[0] + 0.1],
            "colormap": "viridis",
            "metadata": {
                LAYER_KEY: {
                    "role": "twotime",
                    "source": source,
                    "ages": run,
                    "position": position,
                    **_bin_values(int(label), bins),
                }
            },
        }
        found.append((napari_adapter.to_numpy(image), arguments, "image"))
    return found


def _bin_values(label: int, bins: BinTable | None) -> dict[str, Any]:
    """Return what is known of a bin, for the metadata of its map."""
    here = np.flatnonzero(bins.label == label) if bins is not None else np.empty(0, int)
    if bins is None or not here.size:
        return {"bin": label, "q": np.nan, "phi_deg": np.nan, "pixels": 0}
    row = int(here[0])
    return {
        "bin": label,
        "q": float(bins.q[row]),
        "phi_deg": float(bins.phi_deg[row]),
        "pixels": int(bins.pixels[row]),
    }


def pixel_g2_layer(image: Image, delay_s: float, *, source: str = "") -> LayerData:
    """Return g2 of every pixel at one delay as an Image, transparent where nothing was counted."""
    counted = image[np.isfinite(image)]
    low, high = np.quantile(counted, CONTRAST) if counted.size else (1.0, 1.5)
    arguments = {
        "name": f"g2 of pixels at {delay_s:.3g} s",
        "rgb": False,
        "axis_labels": ("y", "x"),
        "contrast_limits": (float(low), float(high) if high > low else float(low) + 0.1),
        "colormap": "viridis",
        "metadata": {LAYER_KEY: {"role": "map", "source": source}},
    }
    return napari_adapter.to_numpy(image), arguments, "image"


def age_line_layer(line: np.ndarray, width: float) -> LayerData:
    """Return a line across a two-time map at one age, to be dragged."""
    arguments = {
        "name": "age",
        "ndim": 2,
        "shape_type": "line",
        "edge_color": "red",
        "edge_width": width,
        "metadata": {LAYER_KEY: {"role": "age"}},
    }
    return [line], arguments, "shapes"


def age_bands_layer(
    curves: G2Curves, of_map: Layer, ages_s: np.ndarray, width_s: float
) -> LayerData:
    """Return the ages of ``curves`` as bands over the map that they were cut from.

    A band is label and column of one age, so that a click on it shows its g2 in the fit dock.
    """
    (top, left), (bottom, right) = of_map.extent.world[:, -2:]
    pixel = np.array([bottom - top, right - left]) / BAND_PIXELS
    rows, cols = (
        low + (np.arange(BAND_PIXELS) + 0.5) * step
        for low, step in zip((top, left), pixel, strict=True)
    )
    ages = np.broadcast_to(cols, (BAND_PIXELS, BAND_PIXELS))
    if layer_ages(of_map) is None:
        ages = (rows[:, None] + cols) / 2
    labels = np.zeros(ages.shape, np.uint16)
    for label, age in enumerate(ages_s, start=1):
        labels[np.abs(ages - age) <= width_s / 2] = label
    arguments = {
        "name": f"g2 at {len(ages_s)} ages, bin {layer_bin(of_map)}",
        "opacity": 0.8,
        "scale": tuple(pixel),
        "translate": (top + pixel[0] / 2, left + pixel[1] / 2),
        "features": pd.DataFrame(
            {"index": np.arange(1, len(ages_s) + 1), "age (s)": np.round(ages_s, 9)}
        ),
        "metadata": {LAYER_KEY: {"role": "ages", "curves": curves, "source": layer_source(of_map)}},
    }
    return labels, arguments, "labels"


def partition_file_to_layers(file: PartitionFile) -> list[LayerData]:
    """Return mask, bins and the regions that made them of a partition file."""
    source, partition = str(file.path), file.partition
    found = [
        _mask_of_partition(partition, source),
        partition_layer(partition, known=file.known, source=source),
    ]
    if partition.regions:
        found.append(regions_layer(partition.regions, partition.geometry))
    return found


def _mask_of_partition(partition: Partition, source: str) -> LayerData:
    """Return the mask that the steps of ``partition`` make, else that of its bins."""
    good = partition.blemish if partition.mask_steps else None
    return mask_layer(
        partition.mask if good is None else good, source=source, steps=partition.mask_steps
    )


# -- from layers to what a widget computes with


def layer_role(layer: Layer) -> str:
    """Return the role of a layer of ours, an empty string for any other."""
    return str(layer.metadata.get(LAYER_KEY, {}).get("role", ""))


def layers_with_role(layers: Iterable[Layer], *roles: str) -> list[Layer]:
    """Return the layers of ours that have one of ``roles``, topmost first."""
    return [layer for layer in reversed(list(layers)) if layer_role(layer) in roles]


def label_at(layer: Layer, event: Any) -> int:
    """Return the label of a Labels layer under the cursor of a mouse event, 0 for none."""
    value = layer.get_value(
        event.position,
        view_direction=event.view_direction,
        dims_displayed=event.dims_displayed,
        world=True,
    )
    return int(value or 0)


def layer_frames(layer: Layer) -> Frames:
    """Return the raw frames of a frames layer."""
    frames: Frames = layer.metadata[LAYER_KEY]["frames"]
    return frames


def layer_known(layer: Layer) -> KnownGeometry:
    """Return what is known of the geometry from the file of the layer."""
    known: KnownGeometry = layer.metadata[LAYER_KEY].get("known", {})
    return known


def attach_known(layer: Layer, known: KnownGeometry) -> None:
    """Tell an image layer another geometry, and the widgets that look at it."""
    layer.metadata[LAYER_KEY]["known"] = known
    layer.events.metadata()


def layer_source(layer: Layer) -> str:
    """Return the path of the file that the layer was read from, or an empty string."""
    return str(layer.metadata[LAYER_KEY]["source"])


def layer_truth(layer: Layer) -> Mapping[str, Any]:
    """Return the true parameters of a simulated run, empty for a measured one."""
    truth: Mapping[str, Any] = layer.metadata[LAYER_KEY].get("truth", {})
    return truth


def layer_mask(layer: Layer) -> Mask:
    """Return the mask that a mask layer shows (label 0 = used)."""
    mask: Mask = np.asarray(layer.data) == 0
    return mask


def layer_steps(layer: Layer) -> tuple[MaskStep, ...]:
    """Return the steps that make what a mask layer shows, none where they are not known.

    What was painted since :func:`attach_steps` is a step of its own, the last one.
    """
    steps, shown = attached_steps(layer), layer_mask(layer)
    if not steps:
        return ()
    made = layer.metadata[LAYER_KEY]["made"]
    return steps if np.array_equal(made, shown) else (*steps, painted_difference(made, shown))


def attached_steps(layer: Layer) -> tuple[MaskStep, ...]:
    """Return the steps of :func:`attach_steps`, none where nobody told them."""
    steps: tuple[MaskStep, ...] = layer.metadata.get(LAYER_KEY, {}).get("steps", ())
    return steps


def attach_steps(layer: Layer, steps: tuple[MaskStep, ...], made: Mask) -> None:
    """Tell a mask layer the steps that it was made by, and what they made."""
    layer.metadata[LAYER_KEY] |= {"steps": steps, "made": made}


def layer_partition(layer: Layer) -> Partition:
    """Return the partition that a partition layer shows."""
    partition: Partition = layer.metadata[LAYER_KEY]["partition"]
    return partition


def layer_parameter(layer: Layer) -> str:
    """Return which parameter of a fit a map on the detector shows, an empty string for none."""
    return str(layer.metadata[LAYER_KEY].get("parameter", ""))


def layer_bin(layer: Layer) -> int:
    """Return the label of the bin of a two-time map."""
    return int(layer.metadata[LAYER_KEY]["bin"])


def layer_maps(layer: Layer) -> tuple[Maps | None, int]:
    """Return where the map of a two-time layer is; no maps where a long run has ages."""
    ours = layer.metadata[LAYER_KEY]
    return ours.get("maps"), int(ours["position"])


def layer_ages(layer: Layer) -> MultiTauTwoTime | None:
    """Return the ages of a long run that a two-time layer shows, ``None`` for a map."""
    ages: MultiTauTwoTime | None = layer.metadata[LAYER_KEY].get("ages")
    return ages


def layer_bin_values(layer: Layer) -> dict[str, Any]:
    """Return ``q``, ``phi_deg`` and ``pixels`` of the bin of a two-time map."""
    ours = layer.metadata[LAYER_KEY]
    return {name: ours[name] for name in ("q", "phi_deg", "pixels")}


def layer_curves(layer: Layer) -> G2Curves | None:
    """Return the g2 curves that a layer carries, if there are any yet."""
    curves: G2Curves | None = layer.metadata.get(LAYER_KEY, {}).get("curves")
    return curves


def attach_curves(layer: Layer, curves: G2Curves | None) -> None:
    """Give a partition layer its g2 curves and tell the widgets that look at it."""
    layer.metadata[LAYER_KEY]["curves"] = curves
    layer.events.metadata()


def show_partition(layer: Layer, partition: Partition, known: KnownGeometry, source: str) -> None:
    """Put a new partition of the same shape into a partition layer; curves of the old one go."""
    layer.metadata[LAYER_KEY] = partition_metadata(partition, known, None, source)
    layer.colormap = bin_colormap(partition)
    layer.data = shown_labels(partition)
    layer.features = bin_features(partition)
    layer.events.metadata()
