"""Posteriors as tables and inside result files."""

import csv
import json

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import FileFormatError
from napari_xpcs.fitting.laplace import sample_laplace
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.io.posterior_file import append_posterior, write_posterior_csv
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import run


@pytest.fixture(scope="module")
def posterior():
    delay_s = np.geomspace(1e-3, 10, 40)
    rng = np.random.default_rng(0)
    g2 = 1 + 0.3 * np.exp(-2 * delay_s[:, None] / np.array([0.05, 0.1]))
    g2 += 0.002 * rng.standard_normal(g2.shape)
    bins = BinTable(
        label=np.array([1, 2]),
        q=np.array([3e-3, 2e-3]),
        phi_deg=np.zeros(2),
        pixels=np.ones(2, dtype=int),
    )
    curves = G2Curves(delay_s=delay_s, g2=g2, error=np.full_like(g2, 0.002), bins=bins)
    fit = run(fit_g2(curves, fixed={"baseline": 1.0}, xp=NumPyBackend()))
    return run(sample_laplace(curves, fit, seed=5, xp=NumPyBackend()))


def test_the_table_holds_means_and_intervals(posterior, tmp_path):
    write_posterior_csv(tmp_path / "p.csv", posterior)
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["ok", "ok"]
    flat = posterior.draws[1, 0, :, 2]
    assert float(rows[1]["tau_s"]) == pytest.approx(flat.mean())
    assert float(rows[1]["tau_s_err"]) == pytest.approx(flat.std())
    assert float(rows[1]["tau_s_low68"]) < float(rows[1]["tau_s_median"])
    assert float(rows[0]["baseline_err"]) == 0


def test_draws_and_how_to_draw_them_again_are_in_the_result_file(posterior, tmp_path):
    path = tmp_path / "results.hdf"
    with h5py.File(path, "w") as file:
        file["xpcs/multitau/normalized_g2"] = np.ones((3, 2))
    append_posterior(path, posterior)
    with h5py.File(path) as file:
        group = file["xpcs/napari_xpcs/posteriors/single"]
        assert group["draws"].dtype == np.float32
        np.testing.assert_allclose(group["draws"][:], posterior.draws, rtol=1e-6)
        assert group.attrs["seed"] == 5
        assert json.loads(group.attrs["priors"])["contrast"] == "halfnormal(0.5)"
        assert json.loads(group.attrs["fixed"]) == {"baseline": 1.0}
        assert group["status"].asstr()[0] == "ok"
    with pytest.raises(FileFormatError, match="holds a posterior of the model single already"):
        append_posterior(path, posterior)
    append_posterior(path, posterior, force=True)


def test_only_result_files_take_posteriors(posterior, tmp_path):
    with h5py.File(tmp_path / "other.hdf", "w") as file:
        file["something"] = 1
    with pytest.raises(FileFormatError, match="not a result file"):
        append_posterior(tmp_path / "other.hdf", posterior)
