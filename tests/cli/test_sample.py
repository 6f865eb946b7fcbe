"""``fit --method laplace`` and ``fit --method nuts`` as scripts use them."""

import csv
import json

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import reset_backend, set_backend

TAU_S = (0.05, 0.1)


@pytest.fixture
def curves_file(tmp_path):
    """Two curves as CSV."""
    rng, delays = np.random.default_rng(0), np.geomspace(1e-3, 10, 40)
    lines = ["bin,q_inv_angstrom,delay_s,g2,g2_err"]
    for label, tau in enumerate(TAU_S, start=1):
        g2 = 1 + 0.3 * np.exp(-2 * delays / tau) + 0.002 * rng.standard_normal(len(delays))
        q = 0.001 / np.sqrt(tau)
        lines += [f"{label},{q},{t},{y},0.002" for t, y in zip(delays, g2, strict=True)]
    path = tmp_path / "curves.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def fit(xpcs):
    """Run ``napari-xpcs fit`` in this process; return status, stdout and stderr."""

    def call(*arguments):
        done = xpcs("fit", *arguments)
        return done.status, done.out, done.err

    yield call
    reset_backend()


@pytest.mark.parametrize(("backend", "method"), [("numpy", "laplace"), ("jax", "nuts")])
def test_the_table_is_that_of_a_fit_and_more(fit, curves_file, tmp_path, backend, method):
    set_backend(backend)
    table = tmp_path / "table.csv"
    arguments = ("--method", method, "--seed", 7, "--prior", "tau_s=lognormal(0.1, 3)")
    status, out, err = fit(curves_file, *arguments, "--csv", table, "--json")
    assert status == 0, err
    facts = json.loads(out)
    for row, tau in zip(facts["bins"], TAU_S, strict=True):
        assert row["status"] == "ok"
        assert abs(row["tau_s"] - tau) < 4 * row["tau_s_err"]
        assert row["tau_s_low68"] < row["tau_s_median"] < row["tau_s_high68"]
    assert facts["dispersion"]["D_m2_per_s"] == pytest.approx(1e-14, rel=0.05)
    sampled = facts["posterior"]
    assert (sampled["method"], sampled["seed"]) == (method, 7)
    assert sampled["priors"]["tau_s"] == "lognormal(0.1, 3)"
    first = sampled["diagnostics"][0]
    assert first["k_hat"] < 0.7 if method == "laplace" else first["r_hat"]["tau_s"] < 1.01
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert float(rows[0]["tau_s"]) == pytest.approx(facts["bins"][0]["tau_s"])


def test_append_stores_the_draws(fit, shared_data, tmp_path):
    set_backend("numpy")
    (source,) = (shared_data / "aps_8idi").glob("Average_B0147*")
    path = tmp_path / "results.hdf"
    path.write_bytes(source.read_bytes())
    arguments = ("--model", "stretched", "--method", "laplace", "--bins", "2,3", "--draws", 200)
    status, out, err = fit(path, *arguments, "--append")
    assert status == 0, err
    assert "2 bins sampled with laplace" in out
    with h5py.File(path) as file:
        group = file["xpcs/napari_xpcs/posteriors/stretched"]
        assert group["draws"].shape == (2, 1, 200, 4)
    status, _, err = fit(path, *arguments, "--append")
    assert status == 1
    assert "holds a posterior of the model stretched already" in err


def test_nuts_without_jax_is_one_sentence(fit, curves_file):
    set_backend("numpy")
    status, _, err = fit(curves_file, "--method", "nuts")
    assert status == 1
    assert "NUTS needs JAX" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("prior", "words"),
    [("tau_s=wide", "is no prior"), ("tau=normal(1, 1)", "its parameters are baseline")],
)
def test_a_prior_that_cannot_be_is_said(fit, curves_file, prior, words):
    set_backend("numpy")
    status, _, err = fit(curves_file, "--method", "laplace", "--prior", prior)
    assert status == 1
    assert words in err
