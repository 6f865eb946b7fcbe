"""The fit table is the same on screen, as CSV and inside the result file."""

import csv
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.fitting.results import G2Fit, Shared
from napari_xpcs.io.fit_table import append_fit, fit_columns, fit_rows, write_fit_csv
from napari_xpcs.kernels.curves import BinTable

FIT = G2Fit(
    model="single",
    names=("baseline", "tau_s"),
    units=("", "s"),
    value=np.array([[1.0, 2e-3], [np.nan, np.nan]]),
    error=np.array([[0.01, np.nan], [np.nan, np.nan]]),
    status=("ok", "no_data: 2 points"),
    reduced_chi2=np.array([1.1, np.nan]),
    n_points=np.array([30, 2]),
    bins=BinTable(
        label=np.array([4, 7]),
        q=np.array([0.01, 0.02]),
        phi_deg=np.array([np.nan, 45.0]),
        pixels=np.array([10, 20]),
    ),
    covariance=np.full((2, 2, 2), np.nan),
    error_kind=("stated", "stated"),
    optimum=np.full((2, 2), np.nan),
    fixed={},
    backend="numpy",
)
COLUMNS = (
    "bin,q_inv_angstrom,phi_deg,model,status,reduced_chi2,n_points,"
    "baseline,baseline_err,tau_s,tau_s_err"
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.hdf"
    with h5py.File(path, "w") as file:
        file["xpcs/multitau/normalized_g2"] = np.ones((3, 2), np.float32)
    return path


def test_rows_hold_plain_values_and_none() -> None:
    first, second = fit_rows(FIT)
    assert list(first) == COLUMNS.split(",")
    assert first["tau_s"] == 2e-3
    assert first["tau_s_err"] is None
    assert first["phi_deg"] is None
    assert second["status"] == "no_data: 2 points"
    assert second["baseline"] is None
    assert {type(value) for row in (first, second) for value in row.values()} == {
        int,
        float,
        str,
        type(None),
    }


def test_parameters_of_a_law_stand_in_every_row_of_their_file() -> None:
    shared = [
        Shared(name="tau_s", unit="s", value=2e-3, error=1e-4, status="ok", n_bins=2),
        Shared(
            name="D_m2_per_s", unit="m²/s", value=4e-14, error=1e-15, status="ok", n_bins=1,
            source="a.hdf",
        ),
        Shared(
            name="D_m2_per_s", unit="m²/s", value=np.nan, error=np.nan, n_bins=1, source="b.hdf",
            status="not_identifiable: all bins together show no decay within the delays",
        ),
    ]  # fmt: skip
    fit = replace(FIT, shared=tuple(shared), sources=("a.hdf", "b.hdf"))
    of_law = ["D_m2_per_s", "D_m2_per_s_err"]
    assert fit_columns(fit) == ["file", *COLUMNS.split(","), *of_law]
    first, second = fit_rows(fit)
    assert list(first) == fit_columns(fit)
    assert [first[name] for name in ("file", "bin", *of_law)] == ["a.hdf", 4, 4e-14, 1e-15]
    assert [second[name] for name in ("file", "bin", *of_law)] == ["b.hdf", 7, None, None]
    # What all files have in common is a parameter of the model here: no second column.
    assert first["tau_s"] == 2e-3


def test_csv_is_exact_and_empty_where_undetermined(tmp_path: Path) -> None:
    path = tmp_path / "fit.csv"
    write_fit_csv(path, FIT)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == [
        COLUMNS,
        "4,0.01,,single,ok,1.1,30,1.0,0.01,0.002,",
        "7,0.02,45.0,single,no_data: 2 points,,2,,,,",
    ]
    with path.open(encoding="utf-8", newline="") as file:
        assert float(next(csv.DictReader(file))["tau_s"]) == 2e-3
    with pytest.raises(FileFormatError, match="exists already"):
        write_fit_csv(path, FIT)


def test_append_stores_the_table_beside_the_results(results: Path) -> None:
    append_fit(results, FIT)
    with h5py.File(results) as file:
        table = file["/xpcs/napari_xpcs/fits/single"]
        assert list(table.attrs["columns"]) == COLUMNS.split(",")
        np.testing.assert_array_equal(table["bin"], [4, 7])
        np.testing.assert_array_equal(table["tau_s"], [2e-3, np.nan])
        assert table["status"].asstr()[1] == "no_data: 2 points"
        np.testing.assert_array_equal(file["xpcs/multitau/normalized_g2"], np.ones((3, 2)))


def test_append_replaces_only_when_asked(results: Path) -> None:
    append_fit(results, FIT)
    before = results.read_bytes()
    with pytest.raises(FileFormatError, match="holds a fit with the model single"):
        append_fit(results, FIT)
    assert results.read_bytes() == before
    append_fit(results, replace(FIT, model="stretched"))
    append_fit(results, replace(FIT, n_points=np.array([31, 2])), force=True)
    with h5py.File(results) as file:
        assert sorted(file["/xpcs/napari_xpcs/fits"]) == ["single", "stretched"]
        assert file["/xpcs/napari_xpcs/fits/single/n_points"][0] == 31


def test_append_leaves_the_results_alone_when_it_fails(results: Path) -> None:
    before = results.read_bytes()
    with pytest.raises(TypeError):
        append_fit(results, replace(FIT, reduced_chi2=("x", "y")))
    assert results.read_bytes() == before
    assert list(results.parent.iterdir()) == [results]


def test_append_needs_a_result_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["entry/data/data"] = np.zeros((1, 2, 2))
    with pytest.raises(FileFormatError, match="not a result file"):
        append_fit(tmp_path / "frames.h5", FIT)
    with pytest.raises(FileFormatError, match="There is no file"):
        append_fit(tmp_path / "absent.hdf", FIT)
