"""``info --json`` is plain, complete and says where every number comes from."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.describe import describe
from napari_xpcs.kernels.geometry import FIELD_UNITS

KEYS = {"kind", "layout", "shape", "dtype", "geometry", "missing", "problems"}


@pytest.mark.parametrize(
    ("name", "kind", "layout", "shape", "dtype"),
    [
        (
            "synthetic/Z0001_Synthetic-D100_a0004_f001000_r00001.h5",
            "frames",
            "aps-raw",
            [1000, 128, 192],
            "uint16",
        ),
        (
            "aps_8idi/E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf",
            "results",
            "aps-results",
            [100000, 1676, 2100],
            "float32",
        ),
        (
            "synthetic/pysimplemask_qmap_516x1556.hdf",
            "partition",
            "aps-qmap",
            [None, 516, 1556],
            "int32",
        ),
        ("eiger/eiger4m_one_frame_bslz4.h5", "frames", "hdf5", [1, 2167, 2070], "uint32"),
        ("nexus_saxs/nexus-example.hdf5", "frames", "nxsas", [10, 195, 487], "int32"),
        (
            "lambda_desy/testasapo1_1009_00002_m2_part00001.nxs",
            "frames",
            "lambda-desy",
            [20, 1833, 1556],
            "int16",
        ),
    ],
)
def test_real_files(
    shared_data: Path, name: str, kind: str, layout: str, shape: list[int], dtype: str
) -> None:
    facts = json.loads(json.dumps(describe(shared_data / name), allow_nan=False))
    assert set(facts) - {"masked_pixels"} == KEYS
    assert (facts["kind"], facts["layout"]) == (kind, layout)
    assert (facts["shape"], facts["dtype"]) == (shape, dtype)
    for field, row in facts["geometry"].items():
        assert row["unit"] == FIELD_UNITS[field]
        assert (row["value"] is None) == (row["origin"] == "")


def test_both_values_of_a_contradiction(shared_data: Path) -> None:
    name = "aps_8idi/E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf"
    facts = describe(shared_data / name)
    assert facts["geometry"]["distance_m"] == {
        "value": 11.6,
        "unit": "m",
        "origin": "/xpcs/qmap/detector_distance",
        "others": [
            {"value": 9.030008305, "origin": "/entry/instrument/detector_1/distance"},
        ],
    }
    assert any("distance_m is 11.6" in problem for problem in facts["problems"])


def test_names_that_were_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.zeros((2, 3, 4), np.uint8)
    facts = describe(path)
    assert facts["shape"] == [2, 3, 4]
    assert "metadata file run_metadata.hdf" in facts["missing"]
    assert any("/entry/instrument/detector_1/distance" in gap for gap in facts["missing"])


def test_unknown_hdf5_says_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["scan/curve"] = np.arange(5)
    facts = describe(tmp_path / "scan.h5")
    assert facts["kind"] == "unknown"
    assert "frames at /entry/data/data" in facts["missing"]
    assert "it holds /scan and no image" in facts["problems"][0]


def test_curve_table_has_no_shape(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("bin,q_inv_angstrom,delay_s,g2,g2_err\n1,0.01,1e-3,1.2,0.01\n")
    facts = describe(path)
    assert (facts["kind"], facts["layout"], facts["shape"]) == ("results", "curves-csv", None)


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.h5"
    path.write_text("x")
    with pytest.raises(FileFormatError, match="not an HDF5 file"):
        describe(path)


def test_masked_pixels_of_a_real_frame_are_counted(shared_data: Path) -> None:
    facts = describe(shared_data / "eiger/eiger4m_one_frame_bslz4.h5")
    assert facts["masked_pixels"] == 251302
