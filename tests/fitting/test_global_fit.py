"""Fits of many bins and several files together."""

from dataclasses import replace

import numpy as np
import pytest

from napari_xpcs.backends import JAXBackend, NumPyBackend
from napari_xpcs.errors import ChoiceError, FitError
from napari_xpcs.fitting.global_fit import fit_global
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import run

XP = NumPyBackend()
DELAY = np.geomspace(1e-3, 10, 48)
D = 4e-14
Q = np.linspace(1.5e-3, 8e-3, 12)


def series(
    *, seed=0, n=2.0, exponent=1.0, noise=0.01, q=Q, tau_factor=1.0, delay=DELAY, contrast=None
):
    """Return curves of bins whose relaxation times follow a law, with noise of known size."""
    rng = np.random.default_rng(seed)
    q0 = np.exp(np.log(Q).mean())
    tau0 = tau_factor / (D * (q0 * 1e10) ** 2)
    tau = tau0 * (q / q0) ** -n
    size = rng.uniform(0.1, 0.3, len(q)) if contrast is None else np.full(len(q), contrast)
    level = rng.uniform(0.995, 1.005, len(q)) if contrast is None else 1.0
    g2 = level + size * np.exp(-2 * (delay[:, None] / tau) ** exponent)
    sigma = noise * np.geomspace(1, 0.2, len(delay))[:, None] * np.ones(len(q))
    bins = BinTable(
        label=np.arange(1, len(q) + 1),
        q=q,
        phi_deg=np.zeros(len(q)),
        pixels=np.ones(len(q), dtype=int),
    )
    noisy = g2 + sigma * rng.standard_normal(g2.shape)
    return G2Curves(delay_s=delay, g2=noisy, error=sigma, bins=bins, source=f"run{seed}.hdf")


def value_of(fit, name):
    (one,) = (each for each in fit.shared if each.name == name)
    assert one.status == "ok"
    return one.value, one.error


def test_shared_errors_cover_the_truth():
    pulls = []
    for seed in range(60):
        fit = run(fit_global(series(seed=seed), law="power", xp=XP))
        n, n_err = value_of(fit, "n")
        tau0, tau0_err = value_of(fit, "tau0_s")
        truth = 1 / (D * (np.exp(np.log(Q).mean()) * 1e10) ** 2)
        pulls.append([(n - 2) / n_err, (tau0 - truth) / tau0_err])
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 0.35)
    assert np.std(pulls, axis=0) == pytest.approx(1.0, abs=0.2)


def test_scatter_between_the_bins_is_in_the_errors_of_what_they_share():
    """Few speckles move all of a curve: its points then agree with each other, not with D."""
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        off = np.exp(0.05 * rng.normal(size=len(Q)))
        curves = series(seed=seed, noise=0.001, tau_factor=off)
        fit = run(fit_global(curves, law="diffusion", xp=XP))
        value, error = value_of(fit, "D_m2_per_s")
        pulls.append((value - D) / error)
    assert abs(np.mean(pulls)) < 0.5
    assert 0.8 < np.std(pulls) < 1.35


def test_a_law_tells_more_than_the_bins_one_by_one():
    curves = series(seed=1, noise=0.02)
    fit = run(fit_global(curves, law="diffusion", xp=XP))
    value, error = value_of(fit, "D_m2_per_s")
    assert abs(value - D) < 3 * error
    alone = run(fit_g2(curves, xp=XP))
    assert error / value < 0.6 * np.nanmin(alone.error[:, 2] / alone.value[:, 2])
    tau = 1 / (value * (Q * 1e10) ** 2)
    np.testing.assert_allclose(fit.value[:, 2], tau, rtol=1e-9)
    np.testing.assert_allclose(fit.error[:, 2] / fit.value[:, 2], error / value, rtol=1e-6)


def test_a_dense_solver_finds_the_same_minimum_and_errors():
    from scipy.optimize import least_squares

    curves = series(seed=2, exponent=0.8, q=Q[:4])
    options = FitOptions(errors="stated")
    fit = run(fit_global(curves, "stretched", share=("exponent",), options=options, xp=XP))

    def residual(x):
        level, size, log_tau = x[1:].reshape(3, 4)
        g2 = level + size * np.exp(-2 * (curves.delay_s[:, None] / np.exp(log_tau)) ** x[0])
        return ((g2 - curves.g2) / curves.error).ravel()

    start = np.concatenate([[0.8], fit.value[:, 0], fit.value[:, 1], np.log(fit.value[:, 2])])
    dense = least_squares(residual, start * 1.01, xtol=1e-13, ftol=1e-13, gtol=1e-13)
    value, error = value_of(fit, "exponent")
    covariance = np.linalg.inv(dense.jac.T @ dense.jac)
    assert value == pytest.approx(dense.x[0], abs=1e-2 * error)
    assert error == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-2)
    tau_error = fit.error[:, 2] / fit.value[:, 2]
    np.testing.assert_allclose(tau_error, np.sqrt(np.diag(covariance)[9:13]), rtol=1e-2)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("single", {"law": "diffusion"}),
        ("stretched", {"law": "power", "share": ("exponent", "contrast")}),
        ("cumulant", {"law": "diffusion"}),
    ],
)
def test_both_backends_agree(model, options):
    curves = series(seed=3, contrast=0.2)
    ours, autodiff = (run(fit_global(curves, model, **options, xp=xp)) for xp in (XP, JAXBackend()))
    assert ours.status == autodiff.status
    for one, other in zip(ours.shared, autodiff.shared, strict=True):
        assert one.status == other.status
        if one.status == "ok":
            assert abs(one.value - other.value) < 1e-2 * one.error
            assert one.error == pytest.approx(other.error, rel=1e-2)


