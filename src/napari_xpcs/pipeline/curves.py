"""The g2 curves in a file."""

from pathlib import Path

from napari_xpcs.errors import FitError
from napari_xpcs.io.curves_csv import is_curves_csv, read_curves_csv
from napari_xpcs.io.files import ResultFile
from napari_xpcs.io.open import open_path
from napari_xpcs.kernels.curves import G2Curves


def curves_of(path: Path) -> G2Curves:
    """Return the g2 curves of a result file or a CSV of curves."""
    if is_curves_csv(path):
        return read_curves_csv(path)
    opened = open_path(path)
    curves = opened.curves if isinstance(opened, ResultFile) else None
    if curves is None:
        msg = f"{path} holds no g2: expected /xpcs/multitau/normalized_g2, or a CSV of curves."
        raise FitError(msg)
    return curves
