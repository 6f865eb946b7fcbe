"""npe2 sample data: a simulated Brownian run whose diffusion coefficient is known."""

from napari_xpcs.plugin.layers import LayerData


def brownian_frames() -> list[LayerData]:
    """Return the frames of a simulated run; the truth is in the layer metadata."""
    raise NotImplementedError


def brownian_results() -> list[LayerData]:
    """Return the same run with bins and the g2 curves in them."""
    raise NotImplementedError
