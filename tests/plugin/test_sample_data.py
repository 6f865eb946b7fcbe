"""The sample runs know their truth, and their g2 obeys it."""

import numpy as np
import pytest
from napari.layers import Layer

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.dispersion import fit_dispersion
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.plugin import _sample_data
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.progress import run

pytestmark = pytest.mark.usefixtures("numpy_backend")


def by_role(found, viewer):
    layers = [viewer.add_layer(Layer.create(*one)) for one in found]
    return {xpcs_layers.layer_role(layer): layer for layer in layers}


def test_frames_come_with_their_truth(viewer, qtbot):
    layers = by_role(_sample_data.brownian_frames(), viewer)
    frames = layers["frames"]
    assert frames.data.shape == (1000, 128, 128)
    assert xpcs_layers.layer_truth(frames)["diffusion_m2_per_s"] == 5e-14
    hidden = ~xpcs_layers.layer_mask(layers["mask"])
    assert hidden.any()
    assert np.isnan(frames.data[0][hidden]).all()


def test_results_hold_the_diffusion_that_was_simulated(viewer, qtbot):
    layers = by_role(_sample_data.brownian_results(), viewer)
    curves = xpcs_layers.layer_curves(layers["partition"])
    fit = run(fit_g2(curves, "single", xp=NumPyBackend()))
    assert fit.ok.all()
    truth = xpcs_layers.layer_truth(layers["frames"])["diffusion_m2_per_s"]
    dispersion = fit_dispersion(fit)
    assert abs(dispersion.D_m2_per_s - truth) < 3 * dispersion.D_m2_per_s_err
    assert dispersion.D_m2_per_s == pytest.approx(truth, rel=0.03)
