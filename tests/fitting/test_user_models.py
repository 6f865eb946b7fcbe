"""Models that a user writes down."""

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import ChoiceError, FitError
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.user_models import model_of
from napari_xpcs.progress import run

XP = NumPyBackend()


@pytest.mark.parametrize(
    ("formula", "same"),
    [
        ("exp(-(t/tau_s)**exponent)**2", "stretched"),
        ("(exp(-t/tau_s) * cos(2*pi*frequency_hz*t))**2", "damped"),
    ],
)
def test_a_formula_fits_as_the_model_of_the_table(formula, same, simulate, xp):
    curves, _ = simulate(same, 10)
    own = run(fit_g2(curves, model_of(formula), xp=xp))
    table = run(fit_g2(curves, same, xp=xp))
    assert own.status == table.status
    assert own.names == table.names
    np.testing.assert_allclose(own.value, table.value, rtol=1e-3)
    np.testing.assert_allclose(own.error, table.error, rtol=1e-3)
    at = np.geomspace(1e-3, 1, 5)
    np.testing.assert_allclose(own.curve(3, at), table.curve(3, at), rtol=1e-4)


def test_parameters_of_ones_own_have_units_and_bounds(simulate):
    curves, truth = simulate("stretched", 10, noise=0.001)
    model = model_of("exp(-2*(k*t)**a)", ["k,1/s", "a,0.3,2.5"])
    fit = run(fit_g2(curves, model, xp=XP))
    assert fit.units == ("", "", "1/s", "")
    assert fit.ok.all()
    assert np.all(np.abs(1 / fit.value[:, 2] - truth[:, 2]) < 5 * truth[:, 2] * 0.02)
    held = run(fit_g2(curves, model, fixed={"a": 1.0}, bounds={"k": (0.1, 1e3)}, xp=XP))
    assert np.all(held.value[:, 3] == 1.0)


def test_a_function_in_a_file_serves_both_backends(tmp_path, simulate, xp):
    path = tmp_path / "mine.py"
    path.write_text("def shape(t, tau_s, k, *, xp):\n    return xp.exp(-2 * (t / tau_s) ** k)\n")
    curves, _ = simulate("stretched", 5)
    own = run(fit_g2(curves, model_of(f"{path}:shape", ["k,0.2,3"]), xp=xp))
    table = run(fit_g2(curves, "stretched", xp=xp))
    np.testing.assert_allclose(own.value, table.value, rtol=1e-3)


@pytest.mark.parametrize(
    ("formula", "parameters", "message"),
    [
        ("__import__('os').system('true')", [], "The formula holds"),
        ("t.real", [], "The formula holds 't.real'"),
        ("(lambda: t)()", [], "The formula holds"),
        ("[t for t in (1,)]", [], "The formula holds"),
        ("exp(-t/tau_s, 'x')", [], "The formula holds"),
        ("open(t)", [], "The formula holds"),
        ("exp(-2*t/tau_s", [], "cannot be read"),
        ("exp(-2*k*t)", [], "describe it as k,LOWER,UPPER"),
        ("exp(-2*k*t)", ["k,1/m"], "expected NAME,s or NAME,1/s"),
        ("exp(-2*t/tau_s)", ["k,1/s"], "no parameter k"),
        ("contrast*exp(-2*t/tau_s)", [], "stands outside the formula"),
        ("exp(-2)*tau_s", [], "does not give one number per delay"),
        ("exp(t)", [], "has no parameter to fit"),
        ("9**9**9**9*t/tau_s", [], "does not give|cannot be evaluated"),
        ("+".join(["t"] * 900) + "/tau_s", [], "nested too deeply"),
        ("absent.py:shape", [], "There is no file"),
        ("single", ["tau_s,s"], "none can be described anew"),
    ],
)
def test_what_is_no_model_is_said(formula, parameters, message):
    with pytest.raises(FitError, match=message):
        model_of(formula, parameters)


def test_a_name_of_no_model_is_said():
    with pytest.raises(ChoiceError, match="There is no model 'kww'; choose single"):
        model_of("kww")


def test_a_file_without_the_function_is_said(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def shape(tau_s):\n    return tau_s\n")
    with pytest.raises(FitError, match="has no function 'other'"):
        model_of(f"{path}:other")
    with pytest.raises(FitError, match="is to be defined as"):
        model_of(f"{path}:shape")
    path.write_text("def shape(:\n")
    with pytest.raises(FitError, match="cannot be loaded"):
        model_of(f"{path}:shape")
