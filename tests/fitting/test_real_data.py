"""Files whose answer is known, and files whose honest answer is that there is none."""

import h5py
import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.dispersion import fit_dispersion
from napari_xpcs.fitting.global_fit import fit_global
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.progress import run

XP = NumPyBackend()


def multitau_curves(path):
    with h5py.File(path) as file:
        multitau, qmap = file["xpcs/multitau"], file["xpcs/qmap"]
        frame_s = np.ravel(file["entry/instrument/detector_1/frame_time"][()])[0]
        frame_s = frame_s * multitau["config/stride_frame"][()] * multitau["config/avg_frame"][()]
        delay_s = np.ravel(multitau["delay_list"][()]) * float(frame_s)
        g2 = multitau["normalized_g2"][()].astype(float)
        error = multitau["normalized_g2_err"][()].astype(float)
        q_axis, phi_axis = (qmap[f"dynamic_v_list_dim{i}"][()] for i in (0, 1))
        index = qmap["dynamic_index_mapping"][()].astype(int)
    g2[(g2 == 0) & (error == 0)] = np.nan
    bins = BinTable(
        label=np.arange(1, len(index) + 1),
        q=q_axis[index // len(phi_axis)],
        phi_deg=phi_axis[index % len(phi_axis)],
        pixels=np.zeros(len(index), dtype=int),
    )
    return G2Curves(delay_s=delay_s, g2=g2, error=error, bins=bins)


def test_simulated_run_gives_its_diffusion_coefficient(shared_data, xp):
    curves = multitau_curves(shared_data / "synthetic" / "Z0001_multitau_results.hdf")
    fit = run(fit_g2(curves, xp=xp))
    law = fit_dispersion(fit)
    assert fit.ok.all()
    assert law.D_m2_per_s == pytest.approx(5e-14, rel=0.03)
    assert abs(law.D_m2_per_s - 5e-14) < 2 * law.D_m2_per_s_err
    assert abs(law.exponent - 2) < 2 * law.exponent_err


@pytest.mark.parametrize("model", ["single", "stretched", "double"])
@pytest.mark.parametrize(
    ("name", "most"),
    [
        # Three bins around the beam stop do decay in the first file.
        ("E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf", 3),
        ("Average_B0147_S3_7_300C10p_att00_Rq0_00001_00200_results.hdf", 0),
        ("Average_D0138_Buffer_034C_att00_Rq0_00001_00050_results.hdf", 0),
    ],
)
def test_bins_of_noise_have_no_relaxation_time(shared_data, name, most, model):
    curves = multitau_curves(shared_data / "aps_8idi" / name)
    fit = run(fit_g2(curves, model, xp=XP))
    assert np.count_nonzero(fit.ok) <= most
    assert all(": " in status for status in fit.status if status != "ok")


def runs(residual):
    """Return how far the number of runs of one sign is from chance, in standard deviations."""
    above = residual > 0
    count, first = len(above), np.count_nonzero(above)
    expected = 1 + 2 * first * (count - first) / count
    spread = np.sqrt((expected - 1) * (expected - 2) / (count - 1))
    return (1 + np.count_nonzero(above[1:] != above[:-1]) - expected) / spread


def test_an_average_of_noise_has_one_decay(shared_data):
    """B0147: 26 bins scatter about a level; one falls by 2.4, more than speckle can make it fall.

    The errors in the file are 5 to 700 times smaller than the scatter.  Up to a third of the run
    the signs of the residuals are those of noise: what is fitted leaves nothing that a model
    could describe.  Later delays drift with the run.
    """
    name = "Average_B0147_S3_7_300C10p_att00_Rq0_00001_00200_results.hdf"
    curves = multitau_curves(shared_data / "aps_8idi" / name)
    early = FitOptions(fit_range=(0.0, 0.5))
    fit = run(fit_g2(curves, "single", options=early, xp=XP))
    assert np.nanmedian(fit.reduced_chi2) > 1e3
    assert not fit.ok.any()
    (at,) = np.flatnonzero(["contrast is at its upper bound 1" in each for each in fit.status])
    assert "give it a wider bound" in fit.status[at]

    fit = run(fit_g2(curves, "single", bounds={"contrast": (0, 10)}, options=early, xp=XP))
    assert list(np.flatnonzero(fit.ok)) == [at]
    assert fit.error_kind[at] == "scaled"
    baseline, contrast, tau_s = fit.value[at]
    assert contrast > 1 + 5 * fit.error[at, 1]
    assert abs(baseline - 1) < 2 * fit.error[at, 0]
    assert 0.014 < tau_s < 0.025
    from_chance = []
    for i in range(len(fit.status)):
        used = np.isfinite(curves.g2[:, i]) & (curves.error[:, i] > 0) & (curves.delay_s <= 0.5)
        from_chance.append(runs(curves.g2[used, i] - fit.curve(i, curves.delay_s[used])))
    assert abs(from_chance[at]) < 2
    assert np.mean(np.abs(from_chance) < 2) > 0.9


@pytest.mark.parametrize("law", ["diffusion", "power", "ballistic"])
@pytest.mark.parametrize(
    "name",
    [
        "Average_B0147_S3_7_300C10p_att00_Rq0_00001_00200_results.hdf",
        "Average_D0138_Buffer_034C_att00_Rq0_00001_00050_results.hdf",
    ],
)
def test_drifts_are_no_law_of_the_relaxation_time(shared_data, name, law):
    curves = multitau_curves(shared_data / "aps_8idi" / name)
    fit = run(fit_global(curves, law=law, xp=XP))
    assert not fit.ok.any()
    assert all(np.isnan(shared.value) for shared in fit.shared)


def light_scattering_curves(path):
    """Read g2-1 at eight angles from an ALV file."""
    head, _, table = path.read_text(encoding="latin-1").partition('"Correlation"')
    entries = dict(line.split(":", 1) for line in head.splitlines() if ":" in line)
    entries = {name.strip(): value.strip() for name, value in entries.items()}
    angles = [float(value) for name, value in entries.items() if name.startswith("Angle(")]
    rows = np.array([line.split() for line in table.strip().splitlines()], dtype=float)
    wavelength_angstrom = 10 * float(entries["Wavelength [nm]"])
    k = 2 * np.pi * float(entries["Refractive Index"]) / wavelength_angstrom
    bins = BinTable(
        label=np.arange(1, len(angles) + 1),
        q=2 * k * np.sin(np.deg2rad(angles) / 2),
        phi_deg=np.full(len(angles), np.nan),
        pixels=np.zeros(len(angles), dtype=int),
    )
    # The first channels hold the afterpulses of the detectors.
    delay_s, g2 = rows[3:, 0] * 1e-3, 1 + rows[3:, 1:]
    return G2Curves(delay_s=delay_s, g2=g2, error=np.full_like(g2, np.nan), bins=bins)


def test_cumulants_of_light_scattering(shared_data):
    """The readme says D = 3.463(39)e-12 m^2/s extrapolated to q = 0, and PDI = 0.080(31)."""
    curves = light_scattering_curves(shared_data / "dls" / "7_2021_MW002-030000_averaged.ASC")
    fit = run(fit_g2(curves, "cumulant", xp=XP))
    assert fit.ok.all()
    q2 = (curves.bins.q * 1e10) ** 2
    apparent = fit.value[:, fit.names.index("gamma_per_s")] / q2
    (_, intercept), covariance = np.polyfit(q2, apparent, 1, cov=True)
    assert abs(intercept - 3.463e-12) < np.hypot(0.039e-12, np.sqrt(covariance[1, 1]))
    assert np.mean(fit.value[:, fit.names.index("pdi")]) == pytest.approx(0.080, abs=0.031)
    law = fit_dispersion(fit)
    assert law.D_m2_per_s == pytest.approx(3.463e-12, rel=0.05)
