from dataclasses import replace

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting import _lm_numpy
from napari_xpcs.fitting._problem import Problem
from napari_xpcs.fitting.g2_model import averaged_shape, model_g2
from napari_xpcs.fitting.models import G2_MODELS

XP = NumPyBackend()
EXAMPLES = {
    "single": (0.3,),
    "stretched": (0.3, 0.7),
    "double": (0.1, 2.0, 0.4),
    "double-stretched": (0.1, 0.8, 2.0, 1.5, 0.4),
    "cumulant": (3.0, 0.2),
    "flow": (0.3, 4.0),
    "heterodyne": (0.3, 0.4, 4.0),
    "damped": (0.3, 0.8),
}


def test_every_model_of_the_command_line_is_in_the_table():
    assert list(G2_MODELS) == list(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_shape_starts_at_one_and_never_leaves_zero_to_one(name):
    delay = np.concatenate([[1e-12], np.geomspace(1e-3, 1e3, 500)])
    shape = G2_MODELS[name].shape(delay, *EXAMPLES[name], xp=XP)
    assert shape[0] == pytest.approx(1)
    assert shape.min() >= 0
    assert shape.max() <= 1 + 1e-12


def test_relaxation_time_belongs_to_the_field():
    assert G2_MODELS["single"].shape(0.3, 0.3, xp=XP) == pytest.approx(np.exp(-2))


@pytest.mark.parametrize(
    ("name", "theta", "same", "reduced"),
    [
        ("stretched", (0.3, 1.0), "single", (0.3,)),
        ("double", (0.3, 5.0, 1.0), "single", (0.3,)),
        ("double-stretched", (0.1, 1.0, 2.0, 1.0, 0.4), "double", (0.1, 2.0, 0.4)),
        ("cumulant", (4.0, 0.0), "single", (0.25,)),
        ("flow", (0.3, 1e-9), "single", (0.3,)),
        ("heterodyne", (0.3, 1.0, 4.0), "single", (0.3,)),
        ("damped", (0.3, 1e-9), "single", (0.3,)),
    ],
)
def test_limits_of_the_models(name, theta, same, reduced):
    delay = np.geomspace(1e-3, 10, 50)
    np.testing.assert_allclose(
        G2_MODELS[name].shape(delay, *theta, xp=XP),
        G2_MODELS[same].shape(delay, *reduced, xp=XP),
        atol=1e-14,
    )


def test_flow_has_its_first_zero_where_the_phases_spread_over_a_full_turn():
    rate = 4.0
    assert G2_MODELS["flow"].shape(2 * np.pi / rate, 1e9, rate, xp=XP) == pytest.approx(
        0, abs=1e-12
    )


def test_a_moving_sample_beats_with_its_reference():
    tau, fraction, rate = EXAMPLES["heterodyne"]
    delay = np.geomspace(1e-3, 10, 50)
    field = 1 - fraction + fraction * np.exp(-delay / tau + 1j * rate * delay)
    shape = G2_MODELS["heterodyne"].shape(delay, tau, fraction, rate, xp=XP)
    np.testing.assert_allclose(shape, np.abs(field) ** 2, rtol=1e-12)


def test_the_slower_mode_is_left_over():
    tau, tau2, fraction = EXAMPLES["double"]
    shape = G2_MODELS["double"].shape(5.0, tau, tau2, fraction, xp=XP)
    assert shape == pytest.approx(((1 - fraction) * np.exp(-5.0 / tau2)) ** 2, rel=1e-12)


def test_cumulants_are_the_start_of_a_spread_of_rates():
    """Rates of a gamma distribution: the mean of exp(-rate t) is (1 + pdi rate t)^(-1/pdi)."""
    gamma, pdi = EXAMPLES["cumulant"]
    for delay in (1e-3, 1e-2):
        field = (1 + pdi * gamma * delay) ** (-1 / pdi)
        shape = G2_MODELS["cumulant"].shape(delay, gamma, pdi, xp=XP)
        # The third cumulant is 2 pdi^2 gamma^3; without pdi the difference is of second order.
        third = 2 * pdi**2 * (gamma * delay) ** 3 / 6
        assert shape - field**2 == pytest.approx(2 * third, rel=0.1)


@pytest.mark.parametrize("power", range(6))
def test_the_average_over_a_triangle_of_delays_is_exact_for_polynomials(power):
    model = replace(G2_MODELS["single"], shape=lambda t, tau, xp: t**power)
    delay, width = np.array([3.0, 10.0, 40.0]), np.array([2.0, 0.0, 16.0])
    near = np.linspace(-1, 1, 20001)
    weight = 1 - np.abs(near)
    triangle = [
        np.average((t + w * near) ** power, weights=weight)
        for t, w in zip(delay, width, strict=True)
    ]
    found = averaged_shape(model, delay, width, [1.0], xp=XP)
    np.testing.assert_allclose(found, triangle, rtol=1e-7)


@pytest.mark.parametrize("name", EXAMPLES)
def test_derivatives_agree_with_autodiff(name):
    import jax

    from napari_xpcs.backends import JAXBackend

    model, count = G2_MODELS[name], 40
    t = np.geomspace(1, 1e4, count)
    theta = np.array([1.001, 0.2, *EXAMPLES[name]])
    # Times of the examples are in s and delays here in ms.
    scale = {"none": 1.0, "time": 1e3, "rate": 1e-3, "velocity": 1e-3}
    theta *= [scale[parameter.scale] for parameter in model.parameters]
    log = np.array([parameter.log for parameter in model.parameters])
    x = np.where(log, np.log(theta, where=log, out=np.zeros_like(theta)), theta)
    problem = Problem(
        t=t,
        g2=np.zeros((1, count)),
        root_weight=np.full((1, count), 3.0),
        lower=x[None] - 1,
        upper=x[None] + 1,
        scale_from_scatter=np.zeros(1, dtype=bool),
    )
    with jax.enable_x64(True):
        exact = jax.jacfwd(lambda y: 3.0 * model_g2(model, t, y, xp=JAXBackend()))(x)
    ours = _lm_numpy.jacobian(model, problem, x[None])[0].T
    np.testing.assert_allclose(ours, exact, atol=1e-9)