def test_a_common_contrast_rescues_decays_that_leave_the_window():
    curves = series(seed=4, noise=0.003, tau_factor=3000, contrast=0.2)
    alone = run(fit_g2(curves, xp=XP))
    together = run(fit_global(curves, share=("contrast", "baseline"), law="diffusion", xp=XP))
    assert not alone.ok[:5].any()
    assert together.ok.all()
    value, error = value_of(together, "D_m2_per_s")
    assert abs(value - D / 3000) < 3 * error


def test_several_files_share_what_is_asked_for():
    first, second = series(seed=5), series(seed=6, tau_factor=2.0, delay=DELAY[::2])
    each = run(fit_global([first, second], law="diffusion", xp=XP))
    assert [one.source for one in each.shared] == ["run5.hdf", "run6.hdf"]
    for one, truth in zip(each.shared, (D, D / 2), strict=True):
        assert abs(one.value - truth) < 3 * one.error
    assert each.sources == ("run5.hdf",) * 12 + ("run6.hdf",) * 12
    same = run(fit_global([first, series(seed=7)], share=("D",), xp=XP))
    value, error = value_of(same, "D_m2_per_s")
    assert abs(value - D) < 3 * error
    assert same.shared[0].source == ""
    assert error < each.shared[0].error


def test_a_ballistic_law_and_its_velocity():
    q = Q
    fit = run(fit_global(series(seed=8, n=1.0, q=q), law="ballistic", xp=XP))
    value, error = value_of(fit, "v_m_per_s")
    q0 = np.exp(np.log(Q).mean()) * 1e10
    assert abs(value - D * q0) < 3 * error


def test_outliers_and_a_floor_take_part_in_a_global_fit():
    from napari_xpcs.fitting.options import FitOptions

    curves = series(seed=9)
    g2 = curves.g2.copy()
    g2[::11] += 0.15
    spoiled = replace(curves, g2=g2)
    robust = run(fit_global(spoiled, law="diffusion", options=FitOptions(robust=True), xp=XP))
    value, error = value_of(robust, "D_m2_per_s")
    assert abs(value - D) < 4 * error
    floor = FitOptions(error_floor="auto")
    raised = run(fit_global(spoiled, law="diffusion", options=floor, xp=XP))
    assert np.all(raised.error_floor > 0.01)


def test_bins_of_noise_hold_no_common_answer():
    curves = series(seed=10, contrast=0.0)
    fit = run(fit_global(curves, law="diffusion", xp=XP))
    assert not fit.ok.any()
    assert [one.status.split(":")[0] for one in fit.shared] == ["not_identifiable"]
    assert np.isnan(fit.shared[0].value)


def drifting(curves, seed):
    """Return noise of the stated size whose neighbours are correlated by 0.8, in place of g2."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(curves.g2.shape)
    for k in range(1, len(noise)):
        noise[k] = 0.8 * noise[k - 1] + 0.6 * noise[k]
    return replace(curves, g2=1 + curves.error * noise)


def test_drifts_that_differ_from_bin_to_bin_are_no_law():
    many = series(noise=0.02, q=np.linspace(1.5e-3, 8e-3, 20))
    fits = [run(fit_global(drifting(many, seed), law="diffusion", xp=XP)) for seed in range(8)]
    assert sum(fit.shared[0].status == "ok" for fit in fits) <= 1
    # One by one, some of these bins pass for decays.
    assert np.mean([run(fit_g2(drifting(many, seed), xp=XP)).ok.mean() for seed in range(8)]) > 0.02


def test_times_of_a_law_are_not_held_by_the_bounds_of_single_curves():
    curves, bounds = series(contrast=0.2), {"tau_s": (0.05, 100.0)}
    assert run(fit_g2(curves, bounds=bounds, xp=XP)).status[-1].startswith("at_bound: tau_s")
    fit = run(fit_global(curves, law="diffusion", bounds=bounds, xp=XP))
    assert fit.ok.all()
    assert fit.value[-1, 2] < 0.01
    value, error = value_of(fit, "D_m2_per_s")
    assert abs(value - D) < 3 * error


def test_many_bins_tell_what_none_of_them_tells():
    curves = series(seed=11, noise=0.05, contrast=0.06, q=np.linspace(1.5e-3, 8e-3, 60))
    alone = run(fit_g2(curves, xp=XP))
    assert np.count_nonzero(alone.ok) < 20
    fit = run(fit_global(curves, share=("contrast", "baseline"), law="diffusion", xp=XP))
    value, error = value_of(fit, "D_m2_per_s")
    assert abs(value - D) < 3 * error
    assert error < 0.15 * D


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Nothing is shared"),
        ({"share": ("exponent",)}, "exponent cannot be shared"),
        ({"share": ("tau_s",), "law": "power"}, "follows the law power"),
        ({"share": ("contrast",), "fixed": {"contrast": 0.2}}, "is fixed"),
        ({"law": "power", "bins": [1]}, "needs 2 with enough delays and a known q"),
    ],
)
def test_what_cannot_be_shared_is_said(options, message):
    with pytest.raises(FitError, match=message):
        run(fit_global(series(), **options, xp=XP))


def test_a_law_that_there_is_not_is_said():
    with pytest.raises(ChoiceError, match="no law 'flow'; choose diffusion, power, ballistic"):
        run(fit_global(series(), law="flow", xp=XP))
