"""Runs in the environment with pySimpleMask; writes its maps and bins of the cases to .npz files.

Usage: python bins_of_pysimplemask.py FOLDER, with the cases.json and mask_*.npy that
test_pysimplemask_bins.py wrote.
"""

import json
import sys
from pathlib import Path

import numpy as np
from pysimplemask.core.ellipse_util import compute_ellipse_gradient, find_ellipse_parameters
from pysimplemask.core.partition import combine_partitions, generate_partition
from pysimplemask.core.qmap import compute_reflection_qmap, compute_transmission_qmap

folder = Path(sys.argv[1])
for name, case in json.loads((folder / "cases.json").read_text()).items():
    geometry = case["geometry"]
    shape, center = tuple(geometry["shape"]), tuple(geometry["center"])
    energy, pixel, distance = geometry["energy"], geometry["pixel"], geometry["distance"]
    if "incident" in geometry:
        maps, _ = compute_reflection_qmap(
            energy, center, (center[0] - 100.0, center[1]), shape, pixel, distance,
            geometry["incident"],
        )  # fmt: skip
    else:
        maps, _ = compute_transmission_qmap(
            energy, center, shape, pixel, distance, *geometry["swing"]
        )
    found = dict(maps)
    mask = np.load(folder / f"mask_{name}.npy")
    bins = case["bins"]
    axes = bins["mode"].split("-")
    if bins["mode"] == "eq-ephi":
        radius, angle = compute_ellipse_gradient(
            maps["y"], maps["x"], find_ellipse_parameters(mask.astype(int))
        )
        found |= {"eq": radius, "ephi": np.rad2deg(angle)}
    for kind, counts in (("dynamic", bins["dynamic"]), ("static", bins["static"])):
        packs = [
            generate_partition(
                axis,
                mask,
                found[axis],
                count,
                style="logarithmic" if bins["log"] else "linear",
                phi_offset=bins["offset"],
                symmetry_fold=bins["fold"],
            )
            for axis, count in zip(axes, counts, strict=True)
        ]
        found |= combine_partitions(*packs, prefix=kind)
    np.savez(folder / f"found_{name}.npz", **found)
