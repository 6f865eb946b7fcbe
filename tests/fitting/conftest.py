"""Curves with a known answer."""

from collections.abc import Callable

import numpy as np
import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.g2_model import unit_scale
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.kernels.curves import BinTable, G2Curves

Truth = dict[str, float | tuple[float, float]]

TYPICAL: dict[str, Truth] = {
    "single": {"tau_s": (0.01, 0.5)},
    "stretched": {"tau_s": (0.01, 0.5), "exponent": (0.6, 1.6)},
    "double": {"tau_s": (0.008, 0.03), "tau2_s": (0.3, 0.8), "fraction": (0.35, 0.65)},
    "double-stretched": {
        "tau_s": (0.008, 0.02),
        "exponent": (0.8, 1.1),
        "tau2_s": (0.5, 1.0),
        "exponent2": (1.2, 1.7),
        "fraction": (0.4, 0.6),
    },
    "cumulant": {"gamma_per_s": (3.0, 50.0), "pdi": (0.15, 0.35)},
    "flow": {"tau_s": (0.1, 0.5), "velocity_m_per_s": (2e-6, 5e-6)},
    "damped": {"tau_s": (0.1, 0.5), "frequency_hz": (2.0, 8.0)},
    "heterodyne": {"tau_s": (0.1, 0.3), "fraction": (0.4, 0.7), "velocity_m_per_s": (1e-6, 2e-6)},
}
"""Parameters that 48 delays from 1 ms to 10 s determine."""


def simulated(
    model: str, count: int, *, seed: int = 0, noise: float = 0.004, **truth: float
) -> tuple[G2Curves, np.ndarray]:
    """Return ``count`` curves with Gaussian noise of known size, and their parameters."""
    rng = np.random.default_rng(seed)
    chosen = G2_MODELS[model]
    ranges: Truth = {"baseline": (0.995, 1.005), "contrast": (0.15, 0.4), **TYPICAL[model], **truth}
    parameters = np.stack(
        [
            np.exp(rng.uniform(*np.log(np.broadcast_to(ranges[name], 2)), count))
            for name in chosen.names
        ],
        axis=1,
    )
    q = np.full(count, 3e-3)
    delay_s = np.geomspace(1e-3, 10, 48)
    baseline, contrast, *theta = (parameters / unit_scale(chosen, q, 1.0)).T[:, :, None]
    g2 = baseline + contrast * chosen.shape(delay_s, *theta, xp=NumPyBackend())
    # Short delays are the noisier ones, and some bins hold fewer pixels.
    sigma = noise * np.geomspace(1, 0.05, 48) * rng.uniform(0.5, 2, (count, 1))
    bins = BinTable(
        label=np.arange(1, count + 1),
        q=q,
        phi_deg=np.zeros(count),
        pixels=np.ones(count, dtype=int),
    )
    noisy = g2 + sigma * rng.standard_normal(g2.shape)
    return G2Curves(delay_s=delay_s, g2=noisy.T, error=sigma.T, bins=bins), parameters


@pytest.fixture(scope="session")
def simulate() -> Callable[..., tuple[G2Curves, np.ndarray]]:
    return simulated
