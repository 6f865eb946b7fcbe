"""X-ray photon correlation spectroscopy in napari: frames, bins, g2, fits."""

__version__ = "0.1.0"
