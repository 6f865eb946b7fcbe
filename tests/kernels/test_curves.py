"""Bins in words."""

import numpy as np

from napari_xpcs.kernels.curves import BinTable, bin_text


def test_a_bin_is_told_by_what_is_known_and_differs() -> None:
    table = BinTable(
        label=np.array([3, 4, 7]),
        q=np.array([0.0123456, np.nan, 0.02]),
        phi_deg=np.array([-45.0, 0.0, np.nan]),
        pixels=np.ones(3, dtype=np.int64),
    )
    assert bin_text(table, 0) == "bin 3, q = 0.01235 1/Å, φ = -45.0°"
    assert bin_text(table, 1) == "bin 4, φ = 0.0°"
    assert bin_text(table, 2) == "bin 7, q = 0.02 1/Å"
    assert bin_text(table.take(np.array([0, 2])), 0) == "bin 3, q = 0.01235 1/Å"
