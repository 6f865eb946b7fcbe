"""Posteriors as tables and inside a result file, with everything needed to draw them again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from napari_xpcs import __version__
from napari_xpcs.backends.io_adapter import hdf5_adapter
from napari_xpcs.io import layouts
from napari_xpcs.io.appended_group import appended_group
from napari_xpcs.io.csv_table import write_csv
from napari_xpcs.io.fit_table import Cell, fit_columns, fit_rows

if TYPE_CHECKING:
    from napari_xpcs.fitting.posterior import Posterior

_STATISTICS = ("median", "low68", "high68")


def posterior_columns(posterior: "Posterior") -> list[str]:
    """Return the columns of a fit, and behind them median and limits of 68 % of each parameter."""
    more = [f"{name}_{statistic}" for name in posterior.names for statistic in _STATISTICS]
    return fit_columns(posterior.as_fit()) + more


def posterior_rows(posterior: "Posterior") -> list[dict[str, Cell]]:
    """Return one row per bin: ``NAME`` is the mean of the draws, ``NAME_err`` their deviation.

    A number that was not determined is ``None``, as in the table of a fit.
    """
    rows = fit_rows(posterior.as_fit())
    statistics = np.stack([posterior.median(), *posterior.interval()])
    for k, row in enumerate(rows):
        for p, name in enumerate(posterior.names):
            for statistic, value in zip(_STATISTICS, statistics[:, k, p], strict=True):
                known = posterior.determined[k, p] and np.isfinite(value)
                row[f"{name}_{statistic}"] = float(value) if known else None
    return rows


def write_posterior_csv(path: str | Path, posterior: "Posterior", force: bool = False) -> None:
    """Write the table of ``posterior`` as CSV; what was not determined is an empty cell.

    Raises
    ------
    FileFormatError
        The file is there already and ``force`` is not set, or it cannot be written.
    """
    write_csv(path, posterior_columns(posterior), posterior_rows(posterior), force)


def append_posterior(path: str | Path, posterior: "Posterior", force: bool = False) -> None:
    """Store draws and diagnostics in the result file ``path``, under the name of the model.

    In ``/xpcs/napari_xpcs/posteriors/<model>``: ``draws`` (bin, chain, draw, parameter; float32),
    what the sampler tells of each draw, statistics and diagnostics by bin, and as attributes
    priors, likelihood, seed and the model's formula.  The file is copied, the copy extended and
    renamed.

    Raises
    ------
    FileFormatError
        Not a result file, or it holds a posterior of this model and ``force`` is not set.
    """
    with appended_group(path, *place_of_posterior(posterior.fit.model), force) as group:
        _write(group, posterior)


def place_of_posterior(model: str) -> tuple[str, str]:
    """Return the group of a result file for draws of ``model``, and its content in words."""
    return f"{layouts.POSTERIORS}/{model}", f"a posterior of the model {model}"


def _write(group: h5py.Group, posterior: "Posterior") -> None:
    bins, diagnostics = posterior.bins, posterior.diagnostics
    low, high = posterior.interval()
    by_bin = {
        "bin": bins.label,
        "q_inv_angstrom": bins.q,
        "phi_deg": bins.phi_deg,
        "drawn": posterior.drawn,
        "determined": posterior.determined,
        "mean": posterior.mean(),
        "sd": posterior.sd(),
        "median": posterior.median(),
        "low68": low,
        "high68": high,
        "r_hat": diagnostics.r_hat,
        "ess_bulk": diagnostics.ess_bulk,
        "ess_tail": diagnostics.ess_tail,
        "divergences": diagnostics.divergences,
        "bfmi": diagnostics.bfmi,
        "full_trees": diagnostics.full_trees,
        "k_hat": diagnostics.k_hat,
        "noise": posterior.noise,
    }
    for name, values in by_bin.items():
        group[name] = hdf5_adapter.to_numpy(values)
    group.create_dataset("status", data=list(posterior.status), dtype=h5py.string_dtype())
    _write_large(group, "draws", posterior.draws.astype(np.float32))
    if posterior.trace is not None:
        _write_large(group, "diverged", posterior.trace.diverged)
        _write_large(group, "tree_size", posterior.trace.tree_size.astype(np.int16))
        _write_large(group, "energy", posterior.trace.energy.astype(np.float32))
    group.attrs.update(
        {
            "parameters": list(posterior.names),
            "units": list(posterior.fit.units),
            "formula": posterior.fit.g2_model.formula,
            "method": posterior.method,
            "likelihood": posterior.likelihood,
            "seed": posterior.seed,
            "chains": posterior.chains,
            "warmup": posterior.warmup,
            "priors": json.dumps({name: str(prior) for name, prior in posterior.priors.items()}),
            "fixed": json.dumps(dict(posterior.fit.fixed)),
            "version": __version__,
        }
    )


def _write_large(group: h5py.Group, name: str, values: np.ndarray) -> None:
    group.create_dataset(name, data=values, compression="gzip", compression_opts=1, shuffle=True)
