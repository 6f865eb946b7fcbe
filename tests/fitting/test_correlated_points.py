"""Errors of fits to points that are correlated, and curves that are averages over delays."""

from dataclasses import replace

import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol, JAXBackend, NumPyBackend
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.multitau import multitau_lags
from napari_xpcs.progress import run

XP = NumPyBackend()


def joint_covariance(curves: G2Curves, reach: float) -> np.ndarray:
    """Return a covariance with the errors of the curves, correlated over ``reach`` in ln(t)."""
    log_t = np.log(curves.delay_s)
    correlation = np.exp(-np.abs(log_t[:, None] - log_t[None, :]) / reach)
    error = curves.error.T
    return error[:, :, None] * error[:, None, :] * correlation


def correlated(simulate, model, count, **truth):
    """Return curves with correlated noise, without and with the covariance, and parameters."""
    exact, parameters = simulate(model, count, noise=1e-9, **truth)
    noisy, _ = simulate(model, count, **truth)
    covariance = joint_covariance(noisy, 2.0)
    factor = np.linalg.cholesky(covariance)
    draws = np.random.default_rng(11).standard_normal((count, len(exact.delay_s), 1))
    alone = replace(noisy, g2=exact.g2 + (factor @ draws)[:, :, 0].T)
    return alone, replace(alone, covariance=covariance), parameters


@pytest.mark.parametrize("model", ["single", "stretched"])
def test_pulls_are_one_where_points_are_correlated(model, simulate):
    alone, joint, truth = correlated(simulate, model, 1500)
    fit = run(fit_g2(joint, model, xp=XP))
    assert fit.ok.mean() > 0.99
    assert set(fit.error_kind) == {"covariance"}
    pull = ((fit.value - truth) / fit.error)[fit.ok]
    coverage = np.mean(np.abs(pull) < 1, axis=0)
    assert np.all((coverage > 0.64) & (coverage < 0.72)), coverage
    # The reason why the covariance is there:
    blind = run(fit_g2(alone, model, xp=XP))
    pull = ((blind.value - truth) / blind.error)[blind.ok]
    assert np.mean(np.abs(pull[:, 2]) < 1) < 0.55
    np.testing.assert_array_equal(blind.optimum, fit.optimum)


@pytest.mark.parametrize("model", ["single", "double", "heterodyne"])
def test_uncorrelated_points_have_the_errors_that_they_state(model, simulate):
    curves, _ = simulate(model, 40, seed=5, noise=0.002)
    diagonal = np.einsum("db,de->bde", curves.error**2, np.eye(len(curves.delay_s)))
    fit = run(fit_g2(replace(curves, covariance=diagonal), model, xp=XP))
    stated = run(fit_g2(curves, model, options=FitOptions(errors="stated"), xp=XP))
    used = stated.ok & fit.ok
    assert used.mean() > 0.8
    np.testing.assert_allclose(fit.error[used], stated.error[used], rtol=1e-6)


def test_both_solvers_state_the_same_errors(simulate):
    _, joint, _ = correlated(simulate, "stretched", 20)
    joint = replace(joint, averaging_s=0.1 * joint.delay_s)
    ours, optimistix = (run(fit_g2(joint, "stretched", xp=xp)) for xp in (XP, JAXBackend()))
    assert ours.status == optimistix.status
    np.testing.assert_allclose(ours.error, optimistix.error, rtol=0.02)


def test_a_curve_without_covariance_keeps_the_errors_of_its_points(simulate):
    alone, joint, _ = correlated(simulate, "single", 4)
    covariance = joint.covariance.copy()
    covariance[2] = np.nan
    # Unknown only where g2 is: the rest of the curve has its covariance.
    g2 = joint.g2.copy()
    g2[10, 3] = np.nan
    covariance[3, 10] = covariance[3, :, 10] = np.nan
    fit = run(fit_g2(replace(joint, g2=g2, covariance=covariance), xp=XP))
    assert fit.error_kind[:2] == ("covariance", "covariance")
    assert fit.error_kind[2] in ("stated", "scaled")
    assert fit.error_kind[3] == "covariance"
    blind = run(fit_g2(alone, xp=XP))
    np.testing.assert_array_equal(fit.error[2], blind.error[2])
    assert np.isfinite(fit.error[3]).all()


def test_bins_and_delays_may_be_in_any_order(simulate):
    _, joint, _ = correlated(simulate, "single", 5)
    order = np.random.default_rng(0).permutation(len(joint.delay_s))
    shuffled = G2Curves(
        delay_s=joint.delay_s[order],
        g2=joint.g2[order],
        error=joint.error[order],
        bins=joint.bins,
        covariance=joint.covariance[np.ix_(range(5), order, order)],
    )
    again = run(fit_g2(shuffled, bins=[4, 2], fixed={"baseline": 1.0}, xp=XP))
    chosen = run(fit_g2(joint, fixed={"baseline": 1.0}, xp=XP))
    np.testing.assert_allclose(again.error, chosen.error[[3, 1]], rtol=1e-9)
    assert np.all(again.error[:, 0] == 0)


def test_a_drift_that_the_covariance_knows_is_no_decay(simulate):
    # Without a decay, noise that is correlated over many delays looks like one to its errors.
    alone, joint, _ = correlated(simulate, "single", 300, contrast=(1e-9, 2e-9))
    found = np.mean([not np.isnan(value) for value in run(fit_g2(joint, xp=XP)).value[:, 2]])
    believed = np.mean([not np.isnan(value) for value in run(fit_g2(alone, xp=XP)).value[:, 2]])
    assert found < 0.02
    assert believed > 0.1


def test_an_average_over_sums_of_frames_is_undone(xp: BackendProtocol) -> None:
    # The exact average: two sums of m frames hold m - |k| pairs that are off by k frames.
    lags = multitau_lags(4000)
    model, truth = "stretched", (60.0, 0.8)

    def shape(delay: np.ndarray) -> np.ndarray:
        return np.asarray(G2_MODELS[model].shape(delay, *truth, xp=XP))

    averaged = []
    for level, delay in zip(lags.level, lags.delay_frames, strict=True):
        length = 2**level
        off = np.arange(1 - length, length)
        averaged.append(np.sum((length - np.abs(off)) * shape(delay + off)) / length**2)
    g2 = 1.0 + 0.2 * np.array(averaged)[:, None]
    width = np.sqrt(4.0**lags.level - 1.0) * 1e-3
    one = np.ones(1)
    bins = BinTable(label=one.astype(int), q=3e-3 * one, phi_deg=0 * one, pixels=one.astype(int))
    curves = G2Curves(
        delay_s=lags.delay_frames * 1e-3, g2=g2, error=np.full_like(g2, 1e-3), bins=bins
    )
    blind = run(fit_g2(curves, model, xp=xp)).value[0]
    known = run(fit_g2(replace(curves, averaging_s=width), model, xp=xp)).value[0]
    expected = [1.0, 0.2, truth[0] * 1e-3, *truth[1:]]
    np.testing.assert_allclose(known, expected, rtol=1e-4)
    assert abs(blind[2] / expected[2] - 1.0) > 2e-3
