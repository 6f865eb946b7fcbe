"""A view of our result files in the definition NXxpcs: links, so that no number stands twice.

The tools of 8-ID read ``/xpcs``; the same datasets appear in ``/entry`` under the names and
with the attributes that NXxpcs asks for ("one_array").
"""

import h5py
import numpy as np

from napari_xpcs import __version__
from napari_xpcs.io import layouts
from napari_xpcs.kernels.partition import Bins, Partition

_DATA = f"{layouts.ENTRY}/data"
_TWOTIME = f"{layouts.ENTRY}/twotime"
_MASKS = f"{layouts.ENTRY}/instrument/masks"
_PROCESS = f"{layouts.ENTRY}/napari_xpcs"

_CLASSES = {
    layouts.ENTRY: "NXentry",
    f"{layouts.ENTRY}/instrument": "NXinstrument",
    f"{layouts.ENTRY}/instrument/incident_beam": "NXbeam",
    layouts.DETECTOR: "NXdetector",
    f"{layouts.ENTRY}/sample": "NXsample",
    f"{layouts.ENTRY}/user": "NXuser",
}

_LINKS = {
    f"{_DATA}/g2": layouts.MULTITAU_G2,
    f"{_DATA}/g2_derr": layouts.MULTITAU_G2_ERR,
    f"{_DATA}/frame_average": layouts.SCATTERING_2D,
    f"{_TWOTIME}/g2_from_two_time_corr_func": layouts.TWOTIME_G2,
    f"{_TWOTIME}/processed_bins": layouts.TWOTIME_BINS,
    f"{_MASKS}/dynamic_roi_map": f"{layouts.RESULT_PARTITION_GROUP}/dynamic_roi_map",
    f"{_MASKS}/static_roi_map": f"{layouts.RESULT_PARTITION_GROUP}/static_roi_map",
}


def write_nxxpcs_links(
    file: h5py.File, partition: Partition, *, step: int, normalization: str
) -> None:
    """Add the view to a result file whose ``/xpcs`` and ``/entry`` are complete.

    Parameters
    ----------
    partition
        The bins of the results.
    step
        Raw frames from one used frame to the next: NXxpcs counts delays in raw frames, 8-ID in
        used ones.
    normalization
        How g2 was normalised, which the definition has no place for.
    """
    for place, target in _LINKS.items():
        if target in file and place not in file:
            file[place] = h5py.SoftLink(target)
    if layouts.MULTITAU_DELAYS in file and f"{_DATA}/delay_difference" not in file:
        file[f"{_DATA}/delay_difference"] = file[layouts.MULTITAU_DELAYS][()] * step
    _stack_maps(file)
    for kind, bins in (("dynamic", partition.dynamic), ("static", partition.static)):
        for axis, (name, unit) in enumerate(zip(partition.names, partition.units, strict=True)):
            _write_centers(file, f"{_MASKS}/{kind}_{name}_list", bins, axis, unit)
    process = file.require_group(_PROCESS)
    process["program"], process["version"] = "napari-xpcs", __version__
    process["normalization"] = normalization
    classes = _CLASSES | {
        _DATA: "NXdata",
        _TWOTIME: "NXdata",
        _MASKS: "NXnote",
        _PROCESS: "NXprocess",
    }
    for place, nexus_class in classes.items():
        if place in file and isinstance(file[place], h5py.Group):
            attributes = file[place].attrs
            if "NX_class" not in attributes:
                attributes["NX_class"] = nexus_class
    _describe(file)


def drop_nxxpcs_view(file: h5py.File) -> None:
    """Remove the view that came with a copied ``/entry``: it shows the results of another file."""
    for place in (_DATA, _TWOTIME, _MASKS, _PROCESS):
        if _PROCESS in file and place in file:
            del file[place]


def _describe(file: h5py.File) -> None:
    """Set the attributes that NXxpcs requires, on the datasets that the links lead to."""
    attributes = {
        layouts.MULTITAU_G2: {"storage_mode": "one_array"},
        layouts.TWOTIME_G2: {
            "storage_mode": "one_array_q_last",
            "baseline_reference": 1,
            # Row 0 is the diagonal of the maps, which holds the noise of counting.
            "first_point_for_fit": 0,
        },
        f"{_TWOTIME}/two_time_corr_func": {
            "storage_mode": "one_array_q_first",
            "baseline_reference": 1,
            "time_origin_location": "upper_left",
            "populated_elements": "upper_half",
        },
    }
    for place, values in attributes.items():
        if place in file:
            file[place].attrs.update(values)


def _stack_maps(file: h5py.File) -> None:
    """Show the maps, one dataset each, as one array (map, frame, frame) that stores nothing."""
    place = f"{_TWOTIME}/two_time_corr_func"
    if layouts.TWOTIME_MAPS not in file or place in file:
        return
    group = file[layouts.TWOTIME_MAPS]
    names = sorted(group)
    if not names:
        return
    frames = group[names[0]].shape[0]
    stack = h5py.VirtualLayout(shape=(len(names), frames, frames), dtype=group[names[0]].dtype)
    for position, name in enumerate(names):
        source = f"{layouts.TWOTIME_MAPS}/{name}"
        # "." is the file itself, which is renamed once it is whole.
        stack[position] = h5py.VirtualSource(".", source, shape=(frames, frames))
    file.create_virtual_dataset(place, stack)


def _write_centers(file: h5py.File, place: str, bins: Bins, axis: int, unit: str) -> None:
    centers = np.asarray(bins.center_of_bins(axis), dtype=np.float64)
    if place not in file and np.isfinite(centers).any():
        file[place] = centers
        file[place].attrs["units"] = {"Å⁻¹": "1/angstrom", "deg": "degree"}.get(unit, unit)
