"""Runs in an environment of its own with pySimpleMask; writes what it read to an .npz file.

Usage: python read_with_pysimplemask.py FOLDER, with the files that test_pysimplemask.py wrote.
"""

import sys
from pathlib import Path

import h5py
import numpy as np
from pysimplemask.core.mask import MaskFile
from pysimplemask.core.model import SimpleMaskModel
from pysimplemask.core.partition import check_consistency, combine_qmap_files
from pysimplemask.core.reader.formats.imm import ImmDataset
from pysimplemask.core.reader.formats.rigaku import Rigaku3MDataset, RigakuDataset
from pysimplemask.core.report import _load_qmap_data

folder = Path(sys.argv[1])
found = {}

for name, value in _load_qmap_data(folder / "bins.hdf")[0].items():
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        found[f"bins/{name}"] = value

model = SimpleMaskModel()
assert model.read_data(str(folder / "results.hdf"))
for name, value in model.dset.saved_partition.items():
    if not isinstance(value, str) and np.asarray(value).dtype.kind in "biuf":
        found[f"results/{name}"] = np.asarray(value)
found["results/consistent"] = np.array(
    check_consistency(
        model.dset.saved_partition["dynamic_roi_map"],
        model.dset.saved_partition["static_roi_map"],
        model.dset.saved_partition["mask"],
    )
)
found["results/scattering"] = model.dset.get_scattering()

combine_qmap_files([folder / "upper.hdf", folder / "lower.hdf"], folder / "combined.hdf")
with h5py.File(folder / "combined.hdf") as file:
    for name in ("mask", "dynamic_roi_map", "static_roi_map"):
        found[f"combined/{name}"] = file[f"/qmap/{name}"][()]

shape = found["results/mask"].shape
for name, key in (("mask.tif", None), ("mask.hdf", "/qmap/mask")):
    tool = MaskFile(shape)
    tool.evaluate(str(folder / name), key)
    mask = np.ones(shape, dtype=bool)
    mask[tuple(tool.zero_loc)] = False
    found[f"mask/{name}"] = mask

for name, reader in (
    ("run.bin", RigakuDataset),
    ("large.bin.000", Rigaku3MDataset),
    ("run.imm", ImmDataset),
):
    found[f"mean/{name}"] = reader(str(folder / name)).get_scattering(num_frames=0)

np.savez(folder / "found.npz", **found)
