import numpy as np
import pytest

from napari_xpcs.errors import ChoiceError, FitError
from napari_xpcs.fitting.dispersion import fit_dispersion, relaxation_times
from napari_xpcs.fitting.laws import Solvent
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import BinTable


def fit_with(q, tau, relative_error, status=None, name="tau_s"):
    count = len(q)
    value = np.column_stack([np.ones(count), np.full(count, 0.2), tau])
    return G2Fit(
        model="single",
        names=("baseline", "contrast", name),
        units=("", "", "s"),
        bins=BinTable(
            label=np.arange(1, count + 1),
            q=q,
            phi_deg=np.zeros(count),
            pixels=np.ones(count, dtype=int),
        ),
        value=value,
        error=value * relative_error,
        status=("ok",) * count if status is None else status,
        reduced_chi2=np.ones(count),
        n_points=np.full(count, 40),
        covariance=np.zeros((count, 3, 3)),
        error_kind=("stated",) * count,
        optimum=value,
        fixed={},
        backend="numpy",
    )


Q = np.linspace(1e-3, 1e-2, 20)
D = 5e-14
TAU = 1 / (D * (Q * 1e10) ** 2)


def test_exact_diffusion():
    law = fit_dispersion(fit_with(Q, TAU, 0.02))
    assert law.status == "ok"
    assert law.D_m2_per_s == pytest.approx(D, rel=1e-12)
    assert law.D_m2_per_s_err == pytest.approx(D * 0.02 / np.sqrt(20))
    assert law.exponent == pytest.approx(2)
    assert law.n_bins == 20
    np.testing.assert_allclose(law.tau(Q), TAU)


def test_a_decay_rate_is_the_inverse_of_a_time():
    law = fit_dispersion(fit_with(Q, 1 / TAU, 0.02, name="gamma_per_s"))
    assert law.D_m2_per_s == pytest.approx(D, rel=1e-12)


def test_the_relative_error_of_a_time_is_that_of_its_rate():
    tau, error = relaxation_times(fit_with(Q, 1 / TAU, 0.02, name="gamma_per_s"))
    np.testing.assert_allclose(tau, TAU)
    np.testing.assert_allclose(error, 0.02 * TAU)


def test_power_law():
    tau = 0.3 * (Q / 3e-3) ** -1.3
    law = fit_dispersion(fit_with(Q, tau, 0.01), law="power")
    assert law.exponent == pytest.approx(1.3)
    assert law.exponent_err == pytest.approx(
        0.01 / np.sqrt(np.sum((np.log(Q) - np.log(Q).mean()) ** 2))
    )
    np.testing.assert_allclose(law.tau(Q), tau)


@pytest.mark.parametrize("stated", [0.05, 0.01, 0.0])
def test_errors_cover_the_truth_even_where_the_bins_claim_too_much(stated):
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(200):
        law = fit_dispersion(fit_with(Q, TAU * np.exp(0.05 * rng.standard_normal(20)), stated))
        pulls.append(
            [
                (law.D_m2_per_s - D) / law.D_m2_per_s_err,
                (law.exponent - 2) / law.exponent_err,
            ]
        )
    coverage = np.mean(np.abs(pulls) < 1, axis=0)
    assert np.all((coverage > 0.62) & (coverage < 0.78)), coverage


def test_only_bins_that_are_ok_take_part():
    status = ("ok",) * 18 + ("at_bound: contrast is at its upper bound 1", "failed: no")
    tau = TAU.copy()
    tau[18:] = [1e3, np.nan]
    law = fit_dispersion(fit_with(Q, tau, 0.02, status))
    assert law.n_bins == 18
    assert law.D_m2_per_s == pytest.approx(D, rel=1e-12)


def test_two_bins_are_the_least():
    one = fit_dispersion(fit_with(Q[:1], TAU[:1], 0.02))
    assert one.status == "no_data: 1 of 1 bins has a relaxation time and a q, a law needs 2"
    assert np.isnan([one.D_m2_per_s, one.D_m2_per_s_err, one.exponent, one.exponent_err]).all()
    unknown_q = fit_dispersion(fit_with(np.full(20, np.nan), TAU, 0.02))
    assert unknown_q.n_bins == 0
    two = fit_dispersion(fit_with(Q[:2], TAU[:2], 0.02))
    assert two.exponent == pytest.approx(2)


def test_bins_at_one_q_have_no_exponent():
    law = fit_dispersion(fit_with(np.full(4, 3e-3), np.full(4, 1.0), 0.02))
    assert np.isnan(law.exponent)
    assert law.D_m2_per_s == pytest.approx(1 / 3e7**2)


def test_unknown_law():
    with pytest.raises(ChoiceError, match="choose diffusion, power, ballistic"):
        fit_dispersion(fit_with(Q, TAU, 0.02), law="flow")


def test_ballistic_law():
    law = fit_dispersion(fit_with(Q, 1 / (3e-6 * Q * 1e10), 0.01), law="ballistic")
    assert law.v_m_per_s == pytest.approx(3e-6)
    assert law.v_m_per_s_err == pytest.approx(3e-6 * 0.01 / np.sqrt(20))
    np.testing.assert_allclose(law.tau(Q), 1 / (3e-6 * Q * 1e10))
    assert "v = (3.0000e-06 ± 6.7e-09) m/s from 20 bins" in law.text()


def test_extrapolation_to_zero_q_and_radius():
    apparent = D * (1 + 0.2 * (Q / Q.max()) ** 2)
    law = fit_dispersion(fit_with(Q, 1 / (apparent * (Q * 1e10) ** 2), 0.01))
    assert law.D0_m2_per_s == pytest.approx(D, rel=1e-6)
    assert 0.001 < law.D0_m2_per_s_err / D < 0.01
    water = Solvent(temperature_k=298.15, viscosity_pa_s=0.89e-3)
    # k_B T / (6 pi eta) = 2.454e-19 m^3/s
    radius, error = law.radius_m(water, at_zero_q=True)
    assert radius == pytest.approx(2.4537e-19 / D, rel=1e-3)
    assert error / radius == pytest.approx(law.D0_m2_per_s_err / D, rel=1e-6)
    assert "R_h = (" in law.text(water)
    with pytest.raises(FitError, match="no liquid"):
        Solvent(temperature_k=-1.0, viscosity_pa_s=1e-3)
